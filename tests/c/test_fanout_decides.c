/* What fanout.c decides of one question: when it is asked again, and what it ends with. */
#include <unistd.h>

#include "alone.h"
#include "check.h"

#define MS DNSBL_MS

/* One question of one who waits 10 s. */
typedef struct {
    dnsbl_loop *loop;
    dnsbl_completions *completions;
    dnsbl_fan *fan;
    question *q;
    dnsbl_ticket *ticket;
} one;

static one ask_one(int servers, int attempts)
{
    one o = {.loop = alone_start(servers), .fan = alone_fan(1, attempts)};
    o.completions = dnsbl_completions_new(false);
    o.q = &o.fan->questions[0];
    o.ticket = alone_ask(o.loop, o.fan, o.completions, 10 * DNSBL_S, false);
    return o;
}

/* It has ended so; all is taken back. */
static void ended(one *o, dnsbl_status status, int rcode, int by)
{
    const dnsbl_answer *answer = dnsbl_fan_answer(o->fan, 0);
    CHECK(answer != NULL && dnsbl_fan_finished(o->fan) && dnsbl_ticket_done(o->ticket), "not ended");
    CHECK(o->q->answer.status == status && o->q->answer.rcode == rcode, "status %d", o->q->answer.status);
    CHECK(o->q->answer.server == by && o->q->answer.queries == o->q->sent, "server %d", o->q->answer.server);
    CHECK(by >= 0 || o->q->answer.ttl == DNSBL_NO_TTL, "a TTL of what was not answered");
    CHECK(by >= 0 || (o->q->answer.soa_ttl & o->q->answer.soa_minimum) == DNSBL_NO_TTL, "and of its zone");
    CHECK(o->q->answer.arrived == alone.now + 7, "another time");
    CHECK(o->q->answer.latency_us == (alone.now - 1000 * DNSBL_S) / 1000, "%u us", o->q->answer.latency_us);
    dnsbl_ticket_release(o->ticket);
    dnsbl_completions_close(o->completions);
    dnsbl_fan_release(o->fan);
    alone_end(o->loop);
}

/* ---- asked ---- */

static void test_asked_again_after_each_timeout(void)
{
    one o = ask_one(2, 3);
    CHECK(alone.asked_count == 1 && o.fan->due == alone.now + 500 * MS, "not asked at once");
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 2 && alone.asked[1].server == 1, "%d times", alone.asked_count);
    CHECK(alone.unanswered == 1, "the silence is not told");
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 3 && alone.unanswered == 2, "%d times", alone.asked_count);
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 3 && o.q->next_attempt == UINT64_MAX, "more often than it may be");
    CHECK(o.fan->due == o.ticket->deadline, "due at another time");
    alone.now = o.ticket->deadline;
    dnsbl_fanout_run_due(o.loop, alone.now);
    ended(&o, DNSBL_STATUS_TIMEOUT, -1, -1);
}

/* What waits for room is not made twice, and is told as what it is. */
static void test_never_sent(void)
{
    one o = ask_one(1, 9);
    o.fan->listen_until += DNSBL_S; /* it is told at the deadline all the same */
    alone.no_room = true;
    o.q->sent = 0;
    o.q->waiting = 1;
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 1 && alone.unanswered == 0, "asked though it waits");
    o.q->waiting = 2;
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 1 && alone.unanswered == 0, "asked though two wait");
    alone.now = o.ticket->deadline;
    dnsbl_fanout_run_due(o.loop, alone.now);
    ended(&o, DNSBL_STATUS_UNSENT, -1, -1);
}

static void test_the_answers_of_a_fan(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false), *each = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(3, 1);
    dnsbl_ticket *whole = alone_ask(loop, fan, completions, DNSBL_S, false);
    dnsbl_ticket *parts = alone_ask(loop, fan, each, DNSBL_S, true);
    CHECK(alone.asked_count == 3 && alone.asked[0].index == 0, "%d asked", alone.asked_count);
    alone_answered(loop, fan, 0, 0, 0, 0);
    CHECK(dnsbl_completions_empty(completions) && !dnsbl_completions_empty(each), "told of one, or not told");
    dnsbl_ticket_release(dnsbl_completions_pop(each));
    alone_answered(loop, fan, 0, 0, NXDOMAIN, 0); /* again: nothing happens */
    CHECK(fan->open == 2 && fan->questions[0].answer.status == DNSBL_STATUS_OK, "%d open", fan->open);
    dnsbl_ticket_abandon(parts);
    alone_answered(loop, fan, 2, 0, NXDOMAIN, 0);
    CHECK(dnsbl_completions_empty(each), "told though it does not wait");
    CHECK(!dnsbl_fanout_has_retired(loop), "one waits still");
    dnsbl_ticket_abandon(whole);
    alone_answered(loop, fan, 1, 0, 0, 0);
    CHECK(dnsbl_fan_finished(fan) && dnsbl_fanout_has_retired(loop) && dnsbl_ticket_done(whole), "not finished");
    dnsbl_ticket_release(whole);
    dnsbl_ticket_release(parts);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    dnsbl_completions_close(each);
    alone_end(loop);
}

/* Whom nobody waits for is told of on the retired list, with each answer. */
static void test_an_answer_nobody_waits_for(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(2, 1);
    dnsbl_ticket *ticket = alone_ask(loop, fan, completions, DNSBL_S, false);
    dnsbl_ticket_abandon(ticket);
    alone_answered(loop, fan, 1, 0, 0, 0);
    CHECK(loop->retired_count == 1 && !dnsbl_fan_finished(fan), "not told");
    alone_answered(loop, fan, 0, 0, 0, 0);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* ---- what comes instead of an answer ---- */

/* SERVFAIL of all servers: asked anew after 100 ms, then 200 ms, then that is the answer. */
static void test_servfail_may_pass(void)
{
    one o = ask_one(2, 9);
    alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
    alone_pass(o.loop, 0);
    CHECK(alone.asked_count == 2 && alone.asked[1].server == 1, "the other server is not asked at once");
    alone_answered(o.loop, o.fan, 0, 1, SERVFAIL, 0);
    CHECK(o.q->tried == 0 && o.q->refused == 0 && o.q->failures == 1, "not all anew");
    alone_pass(o.loop, 100 * MS);
    CHECK(alone.asked_count == 3, "not asked again");
    alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
    alone_pass(o.loop, 0);
    alone_answered(o.loop, o.fan, 0, 1, SERVFAIL, 0);
    alone_pass(o.loop, 200 * MS);
    CHECK(alone.asked_count == 5, "not asked again");
    alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
    alone_pass(o.loop, 0);
    alone_answered(o.loop, o.fan, 0, 1, SERVFAIL, 0);
    ended(&o, DNSBL_STATUS_RCODE, SERVFAIL, 1);
}

/* Asked again after SERVFAIL it is silent: then SERVFAIL is the answer. */
static void test_silence_after_servfail(void)
{
    one o = ask_one(1, 9);
    alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
    alone_pass(o.loop, 100 * MS);
    alone_pass(o.loop, 500 * MS);
    CHECK(alone.asked_count == 2 && alone.unanswered == 0, "%d asked", alone.asked_count);
    ended(&o, DNSBL_STATUS_RCODE, SERVFAIL, 0);
}

static void test_refused_will_not_pass(void)
{
    one o = ask_one(1, 9);
    alone_answered(o.loop, o.fan, 0, 0, REFUSED, 0);
    ended(&o, DNSBL_STATUS_REFUSED, REFUSED, 0);
    o = ask_one(2, 1); /* of two, but it may be asked once only */
    alone_answered(o.loop, o.fan, 0, 0, REFUSED, 0);
    ended(&o, DNSBL_STATUS_REFUSED, REFUSED, 0);
}

/* One may still answer: it has its time, and then the refusal is the answer. */
static void test_refused_by_one_of_two(void)
{
    one o = ask_one(2, 2);
    alone_pass(o.loop, 500 * MS);
    alone_answered(o.loop, o.fan, 0, 1, REFUSED, 0);
    CHECK(!o.q->answered && o.q->refused == 2, "the first may still answer");
    alone_pass(o.loop, 500 * MS);
    ended(&o, DNSBL_STATUS_REFUSED, REFUSED, 1);
}

/* No attempt is left, or no time for another, or just enough of it. */
static void test_servfail_at_the_end(void)
{
    one o = ask_one(1, 1);
    alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
    ended(&o, DNSBL_STATUS_RCODE, SERVFAIL, 0);
    for (int left = 0; left < 2; left++) {
        o = ask_one(1, 9);
        alone.now = o.ticket->deadline - 200 * MS + 1 - (uint64_t)left;
        alone_answered(o.loop, o.fan, 0, 0, SERVFAIL, 0);
        CHECK(o.q->answered == (left == 0), "%d ns", left);
        if (left == 1) {
            alone_pass(o.loop, 100 * MS);
            CHECK(alone.asked_count == 2, "%d asked", alone.asked_count);
            alone_answered(o.loop, o.fan, 0, 0, 0, 0);
        }
        ended(&o, left == 0 ? DNSBL_STATUS_RCODE : DNSBL_STATUS_OK, left == 0 ? SERVFAIL : 0, 0);
    }
}

static void test_an_answer_that_is_none(void)
{
    one o = ask_one(2, 9);
    alone.reads = DNSBL_READ_UNUSABLE;
    alone_answered(o.loop, o.fan, 0, 0, 0, 0);
    CHECK(!o.q->answered && o.q->answer.address_count == 0 && o.q->answer.text_count == 0, "kept");
    CHECK(o.q->malformed == 1, "%d times", o.q->malformed);
    alone_pass(o.loop, 0);
    CHECK(alone.asked_count == 2, "the other server is not asked at once");
    alone_answered(o.loop, o.fan, 0, 1, 0, 0);
    ended(&o, DNSBL_STATUS_MALFORMED, -1, -1);
    o = ask_one(1, 9);
    alone.reads = DNSBL_READ_UNUSABLE;
    alone_answered(o.loop, o.fan, 0, 0, 0, 0);
    ended(&o, DNSBL_STATUS_MALFORMED, -1, -1);
}

static void test_no_memory_for_an_answer(void)
{
    one o = ask_one(1, 9);
    alone.reads = DNSBL_READ_NO_MEMORY;
    alone_answered(o.loop, o.fan, 0, 0, 0, 0);
    CHECK(!o.q->answered && o.q->malformed == 0, "it is as if it were lost");
    alone_pass(o.loop, 500 * MS);
    alone.reads = DNSBL_READ_WHOLE;
    alone_answered(o.loop, o.fan, 0, 0, 0, 0);
    ended(&o, DNSBL_STATUS_OK, 0, 0);
}

static void test_a_negative_answer_read_before(void)
{
    one o = ask_one(1, 9);
    attempt a = {.loop = o.loop, .fan = o.fan, .server = 1, .negative = {true, 77, 88}};
    int rcode = NXDOMAIN;
    alone.reads = DNSBL_READ_UNUSABLE; /* not asked */
    dnsbl_fanout_ended(o.loop, &a, 0, &rcode, alone.now);
    CHECK(alone.taken_negative == 1 && o.q->answer.soa_ttl == 77, "not taken over");
    ended(&o, DNSBL_STATUS_NXDOMAIN, NXDOMAIN, 1);
}

/* Messages that would not parse: asked again after 20 ms for each place in the fan, three times. */
static void test_malformed(void)
{
    one o = ask_one(1, 9);
    channel ch = {.loop = o.loop};
    attempt a = {.loop = o.loop, .fan = o.fan, .channel = &ch};
    for (int i = 1; i <= 2; i++) {
        dnsbl_fanout_malformed(o.loop, &a, alone.now);
        CHECK(alone.paced == i && !o.q->answered, "at %d", i);
        alone_pass(o.loop, 20 * MS);
        CHECK(alone.asked_count == i + 1, "%d asked", alone.asked_count);
    }
    dnsbl_fanout_malformed(o.loop, &a, alone.now);
    CHECK(alone.paced == 3, "it is an answer all the same");
    dnsbl_fanout_malformed(o.loop, &a, alone.now); /* too late: nothing happens */
    CHECK(alone.paced == 4 && o.q->malformed == 3, "counted");
    ended(&o, DNSBL_STATUS_MALFORMED, -1, -1);
}

/* c-ares lost its socket, the network is away, or the channel was closed. */
static void test_no_record(void)
{
    static const struct {
        int status, servers, server;
        bool front;
        uint64_t after;
    } cases[] = {
        {ARES_EBADRESP, 1, 0, true, 20 * MS}, {ARES_EBADRESP, 1, 0, false, 20 * MS},
        {ARES_ETIMEOUT, 1, 0, true, 250 * MS},
        {ARES_ETIMEOUT, 2, 0, true, 0}, {ARES_ETIMEOUT, 2, 1, true, 500 * MS},
        {ARES_EDESTRUCTION, 1, 0, true, 500 * MS}, {ARES_ECANCELLED, 1, 0, true, 500 * MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        one o = ask_one(cases[i].servers, 9);
        if (!cases[i].front)
            o.loop->cares.set_socket_functions = NULL;
        alone_answered(o.loop, o.fan, 0, cases[i].server, -1, cases[i].status);
        CHECK(o.q->malformed == !cases[i].front && alone.paced == !cases[i].front, "case %zu", i);
        alone_pass(o.loop, cases[i].after);
        CHECK(alone.asked_count == 2, "case %zu: %d asked", i, alone.asked_count);
        alone_answered(o.loop, o.fan, 0, 0, 0, 0);
        ended(&o, DNSBL_STATUS_OK, 0, 0);
    }
}

/* Neighbours that come to grief together come apart: each place in the fan has its own pause. */
static void test_the_pause_grows_with_the_place_in_the_fan(void)
{
    for (int front = 0; front < 2; front++) {
        dnsbl_loop *loop = alone_start(1);
        dnsbl_completions *completions = dnsbl_completions_new(false);
        dnsbl_fan *fan = alone_fan(3, 0);
        dnsbl_ticket *ticket = alone_ask(loop, fan, completions, DNSBL_S, false);
        if (!front)
            loop->cares.set_socket_functions = NULL;
        alone_answered(loop, fan, 2, 0, -1, ARES_EBADRESP);
        alone_pass(loop, 60 * MS);
        CHECK(alone.asked_count == 4 && alone.asked[3].index == 2, "%d asked", alone.asked_count);
        for (int i = 0; i < 3; i++)
            alone_answered(loop, fan, i, 0, 0, 0);
        dnsbl_ticket_release(ticket);
        dnsbl_fan_release(fan);
        dnsbl_completions_close(completions);
        alone_end(loop);
    }
}

int main(void)
{
    alarm(60);
    test_asked_again_after_each_timeout();
    test_never_sent();
    test_the_answers_of_a_fan();
    test_an_answer_nobody_waits_for();
    test_servfail_may_pass();
    test_silence_after_servfail();
    test_refused_will_not_pass();
    test_refused_by_one_of_two();
    test_servfail_at_the_end();
    test_an_answer_that_is_none();
    test_no_memory_for_an_answer();
    test_a_negative_answer_read_before();
    test_malformed();
    test_no_record();
    test_the_pause_grows_with_the_place_in_the_fan();
    return check_result("fanout_decides");
}
