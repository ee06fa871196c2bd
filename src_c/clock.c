/* The clocks that everything here is timed by. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "fanout_internal.h"

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * DNSBL_S + (uint64_t)now.tv_nsec;
}

uint64_t dnsbl_fanout_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t dnsbl_fanout_clock(void)
{
#ifdef CLOCK_BOOTTIME
    return read_clock(CLOCK_BOOTTIME);
#else
    return read_clock(CLOCK_MONOTONIC);
#endif
}
