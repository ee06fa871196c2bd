/* When a question is asked, asked again, answered or given up, and who is told. Loop thread only. */
#include <stdlib.h>

#include "fanout_internal.h"

#define UNREACHABLE_RETRY (250 * DNSBL_MS) /* after a refused connection: no spinning */
#define MALFORMED_RETRY (20 * DNSBL_MS)    /* once per place in the fan, so that neighbours come apart */

#define FAILURE_RETRY (100 * DNSBL_MS)     /* once per time it failed */

enum { MALFORMED_MAX = 3, RCODE_SERVFAIL = 2, FAILURES_ASKED_AGAIN = 2 };

/* ---- telling others ---- */

void dnsbl_fanout_flush_wakes(dnsbl_loop *loop)
{
    for (int i = 0; i < loop->to_wake_count; i++) {
        dnsbl_completions_wake(loop->to_wake[i]);
        dnsbl_completions_release(loop->to_wake[i]);
    }
    loop->to_wake_count = 0;
}

static void notify(dnsbl_loop *loop, dnsbl_ticket *ticket)
{
    if (atomic_load_explicit(&ticket->abandoned, memory_order_acquire))
        return;
    dnsbl_completions_push(ticket->completions, ticket);
    for (int i = 0; i < loop->to_wake_count; i++)
        if (loop->to_wake[i] == ticket->completions)
            return;
    if (loop->to_wake_count == (int)(sizeof loop->to_wake / sizeof *loop->to_wake))
        dnsbl_fanout_flush_wakes(loop);
    dnsbl_completions_retain(ticket->completions);
    loop->to_wake[loop->to_wake_count++] = ticket->completions;
}

/* Takes the loop's reference to the ticket. */
static void deliver(dnsbl_loop *loop, dnsbl_ticket *ticket)
{
    atomic_store_explicit(&ticket->done, true, memory_order_release);
    notify(loop, ticket);
    dnsbl_ticket_release(ticket);
}

static bool anyone_waits(const dnsbl_fan *fan)
{
    for (const dnsbl_ticket *t = fan->tickets; t != NULL; t = t->next)
        if (!atomic_load_explicit(&t->abandoned, memory_order_acquire))
            return true;
    return false;
}

/* ---- answers ---- */

/* Every question is answered: tell all, and let go. */
static void finish(dnsbl_loop *loop, dnsbl_fan *fan)
{
    atomic_store_explicit(&fan->finished, true, memory_order_release);
    if (fan->heap_index >= 0)
        dnsbl_heap_remove(loop, fan);
    while (fan->tickets != NULL) {
        dnsbl_ticket *ticket = fan->tickets;
        fan->tickets = ticket->next;
        deliver(loop, ticket);
    }
    dnsbl_fan_retire(loop, fan);
    dnsbl_fan_release(fan);
}

/* The question's answer is whole: publish it. */
static void settle(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t now)
{
    q->answer.latency_us = (uint32_t)((now - q->first_attempt) / 1000);
    q->answer.arrived = dnsbl_fanout_clock();
    q->answer.queries = q->sent;
    atomic_store_explicit(&q->answered, true, memory_order_release);
    if (--fan->open == 0) {
        finish(loop, fan);
        return;
    }
    for (dnsbl_ticket *t = fan->tickets; t != NULL; t = t->next)
        if (t->each)
            notify(loop, t);
    if (!anyone_waits(fan))
        dnsbl_fan_retire(loop, fan);
}

static void settle_without_answer(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t now)
{
    dnsbl_answer *answer = &q->answer;
    answer->ttl = answer->soa_ttl = answer->soa_minimum = DNSBL_NO_TTL;
    answer->rcode = -1;
    answer->server = -1;
    answer->status = q->malformed > 0 ? DNSBL_STATUS_MALFORMED
                     : q->sent > 0    ? DNSBL_STATUS_TIMEOUT
                                      : DNSBL_STATUS_UNSENT;
    if (q->error_rcode >= 0) {
        answer->rcode = q->error_rcode;
        answer->server = q->error_server;
        answer->status = (uint8_t)dnsbl_answer_status(q->error_rcode);
    }
    settle(loop, fan, q, now);
}

static void due_by(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t at)
{
    if (fan->heap_index < 0 || at >= fan->due)
        return;
    fan->due = at;
    dnsbl_heap_fix(loop, fan->heap_index);
}

void dnsbl_fanout_ask_again_at(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t at)
{
    if (at >= q->next_attempt)
        return;
    q->next_attempt = at;
    due_by(loop, fan, at);
}

static bool another_server(const dnsbl_loop *loop, const question *q)
{
    return q->tried != (1u << loop->sets[q->set].count) - 1 && q->attempts < q->most_attempts;
}

/* SERVFAIL may pass (one in ten of a busy forwarder), REFUSED will not. The pause grows, and
 * leaves time to answer. */
static bool asked_once_more(dnsbl_loop *loop, dnsbl_fan *fan, question *q, int rcode, uint64_t now)
{
    uint64_t at = now + FAILURE_RETRY * (1u + q->failures);
    if (rcode != RCODE_SERVFAIL || q->failures == FAILURES_ASKED_AGAIN || q->attempts >= q->most_attempts ||
        at + FAILURE_RETRY > fan->ask_until)
        return false;
    q->failures++;
    q->refused = q->tried = 0; /* all are asked anew */
    q->next_attempt = UINT64_MAX;
    dnsbl_fanout_ask_again_at(loop, fan, q, at);
    return true;
}

static void on_error_rcode(dnsbl_loop *loop, dnsbl_fan *fan, question *q, const attempt *a, int rcode,
                           uint64_t now)
{
    q->error_rcode = (int16_t)rcode;
    q->error_server = a->server;
    q->refused |= (uint8_t)(1u << a->server);
    if (another_server(loop, q))
        dnsbl_fanout_ask_again_at(loop, fan, q, now);
    else if (q->refused == q->tried && asked_once_more(loop, fan, q, rcode, now))
        return;
    else if (q->refused == q->tried)
        settle_without_answer(loop, fan, q, now);
    /* else a server asked earlier may still answer; the next attempt's time decides */
}

/* The nameserver answered, and will answer so again: another one may know more. */
static void on_unusable(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t now)
{
    q->malformed++;
    q->answer.address_count = 0;
    q->answer.text_count = 0;
    if (another_server(loop, q))
        dnsbl_fanout_ask_again_at(loop, fan, q, now);
    else
        settle_without_answer(loop, fan, q, now);
}

void dnsbl_fanout_malformed(dnsbl_loop *loop, attempt *a, uint64_t now)
{
    question *q = &a->fan->questions[a->index];
    dnsbl_pace_answered(a->channel->server, a, now);
    if (q->answered)
        return;
    if (++q->malformed >= MALFORMED_MAX)
        settle_without_answer(loop, a->fan, q, now);
    else
        dnsbl_fanout_ask_again_at(loop, a->fan, q, now + MALFORMED_RETRY * (1u + a->index));
}

void dnsbl_fanout_ended(dnsbl_loop *loop, attempt *a, int status, const void *record, uint64_t now)
{
    dnsbl_fan *fan = a->fan;
    question *q = &fan->questions[a->index];
    if (q->answered || status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        return;
    if (record != NULL) {
        int rcode = dnsbl_answer_rcode(&loop->cares, status, record);
        dnsbl_status means = dnsbl_answer_status(rcode);
        if (means == DNSBL_STATUS_REFUSED || means == DNSBL_STATUS_RCODE) {
            on_error_rcode(loop, fan, q, a, rcode, now);
            return;
        }
        dnsbl_reading reading = DNSBL_READ_WHOLE;
        if (a->negative.read)
            dnsbl_answer_take_negative(&q->answer, &a->negative);
        else
            reading = dnsbl_answer_read(&loop->cares, &q->answer, q, record);
        if (reading == DNSBL_READ_NO_MEMORY)
            return; /* as if it were lost */
        if (reading == DNSBL_READ_UNUSABLE) {
            on_unusable(loop, fan, q, now);
            return;
        }
        q->answer.status = (uint8_t)means;
        q->answer.rcode = (int16_t)rcode;
        q->answer.server = a->server;
        settle(loop, fan, q, now);
    } else if (status == ARES_EBADRESP) {
        /* c-ares closes the socket on which nonsense came, which ends every attempt on it. With the front before
         * it none comes, and whatever it was is not this question's fault. */
        if (loop->cares.set_socket_functions == NULL)
            dnsbl_fanout_malformed(loop, a, now);
        else
            dnsbl_fanout_ask_again_at(loop, fan, q, now + MALFORMED_RETRY * (1u + a->index));
    } else if (a->server == q->last_server) {
        dnsbl_fanout_ask_again_at(loop, fan, q, another_server(loop, q) ? now : now + UNREACHABLE_RETRY);
    } /* else a later attempt is on its way to another server, and has its own time */
}

/* ---- time ---- */

/* The next attempt of any question, if that is before `due`. An overdue one that the time for asking has
 * overtaken is none: it would be due for ever. */
static uint64_t next_attempt_before(const dnsbl_fan *fan, uint64_t due, uint64_t now)
{
    for (int i = 0; i < fan->count && now < fan->ask_until; i++) {
        const question *q = &fan->questions[i];
        if (!q->answered && q->next_attempt < fan->ask_until && q->next_attempt < due)
            due = q->next_attempt;
    }
    return due;
}

static uint64_t earliest(const dnsbl_fan *fan, uint64_t now)
{
    uint64_t due = fan->listen_until;
    for (const dnsbl_ticket *t = fan->tickets; t != NULL; t = t->next)
        due = t->deadline < due ? t->deadline : due;
    return next_attempt_before(fan, due, now);
}

static void ask(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t now)
{
    question *q = &fan->questions[index];
    if (q->attempts >= q->most_attempts) {
        q->next_attempt = UINT64_MAX;
        return;
    }
    q->next_attempt = now + q->timeout_ns; /* from when it is sent, once it is */
    if (q->waiting == 0)
        dnsbl_transport_attempt(loop, fan, index, now);
}

static void ask_overdue(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now)
{
    /* Held, because the last answer may come while a question is sent. */
    dnsbl_fan_retain(fan);
    for (int i = 0; i < fan->count; i++) {
        question *q = &fan->questions[i];
        if (q->answered || q->next_attempt > now || now >= fan->ask_until)
            continue;
        if (q->error_rcode >= 0 && q->tried != 0 && !another_server(loop, q)) {
            settle_without_answer(loop, fan, q, now);
            continue;
        }
        if (q->waiting == 0)
            dnsbl_transport_unanswered(loop, q, now);
        ask(loop, fan, i, now);
    }
    dnsbl_fan_release(fan);
}

static void deliver_overdue(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now)
{
    for (dnsbl_ticket **at = &fan->tickets; *at != NULL;) {
        dnsbl_ticket *ticket = *at;
        if (ticket->deadline > now) {
            at = &ticket->next;
            continue;
        }
        *at = ticket->next;
        deliver(loop, ticket);
    }
}

/* Nothing will come of what was never sent: those who waited are told so, and not of a silence. */
static void settle_unsent(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now)
{
    for (int i = 0; i < fan->count; i++)
        if (!fan->questions[i].answered && fan->questions[i].sent == 0)
            settle_without_answer(loop, fan, &fan->questions[i], now);
}

void dnsbl_fanout_give_up(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now)
{
    dnsbl_fan_retain(fan);
    for (int i = 0; i < fan->count; i++)
        if (!fan->questions[i].answered)
            settle_without_answer(loop, fan, &fan->questions[i], now);
    dnsbl_fan_release(fan);
}

void dnsbl_fanout_run_due(dnsbl_loop *loop, uint64_t now)
{
    while (loop->heap_count > 0 && loop->heap[0]->due <= now) {
        dnsbl_fan *fan = loop->heap[0];
        dnsbl_fan_retain(fan);
        if (now >= fan->ask_until)
            settle_unsent(loop, fan, now);
        deliver_overdue(loop, fan, now);
        if (now >= fan->listen_until)
            dnsbl_fanout_give_up(loop, fan, now);
        else
            ask_overdue(loop, fan, now);
        if (fan->heap_index >= 0) {
            fan->due = earliest(fan, now);
            dnsbl_heap_fix(loop, fan->heap_index);
        }
        dnsbl_fan_release(fan);
    }
}

/* ---- new questions ---- */

static void start_fan(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now)
{
    fan->started = true;
    dnsbl_fan_retain(fan); /* the loop's, until finish */
    for (int i = 0; i < fan->count; i++)
        fan->questions[i].first_attempt = now;
    fan->due = fan->listen_until;
    if (!dnsbl_heap_add(loop, fan)) {
        dnsbl_fanout_give_up(loop, fan, now);
        return;
    }
    dnsbl_fan_retain(fan);
    for (int i = 0; i < fan->count; i++)
        ask(loop, fan, i, now);
    if (fan->heap_index >= 0) {
        fan->due = earliest(fan, now);
        dnsbl_heap_fix(loop, fan->heap_index);
    }
    dnsbl_fan_release(fan);
}

void dnsbl_fanout_accept(dnsbl_loop *loop, dnsbl_ticket *ticket, uint64_t now)
{
    dnsbl_fan *fan = ticket->fan;
    if (dnsbl_fan_finished(fan)) {
        deliver(loop, ticket);
        return;
    }
    ticket->next = fan->tickets;
    fan->tickets = ticket;
    if (fan->ask_until < ticket->deadline)
        fan->ask_until = ticket->deadline;
    if (fan->listen_until < ticket->deadline + ticket->listen_ns)
        fan->listen_until = ticket->deadline + ticket->listen_ns;
    if (!fan->started) {
        start_fan(loop, fan, now);
        return;
    }
    /* Asked again at once if the asking had ended before this ticket came. */
    due_by(loop, fan, next_attempt_before(fan, ticket->deadline, now));
    if (ticket->each && fan->open < fan->count)
        notify(loop, ticket); /* of what came while it was in the inbox nobody was told */
}
