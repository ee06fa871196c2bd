/* Many questions, many threads, an end in the middle, memory that runs out; over a scripted c-ares. */
#include "fanout_internal.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "scene.h"

enum { MAX_IN_FLIGHT = DNSBL_FANOUT_MAX_IN_FLIGHT, QUESTIONS = DNSBL_FANOUT_MAX_QUESTIONS };

static stand_in_record listed;

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/dev/fd");
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* Submit `count` full fans with the same times; their tickets, and the caller's reference to each fan. */
static dnsbl_ticket **ask_many(const scene *s, int count, int timeout_ms, int deadline_ms, int listen_ms)
{
    dnsbl_ticket **tickets = calloc((size_t)count, sizeof(dnsbl_ticket *));
    for (int i = 0; i < count; i++) {
        dnsbl_fan *fan = scene_fan(s, QUESTIONS, timeout_ms, 0);
        tickets[i] = scene_ask(s, fan, deadline_ms, listen_ms, false);
        dnsbl_fan_release(fan);
    }
    return tickets;
}

static void release_many(dnsbl_ticket **tickets, int count)
{
    for (int i = 0; i < count; i++)
        dnsbl_ticket_release(tickets[i]);
    free(tickets);
}

/* ---- threads ---- */

static void *look_up(void *arg)
{
    enum { LOOKUPS = 150, COUNT = 4 };
    scene mine = *(const scene *)arg;
    mine.completions = dnsbl_completions_new(false);
    for (int i = 0; i < LOOKUPS; i++) {
        dnsbl_fan *fan = scene_fan(&mine, COUNT, 5000, 0);
        const dnsbl_answer *answer = scene_answer(&mine, fan, 20000);
        CHECK(answer != NULL && answer->status == DNSBL_STATUS_OK && dnsbl_fan_finished(fan), "lookup %d", i);
        dnsbl_fan_release(fan);
        uint64_t token;
        if (i % 8 == 0)
            while (dnsbl_fanout_retired(mine.loop, &token))
                ;
    }
    dnsbl_completions_close(mine.completions);
    return NULL;
}

static void test_many_threads(void)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, look_up, &s) == 0, "no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(stand_in_asked(s.ares, 0) == THREADS * 150 * 4, "asked %d times", stand_in_asked(s.ares, 0));
    scene_end(&s);
}

/* ---- the end ---- */

static void test_stop_with_much_in_flight(void)
{
    enum { FANS = 200 };
    scene s = scene_start(1, true);
    dnsbl_ticket **tickets = ask_many(&s, FANS, 1000, 60000, 60000);
    CHECK(stand_in_wait_asked(s.ares, 1), "not asked");
    uint64_t began = dnsbl_fanout_now();
    dnsbl_fanout_stop(s.loop);
    CHECK(dnsbl_fanout_now() - began < 2000 * MS, "took %d ms", (int)((dnsbl_fanout_now() - began) / MS));
    for (int i = 0; i < FANS; i++) {
        dnsbl_fan *fan = tickets[i]->fan;
        CHECK(dnsbl_ticket_done(tickets[i]) && dnsbl_fan_finished(fan), "ticket %d is lost", i);
        dnsbl_status status = (dnsbl_status)dnsbl_fan_answer(fan, QUESTIONS - 1)->status;
        CHECK(status == DNSBL_STATUS_TIMEOUT || status == DNSBL_STATUS_UNSENT, "fan %d: %d", i, status);
        dnsbl_ticket *told = dnsbl_completions_pop(s.completions);
        CHECK(told != NULL, "only %d told", i);
        dnsbl_ticket_release(told);
    }
    CHECK(dnsbl_completions_pop(s.completions) == NULL, "told twice");
    dnsbl_fanout_stop(s.loop); /* twice is no harm */
    dnsbl_fan *late = scene_fan(&s, 1, 1000, 0);
    CHECK(scene_ask(&s, late, 1000, 0, false) == NULL, "taken after the end");
    dnsbl_fan_release(late);
    release_many(tickets, FANS);
    scene_end(&s);
}

static void *submit_until_stopped(void *arg)
{
    scene mine = *(const scene *)arg;
    mine.completions = dnsbl_completions_new(false);
    for (;;) {
        dnsbl_fan *fan = scene_fan(&mine, 2, 1000, 0);
        dnsbl_ticket *ticket = scene_ask(&mine, fan, 60000, 60000, true);
        dnsbl_fan_release(fan);
        if (ticket == NULL)
            break;
        CHECK(scene_wait(&mine, ticket), "accepted, and then forgotten");
        dnsbl_ticket_release(ticket);
    }
    dnsbl_completions_close(mine.completions);
    return NULL;
}

static void test_stop_while_threads_submit(void)
{
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    for (int round = 0; round < 10; round++) {
        scene s = scene_start(1, true);
        stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, submit_until_stopped, &s) == 0, "no thread");
        usleep(5000);
        dnsbl_fanout_stop(s.loop);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        scene_end(&s);
    }
}

/* ---- limits ---- */

/* More questions than may be in flight wait for room, and are all answered. */
static void test_more_than_in_flight(void)
{
    enum { FANS = MAX_IN_FLIGHT / QUESTIONS + 100 };
    scene s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    dnsbl_ticket **tickets = ask_many(&s, FANS, 60000, 1000000, 1000000);
    for (int i = 0; i < FANS; i++) {
        CHECK(scene_wait(&s, tickets[i]), "fan %d", i);
        CHECK(dnsbl_fan_answer(tickets[i]->fan, QUESTIONS - 1)->status == DNSBL_STATUS_OK, "fan %d", i);
    }
    release_many(tickets, FANS);
    scene_end(&s);
}

/* A zone that is silent is sent no more than its share; the rest waits, and ends unsent at its deadline. */
static void test_a_silent_zone_has_its_share(void)
{
    enum { FANS = 10 };
    int count[DNSBL_STATUS_UNSENT + 1] = {0};
    scene s = scene_start(1, true);
    dnsbl_ticket **tickets = ask_many(&s, FANS, 20000, 30000, 0);
    for (int i = 0; i < 30; i++) {
        clock_advance_ms(200);
        CHECK(scene_turn(), "no turn");
    }
    for (int i = 0; i < FANS; i++)
        CHECK(!dnsbl_ticket_done(tickets[i]), "fan %d ended early", i);
    int asked = stand_in_counted(s.ares).asked;
    CHECK(asked >= 100 && asked < 400, "%d asked", asked);
    clock_advance_ms(30000);
    for (int i = 0; i < FANS; i++) {
        CHECK(scene_wait(&s, tickets[i]), "fan %d", i);
        for (int at = 0; at < QUESTIONS; at++) {
            const dnsbl_answer *answer = dnsbl_fan_answer(tickets[i]->fan, at);
            CHECK((answer->queries == 0) == (answer->status == DNSBL_STATUS_UNSENT), "%d", answer->status);
            count[answer->status]++;
        }
    }
    CHECK(count[DNSBL_STATUS_UNSENT] > 200 && count[DNSBL_STATUS_TIMEOUT] >= 100, "%d unsent",
          count[DNSBL_STATUS_UNSENT]);
    release_many(tickets, FANS);
    scene_end(&s);
}

static void test_retired_overflow(void)
{
    enum { FANS = 8192 + 100 };
    uint64_t token;
    int told = 0;
    scene s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY_NOW, &listed, 0);
    for (int i = 0; i < FANS; i++) {
        dnsbl_fan *fan = scene_fan(&s, 1, 5000, 0);
        dnsbl_ticket *ticket = scene_ask(&s, fan, 20000, 0, false);
        CHECK(i % 64 != 0 || scene_wait(&s, ticket), "fan %d", i);
        dnsbl_ticket_release(ticket);
        if (i == FANS - 1)
            CHECK(scene_wait_finished(fan), "no end");
        dnsbl_fan_release(fan);
    }
    while (dnsbl_fanout_retired(s.loop, &token))
        told++;
    CHECK(told == 8192 && dnsbl_fanout_retired_overflow(s.loop), "%d told", told);
    CHECK(!dnsbl_fanout_retired_overflow(s.loop) && !dnsbl_fanout_has_retired(s.loop), "told again");
    scene_end(&s);
}

/* ---- channels and sockets ---- */

static void test_channels_with_lost_queries_are_closed(void)
{
    scene s = scene_start(1, true);
    dnsbl_fan *lost = scene_fan(&s, 3, 30000, 1);
    CHECK(scene_answer(&s, lost, 100)->status == DNSBL_STATUS_TIMEOUT, "answered");
    dnsbl_fan_release(lost);
    for (int i = 0; i < 20000 && stand_in_counted(s.ares).channels > 0; i++)
        usleep(500);
    CHECK(stand_in_counted(s.ares).channels == 0, "its queries are never ended");
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    dnsbl_fan *fan = scene_fan(&s, 1, 5000, 0);
    CHECK(scene_answer(&s, fan, 8000)->status == DNSBL_STATUS_OK, "no new channel");
    CHECK(stand_in_counted(s.ares).channels_made == 2, "%d made", stand_in_counted(s.ares).channels_made);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

/* A channel that is never idle, because of one lost query, gives way to a new one after 10 s. */
static void test_busy_channel_is_renewed(void)
{
    scene s = scene_start(1, true);
    dnsbl_fan *lost = scene_fan(&s, 1, 100000, 1);
    dnsbl_ticket *ticket = scene_ask(&s, lost, 30000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 1), "not asked");
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    for (int i = 1; i <= 3; i++) {
        clock_advance_ms(4000);
        dnsbl_fan *fan = scene_fan(&s, 1, 5000, 0);
        CHECK(scene_answer(&s, fan, 8000)->status == DNSBL_STATUS_OK, "answer %d", i);
        dnsbl_fan_release(fan);
        CHECK(stand_in_nth(s.ares, i).channel == (i == 3), "after %d s: channel %d", 4 * i, stand_in_nth(s.ares, i).channel);
    }
    CHECK(stand_in_end(s.ares, 0, &listed, 0), "the older channel was closed though somebody listens");
    CHECK(scene_wait(&s, ticket) && dnsbl_fan_answer(lost, 0)->status == DNSBL_STATUS_OK, "not heard");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(lost);
    for (int i = 0; i < 20000 && stand_in_counted(s.ares).channels > 1; i++)
        usleep(500);
    CHECK(stand_in_counted(s.ares).channels == 1, "an idle older channel stays open");
    scene_end(&s);
}

/* Towards other hosts c-ares changes its port after some queries, and closes the used-up sockets only when
 * asked to; that must not end queries by c-ares' own clock, so nothing may be in flight. */
static void test_used_up_sockets_are_closed(void)
{
    scene s = scene_start(1, false);
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    for (int i = 0; i < 3; i++) {
        dnsbl_fan *fan = scene_fan(&s, QUESTIONS, 5000, 0);
        CHECK(scene_answer(&s, fan, 8000)->status == DNSBL_STATUS_OK, "answer %d", i);
        dnsbl_fan_release(fan);
    }
    for (int i = 0; i < 20000 && stand_in_counted(s.ares).cleanups == 0; i++)
        usleep(500);
    CHECK(stand_in_counted(s.ares).cleanups > 0, "used-up sockets stay open while nothing is asked");
    /* After enough queries, there is a new channel. */
    int fans = 0;
    for (; fans < 2000 && stand_in_counted(s.ares).channels_made == 1; fans++) {
        dnsbl_fan *fan = scene_fan(&s, QUESTIONS, 5000, 0);
        CHECK(scene_answer(&s, fan, 8000)->status == DNSBL_STATUS_OK, "answer");
        dnsbl_fan_release(fan);
    }
    CHECK(fans > 100 && fans <= 256, "a new channel after %d queries", fans * QUESTIONS);
    scene_end(&s);
}

/* Sockets come, go and take each other's numbers while the loop looks through its list of them. */
static void test_sockets_come_and_go(void)
{
    enum { FANS = 30, COUNT = 8 };
    int before = open_descriptors();
    scene s = scene_start(2, true);
    stand_in_socket_each(s.ares);
    for (int round = 0; round < 3; round++) {
        dnsbl_fan *fan = scene_fan(&s, QUESTIONS, 30000, 0);
        int first = stand_in_counted(s.ares).asked;
        dnsbl_ticket *ticket = scene_ask(&s, fan, 60000, 0, false);
        CHECK(stand_in_wait_asked(s.ares, first + QUESTIONS), "not asked");
        for (int i = 0; i < QUESTIONS; i++) /* 7 is prime to 64: every one, from all over the list */
            CHECK(stand_in_end(s.ares, first + (i * 7 + round) % QUESTIONS, &listed, 0), "query %d", i);
        CHECK(scene_wait(&s, ticket), "an answer was not read");
        dnsbl_ticket_release(ticket);
        dnsbl_fan_release(fan);
    }
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    dnsbl_ticket **tickets = ask_many(&s, FANS, 30000, 60000, 0);
    for (int i = 0; i < FANS; i++)
        CHECK(scene_wait(&s, tickets[i]), "an answer was not read");
    release_many(tickets, FANS);
    int polls = poll_count(), processed = stand_in_counted(s.ares).processed;
    usleep(50000);
    CHECK(poll_count() - polls < 3 && stand_in_counted(s.ares).processed == processed, "awake with nothing to do");
    scene_end(&s);
    CHECK(open_descriptors() == before, "%d descriptors left", open_descriptors() - before);
}

/* ---- no memory ---- */

/* Everything once, as far as it goes; every ticket handed out is delivered. */
static void course(void)
{
    static const char *const names[] = {"192.0.2.1:53", "192.0.2.2:53"};
    static const bool loopback[] = {false, false};
    stand_in *ares = stand_in_new(names, 2);
    stand_in_do(ares, 1, SI_REPLY, &listed, 0);
    stand_in_socket_each(ares);
    dnsbl_completions *completions = dnsbl_completions_new(true);
    dnsbl_loop *loop = dnsbl_fanout_new();
    dnsbl_cares table;
    stand_in_table(ares, loop, &table);
    int set = -1;
    if (loop != NULL && completions != NULL && dnsbl_fanout_start(loop, &table) == 0)
        set = dnsbl_fanout_add_set(loop, names, loopback, 2);
    scene s = {ares, loop, completions, set};
    for (int i = 0; i < 20 && set >= 0; i++) { /* more than fit into the first size of any table */
        dnsbl_fan *fan = scene_fan(&s, 2, 10, 0);
        dnsbl_ticket *ticket = fan == NULL ? NULL : scene_ask(&s, fan, i == 19 ? 60 : 30, 0, true);
        if (ticket != NULL && i == 19)
            CHECK(scene_wait(&s, ticket), "a ticket is lost");
        if (ticket != NULL)
            dnsbl_ticket_release(ticket);
        if (fan != NULL)
            dnsbl_fan_release(fan);
    }
    if (loop != NULL) {
        dnsbl_fanout_stop(loop);
        dnsbl_fanout_free(loop);
    }
    if (completions != NULL)
        dnsbl_completions_close(completions);
    stand_in_free(ares);
}

static void test_no_memory(void)
{
    int nth = 1;
    int before = open_descriptors();
    for (bool failed = true; failed && nth < 1000; nth++) {
        fail_allocation(nth, false);
        course();
        failed = fail_allocation(0, false);
    }
    CHECK(nth > 50 && nth < 1000, "%d allocations", nth);
    for (int i = 1; i < nth; i += 3) {
        fail_allocation(i, true);
        course();
    }
    fail_allocation(0, false);
    CHECK(open_descriptors() == before, "%d descriptors left", open_descriptors() - before);
}

static void test_channels_cannot_be_made(void)
{
    for (int which = 0; which < 2; which++) {
        scene s = scene_start(1, true);
        stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
        stand_in_fail_channels(s.ares, which == 0 ? 2 : 0, which == 1 ? 2 : 0);
        dnsbl_fan *fan = scene_fan(&s, 1, 50, 0);
        dnsbl_ticket *ticket = scene_ask(&s, fan, 8000, 0, false);
        for (int i = 0; i < 2; i++) /* the loop makes none itself */
            dnsbl_fanout_stock(s.loop);
        CHECK(scene_wait(&s, ticket) && dnsbl_fan_answer(fan, 0)->status == DNSBL_STATUS_OK, "not tried again");
        CHECK(which == 0 || dnsbl_fan_answer(fan, 0)->latency_us >= 100000, "without a pause");
        dnsbl_ticket_release(ticket);
        dnsbl_fan_release(fan);
        scene_end(&s);
    }
}

/* `test_fanout_load memory` leaves the load out: for valgrind, under which it would take minutes. */
int main(int argc, char **argv)
{
    alarm(300);
    listed = scene_listed(2);
    if (argc > 1 && strcmp(argv[1], "memory") == 0) {
        test_no_memory();
        return check_result("fanout_load memory");
    }
    test_many_threads();
    test_stop_with_much_in_flight();
    test_stop_while_threads_submit();
    test_more_than_in_flight();
    test_a_silent_zone_has_its_share();
    test_retired_overflow();
    test_channels_with_lost_queries_are_closed();
    test_busy_channel_is_renewed();
    test_used_up_sockets_are_closed();
    test_sockets_come_and_go();
    test_no_memory();
    test_channels_cannot_be_made();
    return check_result("fanout_load");
}
