/* Who is told of an answer, over a scripted c-ares: several lookups of one question, and
 * completion queues of both kinds. */
#include "fanout_internal.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "scene.h"

typedef struct {
    const scene *s;
    dnsbl_fan *fan;
} joiner;

static void *join(void *arg)
{
    const joiner *j = arg;
    scene mine = *j->s;
    mine.completions = dnsbl_completions_new(false);
    dnsbl_ticket *ticket = scene_ask(&mine, j->fan, 20000, 0, false);
    CHECK(ticket != NULL && scene_wait(&mine, ticket), "not told");
    CHECK(ticket->fan == j->fan && dnsbl_fan_answer(j->fan, 1)->status == DNSBL_STATUS_OK, "answer");
    dnsbl_ticket_release(ticket);
    dnsbl_completions_close(mine.completions);
    return NULL;
}

static void test_join_from_threads(void)
{
    enum { THREADS = 8 };
    stand_in_record listed = scene_listed(2);
    pthread_t threads[THREADS];
    scene s = scene_start(1, true);
    joiner j = {&s, scene_fan(&s, 2, 10000, 0)};
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, join, &j) == 0, "no thread");
    CHECK(stand_in_wait_asked(s.ares, 2), "not asked");
    usleep(20000); /* most have joined; the others find it answered */
    for (int i = 0; i < 2; i++)
        CHECK(stand_in_end(s.ares, i, &listed, 0), "query %d", i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(stand_in_counted(s.ares).asked == 2, "asked %d times", stand_in_counted(s.ares).asked);
    dnsbl_fan_release(j.fan);
    scene_end(&s);
}

static void test_join_asks_again(void)
{
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 1, 50, 0);
    dnsbl_ticket *first = scene_ask(&s, fan, 50, 30000, false);
    CHECK(scene_wait(&s, first), "no end");
    CHECK(stand_in_counted(s.ares).asked == 1, "asked after the deadline");
    uint64_t joined = dnsbl_fanout_now();
    dnsbl_ticket *second = scene_ask(&s, fan, 20000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 2), "not asked again");
    CHECK(stand_in_nth(s.ares, 1).at - joined < 1000 * MS, "its next attempt was overdue");
    dnsbl_ticket_abandon(second);
    dnsbl_ticket_release(first);
    dnsbl_ticket_release(second);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_join_listens_longer(void)
{
    stand_in_record listed = scene_listed(2);
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 1, 1000, 1);
    dnsbl_ticket *first = scene_ask(&s, fan, 1000, 1000, false);
    CHECK(stand_in_wait_asked(s.ares, 1), "not asked");
    dnsbl_ticket *second = scene_ask(&s, fan, 30000, 0, false);
    clock_advance_ms(5000); /* what the first wanted is over */
    CHECK(scene_wait(&s, first) && scene_turn(), "no turn");
    CHECK(stand_in_end(s.ares, 0, &listed, 0), "the channel was closed though somebody listens");
    CHECK(scene_wait(&s, second) && dnsbl_fan_answer(fan, 0)->status == DNSBL_STATUS_OK, "not heard");
    dnsbl_ticket_release(first);
    dnsbl_ticket_release(second);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_each_answer_is_told(void)
{
    stand_in_record listed = scene_listed(2);
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 3, 10000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 20000, 0, true);
    CHECK(stand_in_wait_asked(s.ares, 3), "not asked");
    for (int i = 0; i < 3; i++) {
        dnsbl_completions_wait(s.completions, 20 * MS);
        CHECK(dnsbl_completions_pop(s.completions) == NULL, "told before answer %d", i);
        CHECK(stand_in_end(s.ares, i, &listed, 0), "query %d", i);
        dnsbl_completions_wait(s.completions, 10000 * MS);
        dnsbl_ticket *told = dnsbl_completions_pop(s.completions);
        CHECK(told == ticket && dnsbl_fan_answer(fan, i) != NULL, "not told of answer %d", i);
        CHECK(dnsbl_ticket_done(ticket) == (i == 2), "done at %d", i);
        if (told != NULL)
            dnsbl_ticket_release(told);
    }
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_abandoned(void)
{
    stand_in_record listed = scene_listed(2);
    uint64_t token;
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 1, 10000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 20000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 1), "not asked");
    dnsbl_ticket_abandon(ticket);
    dnsbl_ticket_release(ticket);
    CHECK(stand_in_end(s.ares, 0, &listed, 0), "query");
    while (!dnsbl_fanout_retired(s.loop, &token))
        usleep(500);
    CHECK(token == fan->token && dnsbl_fan_finished(fan), "the answer is lost");
    CHECK(dnsbl_completions_pop(s.completions) == NULL, "told nevertheless");
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_completions_with_descriptor(void)
{
    stand_in_record listed = scene_listed(2);
    scene s = scene_start(1, true);
    scene fd = s;
    fd.completions = dnsbl_completions_new(true);
    struct pollfd readable = {.fd = dnsbl_completions_fd(fd.completions), .events = POLLIN};
    CHECK(dnsbl_completions_fd(s.completions) == -1 && readable.fd >= 0, "descriptors");
    CHECK(poll(&readable, 1, 0) == 0, "readable without anything");
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    dnsbl_ticket *tickets[3];
    for (int i = 0; i < 3; i++) {
        dnsbl_fan *fan = scene_fan(&s, 1, 1000, 0);
        tickets[i] = scene_ask(&fd, fan, 20000, 0, false);
        CHECK(scene_wait_finished(fan), "no end");
        dnsbl_fan_release(fan);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(poll(&readable, 1, 10000) == 1, "not readable with %d left", 3 - i);
        dnsbl_ticket *told = dnsbl_completions_pop(fd.completions);
        CHECK(told == tickets[i], "not in order");
        dnsbl_ticket_release(told);
        dnsbl_ticket_release(tickets[i]);
    }
    CHECK(poll(&readable, 1, 0) == 0 && dnsbl_completions_pop(fd.completions) == NULL, "readable with nothing left");
    /* It can be waited for as well. */
    stand_in_do(s.ares, 0, SI_HOLD, NULL, 0);
    dnsbl_fan *fan = scene_fan(&s, 1, 10000, 0);
    dnsbl_ticket *ticket = scene_ask(&fd, fan, 100, 0, false);
    uint64_t began = dnsbl_fanout_now();
    dnsbl_completions_wait(fd.completions, 5000 * MS);
    CHECK(dnsbl_ticket_done(ticket) && dnsbl_fanout_now() - began < 3000 * MS, "not woken");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(fd.completions);
    scene_end(&s);
}

static void test_completions_closed_before_its_tickets(void)
{
    stand_in_record listed = scene_listed(2);
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 2, 10000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 20000, 0, true);
    CHECK(stand_in_wait_asked(s.ares, 2) && stand_in_end(s.ares, 0, &listed, 0), "not asked");
    dnsbl_completions_wait(s.completions, 10000 * MS); /* one is on its list when it goes */
    dnsbl_completions_close(s.completions);
    s.completions = dnsbl_completions_new(false);
    CHECK(stand_in_end(s.ares, 1, &listed, 0) && scene_wait_finished(fan), "no end");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

int main(void)
{
    alarm(120);
    test_join_from_threads();
    test_join_asks_again();
    test_join_listens_longer();
    test_each_answer_is_told();
    test_abandoned();
    test_completions_with_descriptor();
    test_completions_closed_before_its_tickets();
    return check_result("fanout_completions");
}
