/* Queries that wait to be sent, and which is next. Loop thread only.
 *
 * On each lane those who wait take turns: start-time fair queueing, so that who has sent little is not behind who
 * has sent much. Among the queries of one of them the earliest deadline is first. Both orders are kept in pairing
 * heaps, whose links are in what they order, so that waiting takes no memory but a flow for each who waits. */
#include <stdlib.h>

#include "fanout_internal.h"

/* ---- pairing heaps ---- */

static place *meld(place *a, place *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->key < a->key || (b->key == a->key && b->serial < a->serial)) {
        place *less = b;
        b = a;
        a = less;
    }
    b->next = a->child;
    a->child = b;
    return a;
}

static place *added(dnsbl_loop *loop, place *first, place *p, uint64_t key)
{
    *p = (place){.key = key, .serial = loop->serial++};
    return meld(first, p);
}

/* What is left without the first. */
static place *rest(const place *first)
{
    place *pairs = NULL, *left = NULL;
    for (place *a = first->child; a != NULL;) {
        place *b = a->next, *on = b != NULL ? b->next : NULL;
        a->next = NULL;
        if (b != NULL)
            b->next = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
        a = on;
    }
    while (pairs != NULL) {
        place *p = pairs;
        pairs = p->next;
        p->next = NULL;
        left = meld(left, p);
    }
    return left;
}

/* ---- flows: those who wait on a lane ---- */

static flow **bucket(server *srv, const dnsbl_waiter *waiter, const lane *ln)
{
    return &srv->flows[((uintptr_t)waiter / 64 + (uintptr_t)(ln - srv->lanes) * 37) % FLOW_BUCKETS];
}

static flow *find_flow(server *srv, const dnsbl_waiter *waiter, const lane *ln)
{
    flow *f = *bucket(srv, waiter, ln);
    while (f != NULL && (f->waiter != waiter || f->lane != ln))
        f = f->next;
    return f;
}

static flow *new_flow(server *srv, dnsbl_waiter *waiter, lane *ln)
{
    flow *f = malloc(sizeof *f), **at = bucket(srv, waiter, ln);
    if (f == NULL)
        return NULL;
    if (waiter != NULL)
        dnsbl_waiter_retain(waiter);
    *f = (flow){.waiter = waiter, .lane = ln, .next = *at};
    return *at = f;
}

static void free_flow(server *srv, flow *f)
{
    flow **at = bucket(srv, f->waiter, f->lane);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (f->waiter != NULL)
        dnsbl_waiter_release(f->waiter);
    free(f);
}

static void takes_turn(dnsbl_loop *loop, flow *f)
{
    uint64_t turn = f->waiter == NULL ? loop->order + 1 : dnsbl_waiter_order(f->waiter, loop->order);
    f->lane->flows = added(loop, f->lane->flows, &f->in_lane, turn);
}

/* Who asked first of those who wait for a fan; NULL: nobody does any more. */
static dnsbl_waiter *asker(const dnsbl_fan *fan)
{
    const dnsbl_ticket *ticket = fan->tickets;
    while (ticket != NULL && ticket->next != NULL)
        ticket = ticket->next;
    return ticket == NULL ? NULL : ticket->waiter;
}

/* ---- the queue ---- */

bool dnsbl_queue_push(dnsbl_loop *loop, server *srv, query *q)
{
    dnsbl_waiter *waiter = asker(q->fan);
    flow *f = find_flow(srv, waiter, q->lane);
    bool comes = f == NULL;
    if (comes && (f = new_flow(srv, waiter, q->lane)) == NULL)
        return false;
    f->queries = added(loop, f->queries, &q->waits, q->fan->ask_until);
    if (comes)
        takes_turn(loop, f);
    q->lane->waiting++;
    srv->waiting++;
    return true;
}

static flow *first_flow(const lane *ln)
{
    return (flow *)ln->flows; /* `in_lane` is its first member */
}

query *dnsbl_queue_first(const lane *ln)
{
    return ln->flows == NULL ? NULL : (query *)first_flow(ln)->queries; /* `waits` is its first member */
}

query *dnsbl_queue_pop(dnsbl_loop *loop, server *srv, lane *ln, bool to_be_sent)
{
    query *q = dnsbl_queue_first(ln);
    flow *f = first_flow(ln);
    f->queries = rest(f->queries);
    if (to_be_sent && f->in_lane.key > loop->order)
        loop->order = f->in_lane.key;
    if (to_be_sent || f->queries == NULL)
        ln->flows = rest(ln->flows);
    if (f->queries == NULL)
        free_flow(srv, f);
    else if (to_be_sent)
        takes_turn(loop, f);
    ln->waiting--;
    srv->waiting--;
    return q;
}

query *dnsbl_queue_pop_any(dnsbl_loop *loop, server *srv)
{
    for (int i = 0; i < LANES; i++)
        if (srv->lanes[i].waiting > 0)
            return dnsbl_queue_pop(loop, srv, &srv->lanes[i], false);
    return NULL;
}
