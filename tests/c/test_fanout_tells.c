/* Whom fanout.c tells of what, and when: deadlines, those who join, and what is due first. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "alone.h"
#include "check.h"

#define MS DNSBL_MS

static bool no_memory;

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
    return no_memory ? NULL : __real_realloc(block, size);
}

static bool readable(const dnsbl_completions *completions)
{
    struct pollfd fd = {.fd = dnsbl_completions_fd(completions), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

/* All the tickets of a queue are taken. */
static int taken(dnsbl_completions *completions)
{
    int count = 0;
    for (dnsbl_ticket *ticket; (ticket = dnsbl_completions_pop(completions)) != NULL; count++)
        dnsbl_ticket_release(ticket);
    return count;
}

/* ---- waking ---- */

/* A queue is woken once for many tickets, and when the loop says so. */
static void test_one_wake_for_many_tickets(void)
{
    enum { FANS = 3 };
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *a = dnsbl_completions_new(true), *b = dnsbl_completions_new(true);
    dnsbl_fan *fans[FANS];
    dnsbl_ticket *tickets[2 * FANS];
    for (int i = 0; i < FANS; i++) {
        fans[i] = alone_fan(1, 1);
        tickets[i] = alone_ask(loop, fans[i], a, DNSBL_S, false);
        tickets[FANS + i] = alone_ask(loop, fans[i], b, DNSBL_S, false);
    }
    for (int i = 0; i < FANS; i++)
        alone_answered(loop, fans[i], 0, 0, 0, 0);
    CHECK(loop->to_wake_count == 2 && !readable(a) && !readable(b), "%d to wake", loop->to_wake_count);
    dnsbl_fanout_flush_wakes(loop);
    CHECK(loop->to_wake_count == 0 && readable(a) && readable(b), "not woken");
    CHECK(taken(a) == FANS && taken(b) == FANS, "not all of them");
    for (int i = 0; i < 2 * FANS; i++)
        dnsbl_ticket_release(tickets[i]);
    for (int i = 0; i < FANS; i++)
        dnsbl_fan_release(fans[i]);
    dnsbl_completions_close(a);
    dnsbl_completions_close(b);
    alone_end(loop);
}

/* More queues than the list of those to wake holds. */
static void test_many_queues_to_wake(void)
{
    enum { QUEUES = 66 };
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *queues[QUEUES];
    dnsbl_ticket *tickets[QUEUES];
    dnsbl_fan *fan = alone_fan(1, 1);
    for (int i = 0; i < QUEUES; i++) {
        queues[i] = dnsbl_completions_new(true);
        tickets[i] = alone_ask(loop, fan, queues[i], DNSBL_S, false);
    }
    alone_answered(loop, fan, 0, 0, 0, 0);
    CHECK(loop->to_wake_count == 2, "%d to wake", loop->to_wake_count);
    dnsbl_fanout_flush_wakes(loop);
    for (int i = 0; i < QUEUES; i++) {
        CHECK(readable(queues[i]) && taken(queues[i]) == 1, "queue %d", i);
        dnsbl_ticket_release(tickets[i]);
        dnsbl_completions_close(queues[i]);
    }
    dnsbl_fan_release(fan);
    alone_end(loop);
}

/* ---- deadlines ---- */

/* Each is told at its own deadline; asking goes on until the last of them. */
static void test_each_has_its_own_deadline(void)
{
    static const uint64_t deadlines[] = {300 * MS, 900 * MS, 600 * MS};
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(1, 0);
    dnsbl_ticket *tickets[3];
    uint64_t start = alone.now;
    for (int i = 0; i < 3; i++)
        tickets[i] = alone_ask(loop, fan, completions, deadlines[i], false);
    CHECK(alone.asked_count == 1 && fan->ask_until == start + 900 * MS, "another end");
    for (int i = 1; i <= 3; i++) {
        uint64_t at = start + (uint64_t)i * 300 * MS;
        alone.now = at - 1;
        dnsbl_fanout_run_due(loop, alone.now);
        CHECK(taken(completions) == 0, "told too early");
        alone.now = at;
        dnsbl_fanout_run_due(loop, alone.now);
        CHECK(taken(completions) == 1, "not told, or another");
        for (int j = 0; j < 3; j++)
            CHECK(dnsbl_ticket_done(tickets[j]) == (start + deadlines[j] <= at), "ticket %d", j);
    }
    CHECK(alone.asked_count == 2 && fan->questions[0].answer.status == DNSBL_STATUS_TIMEOUT, "not given up");
    for (int i = 0; i < 3; i++)
        dnsbl_ticket_release(tickets[i]);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* After the deadline it is listened to for some time more, but no more asked. */
static void test_listening(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(2, 0);
    dnsbl_ticket *ticket = calloc(1, sizeof *ticket);
    *ticket = (dnsbl_ticket){.refs = 2, .fan = fan, .completions = completions, .deadline = alone.now + 400 * MS};
    ticket->listen_ns = 300 * MS;
    fan->listen_until = alone.now + 650 * MS; /* another's: 50 ms less */
    dnsbl_fan_retain(fan);
    dnsbl_completions_retain(completions);
    dnsbl_fanout_accept(loop, ticket, alone.now);
    alone_pass(loop, 400 * MS);
    CHECK(taken(completions) == 1 && !dnsbl_fan_finished(fan), "given up at once");
    CHECK(fan->due == alone.now + 300 * MS, "due at another time");
    alone_answered(loop, fan, 1, 0, 0, 0);
    alone_pass(loop, 300 * MS);
    CHECK(dnsbl_fan_finished(fan) && alone.asked_count == 2, "not given up, or asked again");
    CHECK(fan->questions[0].answer.status == DNSBL_STATUS_TIMEOUT, "another end");
    CHECK(fan->questions[1].answer.status == DNSBL_STATUS_OK, "the late answer is lost");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* Who joins when the asking is over has it go on at once. */
static void test_joined_after_the_end_of_asking(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(1, 0);
    dnsbl_ticket *first = alone_ask(loop, fan, completions, 400 * MS, false);
    fan->listen_until += 600 * MS;
    alone_pass(loop, 400 * MS);
    alone.now += 200 * MS;
    dnsbl_ticket *second = alone_ask(loop, fan, completions, 300 * MS, false);
    CHECK(fan->due <= alone.now && fan->ask_until == alone.now + 300 * MS, "it is not asked at once");
    dnsbl_fanout_run_due(loop, alone.now);
    CHECK(alone.asked_count == 2, "%d asked", alone.asked_count);
    alone_answered(loop, fan, 0, 0, 0, 0);
    dnsbl_ticket *third = alone_ask(loop, fan, completions, 300 * MS, false);
    CHECK(dnsbl_ticket_done(third), "who comes when all is answered waits");
    CHECK(fan->tickets == NULL, "its ticket is kept");
    dnsbl_ticket_release(first);
    dnsbl_ticket_release(second);
    dnsbl_ticket_release(third);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* An answer may come while a ticket waits in the inbox: who wants each is told of it when the ticket joins. */
static void test_joined_after_an_answer(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(2, 0);
    dnsbl_ticket *tickets[3];
    tickets[0] = alone_ask(loop, fan, completions, 400 * MS, true);
    CHECK(taken(completions) == 0, "told of no answer");
    alone_answered(loop, fan, 0, 0, 0, 0);
    CHECK(taken(completions) == 1, "not told of an answer");
    tickets[1] = alone_ask(loop, fan, completions, 400 * MS, false);
    CHECK(taken(completions) == 0, "told who waits for all");
    tickets[2] = alone_ask(loop, fan, completions, 400 * MS, true);
    CHECK(taken(completions) == 1 && !dnsbl_ticket_done(tickets[2]), "what came before is not told");
    alone_answered(loop, fan, 1, 0, 0, 0);
    CHECK(taken(completions) == 3, "not all are told of the end");
    for (int i = 0; i < 3; i++)
        dnsbl_ticket_release(tickets[i]);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* What should have been asked while the loop was busy is not due for ever once the time for it is over. */
static void test_the_end_of_asking_overtakes_what_is_due(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(1, 0);
    dnsbl_ticket *ticket = alone_ask(loop, fan, completions, 600 * MS, false);
    fan->listen_until += 400 * MS;
    alone.now += 600 * MS;
    dnsbl_fanout_run_due(loop, alone.now);
    CHECK(alone.asked_count == 1 && fan->due == fan->listen_until, "%d asked", alone.asked_count);
    alone_answered(loop, fan, 0, 0, 0, 0);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* ---- many fans ---- */

/* The first that is due is first, whichever came first. */
static void test_fans_are_due_in_order(void)
{
    enum { FANS = 4 };
    static const uint64_t deadlines[] = {400, 100, 300, 200};
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_ticket *tickets[FANS];
    for (int i = 0; i < FANS; i++) {
        dnsbl_fan *fan = alone_fan(3, 0);
        tickets[i] = alone_ask(loop, fan, completions, deadlines[i] * MS, false);
        dnsbl_fan_release(fan);
    }
    CHECK(alone.asked_count == 12, "%d asked", alone.asked_count);
    for (int round = 1; round <= FANS; round++) {
        alone_pass(loop, 100 * MS);
        CHECK(loop->heap_count == FANS - round && taken(completions) == 1, "%d left", loop->heap_count);
    }
    for (int i = 0; i < FANS; i++)
        dnsbl_ticket_release(tickets[i]);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* A fan that comes later is due before another. */
static void test_a_newcomer_may_be_due_first(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fans[2] = {alone_fan(1, 0), alone_fan(1, 0)};
    dnsbl_ticket *tickets[2];
    fans[1]->questions[0].timeout_ns = 50 * MS;
    for (int i = 0; i < 2; i++)
        tickets[i] = alone_ask(loop, fans[i], completions, 10 * DNSBL_S, false);
    alone_pass(loop, 50 * MS);
    CHECK(alone.asked_count == 3 && fans[1]->questions[0].attempts == 2, "it is not asked again");
    for (int i = 0; i < 2; i++) {
        alone_answered(loop, fans[i], 0, 0, 0, 0);
        dnsbl_ticket_release(tickets[i]);
        dnsbl_fan_release(fans[i]);
    }
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* What was asked again has its next turn behind the other. */
static void test_fans_take_turns(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fans[2];
    dnsbl_ticket *tickets[2];
    for (int i = 0; i < 2; i++) {
        fans[i] = alone_fan(1, 0);
        tickets[i] = alone_ask(loop, fans[i], completions, 10 * DNSBL_S, false);
        alone.now += 200 * MS;
    }
    alone_pass(loop, 100 * MS);
    CHECK(alone.asked_count == 3 && fans[0]->questions[0].attempts == 2, "the first is not asked again");
    alone_pass(loop, 200 * MS);
    CHECK(alone.asked_count == 4 && fans[1]->questions[0].attempts == 2, "the second is not asked again");
    for (int i = 0; i < 2; i++) {
        alone_answered(loop, fans[i], 0, 0, 0, 0);
        dnsbl_ticket_release(tickets[i]);
        dnsbl_fan_release(fans[i]);
    }
    dnsbl_completions_close(completions);
    alone_end(loop);
}

/* No memory to keep it: it is given up, and who waits is told so. */
static void test_no_memory_for_a_fan(void)
{
    dnsbl_loop *loop = alone_start(1);
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_fan *fan = alone_fan(2, 0);
    loop->heap_size = 0;
    no_memory = true;
    dnsbl_ticket *ticket = alone_ask(loop, fan, completions, DNSBL_S, false);
    no_memory = false;
    CHECK(dnsbl_ticket_done(ticket) && dnsbl_fan_finished(fan) && alone.asked_count == 0, "it is kept");
    CHECK(fan->questions[1].answer.status == DNSBL_STATUS_UNSENT, "another end");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(completions);
    alone_end(loop);
}

int main(void)
{
    alarm(60);
    test_one_wake_for_many_tickets();
    test_many_queues_to_wake();
    test_each_has_its_own_deadline();
    test_listening();
    test_joined_after_the_end_of_asking();
    test_joined_after_an_answer();
    test_the_end_of_asking_overtakes_what_is_due();
    test_fans_are_due_in_order();
    test_a_newcomer_may_be_due_first();
    test_fans_take_turns();
    test_no_memory_for_a_fan();
    return check_result("fanout_tells");
}
