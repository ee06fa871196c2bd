/* What completions.c calls of the system, as a test tells it to be: a clock that stands still, calls that fail,
 * sleep that takes no time. For one thread. Needs the linker's --wrap, see the Makefile. */
#ifndef DNSBL_TESTS_STILL_H
#define DNSBL_TESTS_STILL_H

#include "fanout_internal.h"

typedef struct {
    uint64_t now;
    int fail_at;          /* the nth call that makes something fails; 0: none */
    int made;             /* mutexes, conditions and attributes, less those that were destroyed */
    bool locked;
    int pipe_end[2];      /* of the last that was made */
    int interrupted;      /* so many reads and writes end with `error` first */
    int error;
    int reads, writes, broadcasts, naps, waits; /* how often */
    uint64_t waits_until; /* of the last wait */
    dnsbl_ticket *comes;  /* onto its queue, with the next wait */
} still_system;

extern still_system still;

#endif
