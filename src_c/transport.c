/* Tries: which nameserver is asked, and when, so that no burst overruns a socket. Loop thread only. */
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

void dnsbl_transport_unanswered(dnsbl_loop *loop, const slot *s, uint64_t now)
{
    server *srv = loop->sets[s->set].servers[s->last_server];
    if (s->tries > 0 && !(s->refused & (1u << s->last_server)))
        failed(srv, now);
    if (s->tries > 0)
        dnsbl_pace_lost(srv, s, now);
}

/* ---- sending ---- */

static void drop(query *q)
{
    dnsbl_pace_forget(q);
    if (q->channel != NULL)
        q->loop->in_flight--;
    dnsbl_fan_release(q->fan);
    free(q);
}

static void on_answer(void *arg, int status, size_t timeouts, const void *record)
{
    (void)timeouts;
    query *q = arg;
    dnsbl_loop *loop = q->loop;
    uint64_t now = dnsbl_fanout_now();
    if (loop->sending == q)
        loop->sending = NULL;
    else
        dnsbl_front_forget(q->channel, q);
    q->channel->in_flight--;
    *q->sent_at = q->next_sent;
    if (q->next_sent != NULL)
        q->next_sent->sent_at = q->sent_at;
    if (record != NULL) {
        q->channel->server->failures = 0;
        q->channel->server->answered = now;
        dnsbl_pace_answered(q->channel->server, q, now);
    }
    dnsbl_fanout_ended(loop, q, status, record, now);
    drop(q);
}

/* Give it to c-ares; its callback may fire inside. */
static void transmit(dnsbl_loop *loop, server *srv, query *q, uint64_t now)
{
    channel *ch = dnsbl_channel_of(loop, srv, now);
    if (ch == NULL) {
        drop(q); /* none to be had now: as if it were lost */
        return;
    }
    slot *s = &q->fan->slots[q->slot];
    unsigned short id = 0;
    q->channel = ch;
    q->sent = now;
    loop->in_flight++;
    dnsbl_pace_sent(srv, q, now);
    q->next_sent = ch->sent;
    q->sent_at = &ch->sent;
    if (ch->sent != NULL)
        ch->sent->sent_at = &q->next_sent;
    ch->sent = q;
    if (ch->in_flight++ == 0)
        ch->busy_since = now;
    ch->queries++;
    if (ch->needed_until < q->fan->listen_until)
        ch->needed_until = q->fan->listen_until;
    loop->sweep_wanted = true;
    if (q->server == s->last_server) {
        s->next_try = UINT64_MAX;
        dnsbl_fanout_ask_again_at(loop, q->fan, s, now + dnsbl_pace_retry_ns(srv, s, now));
    }
    s->sent++;
    q->fan->sent = true;
    loop->current = ch;
    loop->sending = q;
    loop->cares.query_dnsrec(ch->ares, s->name, CLASS_IN, s->type, on_answer, q, &id);
    loop->current = NULL;
    if (loop->sending == q) {
        q->id = id;
        dnsbl_front_remember(ch, q);
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

/* What waits for a server that went down is for the others, where there are any that are not. */
static void give_back(dnsbl_loop *loop, server *srv, uint64_t now)
{
    srv->went_down = false;
    query *kept = NULL;
    for (query *q; (q = dnsbl_queue_pop_any(loop, srv)) != NULL;) {
        slot *s = &q->fan->slots[q->slot];
        if (s->answered || !is_down_but_not_all(&loop->sets[s->set], srv)) {
            q->next_sent = kept;
            kept = q;
            continue;
        }
        s->waiting--;
        s->tries--;
        dnsbl_fanout_ended(loop, q, ARES_ETIMEOUT, NULL, now);
        drop(q);
    }
    while (kept != NULL) {
        query *q = kept;
        kept = q->next_sent;
        if (!dnsbl_queue_push(loop, srv, q)) {
            q->fan->slots[q->slot].waiting--;
            drop(q);
        }
    }
}

/* What nobody waits for any more, or what would be answered too late, is never sent. */
static void pump_server(dnsbl_loop *loop, server *srv, uint64_t now)
{
    if (srv->went_down)
        give_back(loop, srv, now);
    bool over = false;
    for (query *q; (q = dnsbl_pace_pop(loop, srv, now, &over)) != NULL;) {
        slot *s = &q->fan->slots[q->slot];
        s->waiting--;
        if (!over) {
            transmit(loop, srv, q, now);
            continue;
        }
        s->tries--;
        drop(q);
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
    for (query *q; (q = dnsbl_queue_pop_any(loop, srv)) != NULL;)
        drop(q);
}

void dnsbl_transport_close(dnsbl_loop *loop)
{
    for (int i = dnsbl_servers_count(loop); i-- > 0;) {
        dnsbl_transport_drop_waiting(loop, loop->servers[i]);
        dnsbl_channel_close_those_of(loop, loop->servers[i]);
    }
}

static bool send_query(dnsbl_loop *loop, dnsbl_fan *fan, int index, int at, uint64_t now)
{
    slot *s = &fan->slots[index];
    server *srv = loop->sets[s->set].servers[at];
    query *q = malloc(sizeof *q);
    if (q == NULL)
        return false;
    *q = (query){.loop = loop, .fan = fan, .slot = (uint8_t)index, .server = (uint8_t)at};
    q->lane = &srv->lanes[s->zone % LANES];
    q->began = now;
    dnsbl_fan_retain(fan);
    if (!dnsbl_queue_push(loop, srv, q)) {
        drop(q);
        return false;
    }
    s->tries++;
    s->tried |= (uint8_t)(1u << at);
    s->last_server = (uint8_t)at;
    s->waiting++;
    loop->next_pump = 0; /* within the same turn of the loop */
    return true;
}

/* ---- which server ---- */

/* The first healthy one after the last asked, in the order of the set; if none is healthy, the next. */
static int choose_server(const server_set *set, const slot *s)
{
    int from = s->tries == 0 ? 0 : s->last_server + 1;
    for (int i = 0; i < set->count; i++) {
        int at = (from + i) % set->count;
        if (!is_down(set->servers[at]))
            return at;
    }
    return from % set->count;
}

bool dnsbl_transport_try(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t now)
{
    slot *s = &fan->slots[index];
    const server_set *set = &loop->sets[s->set];
    bool first = s->tries == 0;
    int chosen = choose_server(set, s);
    bool sent = send_query(loop, fan, index, chosen, now);
    uint16_t tries = s->tries;
    /* A better server that was down is asked as well, now and then, so that it is used again soon
     * after it is back; nobody waits for it, and it is none of the tries. */
    for (int at = 0; first && at < chosen; at++) {
        server *srv = set->servers[at];
        if (now < srv->probe_at || s->answered)
            continue;
        srv->probe_at = now + PROBE_EVERY;
        sent |= send_query(loop, fan, index, at, now);
        s->last_server = (uint8_t)chosen;
        s->tries = tries;
    }
    return sent;
}
