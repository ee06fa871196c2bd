/* transport.c by itself, with the true queue.c and pace.c: a stand-in of c-ares, of its channels and of what decides
 * about a question, no thread, and a clock that stands still until the test puts it forward. */
#ifndef DNSBL_TESTS_WIRE_H
#define DNSBL_TESTS_WIRE_H

#include "check.h"
#include "fanout_internal.h"

enum { WIRE_SERVERS = 3, WIRE_MAX = 1024, WIRE_FIRST_ID = 100 };

#define WIRE_TIMEOUT (5 * DNSBL_S)      /* of each question */
#define WIRE_ASKED_FOR (30 * DNSBL_S)   /* from when it was made */
#define WIRE_LISTENED_FOR (40 * DNSBL_S)

/* A query that c-ares was given. */
typedef struct {
    attempt *a; /* to be looked at only while `open` */
    dnsbl_cares_callback callback;
    channel *of;
    bool open;
} wire_query;

typedef struct {
    uint64_t now;
    server *servers[WIRE_SERVERS]; /* set 0 */
    channel channels[WIRE_SERVERS];
    wire_query sent[WIRE_MAX];
    int sent_count;
    struct {
        int index, server, status;
        const void *record;
    } ended[WIRE_MAX]; /* what dnsbl_fanout_ended was told */
    int ended_count;
    int asked_again;        /* calls of dnsbl_fanout_ask_again_at */
    int remembered, closed; /* attempts that front.c knows; servers whose channels were closed */
    int memory;      /* calls of malloc that it is there for */
    bool no_channel; /* there is none to be had */
    bool ends_inside; /* each query ends, unanswered, before the call that gives it to c-ares returns */
} wire_world;

extern wire_world wire;

/* A loop with one set of three nameservers that nobody asked yet. */
dnsbl_loop *wire_start(void);
/* Closes it, and looks whether all was given back. Fans of the test's own are released before. */
void wire_end(dnsbl_loop *loop);

dnsbl_fan *wire_fan(int count);
/* One question, asked and not yet sent; the fan goes with its last attempt. */
question *wire_ask(dnsbl_loop *loop);
void wire_ask_many(dnsbl_loop *loop, int count);
/* What was sent as number `n` ends so. */
void wire_ends(int n, int status, const void *record);
/* So many attempts in a row were not answered, the last now. */
void wire_fails(dnsbl_loop *loop, int server, int times);
/* The nameserver has answered somebody in zone 0 just now. */
void wire_lives(int server);

#endif
