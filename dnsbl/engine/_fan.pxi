# Part of _engine.pyx: what is asked, and its answers as Python objects.


cdef class Plan:
    """Where the questions of a resolver go: per zone its wire name, nameserver set and try timeout."""

    cdef readonly tuple zones      # of bytes: the names as they go to C, secret keys included
    cdef readonly tuple sets
    cdef readonly tuple timeouts_s
    cdef dict _uses
    cdef const char *_names[DNSBL_FANOUT_MAX_SLOTS]
    cdef size_t _lengths[DNSBL_FANOUT_MAX_SLOTS]
    cdef int _sets[DNSBL_FANOUT_MAX_SLOTS]
    cdef uint64_t _timeouts_ns[DNSBL_FANOUT_MAX_SLOTS]
    cdef uint16_t _numbers[DNSBL_FANOUT_MAX_SLOTS]
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
    cdef readonly tuple indices    # the zone of each slot, as an index into the plan
    cdef readonly object tag
    cdef Plan _plan                # kept, so that its sets are
    cdef readonly uint64_t token
    cdef uint64_t _taken
    cdef bint _asked
    cdef int _count
    cdef uint8_t _zones[DNSBL_FANOUT_MAX_SLOTS]

    def __dealloc__(self):
        if self._c != NULL:
            dnsbl_fan_release(self._c)

    @property
    def finished(self):
        return dnsbl_fan_finished(self._c)

    @property
    def open_indices(self):
        return tuple([z for i, z in enumerate(self.indices) if dnsbl_fan_answer(self._c, i) == NULL])

    def take(self):
        cdef int i
        cdef const dnsbl_answer *answer
        cdef list out = []
        for i in range(len(self.indices)):
            if self._taken >> i & 1:
                continue
            answer = dnsbl_fan_answer(self._c, i)
            if answer == NULL:
                continue
            self._taken |= <uint64_t>1 << i
            out.append((self.indices[i], answer_tuple(answer)))
        return out

    def answers(self):
        cdef int i
        cdef const dnsbl_answer *answer
        cdef dict out = {}
        for i in range(len(self.indices)):
            answer = dnsbl_fan_answer(self._c, i)
            if answer != NULL:
                out[self.indices[i]] = answer_tuple(answer)
        return out


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


cdef tuple answer_tuple(const dnsbl_answer *answer):
    return (
        answer.status,
        answer.rcode,
        addresses_of(answer),
        ttl_or_none(answer.ttl),
        ttl_or_none(answer.soa_ttl),
        ttl_or_none(answer.soa_minimum),
        answer.latency_us,
        answer.server,
        texts_of(answer) if answer.text_count else (),
        answer.arrived / 1e9,
        answer.queries,
    )
