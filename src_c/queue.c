/* Attempts that wait to be sent, and which is next. Loop thread only.
 *
 * On each lane those who wait take turns: start-time fair queueing, so that who has sent little is not behind who
 * has sent much. Among the attempts of one of them the earliest deadline is first. Both orders are kept in pairing
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

/* What is left without the first. A root's `next` is never read. */
static place *rest(const place *first)
{
    place *pairs = NULL, *left = NULL;
    for (place *a = first->child; a != NULL;) {
        place *b = a->next, *on = b != NULL ? b->next : NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
        a = on;
    }
    while (pairs != NULL) {
        place *p = pairs;
        pairs = p->next;
        left = meld(left, p);
    }
    return left;
}

/* ---- flows: those who wait on a lane ---- */

/* The attempts of one who waits, on one lane. */
typedef struct flow {
    place in_lane;                  /* by its turn; first, so that a pointer to it is one to the flow */
    place *attempts;                /* the earliest deadline first */
    dnsbl_completions *completions; /* NULL: of all for whom nobody waits */
    lane *lane;
    struct flow *next;              /* in its bucket */
} flow;

static flow **bucket(server *srv, const dnsbl_completions *completions, const lane *ln)
{
    return &srv->flows[((uintptr_t)completions / 64 + (uintptr_t)(ln - srv->lanes) * 37) % FLOW_BUCKETS];
}

static flow *find_flow(server *srv, const dnsbl_completions *completions, const lane *ln)
{
    flow *f = *bucket(srv, completions, ln);
    while (f != NULL && (f->completions != completions || f->lane != ln))
        f = f->next;
    return f;
}

static flow *new_flow(server *srv, dnsbl_completions *completions, lane *ln)
{
    flow *f = malloc(sizeof *f), **at = bucket(srv, completions, ln);
    if (f == NULL)
        return NULL;
    if (completions != NULL)
        dnsbl_completions_retain(completions);
    *f = (flow){.completions = completions, .lane = ln, .next = *at};
    return *at = f;
}

static void free_flow(server *srv, flow *f)
{
    flow **at = bucket(srv, f->completions, f->lane);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (f->completions != NULL)
        dnsbl_completions_release(f->completions);
    free(f);
}

static void takes_turn(dnsbl_loop *loop, flow *f)
{
    uint64_t turn =
        f->completions == NULL ? loop->order + 1 : dnsbl_completions_order(f->completions, loop->order);
    f->lane->flows = added(loop, f->lane->flows, &f->in_lane, turn);
}

/* Who asked first of those who wait for a fan; NULL: nobody does any more. */
static dnsbl_completions *asker(const dnsbl_fan *fan)
{
    const dnsbl_ticket *ticket = fan->tickets;
    while (ticket != NULL && ticket->next != NULL)
        ticket = ticket->next;
    return ticket == NULL ? NULL : ticket->completions;
}

/* ---- the queue ---- */

bool dnsbl_queue_push(dnsbl_loop *loop, server *srv, attempt *a)
{
    dnsbl_completions *completions = asker(a->fan);
    flow *f = find_flow(srv, completions, a->lane);
    bool comes = f == NULL;
    if (comes && (f = new_flow(srv, completions, a->lane)) == NULL)
        return false;
    f->attempts = added(loop, f->attempts, &a->waits, a->fan->ask_until);
    if (comes)
        takes_turn(loop, f);
    a->lane->waiting++;
    srv->waiting++;
    return true;
}

static flow *first_flow(const lane *ln)
{
    return (flow *)ln->flows; /* `in_lane` is its first member */
}

attempt *dnsbl_queue_first(const lane *ln)
{
    return ln->flows == NULL ? NULL : (attempt *)first_flow(ln)->attempts; /* `waits` is its first member */
}

attempt *dnsbl_queue_pop(dnsbl_loop *loop, server *srv, lane *ln, bool to_be_sent)
{
    attempt *a = dnsbl_queue_first(ln);
    flow *f = first_flow(ln);
    f->attempts = rest(f->attempts);
    if (to_be_sent && f->in_lane.key > loop->order)
        loop->order = f->in_lane.key;
    if (to_be_sent || f->attempts == NULL)
        ln->flows = rest(ln->flows);
    if (f->attempts == NULL)
        free_flow(srv, f);
    else if (to_be_sent)
        takes_turn(loop, f);
    ln->waiting--;
    srv->waiting--;
    return a;
}

attempt *dnsbl_queue_pop_any(dnsbl_loop *loop, server *srv)
{
    for (int i = 0; i < LANES; i++)
        if (srv->lanes[i].waiting > 0)
            return dnsbl_queue_pop(loop, srv, &srv->lanes[i], false);
    return NULL;
}
