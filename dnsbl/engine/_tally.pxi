# Part of _engine.pyx: plain answers, which most lookups end with, taken in without a Python object for each.


@cython.final
cdef class Plain:
    """Answers of some zones, all of them a plain no: counted, and packed for the cache."""

    cdef readonly uint64_t zones
    cdef readonly double soonest
    cdef readonly bytes entry
    cdef readonly bytes way


@cython.final
cdef class Tally:
    """Takes plain answers in; the arrays it counts in are the caller's to read."""

    cdef dnsbl_plain_rules _rules
    cdef uint64_t *_counters[DNSBL_FANOUT_MAX_QUESTIONS]
    cdef int _zone_count
    cdef int _sent_at
    cdef dict _answered
    cdef object _row_of
    cdef list _alive
    cdef dnsbl_plain _plain

    def __cinit__(self, counters, bounds_us, halve_at, ttl_min_s, ttl_max_s, answered, row_of):
        self._alive = [*counters, bounds_us]
        self._answered = answered
        self._row_of = row_of
        self._zone_count = len(counters)
        self._rules.buckets = len(bounds_us) + 1
        self._rules.bound_us = numbers_of(bounds_us, len(bounds_us))
        self._rules.halve_at = halve_at
        self._rules.ttl_min_s = ttl_min_s
        self._rules.ttl_max_s = ttl_max_s
        self._sent_at = self._rules.buckets + 2
        if self._zone_count > MAX_ZONES:
            raise ValueError(f"at most {MAX_ZONES} zones")
        for zone in range(self._zone_count):
            self._counters[zone] = numbers_of(counters[zone], self._sent_at + 1)

    def sent(self, uint64_t zones):
        cdef int zone
        for zone in range(self._zone_count):
            self._counters[zone][self._sent_at] += zones >> zone & 1

    def take(self, Fan fan, uint64_t wanted, uint64_t may_be_plain, tuple sets, double now):
        cdef int i, zone
        cdef const dnsbl_answer *answer
        cdef list notable = []
        cdef array.array row = None
        cdef Plain plain
        of = None
        dnsbl_plain_begin(&self._plain)
        for i in range(fan._count):
            zone = fan._zones[i]
            if not wanted >> zone & 1:
                continue
            answer = dnsbl_fan_answer(fan._c, i)
            if answer == NULL:
                continue
            if sets[zone] != of:
                of = sets[zone]
                row = self.row(of)
            if not (may_be_plain >> zone & 1 and dnsbl_plain_add(
                    &self._plain, &self._rules, answer, zone, self._counters[zone], row.data.as_doubles + zone,
                    now)):
                notable.append((zone, answer_of(answer)))
        if not self._plain.zones:
            return None, notable
        dnsbl_plain_end(&self._plain)
        plain = Plain.__new__(Plain)
        plain.zones = self._plain.zones
        plain.soonest = self._plain.soonest
        plain.entry = self._plain.entry[:self._plain.size]
        plain.way = self._plain.way[:self._plain.way_size]
        return plain, notable

    cdef array.array row(self, number):
        """When each zone answered last through a set of nameservers."""
        cdef array.array row = self._answered.get(number)
        if row is None:
            row = self._row_of(number)
        if row.typecode != "d" or len(row) < self._zone_count:
            raise ValueError("an array of one number for each zone is needed")
        return row


cdef uint64_t *numbers_of(array.array numbers, int count) except NULL:
    """Where they are: the array must not grow any more."""
    if numbers.typecode != "Q" or len(numbers) < count:
        raise ValueError(f"an array of {count} numbers is needed")
    return <uint64_t *>numbers.data.as_ulonglongs
