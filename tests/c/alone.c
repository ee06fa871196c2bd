/* See alone.h. */
#include "alone.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

alone_world alone;

/* ---- in place of transport.c, pace.c, answer.c and clock.c ---- */

uint64_t dnsbl_fanout_now(void)
{
    return alone.now;
}

uint64_t dnsbl_fanout_clock(void)
{
    return alone.now + 7;
}

/* The servers of the set in turn. */
void dnsbl_transport_attempt(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t at)
{
    question *q = &fan->questions[index];
    q->last_server = (uint8_t)(q->attempts % loop->sets[0].count);
    q->tried |= (uint8_t)(1u << q->last_server);
    q->attempts++;
    q->waiting += alone.no_room;
    q->sent += !alone.no_room;
    CHECK(at == alone.now, "another time");
    if (alone.asked_count == ASKED_MAX)
        abort();
    alone.asked[alone.asked_count].index = index;
    alone.asked[alone.asked_count].server = q->last_server;
    alone.asked_count++;
}

void dnsbl_transport_unanswered(dnsbl_loop *loop, const question *q, uint64_t at)
{
    (void)loop;
    CHECK(at == alone.now, "another time");
    alone.unanswered += q->tried != 0; /* else each has answered SERVFAIL, and is asked anew */
}

void dnsbl_pace_answered(server *srv, attempt *a, uint64_t at)
{
    (void)srv;
    (void)a;
    CHECK(at == alone.now, "another time");
    alone.paced++;
}

int dnsbl_answer_rcode(const dnsbl_cares *cares, int status, const void *record)
{
    (void)cares;
    (void)status;
    return *(const int *)record;
}

dnsbl_status dnsbl_answer_status(int rcode)
{
    return rcode == 0 ? DNSBL_STATUS_OK : rcode == NXDOMAIN ? DNSBL_STATUS_NXDOMAIN
           : rcode == REFUSED ? DNSBL_STATUS_REFUSED : DNSBL_STATUS_RCODE;
}

dnsbl_reading dnsbl_answer_read(const dnsbl_cares *cares, dnsbl_answer *answer, const question *q,
                                const void *record)
{
    (void)cares;
    (void)q;
    (void)record;
    answer->address_count = answer->text_count = 3;
    return alone.reads;
}

void dnsbl_answer_take_negative(dnsbl_answer *answer, const dnsbl_negative *negative)
{
    answer->soa_ttl = negative->soa_ttl;
    alone.taken_negative++;
}

dnsbl_loop *alone_start(int servers)
{
    dnsbl_loop *loop = calloc(1, sizeof *loop);
    pthread_mutex_init(&loop->lock, NULL);
    loop->heap_size = 4;
    loop->heap = calloc(4, sizeof *loop->heap);
    loop->sets[0].count = servers;
    loop->cares.set_socket_functions = (int (*)(void *, const void *, void *))abort; /* there; it is not called */
    alone = (alone_world){.now = 1000 * DNSBL_S, .reads = DNSBL_READ_WHOLE};
    return loop;
}

void alone_end(dnsbl_loop *loop)
{
    uint64_t token;
    dnsbl_fanout_flush_wakes(loop);
    while (dnsbl_fanout_retired(loop, &token))
        ;
    CHECK(loop->heap_count == 0, "%d fans are left", loop->heap_count);
    pthread_mutex_destroy(&loop->lock);
    free(loop->heap);
    free(loop);
}

dnsbl_fan *alone_fan(int count, int attempts)
{
    dnsbl_fan *fan = dnsbl_fan_new(count, 1);
    for (int i = 0; i < count; i++)
        strcpy(dnsbl_fan_question(fan, i, 0, DNSBL_TYPE_A, 500 * DNSBL_MS, attempts), "q.example");
    return fan;
}

dnsbl_ticket *alone_ask(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions, uint64_t deadline,
                        bool each)
{
    dnsbl_ticket *ticket = calloc(1, sizeof *ticket);
    atomic_init(&ticket->refs, 2);
    ticket->fan = fan;
    ticket->completions = completions;
    ticket->deadline = alone.now + deadline;
    ticket->each = each;
    dnsbl_fan_retain(fan);
    dnsbl_completions_retain(completions);
    dnsbl_fanout_accept(loop, ticket, alone.now);
    return ticket;
}

void alone_answered(dnsbl_loop *loop, dnsbl_fan *fan, int index, int by, int rcode, int status)
{
    attempt a = {.loop = loop, .fan = fan, .index = (uint8_t)index, .server = (uint8_t)by};
    channel ch = {.loop = loop};
    a.channel = &ch;
    dnsbl_fanout_ended(loop, &a, status, rcode < 0 ? NULL : &rcode, alone.now);
}

void alone_pass(dnsbl_loop *loop, uint64_t time)
{
    int before = alone.asked_count;
    alone.now += time - 1;
    dnsbl_fanout_run_due(loop, alone.now);
    CHECK(alone.asked_count == before, "something is asked 1 ns too early");
    alone.now++;
    dnsbl_fanout_run_due(loop, alone.now);
}

