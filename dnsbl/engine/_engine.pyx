# cython: language_level=3, embedsignature=True, freethreading_compatible=False
"""The fan-out of src_c as Python objects: an Engine with its thread, Plans, Fans, Tickets, Waiters.

What the objects mean and which thread may use them stands in src_c/fanout.h and in _engine.pyi.
Nothing here knows what an answer means for a list.
"""

cimport cython
from cpython cimport array
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport SIZE_MAX, uint8_t, uint16_t, uint64_t, uintptr_t
from posix.types cimport pid_t
from posix.unistd cimport getpid

from dnsbl.engine.capi cimport *

from dnsbl.names.nameserver import is_loopback
from dnsbl.errors import ClosedError, NameserverError

MAX_ZONES = DNSBL_FANOUT_MAX_SLOTS
MAX_NAMESERVERS = DNSBL_FANOUT_MAX_SET
TYPE_A = DNSBL_TYPE_A
TYPE_TXT = DNSBL_TYPE_TXT

cdef int MANY_ZONES = 10000
cdef double SIGNAL_CHECK_S = 0.1


cdef uint64_t as_ns(double seconds) noexcept:
    if not seconds > 0:  # nor NaN
        return 0
    return <uint64_t>(min(seconds, 86400.0) * 1e9)


def now():
    return dnsbl_fanout_clock() / 1e9


cdef object ttl_or_none(unsigned int ttl):
    return None if ttl == <unsigned int>DNSBL_NO_TTL else ttl


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
    cdef uint64_t *_counters[DNSBL_FANOUT_MAX_SLOTS]
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
                notable.append((zone, answer_tuple(answer)))
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


cdef class Ticket:
    """One waiter's interest in a fan, until its deadline."""

    cdef dnsbl_ticket *_c
    cdef readonly Fan fan
    cdef public object owner

    def __dealloc__(self):
        if self._c != NULL:
            dnsbl_ticket_abandon(self._c)
            dnsbl_ticket_release(self._c)

    @property
    def done(self):
        return dnsbl_ticket_done(self._c)


cdef class Waiter:
    """A completion list: of a blocking caller, or (with a descriptor) of an event loop."""

    cdef dnsbl_waiter *_c
    cdef dict _tickets
    cdef bint _alone
    cdef Engine _owes  # whose thread was not told of what was submitted
    cdef pid_t _made_in

    def __cinit__(self, bint with_fd=False, bint alone=False):
        self._tickets = {}
        self._alone = alone
        self._made_in = getpid()
        self._c = dnsbl_waiter_new(with_fd)
        if self._c == NULL:
            raise MemoryError("no memory or no descriptor left for a completion list")

    def __dealloc__(self):
        # In a child after fork() its lock may be held by a thread that is not there: given up.
        if self._c != NULL and self._made_in == getpid():
            dnsbl_waiter_close(self._c)

    def fileno(self):
        return dnsbl_waiter_fd(self._c)

    def drain(self, size_t most=SIZE_MAX):
        cdef dnsbl_ticket *c
        cdef list ready = []
        while True:
            c = dnsbl_waiter_pop(self._c) if <size_t>len(ready) < most else NULL
            if c == NULL:
                return ready
            done = dnsbl_ticket_done(c)
            number = <uintptr_t>c
            dnsbl_ticket_release(c)
            ticket = self._tickets.pop(number, None) if done else self._tickets.get(number)
            if ticket is not None:
                ready.append(ticket)

    def wait(self, double for_s):
        cdef uint64_t until = dnsbl_fanout_now() + as_ns(for_s)
        cdef uint64_t now, piece
        cdef dnsbl_loop *loop
        while True:
            ready = self.drain()
            now = dnsbl_fanout_now()
            if ready or now >= until:
                return ready
            piece = min(until - now, as_ns(SIGNAL_CHECK_S))
            loop = self.taken_over()
            with nogil:
                if loop != NULL:
                    dnsbl_fanout_drive(loop, self._c, piece)
                else:
                    dnsbl_waiter_wait(self._c, piece)
            PyErr_CheckSignals()

    def give_way(self):
        if dnsbl_waiter_is_wanted(self._c):
            with nogil:
                dnsbl_waiter_give_way(self._c)

    cdef dnsbl_loop *taken_over(self) noexcept:
        """The loop to be driven by this thread, if something was submitted quietly and its own has nothing to do."""
        engine, self._owes = self._owes, None
        if engine is None or engine._c == NULL or not dnsbl_fanout_take_over(engine._c):
            return NULL
        return engine._c

    def tell(self):
        if self._owes is not None and self._owes._c != NULL:
            dnsbl_fanout_wake(self._owes._c)
        self._owes = None

    def forget(self, Ticket ticket):
        dnsbl_ticket_abandon(ticket._c)
        self._tickets.pop(<uintptr_t>ticket._c, None)


@cython.no_gc_clear  # __dealloc__ needs _in_flight
cdef class Engine:
    """The loop thread and what is in flight."""

    cdef dnsbl_loop *_c
    # A reference that the garbage collector does not see: the thread reads the options until it is stopped.
    cdef PyObject *_options
    cdef dict _in_flight
    cdef dict _zones  # a number for each zone, for its share of its nameservers
    cdef dict _uses   # of sets: how often they stand in plans that may still be asked by; 0: in none any more
    cdef uint64_t _next_token
    cdef int _sets
    cdef pid_t _made_in

    def __cinit__(self):
        self._in_flight = {}
        self._zones = {}
        self._uses = {}
        self._made_in = getpid()
        self._c = dnsbl_fanout_new()
        if self._c == NULL:
            raise MemoryError("no memory or no descriptor left for the engine")

    def __init__(self):
        from dnsbl.engine import cares  # pycares takes long to import: only with the first engine

        cares.check()
        options = cares.Options(<uintptr_t>&dnsbl_fanout_socket, <uintptr_t>self._c)
        cdef dnsbl_cares table = cares_table(cares, options)
        Py_INCREF(options)
        self._options = <PyObject *>options
        cdef int error = dnsbl_fanout_start(self._c, &table)
        if error:
            raise OSError(error, "cannot start the engine's thread")

    def __dealloc__(self):
        self.close()

    def close(self):
        cdef dnsbl_loop *loop = self._c
        if loop == NULL:
            return
        if self._made_in != getpid():  # in a child after fork() there is no thread to stop
            self.abandon_after_fork()
            return
        self._c = NULL  # first, so that no other thread uses it or closes it as well
        with nogil:
            dnsbl_fanout_stop(loop)
            dnsbl_fanout_free(loop)
        self._let_go()

    def abandon_after_fork(self):
        if self._c == NULL:
            return
        dnsbl_fanout_abandon(self._c)
        self._c = NULL
        self._let_go()

    cdef _let_go(self):
        Py_XDECREF(self._options)
        self._options = NULL
        self._in_flight.clear()

    cdef dnsbl_loop *loop(self) except NULL:
        if self._c == NULL:
            raise ClosedError("the engine is closed")
        return self._c

    def nameserver_set(self, servers):
        cdef const char *texts[8]
        cdef c_bool loopback[8]
        if not 1 <= len(servers) <= MAX_NAMESERVERS:
            raise NameserverError(f"{len(servers)} nameservers: give 1 to {MAX_NAMESERVERS}", ", ".join(servers))
        encoded = [server.encode("ascii") for server in servers]
        for i, text in enumerate(encoded):
            texts[i] = text
            loopback[i] = is_loopback(servers[i])
        for unused in [number for number, uses in list(self._uses.items()) if not uses]:
            del self._uses[unused]
            dnsbl_fanout_remove_set(self.loop(), unused)
        cdef int number = dnsbl_fanout_add_set(self.loop(), texts, loopback, <int>len(servers))
        if number < 0:
            raise NameserverError("too many different sets of nameservers", ", ".join(servers))
        self._sets = max(self._sets, number + 1)
        dnsbl_fanout_stock(self.loop())
        return number

    def fan(self, Plan plan, key, indices, int record_type=DNSBL_TYPE_A, int tries=0, tag=None):
        cdef Fan fan = Fan.__new__(Fan)
        cdef int slot, index, length, zones = <int>len(plan.zones)
        cdef bytes name
        cdef char *out
        cdef bint is_address = isinstance(key, bytes)
        fan.indices = tuple(indices)
        fan._count = <int>len(fan.indices)
        if not 1 <= fan._count <= DNSBL_FANOUT_MAX_SLOTS:
            raise ValueError(f"{fan._count} questions at once: give 1 to {MAX_ZONES}")
        fan.key = key
        fan.tag = tag
        fan._plan = plan
        if plan._numbered_by is not self._zones:
            self.number(plan)
        self._next_token += 1
        fan.token = self._next_token
        fan._c = dnsbl_fan_new(fan._count, fan.token)
        if fan._c == NULL:
            raise MemoryError("no memory for a lookup")
        name = key if is_address else key.encode("ascii")
        for slot in range(fan._count):
            index = fan.indices[slot]
            if not 0 <= index < zones:
                raise IndexError(f"{index} is no zone of this plan")
            if not 0 <= plan._sets[index] < self._sets:
                raise ValueError(f"{plan._sets[index]} is no nameserver set of this engine")
            fan._zones[slot] = <uint8_t>index
            out = dnsbl_fan_question(fan._c, slot, plan._sets[index], <dnsbl_qtype>record_type,
                                     plan._timeouts_ns[index], tries)
            dnsbl_fan_zone(fan._c, slot, plan._numbers[index])
            if is_address:
                length = dnsbl_qname_reverse(<const unsigned char *>name, len(name), plan._names[index],
                                             plan._lengths[index], out, DNSBL_FANOUT_MAX_NAME)
            else:
                length = dnsbl_qname_join(name, len(name), plan._names[index], plan._lengths[index], out,
                                          DNSBL_FANOUT_MAX_NAME)
            if length < 0:
                raise ValueError("a query name that cannot be made")
        return fan

    cdef number(self, Plan plan):
        """Give each zone of a plan its number here; what identifies this engine is its table of numbers."""
        if len(self._zones) > MANY_ZONES:
            self._zones = {}
        for i, zone in enumerate(plan.zones):
            plan._numbers[i] = self._zones.setdefault(zone, len(self._zones) & 0xffff)
        plan._numbered_by = self._zones

    def submit(self, Fan fan, Waiter waiter, double deadline_s, double listen_s=2.0, bint each=False, owner=None):
        cdef Ticket ticket = Ticket.__new__(Ticket)
        cdef bint first = not fan._asked
        self.loop()
        ticket.fan = fan
        ticket.owner = owner
        dnsbl_fanout_stock(self._c)  # here, where Python's lock keeps the environment as it is
        if first:  # one joined has its entry, or has finished and been reported
            self._in_flight[fan.token] = fan
        # Nothing between loop() and its use may run other threads, one of which might close the engine.
        if waiter._alone:
            ticket._c = dnsbl_fanout_submit_quietly(self.loop(), fan._c, waiter._c,
                                                    dnsbl_fanout_now() + as_ns(deadline_s), as_ns(listen_s), each)
            waiter._owes = self
        else:
            ticket._c = dnsbl_fanout_submit(self.loop(), fan._c, waiter._c,
                                            dnsbl_fanout_now() + as_ns(deadline_s), as_ns(listen_s), each)
        if ticket._c == NULL:
            if first:
                self._in_flight.pop(fan.token, None)
            self.loop()
            raise MemoryError("no memory for a lookup")
        fan._asked = True
        waiter._tickets[<uintptr_t>ticket._c] = ticket
        return ticket

    @property
    def has_retired(self):
        return self._c != NULL and dnsbl_fanout_has_retired(self._c)

    def retired(self):
        cdef uint64_t token
        cdef list fans = []
        # Asked each time: another thread may close the engine while this one handles Python objects.
        while self._c != NULL and dnsbl_fanout_retired(self._c, &token):
            fan = self._in_flight.get(token)
            if fan is None:
                continue
            if fan.finished:
                del self._in_flight[token]
            fans.append(fan)
        if self._c != NULL and dnsbl_fanout_retired_overflow(self._c):
            for token, fan in list(self._in_flight.items()):
                if fan.finished:
                    del self._in_flight[token]
                    fans.append(fan)
        return fans

    @property
    def in_flight(self):
        return len(self._in_flight)

    @property
    def crowded(self):
        return self._c != NULL and dnsbl_fanout_crowded(self._c)


cdef void *pointer(number) except? NULL:
    return <void *><uintptr_t>number


cdef void *pointer_or_null(number) except *:
    return <void *><uintptr_t>number


def extra_functions(cares):
    """The addresses of c-ares' functions that pycares does not declare, 0 for one that is not exported."""
    cdef bytes path = cares.library_path().encode(), symbol
    cdef void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD)
    cdef dict found = {}
    for name in cares.EXTRAS:
        symbol = name.encode("ascii")
        found[name] = 0 if library == NULL else <uintptr_t>dlsym(library, symbol)
    cares.tell_missing([name for name, address in found.items() if not address])
    return found


cdef dnsbl_cares cares_table(cares, options) except *:
    cdef dnsbl_cares table
    found = cares.addresses()
    table.init_options = pointer(found["ares_init_options"])
    table.set_servers_csv = pointer(found["ares_set_servers_csv"])
    table.destroy = pointer(found["ares_destroy"])
    table.query_dnsrec = pointer(found["ares_query_dnsrec"])
    table.process_fd = pointer(found["ares_process_fd"])
    table.record_rr_cnt = pointer(found["ares_dns_record_rr_cnt"])
    table.record_rr_get_const = pointer(found["ares_dns_record_rr_get_const"])
    table.rr_get_type = pointer(found["ares_dns_rr_get_type"])
    table.rr_get_ttl = pointer(found["ares_dns_rr_get_ttl"])
    table.rr_get_addr = pointer(found["ares_dns_rr_get_addr"])
    table.rr_get_u32 = pointer(found["ares_dns_rr_get_u32"])
    table.rr_get_abin_cnt = pointer(found["ares_dns_rr_get_abin_cnt"])
    table.rr_get_abin = pointer(found["ares_dns_rr_get_abin"])
    found = extra_functions(cares)
    table.process_fds = pointer_or_null(found["ares_process_fds"])
    table.record_get_rcode = pointer_or_null(found["ares_dns_record_get_rcode"])
    if all(found[name] for name in cares.OWNERS):
        table.rr_get_name = pointer(found["ares_dns_rr_get_name"])
        table.rr_get_class = pointer(found["ares_dns_rr_get_class"])
        table.rr_get_str = pointer(found["ares_dns_rr_get_str"])
    else:
        table.rr_get_name = table.rr_get_class = table.rr_get_str = NULL
    if all(found[name] for name in cares.FRONT):
        table.set_socket_functions = pointer(found["ares_set_socket_functions_ex"])
        table.parse = pointer(found["ares_dns_parse"])
        table.record_destroy = pointer(found["ares_dns_record_destroy"])
    else:
        table.set_socket_functions = table.parse = table.record_destroy = NULL
    table.options_loopback = pointer(options.loopback)
    table.options_remote = pointer(options.remote)
    table.optmask_loopback = options.optmask_loopback
    table.optmask_remote = options.optmask_remote
    return table
