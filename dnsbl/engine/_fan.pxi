# Part of _engine.pyx: what is asked, and its answers as Python objects.


cdef class Plan:
    """Where the questions of a resolver go: per zone its wire name, nameserver set and timeout of an attempt."""

    cdef readonly tuple zones      # of bytes: the names as they go to C, secret keys included
    cdef readonly tuple sets
    cdef readonly tuple timeouts_s
    cdef dict _uses
    cdef const char *_names[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef size_t _lengths[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef int _sets[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef uint64_t _timeouts_ns[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef uint16_t _numbers[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef object _numbered_by  # the engine whose numbers these are

    def __cinit__(self, zones, sets, timeouts_s, Engine engine=None):
        self.zones = tuple(zone.encode("ascii") for zone in zones)
        self.sets = tuple(sets)
        self.timeouts_s = tuple(timeouts_s)
        if not len(self.zones) == len(self.sets) == len(self.timeouts_s) <= MAX_ZONES:
            raise ValueError(f"at most {MAX_ZONES} zones, each with a set and a timeout")
        for i in range(len(self.zones)):
            self._names[i] = <const char *>self.zones[i]
            self._lengths[i] = len(self.zones[i])
            self._sets[i] = self.sets[i]
            self._timeouts_ns[i] = as_ns(self.timeouts_s[i])
        if engine is not None:
            for number in self.sets:
                engine._uses[number] = engine._uses.get(number, 0) + 1
            self._uses = engine._uses

    def __del__(self):
        if self._uses is not None:
            for number in self.sets:
                self._uses[number] -= 1


cdef class Fan:
    """One name asked of several zones: the questions in flight and their answers."""

    cdef dnsbl_fan *_c
    cdef readonly object key
    cdef readonly tuple indices    # the zone of each question, as an index into the plan
    cdef readonly object tag
    cdef Plan _plan                # kept, so that its sets are
    cdef readonly uint64_t token
    cdef bint _asked
    cdef int _count
    cdef uint8_t _zones[DNSBL_FANOUT_MAX_QUESTIONS]

    def __dealloc__(self):
        if self._c != NULL:
            dnsbl_fan_release(self._c)

    @property
    def finished(self):
        return dnsbl_fan_finished(self._c)

    @property
    def open_indices(self):
        return tuple([z for i, z in enumerate(self.indices) if dnsbl_fan_answer(self._c, i) == NULL])

    def answers(self):
        cdef int i
        cdef const dnsbl_answer *answer
        cdef dict out = {}
        for i in range(len(self.indices)):
            answer = dnsbl_fan_answer(self._c, i)
            if answer != NULL:
                out[self.indices[i]] = answer_of(answer)
        return out


@cython.final
@cython.freelist(64)
cdef class Answer:
    """How one question ended. Its fields are objects, made once and then read several times."""

    cdef readonly object status
    cdef readonly object rcode
    cdef readonly object addresses
    cdef readonly object ttl_s
    cdef readonly object soa_ttl_s
    cdef readonly object soa_minimum_s
    cdef readonly object latency_us
    cdef readonly object server
    cdef readonly object texts
    cdef readonly object arrived
    cdef readonly object queries

    def __repr__(self):
        return f"<Answer status={self.status} rcode={self.rcode} {self.addresses} {self.texts}>"


cdef tuple addresses_of(const dnsbl_answer *answer):
    if answer.address_count == 0:
        return ()
    if answer.address_count == 1:
        return (answer.address[0],)
    return tuple(sorted({answer.address[i] for i in range(answer.address_count)}))


cdef tuple texts_of(const dnsbl_answer *answer):
    cdef size_t start
    cdef list texts = []
    cdef int i
    for i in range(answer.text_count):
        start = <size_t>i * DNSBL_FANOUT_MAX_TEXT
        texts.append((<const char *>answer.text)[start:start + answer.text_length[i]])
    return tuple(texts)


cdef Answer answer_of(const dnsbl_answer *c):
    cdef Answer answer = Answer.__new__(Answer)
    answer.status = c.status
    answer.rcode = c.rcode
    answer.addresses = addresses_of(c)
    answer.ttl_s = ttl_or_none(c.ttl)
    answer.soa_ttl_s = ttl_or_none(c.soa_ttl)
    answer.soa_minimum_s = ttl_or_none(c.soa_minimum)
    answer.latency_us = c.latency_us
    answer.server = c.server
    answer.texts = texts_of(c) if c.text_count else ()
    answer.arrived = c.arrived / 1e9
    answer.queries = c.queries
    return answer
