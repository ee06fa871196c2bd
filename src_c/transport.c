/* Attempts: which nameserver is asked, and when, so that no burst overruns a socket. Loop thread only. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "fanout_internal.h"

enum { CLASS_IN = 1 };

#define PROBE_EVERY DNSBL_S

/* ---- the health of a server ---- */

static bool is_down(const server *srv)
{
    return srv->failures >= SERVER_FAILURES_DOWN;
}

static void failed(server *srv, uint64_t now)
{
    if (srv->failures == SERVER_FAILURES_DOWN || ++srv->failures < SERVER_FAILURES_DOWN)
        return;
    srv->probe_at = now + PROBE_EVERY;
    srv->went_down = srv->waiting > 0; /* what will come to it knows */
}

void dnsbl_transport_unanswered(dnsbl_loop *loop, const question *q, uint64_t now)
{
    server *srv = loop->sets[q->set].servers[q->last_server];
    if (q->attempts == 0 || q->tried == 0) /* never asked; or each has answered SERVFAIL, and is asked anew */
        return;
    if (!(q->refused & (1u << q->last_server)))
        failed(srv, now);
    dnsbl_pace_lost(srv, q, now);
}

/* ---- sending ---- */

static void drop(attempt *a)
{
    dnsbl_pace_forget(a);
    if (a->channel != NULL)
        a->loop->in_flight--;
    dnsbl_fan_release(a->fan);
    free(a);
}

static void on_answer(void *arg, int status, size_t timeouts, const void *record)
{
    (void)timeouts;
    attempt *a = arg;
    dnsbl_loop *loop = a->loop;
    uint64_t now = dnsbl_fanout_now();
    if (loop->sending == a)
        loop->sending = NULL;
    else
        dnsbl_front_forget(a->channel, a);
    a->channel->in_flight--;
    *a->sent_at = a->next_sent;
    if (a->next_sent != NULL)
        a->next_sent->sent_at = a->sent_at;
    if (record != NULL) {
        a->channel->server->failures = 0;
        a->channel->server->answered = now;
        dnsbl_pace_answered(a->channel->server, a, now);
    }
    dnsbl_fanout_ended(loop, a, status, record, now);
    drop(a);
}

/* Give it to c-ares; its callback may fire inside. */
static void transmit(dnsbl_loop *loop, server *srv, attempt *a, uint64_t now)
{
    channel *ch = dnsbl_channel_of(loop, srv, now);
    if (ch == NULL) {
        drop(a); /* none to be had now: as if it were lost */
        return;
    }
    question *q = &a->fan->questions[a->index];
    unsigned short id = 0;
    a->channel = ch;
    a->sent = now;
    loop->in_flight++;
    dnsbl_pace_sent(srv, a);
    a->next_sent = ch->sent;
    a->sent_at = &ch->sent;
    if (ch->sent != NULL)
        ch->sent->sent_at = &a->next_sent;
    ch->sent = a;
    if (ch->in_flight++ == 0)
        ch->busy_since = now;
    ch->queries++;
    if (ch->needed_until < a->fan->listen_until)
        ch->needed_until = a->fan->listen_until;
    loop->sweep_wanted = true;
    if (a->server == q->last_server) {
        q->next_attempt = UINT64_MAX;
        dnsbl_fanout_ask_again_at(loop, a->fan, q, now + dnsbl_pace_retry_ns(srv, q, now));
    }
    q->sent++;
    a->fan->sent = true;
    loop->current = ch;
    loop->sending = a;
    loop->cares.query_dnsrec(ch->ares, q->name, CLASS_IN, q->type, on_answer, a, &id);
    loop->current = NULL;
    if (loop->sending == a) {
        a->id = id;
        dnsbl_front_remember(ch, a);
    }
    loop->sending = NULL;
}

static bool is_down_but_not_all(const server_set *set, const server *srv)
{
    for (int i = 0; is_down(srv) && i < set->count; i++)
        if (!is_down(set->servers[i]))
            return true;
    return false;
}

/* It will not be sent. */
static void take_back(attempt *a)
{
    question *q = &a->fan->questions[a->index];
    q->waiting--;
    q->attempts -= !a->probe;
}

/* What waits for a server that went down is for the others, where there are any that are not. */
static void give_back(dnsbl_loop *loop, server *srv, uint64_t now)
{
    srv->went_down = false;
    attempt *kept = NULL;
    for (attempt *a; (a = dnsbl_queue_pop_any(loop, srv)) != NULL;) {
        question *q = &a->fan->questions[a->index];
        if (q->answered || !is_down_but_not_all(&loop->sets[q->set], srv)) {
            a->next_sent = kept;
            kept = a;
            continue;
        }
        take_back(a);
        dnsbl_fanout_ended(loop, a, ARES_ETIMEOUT, NULL, now);
        drop(a);
    }
    while (kept != NULL) {
        attempt *a = kept;
        kept = a->next_sent;
        if (!dnsbl_queue_push(loop, srv, a)) {
            a->fan->questions[a->index].waiting--;
            drop(a);
        }
    }
}

/* What nobody waits for any more, or what would be answered too late, is never sent. */
static void pump_server(dnsbl_loop *loop, server *srv, uint64_t now)
{
    if (srv->went_down)
        give_back(loop, srv, now);
    bool over = false;
    for (attempt *a; (a = dnsbl_pace_pop(loop, srv, now, &over)) != NULL;) {
        if (over) {
            take_back(a);
            drop(a);
            continue;
        }
        a->fan->questions[a->index].waiting--;
        transmit(loop, srv, a, now);
    }
}

uint64_t dnsbl_transport_pump(dnsbl_loop *loop, uint64_t now)
{
    uint64_t again = UINT64_MAX;
    bool crowded = false;
    for (int i = dnsbl_servers_count(loop); i-- > 0;) {
        server *srv = loop->servers[i];
        if (srv->waiting == 0)
            continue;
        pump_server(loop, srv, now);
        uint64_t next = srv->waiting == 0 ? UINT64_MAX : dnsbl_pace_next(srv, now);
        again = next < again ? next : again;
        crowded |= dnsbl_pace_crowded(srv, now);
    }
    atomic_store_explicit(&loop->crowded, crowded, memory_order_relaxed);
    return again;
}

void dnsbl_transport_drop_waiting(dnsbl_loop *loop, server *srv)
{
    for (attempt *a; (a = dnsbl_queue_pop_any(loop, srv)) != NULL;)
        drop(a);
}

void dnsbl_transport_close(dnsbl_loop *loop)
{
    for (int i = dnsbl_servers_count(loop); i-- > 0;) {
        dnsbl_transport_drop_waiting(loop, loop->servers[i]);
        dnsbl_channel_close_those_of(loop, loop->servers[i]);
    }
}

static void queue_attempt(dnsbl_loop *loop, dnsbl_fan *fan, int index, int at, bool probe, uint64_t now)
{
    question *q = &fan->questions[index];
    server *srv = loop->sets[q->set].servers[at];
    attempt *a = malloc(sizeof *a);
    if (a == NULL)
        return; /* as if it were lost */
    *a = (attempt){.loop = loop, .fan = fan, .probe = probe, .index = (uint8_t)index, .server = (uint8_t)at};
    a->lane = &srv->lanes[q->zone % LANES];
    a->began = now;
    dnsbl_fan_retain(fan);
    if (!dnsbl_queue_push(loop, srv, a)) {
        drop(a);
        return;
    }
    q->tried |= (uint8_t)(1u << at);
    q->waiting++;
    loop->next_pump = 0; /* within the same turn of the loop */
    if (probe)
        return;
    q->attempts++;
    q->last_server = (uint8_t)at;
}

/* ---- which server ---- */

/* The first healthy one after the last asked, in the order of the set; if none is healthy, the next. */
static int choose_server(const server_set *set, const question *q)
{
    int from = q->attempts == 0 ? 0 : q->last_server + 1;
    for (int i = 0; i < set->count; i++) {
        int at = (from + i) % set->count;
        if (!is_down(set->servers[at]))
            return at;
    }
    return from % set->count;
}

void dnsbl_transport_attempt(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t now)
{
    const question *q = &fan->questions[index];
    const server_set *set = &loop->sets[q->set];
    bool first = q->attempts == 0;
    int chosen = choose_server(set, q);
    queue_attempt(loop, fan, index, chosen, false, now);
    /* A better server that was down is asked as well, now and then, so that it is used again soon
     * after it is back; nobody waits for it, and it is none of the attempts. */
    for (int at = 0; first && at < chosen; at++) {
        server *srv = set->servers[at];
        if (now < srv->probe_at)
            continue;
        srv->probe_at = now + PROBE_EVERY;
        queue_attempt(loop, fan, index, at, true, now);
    }
}
