/* fanout.c by itself, without a thread and without c-ares: a stand-in of what sends, and a clock that stands still
 * until the test puts it forward. */
#ifndef DNSBL_TESTS_ALONE_H
#define DNSBL_TESTS_ALONE_H

#include "fanout_internal.h"

enum { SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5, ASKED_MAX = 256 };

typedef struct {
    uint64_t now;
    struct {
        int index, server;
    } asked[ASKED_MAX];  /* since alone_start */
    int asked_count;
    int unanswered, paced, taken_negative; /* how often that was told of */
    bool no_room;        /* what is asked waits */
    dnsbl_reading reads; /* what comes of an answer that is read */
} alone_world;

extern alone_world alone;

/* A loop with one set of so many servers, which are asked in turn; every question waits 500 ms for its answer. */
dnsbl_loop *alone_start(int servers);
void alone_end(dnsbl_loop *loop);
dnsbl_fan *alone_fan(int count, int attempts);
/* Somebody asks the fan, until so long from now, and holds the ticket. */
dnsbl_ticket *alone_ask(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions, uint64_t deadline,
                        bool each);
/* A server answers question `index` with this rcode; -1: with no record but this status. */
void alone_answered(dnsbl_loop *loop, dnsbl_fan *fan, int index, int by, int rcode, int status);
/* Nothing is asked until so long from now (0: at once), then what is due. */
void alone_pass(dnsbl_loop *loop, uint64_t time);

#endif
