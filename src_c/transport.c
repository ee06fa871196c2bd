/* Tries: which nameserver is asked, and when, so that no burst overruns a socket. Loop thread only. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "fanout_internal.h"

enum { CLASS_IN = 1 };

#define PROBE_EVERY DNSBL_S
/* Then a query is slow or lost, and no reason to hold others back. A nameserver that answers has read what was
 * sent this long ago, however long it takes to find an answer; of one that does not answer nothing is known. */
#define FRESH_NS (20 * DNSBL_MS)
#define FRESH_UNKNOWN_NS (100 * DNSBL_MS)
#define ALIVE_NS DNSBL_S /* how long after an answer a nameserver counts as one that answers */

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
    srv->went_down = true;
}

void dnsbl_transport_unanswered(dnsbl_loop *loop, const slot *s, uint64_t now)
{
    if (s->tries > 0 && !(s->refused & (1u << s->last_server)))
        failed(loop->sets[s->set].servers[s->last_server], now);
}

/* ---- pacing: a burst must not overrun the sockets' buffers, ours or the nameserver's ---- */

static void append(query_list *list, query *q)
{
    q->on = list;
    q->before = list->last;
    q->after = NULL;
    *(list->last != NULL ? &list->last->after : &list->first) = q;
    list->last = q;
    list->count++;
}

static void unlink_query(query *q)
{
    query_list *list = q->on;
    if (list == NULL)
        return;
    *(q->before != NULL ? &q->before->after : &list->first) = q->after;
    *(q->after != NULL ? &q->after->before : &list->last) = q->before;
    list->count--;
    q->on = NULL;
}

static void drop(query *q)
{
    unlink_query(q);
    q->loop->in_flight--;
    dnsbl_fan_release(q->fan);
    free(q);
}

static uint64_t fresh_ns(const server *srv, uint64_t now)
{
    return srv->answered != 0 && now - srv->answered < ALIVE_NS ? FRESH_NS : FRESH_UNKNOWN_NS;
}

static bool has_room(server *srv, uint64_t now)
{
    while (srv->fresh.first != NULL && now - srv->fresh.first->sent >= fresh_ns(srv, now))
        unlink_query(srv->fresh.first);
    return srv->fresh.count < FRESH_MAX;
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
    }
    dnsbl_fanout_ended(loop, q, status, record, now);
    drop(q);
}

/* Give it to c-ares; its callback may fire inside. */
static void transmit(dnsbl_loop *loop, server *srv, query *q, uint64_t now)
{
    channel *ch = dnsbl_channel_of(loop, srv, now);
    if (ch == NULL) {
        drop(q); /* no memory or descriptor: as if it were lost */
        return;
    }
    slot *s = &q->fan->slots[q->slot];
    unsigned short id = 0;
    q->channel = ch;
    q->sent = now;
    append(&srv->fresh, q);
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
    s->sent++;
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
    for (query *q = srv->waiting.first, *next; q != NULL; q = next) {
        next = q->after;
        slot *s = &q->fan->slots[q->slot];
        if (!is_down_but_not_all(&loop->sets[s->set], srv))
            continue;
        s->waiting--;
        s->tries--;
        dnsbl_fanout_ended(loop, q, ARES_ETIMEOUT, NULL, now);
        drop(q);
    }
}

static void pump_server(dnsbl_loop *loop, server *srv, uint64_t now)
{
    if (srv->went_down)
        give_back(loop, srv, now);
    while (srv->waiting.first != NULL && has_room(srv, now)) {
        query *q = srv->waiting.first;
        slot *s = &q->fan->slots[q->slot];
        unlink_query(q);
        s->waiting--;
        if (s->answered)
            drop(q);
        else
            transmit(loop, srv, q, now);
    }
}

uint64_t dnsbl_transport_pump(dnsbl_loop *loop, uint64_t now)
{
    uint64_t again = UINT64_MAX;
    for (int i = dnsbl_servers_count(loop); i-- > 0;) {
        server *srv = loop->servers[i];
        if (srv->waiting.first == NULL)
            continue;
        pump_server(loop, srv, now);
        if (srv->waiting.first != NULL && srv->fresh.first->sent + fresh_ns(srv, now) < again)
            again = srv->fresh.first->sent + fresh_ns(srv, now);
    }
    return again;
}

void dnsbl_transport_close(dnsbl_loop *loop)
{
    for (int i = dnsbl_servers_count(loop); i-- > 0;)
        while (loop->servers[i]->waiting.first != NULL)
            drop(loop->servers[i]->waiting.first);
    dnsbl_channel_close_all(loop);
}

static bool send_query(dnsbl_loop *loop, dnsbl_fan *fan, int index, int at, uint64_t now)
{
    slot *s = &fan->slots[index];
    server *srv = loop->sets[s->set].servers[at];
    query *q = malloc(sizeof *q);
    if (q == NULL)
        return false;
    *q = (query){.loop = loop, .fan = fan, .slot = (uint8_t)index, .server = (uint8_t)at};
    dnsbl_fan_retain(fan);
    loop->in_flight++;
    s->tries++;
    s->tried |= (uint8_t)(1u << at);
    s->last_server = (uint8_t)at;
    if (srv->waiting.first == NULL && has_room(srv, now)) {
        transmit(loop, srv, q, now);
    } else {
        s->waiting++;
        append(&srv->waiting, q);
        loop->next_pump = 0;
    }
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
