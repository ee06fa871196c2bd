/* Which nameserver transport.c gives an attempt to, and what it makes of their health. */
#include <unistd.h>

#include "wire.h"

static bool is_down(int at)
{
    return wire.servers[at]->failures >= SERVER_FAILURES_DOWN;
}

/* What one question's attempts have come to. */
static void check_asked(const question *q, int attempts, int last_server, int tried, int waiting)
{
    CHECK(q->attempts == attempts, "%d attempts", q->attempts);
    CHECK(q->last_server == last_server, "the last is %d", q->last_server);
    CHECK(q->tried == tried && q->waiting == waiting, "tried %d, %d wait", q->tried, q->waiting);
}

static int waiting_at(int at)
{
    return wire.servers[at]->waiting;
}

/* ---- which nameserver ---- */

static void test_the_servers_in_turn(void)
{
    dnsbl_loop *loop = wire_start();
    question *q = wire_ask(loop);
    dnsbl_fan *fan = dnsbl_queue_first(&wire.servers[0]->lanes[0])->fan;
    check_asked(q, 1, 0, 1, 1);
    CHECK(loop->next_pump == 0, "it waits for an answer to others");
    static const int tried[] = {3, 7, 7};
    for (int i = 0; i < 3; i++) {
        dnsbl_transport_attempt(loop, fan, 0, wire.now);
        check_asked(q, 2 + i, (1 + i) % 3, tried[i], 2 + i);
    }
    CHECK(waiting_at(0) == 2 && waiting_at(1) == 1 && waiting_at(2) == 1, "another share");
    q->attempts = 0; /* all came back unsent */
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(q, 1, 0, 7, 5);
    wire_end(loop);
}

/* The bounds of "down", and who is asked then; if none is healthy, the next all the same. */
static void test_those_that_are_down_are_passed_over(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(1);
    question *q = &fan->questions[0];
    wire_fails(loop, 0, 3);
    wire_fails(loop, 1, 3);
    wire_fails(loop, 2, 2);
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(q, 1, 2, 4, 1);
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(q, 2, 2, 4, 2);
    wire_fails(loop, 2, 1);
    for (int i = 0; i < 3; i++) {
        dnsbl_transport_attempt(loop, fan, 0, wire.now);
        CHECK(q->last_server == i, "%d after the last", q->last_server);
    }
    dnsbl_fan_release(fan);
    q = wire_ask(loop);
    CHECK(q->last_server == 0, "server %d is first", q->last_server);
    wire_end(loop);
}

/* ---- health ---- */

static void test_three_failures_in_a_row(void)
{
    dnsbl_loop *loop = wire_start();
    server *srv = wire.servers[1];
    for (int i = 1; i <= 3; i++) {
        wire_fails(loop, 1, 1);
        CHECK(srv->failures == i && srv->probe_at == (i < 3 ? 0 : wire.now + DNSBL_S), "at %d", i);
    }
    CHECK(!srv->went_down, "nothing waited for it");
    uint64_t probe_at = srv->probe_at;
    wire.now++;
    wire_fails(loop, 1, 2);
    CHECK(srv->failures == 3 && srv->probe_at == probe_at, "what is down goes down");
    CHECK(wire.servers[0]->failures == 0 && wire.servers[2]->failures == 0, "the others");
    wire_end(loop);
}

static void test_what_is_no_failure(void)
{
    dnsbl_loop *loop = wire_start();
    server *srv = wire.servers[1];
    question q = {.attempts = 1, .tried = 3, .last_server = 1, .refused = 2};
    srv->lanes[0].answered = wire.now;
    dnsbl_transport_unanswered(loop, &q, wire.now);
    CHECK(srv->failures == 0 && srv->losses == 1, "it has answered, with an error");
    q = (question){.attempts = 1, .last_server = 1};
    dnsbl_transport_unanswered(loop, &q, wire.now);
    CHECK(srv->failures == 0 && srv->losses == 1, "all have answered, and are asked anew");
    q = (question){.tried = 3, .last_server = 1};
    dnsbl_transport_unanswered(loop, &q, wire.now);
    CHECK(srv->failures == 0 && srv->losses == 1, "it was never asked");
    q = (question){.attempts = 1, .tried = 3, .last_server = 1, .refused = 1};
    dnsbl_transport_unanswered(loop, &q, wire.now);
    CHECK(srv->failures == 1 && srv->losses == 2, "another one has answered");
    wire_end(loop);
}

/* ---- a better server that was down ---- */

static void test_a_probe_is_no_attempt(void)
{
    dnsbl_loop *loop = wire_start();
    wire_fails(loop, 0, 3);
    wire.now += DNSBL_S - 1;
    question *q = wire_ask(loop);
    check_asked(q, 1, 1, 2, 1);
    CHECK(waiting_at(0) == 0, "1 ns too early");
    wire.now++;
    q = wire_ask(loop);
    check_asked(q, 1, 1, 3, 2);
    CHECK(waiting_at(0) == 1 && waiting_at(1) == 2, "not at both");
    CHECK(wire.servers[0]->probe_at == wire.now + DNSBL_S, "the next at another time");
    wire_ask(loop);
    CHECK(waiting_at(0) == 1, "two at one time");
    q->next_attempt = 0;
    dnsbl_transport_pump(loop, wire.now);
    CHECK(q->next_attempt == wire.now + WIRE_TIMEOUT, "its own server's time");
    CHECK(wire.asked_again == 3 && wire.sent_count == 4, "nobody waits for the probe");
    wire_end(loop);
}

/* Both better ones are asked, and the first attempt alone does it. */
static void test_each_better_one_is_probed_at_the_first_attempt(void)
{
    dnsbl_loop *loop = wire_start();
    wire_fails(loop, 0, 3);
    wire_fails(loop, 1, 3);
    wire.now += DNSBL_S;
    dnsbl_fan *fan = wire_fan(1);
    question *q = &fan->questions[0];
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(q, 1, 2, 7, 3);
    wire.now += DNSBL_S;
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(q, 2, 2, 7, 4);
    CHECK(waiting_at(0) == 1 && waiting_at(1) == 1 && waiting_at(2) == 2, "probed later");
    dnsbl_fan_release(fan);
    wire_end(loop);
}

/* Neither sent nor given back: the one attempt alone is taken from the count. */
static void test_a_probe_that_is_not_sent(void)
{
    dnsbl_loop *loop = wire_start();
    wire_fails(loop, 0, 3);
    wire.now += DNSBL_S;
    dnsbl_fan *fan = wire_fan(1);
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(&fan->questions[0], 1, 1, 3, 2);
    wire.now = fan->ask_until;
    dnsbl_transport_pump(loop, wire.now);
    check_asked(&fan->questions[0], 0, 1, 3, 0);
    fan->ask_until += DNSBL_S; /* one more asks for it */
    wire.servers[0]->probe_at = wire.now;
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    check_asked(&fan->questions[0], 1, 1, 3, 2);
    for (int i = 0; i < 2; i++) {
        wire.servers[i]->failures = 0;
        wire_fails(loop, i, 3);
    }
    dnsbl_transport_pump(loop, wire.now);
    check_asked(&fan->questions[0], 0, 1, 3, 0);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

/* ---- what waits for a server that goes down ---- */

static void test_what_waits_is_given_back(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(2);
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    dnsbl_transport_attempt(loop, fan, 1, wire.now);
    fan->questions[1].answered = true;
    wire_fails(loop, 0, 3);
    CHECK(wire.servers[0]->went_down, "nothing waits for it?");
    wire_fails(loop, 2, 3);
    dnsbl_transport_pump(loop, wire.now);
    CHECK(wire.ended_count == 1 && wire.ended[0].index == 0 && wire.ended[0].server == 0, "%d ended",
          wire.ended_count);
    CHECK(wire.ended[0].status == ARES_ETIMEOUT && wire.ended[0].record == NULL, "not as a silence");
    CHECK(fan->questions[0].attempts == 0 && fan->questions[0].waiting == 0, "it was none");
    CHECK(fan->questions[1].attempts == 0 && fan->questions[1].waiting == 0, "nobody needs it");
    CHECK(!wire.servers[0]->went_down && wire.sent_count == 0 && waiting_at(0) == 0, "looked at again");
    CHECK(atomic_load(&fan->refs) == 1, "held by %d", atomic_load(&fan->refs));
    dnsbl_fan_release(fan);
    wire_end(loop);
}

/* Down with a healthy one at any place, or none; the one attempt waits for server 2. */
static void test_given_back_only_if_another_is_healthy(void)
{
    for (int healthy = 0; healthy < 4; healthy++) {
        dnsbl_loop *loop = wire_start();
        for (int i = 0; i < 2; i++)
            wire_fails(loop, i, 3);
        wire.no_channel = true;
        wire_ask(loop);
        CHECK(waiting_at(2) == 1, "%d wait", waiting_at(2));
        wire_fails(loop, 2, 3);
        if (healthy < 3) /* it has answered somebody since */
            wire.servers[healthy]->failures = 0;
        dnsbl_transport_pump(loop, wire.now);
        CHECK(wire.ended_count == (healthy < 2 ? 1 : 0), "%d: %d given back", healthy, wire.ended_count);
        CHECK(waiting_at(2) == 0 && is_down(2) == (healthy != 2), "%d", healthy);
        wire_end(loop);
    }
}

/* What is kept waits on, and is sent once. */
static void test_kept_where_all_are_down(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(3);
    for (int i = 0; i < 3; i++)
        dnsbl_transport_attempt(loop, fan, i, wire.now);
    for (int i = 0; i < 3; i++)
        wire_fails(loop, i, 3);
    dnsbl_transport_pump(loop, wire.now);
    CHECK(wire.sent_count == 3 && wire.ended_count == 0, "%d sent", wire.sent_count);
    for (int i = 0; i < 3; i++)
        CHECK(fan->questions[i].attempts == 1 && fan->questions[i].sent == 1 && fan->questions[i].waiting == 0,
              "question %d", i);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

static void test_kept_without_memory(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(2);
    for (int i = 0; i < 2; i++)
        dnsbl_transport_attempt(loop, fan, i, wire.now);
    for (int i = 0; i < 3; i++)
        wire_fails(loop, i, 3);
    wire.memory = 0;
    CHECK(dnsbl_transport_pump(loop, wire.now) == UINT64_MAX, "nothing waits any more");
    wire.memory = INT32_MAX;
    CHECK(wire.sent_count == 0 && wire.ended_count == 0 && atomic_load(&fan->refs) == 1, "not lost");
    for (int i = 0; i < 2; i++)
        check_asked(&fan->questions[i], 1, 0, 1, 0);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

int main(void)
{
    alarm(60);
    test_the_servers_in_turn();
    test_those_that_are_down_are_passed_over();
    test_three_failures_in_a_row();
    test_what_is_no_failure();
    test_a_probe_is_no_attempt();
    test_each_better_one_is_probed_at_the_first_attempt();
    test_a_probe_that_is_not_sent();
    test_what_waits_is_given_back();
    test_given_back_only_if_another_is_healthy();
    test_kept_where_all_are_down();
    test_kept_without_memory();
    return check_result("transport");
}
