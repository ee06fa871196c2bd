/* What each zone may hold of a nameserver, how the zones take turns, what is over before it is sent, and when a
 * question is asked again. */
#include <stdlib.h>
#include <unistd.h>

#include "lone.h"

#define MS DNSBL_MS

enum { ZONE = 3, PLENTY = 1000, LATE_MAX = 64, LATE_CEILING = 400, PROBE_MS = 250 };

/* The nameserver answers, and so does this zone, if it is to. */
static void lives(lone *l, int zone, bool answers)
{
    lone_lives(l, PLENTY);
    l->srv->lanes[zone].answered = answers ? l->now : 0;
}

/* How many of those that wait for the zone are sent now. */
static int sent_to(lone *l, int zone, bool answers)
{
    lives(l, zone, answers);
    return lone_pump(l);
}

/* ---- late and lost ---- */

static void test_when_one_is_late(void)
{
    static const uint64_t cases[][3] = {
        {0, 0, 200 * MS}, {40 * MS, 40 * MS, 200 * MS}, {100 * MS, 50 * MS, 300 * MS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        lane *ln = &l.srv->lanes[ZONE];
        ln->rtt = cases[i][0];
        ln->rtt_var = cases[i][1];
        lone_send(&l, ZONE);
        l.now += cases[i][2] - 1;
        lone_wait(&l, ZONE);
        CHECK(sent_to(&l, ZONE, true) == 1 && ln->late.count == 0, "case %zu: too early", i);
        l.now++;
        lone_wait(&l, ZONE);
        CHECK(sent_to(&l, ZONE, true) == 1 && ln->late.count == 1, "case %zu: too late", i);
        CHECK(ln->open.count == 2, "case %zu: %d open", i, ln->open.count);
        lone_end(&l);
    }
}

/* Late ones are let go of sooner where the zone answers others: then they are lost. */
static void test_when_one_is_lost(void)
{
    static const struct {
        bool answers;
        uint64_t after;
    } cases[] = {{true, 1000 * MS}, {false, 5000 * MS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        lane *ln = &l.srv->lanes[ZONE];
        lone_send_many(&l, ZONE, 2);
        l.now += cases[i].after - 1;
        lone_wait(&l, ZONE);
        CHECK(sent_to(&l, ZONE, cases[i].answers) == 1 && ln->late.count == 2, "case %zu: too early", i);
        l.now++;
        lone_wait(&l, ZONE);
        CHECK(sent_to(&l, ZONE, cases[i].answers) == 1 && ln->late.count == 0, "case %zu: too late", i);
        lone_end(&l);
    }
}

/* A zone that has never answered holds no more than two for each late one that is borne; then one now and then
 * shows whether it is back. */
static void test_a_silent_zone(void)
{
    lone l = lone_start();
    lone_wait_many(&l, ZONE, 300);
    CHECK(sent_to(&l, ZONE, false) == 2 * LATE_MAX + 1, "%d are open", l.srv->lanes[ZONE].open.count);
    l.now += PROBE_MS * MS - 1;
    CHECK(sent_to(&l, ZONE, false) == 0, "asked too soon");
    l.now++;
    CHECK(sent_to(&l, ZONE, false) == 1, "not asked whether it is back");
    lone_wait(&l, ZONE + 1);
    CHECK(sent_to(&l, ZONE + 1, true) == 1, "its neighbour has to wait for it");
    lone_end(&l);
}

/* The late ones of a zone that answers: the more answers in a second, the more of them are borne. */
static void test_how_many_late_ones_are_borne(void)
{
    static const struct {
        int late, answers, before;
        bool borne;
    } cases[] = {
        {LATE_MAX - 1, 0, 0, true},      {LATE_MAX, 0, 0, false},     {LATE_MAX, 4, 0, true},
        {LATE_MAX, 0, 4, true},          {LATE_MAX + 1, 4, 4, false}, {LATE_CEILING - 1, 9000, 0, true},
        {LATE_CEILING, 9000, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        lane *ln = &l.srv->lanes[ZONE];
        lone_send_many(&l, ZONE, cases[i].late);
        ln->answers = cases[i].answers;
        ln->answers_before = cases[i].before;
        l.now += 200 * MS;
        lone_wait_many(&l, ZONE, 9);
        int sent = sent_to(&l, ZONE, true);
        CHECK(sent == (cases[i].borne ? 9 : 1), "case %zu: %d sent", i, sent);
        lone_end(&l);
    }
}

/* It is back: what it has not answered it never will. */
static void test_the_return_of_a_zone(void)
{
    lone l = lone_start();
    lane *ln = &l.srv->lanes[ZONE];
    lone_wait_many(&l, ZONE, 10);
    sent_to(&l, ZONE, false);
    l.now += 300 * MS;
    lone_wait(&l, ZONE);
    sent_to(&l, ZONE, false);
    CHECK(ln->late.count == 10, "%d late", ln->late.count);
    lone_round_trip(&l, ZONE, 5 * MS);
    CHECK(ln->late.count == 0 && ln->open.count == 1, "%d late", ln->late.count);
    l.now += 300 * MS;
    lone_wait(&l, ZONE);
    lone_pump(&l);
    lone_round_trip(&l, ZONE, 5 * MS);
    CHECK(ln->late.count == 1, "of a zone that answers they are still awaited: %d", ln->late.count);
    lone_end(&l);
}

/* The answers of this second and of the one before. */
static void test_answers_are_counted_by_the_second(void)
{
    lone l = lone_start();
    lane *ln = &l.srv->lanes[ZONE];
    uint64_t start = ln->second = l.now;
    static const struct {
        uint64_t at_ms;
        int answers, before;
    } cases[] = {{10, 1, 0}, {999, 2, 0}, {1000, 1, 2}, {1500, 2, 2}, {2999, 1, 2}, {4999, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        l.now = start + (cases[i].at_ms - 1) * MS;
        lone_round_trip(&l, ZONE, 1 * MS);
        CHECK(ln->answers == cases[i].answers, "case %zu: %d", i, ln->answers);
        CHECK(ln->answers_before == cases[i].before, "case %zu: %d before", i, ln->answers_before);
    }
    lone_end(&l);
}

/* ---- turns ---- */

static attempt *pop(lone *l, bool *over)
{
    *over = !*over; /* whatever it was */
    return dnsbl_pace_pop(l->loop, l->srv, l->now, over);
}

static void test_zones_take_turns(void)
{
    static const int zones[] = {0, 3, 4, 60}, order[] = {0, 3, 4, 60, 0, 3, 4, 60, 60};
    lone l = lone_start();
    for (int i = 0; i < 8; i++)
        lone_wait(&l, zones[i / 2]);
    lone_wait(&l, 60);
    bool over = false;
    for (int i = 0; i < 9; i++) {
        attempt *a = pop(&l, &over);
        CHECK(a != NULL && !over && a->lane == &l.srv->lanes[order[i]], "turn %d", i);
    }
    CHECK(pop(&l, &over) == NULL, "more than waited");
    lone_end(&l);
}

/* ---- what is over ---- */

/* Whether the one that waits is over now; it leaves the queue either way. */
static bool is_over(lone *l)
{
    bool over = false;
    attempt *a = pop(l, &over);
    CHECK(a != NULL, "none waits");
    return over;
}

static void test_what_nobody_waits_for_is_over(void)
{
    lone l = lone_start();
    lone_wait(&l, ZONE);
    CHECK(!is_over(&l), "it has just come");
    lone_wait(&l, ZONE)->fan->questions[0].answered = true;
    CHECK(is_over(&l), "answered");
    lone_wait(&l, ZONE)->fan->ask_until = l.now;
    CHECK(is_over(&l), "its time has passed");
    lone_wait(&l, ZONE)->fan->ask_until = l.now + 1;
    CHECK(!is_over(&l), "it has not waited, and so is sent while there is time");
    lone_end(&l);
}

/* It takes neither room nor the turn of its zone. */
static void test_what_is_over_needs_no_room(void)
{
    lone l = lone_start();
    lone_send_many(&l, 0, 100);
    lone_wait(&l, 0);
    attempt *done = lone_wait(&l, ZONE);
    done->fan->questions[0].answered = true;
    bool over = false;
    CHECK(pop(&l, &over) == done && over && l.srv->turn == 0, "it waits for room");
    CHECK(pop(&l, &over) == NULL && l.srv->waiting == 1, "the window is full");
    lone_end(&l);
}

/* An answer takes 80 ms at the most. A lookup that is not begun needs half of that and 20 ms more. */
static void test_what_would_be_answered_too_late_is_over(void)
{
    static const struct {
        uint64_t waited, left;
        bool begun, zone_answers, over;
    } cases[] = {
        {10 * MS, 140 * MS, false, true, true},      {10 * MS, 140 * MS + 1, false, true, false},
        {10 * MS, 80 * MS, true, true, true},        {10 * MS, 80 * MS + 1, true, true, false},
        {10 * MS - 1, 50 * MS, false, true, false}, {10 * MS, 50 * MS, false, false, false},
        {0, 50 * MS, false, false, false},           {200 * MS, 50 * MS, true, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        lane *ln = &l.srv->lanes[ZONE];
        ln->rtt = 40 * MS;
        ln->rtt_var = 10 * MS;
        attempt *a = lone_wait(&l, ZONE);
        l.now += cases[i].waited;
        a->fan->ask_until = l.now + cases[i].left;
        a->fan->sent = cases[i].begun;
        lives(&l, ZONE, cases[i].zone_answers);
        CHECK(is_over(&l) == cases[i].over, "case %zu", i);
        lone_end(&l);
    }
}

/* ---- asked again ---- */

static void test_when_a_question_is_asked_again(void)
{
    static const struct {
        bool answers;
        uint64_t rtt, rtt_var;
        uint16_t sent;
        uint64_t after;
    } cases[] = {
        {false, 1 * MS, 0, 0, 9000 * MS},           {true, 1 * MS, 1 * MS, 0, 250 * MS},
        {true, 100 * MS, 50 * MS, 0, 600 * MS},     {true, 100 * MS, 50 * MS, 1, 1200 * MS},
        {true, 1 * MS, 1 * MS, 3, 2000 * MS},       {true, 1 * MS, 1 * MS, 4, 4000 * MS},
        {true, 1 * MS, 1 * MS, 5, 4000 * MS},       {true, 1000 * MS, 400 * MS, 2, 9000 * MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        question *q = &lone_attempt(&l, ZONE)->fan->questions[0];
        q->timeout_ns = 9000 * MS;
        q->sent = cases[i].sent;
        l.srv->lanes[ZONE].rtt = cases[i].rtt;
        l.srv->lanes[ZONE].rtt_var = cases[i].rtt_var;
        l.srv->lanes[ZONE].answered = cases[i].answers ? l.now : 0;
        uint64_t after = dnsbl_pace_retry_ns(l.srv, q, l.now);
        CHECK(after == cases[i].after, "case %zu: %llu", i, (unsigned long long)after);
        lone_end(&l);
    }
}

int main(void)
{
    alarm(60);
    test_when_one_is_late();
    test_when_one_is_lost();
    test_a_silent_zone();
    test_how_many_late_ones_are_borne();
    test_the_return_of_a_zone();
    test_answers_are_counted_by_the_second();
    test_zones_take_turns();
    test_what_nobody_waits_for_is_over();
    test_what_is_over_needs_no_room();
    test_what_would_be_answered_too_late_is_over();
    test_when_a_question_is_asked_again();
    return check_result("pace_zones");
}
