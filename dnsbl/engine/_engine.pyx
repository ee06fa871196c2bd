# cython: language_level=3, embedsignature=True, freethreading_compatible=False
"""The fan-out of src_c as Python objects: an Engine with its thread, Plans, Fans, Tickets, Completions.

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

MAX_ZONES = DNSBL_FANOUT_MAX_QUESTIONS
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


include "_fan.pxi"


include "_tally.pxi"


cdef class Ticket:
    """Somebody's interest in a fan, until its deadline."""

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


cdef class Completions:
    """A completion queue: of a blocking caller, or (with a descriptor) of an event loop."""

    cdef dnsbl_completions *_c
    cdef dict _tickets
    cdef bint _alone
    cdef Engine _owes  # whose thread was not told of what was submitted
    cdef pid_t _made_in

    def __cinit__(self, bint with_fd=False, bint alone=False):
        self._tickets = {}
        self._alone = alone
        self._made_in = getpid()
        self._c = dnsbl_completions_new(with_fd)
        if self._c == NULL:
            raise MemoryError("no memory or no descriptor left for a completion queue")

    def __dealloc__(self):
        # In a child after fork() its lock may be held by a thread that is not there: given up.
        if self._c != NULL and self._made_in == getpid():
            dnsbl_completions_close(self._c)

    def fileno(self):
        return dnsbl_completions_fd(self._c)

    def drain(self, size_t most=SIZE_MAX):
        cdef dnsbl_ticket *c
        cdef list ready = []
        while True:
            c = dnsbl_completions_pop(self._c) if <size_t>len(ready) < most else NULL
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
                    dnsbl_completions_wait(self._c, piece)
            PyErr_CheckSignals()

    def give_way(self):
        if dnsbl_completions_is_wanted(self._c):
            with nogil:
                dnsbl_completions_give_way(self._c)

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

    def fan(self, Plan plan, key, indices, int record_type=DNSBL_TYPE_A, int attempts=0, tag=None):
        cdef Fan fan = Fan.__new__(Fan)
        cdef int i, index, length, zones = <int>len(plan.zones)
        cdef bytes name
        cdef char *out
        cdef bint is_address = isinstance(key, bytes)
        fan.indices = tuple(indices)
        fan._count = <int>len(fan.indices)
        if not 1 <= fan._count <= DNSBL_FANOUT_MAX_QUESTIONS:
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
        for i in range(fan._count):
            index = fan.indices[i]
            if not 0 <= index < zones:
                raise IndexError(f"{index} is no zone of this plan")
            if not 0 <= plan._sets[index] < self._sets:
                raise ValueError(f"{plan._sets[index]} is no nameserver set of this engine")
            fan._zones[i] = <uint8_t>index
            out = dnsbl_fan_question(fan._c, i, plan._sets[index], <dnsbl_qtype>record_type,
                                     plan._timeouts_ns[index], attempts)
            dnsbl_fan_zone(fan._c, i, plan._numbers[index])
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

    def submit(self, Fan fan, Completions completions, double deadline_s, double listen_s=2.0, bint each=False,
               owner=None):
        cdef Ticket ticket = Ticket.__new__(Ticket)
        cdef bint first = not fan._asked
        self.loop()
        ticket.fan = fan
        ticket.owner = owner
        dnsbl_fanout_stock(self._c)  # here, where Python's lock keeps the environment as it is
        if first:  # one joined has its entry, or has finished and been reported
            self._in_flight[fan.token] = fan
        # Nothing between loop() and its use may run other threads, one of which might close the engine.
        if completions._alone:
            ticket._c = dnsbl_fanout_submit_quietly(self.loop(), fan._c, completions._c,
                                                    dnsbl_fanout_now() + as_ns(deadline_s), as_ns(listen_s), each)
            completions._owes = self
        else:
            ticket._c = dnsbl_fanout_submit(self.loop(), fan._c, completions._c,
                                            dnsbl_fanout_now() + as_ns(deadline_s), as_ns(listen_s), each)
        if ticket._c == NULL:
            if first:
                self._in_flight.pop(fan.token, None)
            self.loop()
            raise MemoryError("no memory for a lookup")
        fan._asked = True
        completions._tickets[<uintptr_t>ticket._c] = ticket
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


include "_cares_table.pxi"
