/* One nameserver by itself, for the tests of pace.c and queue.c: no thread, no c-ares, and a clock that stands
 * still until the test puts it forward. */
#ifndef DNSBL_TESTS_LONE_H
#define DNSBL_TESTS_LONE_H

#include "check.h"
#include "fanout_internal.h"

typedef struct {
    dnsbl_loop *loop; /* all zero, as the nameserver is but for dnsbl_pace_init */
    server *srv;
    dnsbl_completions *asker;
    uint64_t now;  /* 500 ms at first: less than any time after which something counts as silent */
    attempt *made; /* all, by next_sent */
} lone;

lone lone_start(void);
/* Free it all, also what still waits or is on its way. */
void lone_end(lone *l);

/* An attempt of a question of its own to this zone, which waits for nothing yet: 30 s until it is asked no more. */
attempt *lone_attempt(lone *l, int zone);
/* Such a one that waits from now on; `count` of them. */
attempt *lone_wait(lone *l, int zone);
void lone_wait_many(lone *l, int zone, int count);
/* One sent now, though there may be no room. */
attempt *lone_send(lone *l, int zone);
void lone_send_many(lone *l, int zone, int count);
/* Send what waits and has room, and drop what is over, as transport.c does; how many were sent. */
int lone_pump(lone *l);
/* The nameserver answers this one now. */
void lone_answer(lone *l, attempt *a);
/* One is sent, and answered after so long. */
void lone_round_trip(lone *l, int zone, uint64_t takes);

/* The nameserver has just answered somebody; its window is so wide. */
void lone_lives(lone *l, double window);

/* Read in both directions and counted, the list is one and the same. */
void check_list(const attempt_list *list);
/* All lists of the nameserver. */
void check_lists(const server *srv);

#endif
