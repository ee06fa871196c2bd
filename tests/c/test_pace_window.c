/* How many queries may be on their way to a nameserver: what makes the window wider and narrower, what is learnt of
 * the way from each answer, and when more waits than there will soon be room for. */
#include <unistd.h>

#include "lone.h"

#define MS DNSBL_MS
#define ALIVE DNSBL_S /* how long after an answer a nameserver counts as one that answers */

enum { NARROWEST = 100, WIDEST = 6000 };

/* ---- room ---- */

/* The first answer decides how many follow; until then as many as any nameserver takes. */
static void test_a_nameserver_that_has_not_answered_yet(void)
{
    lone l = lone_start();
    lone_wait_many(&l, 0, 75);
    lone_wait_many(&l, 1, 75);
    CHECK(l.srv->window == NARROWEST && l.srv->threshold == WIDEST, "%f", l.srv->window);
    CHECK(lone_pump(&l) == NARROWEST && l.srv->on_way.count == NARROWEST, "%d on their way", l.srv->on_way.count);
    CHECK(l.srv->full_at == l.now, "that something has to wait is not noted");
    CHECK(lone_pump(&l) == 0, "more than there is room for");
    l.now += 100 * MS;
    CHECK(lone_pump(&l) == 50 && l.srv->on_way.count == 50, "%d on their way", l.srv->on_way.count);
    lone_end(&l);
}

static void test_how_long_one_is_on_its_way(void)
{
    static const struct {
        bool answers;
        uint64_t rtt, rtt_var, until;
    } cases[] = {
        {false, 0, 0, 100 * MS}, {false, 300 * MS, 50 * MS, 100 * MS}, {true, 1 * MS, 1 * MS, 20 * MS},
        {true, 100 * MS, 10 * MS, 140 * MS}, {true, 900 * MS, 100 * MS, 1000 * MS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        attempt *a = lone_send(&l, 0);
        l.srv->rtt = cases[i].rtt;
        l.srv->rtt_var = cases[i].rtt_var;
        l.now += cases[i].until - 1;
        l.srv->answered = cases[i].answers ? l.now : 0;
        lone_pump(&l);
        CHECK(l.srv->on_way.count == 1 && !a->overdue, "case %zu: too early", i);
        l.now++;
        lone_pump(&l);
        CHECK(l.srv->on_way.count == 0 && a->overdue, "case %zu: too late", i);
        CHECK(a->lane->open.count == 1, "case %zu: its zone may answer all the same", i);
        lone_end(&l);
    }
}

static void test_after_a_silence_the_window_begins_anew(void)
{
    lone l = lone_start();
    lone_lives(&l, 500);
    l.srv->threshold = 300;
    l.now += ALIVE - 1;
    lone_pump(&l);
    CHECK(l.srv->window == 500 && l.srv->threshold == 300, "%f after less than a second", l.srv->window);
    l.now++;
    lone_pump(&l);
    CHECK(l.srv->window == NARROWEST && l.srv->threshold == WIDEST, "%f", l.srv->window);
    lone_end(&l);
}

static void test_no_more_in_flight_than_the_loop_bears(void)
{
    lone l = lone_start();
    lone_wait(&l, 0);
    l.loop->in_flight = DNSBL_FANOUT_MAX_IN_FLIGHT;
    CHECK(lone_pump(&l) == 0, "sent beyond the bound");
    l.loop->in_flight--;
    CHECK(lone_pump(&l) == 1, "not sent though there is room");
    lone_end(&l);
}

/* When there may be room without an answer: once the oldest is no more on its way. */
static void test_when_to_look_again(void)
{
    lone l = lone_start();
    lone_lives(&l, NARROWEST);
    lone_send_many(&l, 0, NARROWEST - 1);
    uint64_t sent = l.now;
    l.now += 5 * MS;
    CHECK(dnsbl_pace_next(l.srv, l.now) == l.now + 10 * MS, "room is left");
    lone_send(&l, 0);
    CHECK(dnsbl_pace_next(l.srv, l.now) == sent + 20 * MS, "none is left");
    lone_end(&l);
}

/* ---- growing and shrinking by the queue that is seen ---- */

/* An answer came after `took` ms, where the least of late was `least` ms. */
static void test_what_an_answer_makes_of_the_window(void)
{
    static const struct {
        const char *why;
        double window, threshold;
        uint64_t least, took;
        bool used;
        double then, threshold_then;
    } cases[] = {
        {"one more for each: twice as many in a round trip", 200, WIDEST, 64, 72, true, 201, WIDEST},
        {"nothing had to wait: nothing is learnt", 200, WIDEST, 64, 72, false, 200, WIDEST},
        {"slowly from the threshold on", 200, 200, 64, 72, true, 200.0625, 200},
        {"no further", WIDEST, WIDEST, 64, 72, true, WIDEST, WIDEST},
        {"fewer than 40 in a queue", 190, WIDEST, 64, 90, true, 191, WIDEST},
        {"40", 200, WIDEST, 64, 90, true, 200, WIDEST},
        {"between 40 and 80", 300, WIDEST, 64, 90, true, 300, WIDEST},
        {"80", 400, WIDEST, 64, 90, true, 400, WIDEST},
        {"more than 80", 500, WIDEST, 64, 90, true, 499.9375, WIDEST},
        {"more than 80, and nothing had to wait", 500, WIDEST, 64, 90, false, 499.9375, WIDEST},
        {"less than a quarter, and than 40", 160, WIDEST, 48, 71, true, 161, WIDEST},
        {"a quarter, and 40", 160, WIDEST, 48, 72, true, 160, WIDEST},
        {"more than a quarter", 400, WIDEST, 48, 73, true, 399.5, 399.5},
        {"all of them, but no narrower", NARROWEST, WIDEST, 48, 900, true, NARROWEST, WIDEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        l.srv->window = cases[i].window;
        l.srv->threshold = cases[i].threshold;
        l.srv->least = cases[i].least * MS;
        l.srv->period = l.now;
        l.srv->full_at = cases[i].used ? l.now : l.now - 1;
        lone_round_trip(&l, 0, cases[i].took * MS);
        CHECK(l.srv->window == cases[i].then, "%s: %f", cases[i].why, l.srv->window);
        CHECK(l.srv->threshold == cases[i].threshold_then, "%s: %f", cases[i].why, l.srv->threshold);
        lone_end(&l);
    }
}

/* The least of this period and of the one before: 48 ms tell of a queue where 64 ms do not. */
static void test_the_least_of_two_periods_counts(void)
{
    static const struct {
        uint64_t least, before;
        double then;
    } cases[] = {{64, 0, 401}, {64, 48, 399.5}, {48, 64, 399.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        l.srv->window = 400;
        l.srv->least = cases[i].least * MS;
        l.srv->least_before = cases[i].before * MS;
        l.srv->period = l.srv->full_at = l.now;
        lone_round_trip(&l, 0, 73 * MS);
        CHECK(l.srv->window == cases[i].then, "case %zu: %f", i, l.srv->window);
        lone_end(&l);
    }
}

/* ---- periods ---- */

/* Nothing came within 64 ms and a sixteenth more, as it did in the period before: the window is let run empty. */
static void test_what_a_new_period_makes_of_the_window(void)
{
    static const struct {
        const char *why;
        double window;
        uint64_t before, least, took;
        double then, threshold_then;
    } cases[] = {
        {"a queue has stood", 800, 64, 70, 80, 560, 560},
        {"the usual round trip tells how many stand there", 800, 64, 70, 128, 349.5, 349.5},
        {"no narrower", 110, 64, 70, 128, NARROWEST, NARROWEST},
        {"a sixteenth is none", 800, 64, 68, 80, 800, 600},
        {"one that came and went", 800, 64, 64, 80, 800, 600},
        {"nothing is known of the period before", 800, 0, 70, 80, 800, 600},
        {"the way has become shorter", 800, 64, 40, 41, 800, 600},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        l.now = 10 * DNSBL_S;
        l.srv->window = cases[i].window;
        l.srv->threshold = 600;
        l.srv->least_before = cases[i].before * MS;
        l.srv->least = cases[i].least * MS;
        l.srv->period = l.now + cases[i].took * MS - 2 * DNSBL_S;
        lone_round_trip(&l, 0, cases[i].took * MS);
        CHECK(l.srv->window == cases[i].then, "%s: %f", cases[i].why, l.srv->window);
        CHECK(l.srv->threshold == cases[i].threshold_then, "%s: %f", cases[i].why, l.srv->threshold);
        CHECK(l.srv->period == l.now && l.srv->least_before == cases[i].least * MS, "%s: no new period", cases[i].why);
        lone_end(&l);
    }
}

/* ---- what is learnt of the way ---- */

static void test_the_least_round_trip_is_forgotten_in_time(void)
{
    lone l = lone_start();
    uint64_t start = l.srv->period = l.now = 10 * DNSBL_S;
    static const uint64_t took[] = {30, 50, 20}, least[] = {30, 30, 20};
    for (int i = 0; i < 3; i++) {
        lone_round_trip(&l, 0, took[i] * MS);
        CHECK(l.srv->least == least[i] * MS && l.srv->least_before == 0, "after answer %d", i);
    }
    CHECK(l.srv->period == start, "the period is not over");
    l.now = start + 1960 * MS;
    lone_round_trip(&l, 0, 40 * MS);
    CHECK(l.srv->least == 40 * MS && l.srv->least_before == 20 * MS, "after 2 s");
    CHECK(l.srv->period == l.now, "no new period");
    lone_end(&l);
}

/* The usual round trip and how far answers are off it, of the nameserver and of the zone. */
static void test_round_trips_are_smoothed(void)
{
    static const uint64_t took[] = {80000000, 160000000, 7500000};
    static const uint64_t mean[] = {80000000, 90000000, 79687500}, deviation[] = {40000000, 50000000, 58125000};
    lone l = lone_start();
    const lane *ln = &l.srv->lanes[5];
    for (int i = 0; i < 3; i++) {
        l.srv->looked = l.now + took[i]; /* so that the answers are only counted */
        lone_round_trip(&l, 5, took[i]);
        CHECK(l.srv->rtt == mean[i] && ln->rtt == mean[i], "answer %d: %llu", i, (unsigned long long)ln->rtt);
        CHECK(l.srv->rtt_var == deviation[i] && ln->rtt_var == deviation[i], "answer %d: %llu", i,
              (unsigned long long)ln->rtt_var);
        CHECK(l.srv->measured == l.now && ln->answered == l.now && l.srv->answers == i + 1, "answer %d", i);
    }
    lone_end(&l);
}

/* A nameserver reads in order: what was sent before has been read, or is lost. */
static void test_an_answer_ends_the_way_of_what_was_sent_before(void)
{
    lone l = lone_start();
    attempt *first = lone_send(&l, 0), *second = lone_send(&l, 0);
    lone_send(&l, 0);
    l.now += 10 * MS;
    lone_answer(&l, second);
    CHECK(l.srv->on_way.count == 1 && l.srv->lanes[0].open.count == 2, "%d on their way", l.srv->on_way.count);
    CHECK(second->link[ON_WAY].on == NULL && second->link[ON_LANE].on == NULL, "it is still on a list");
    l.now += 500 * MS;
    l.srv->full_at = l.now;
    lone_answer(&l, first);
    CHECK(l.srv->rtt == 10 * MS && l.srv->window == NARROWEST, "overtaken, it tells nothing of the way");
    CHECK(l.srv->lanes[0].open.count == 1, "the answered one is still on a list");
    lone_end(&l);
}

/* One that is no more counted as on its way, `since` after an answer that was. */
static attempt *overdue_one(lone *l, uint64_t took, uint64_t since)
{
    lone_lives(l, 400);
    attempt *a = lone_send(l, 0);
    l->now += 100 * MS;
    lone_pump(l);
    CHECK(a->overdue, "not overdue");
    l->now = a->sent + took;
    l->srv->measured = l->now - since;
    l->srv->period = l->srv->full_at = l->now;
    l->srv->least_before = 300 * MS;
    return a;
}

/* It was not lost, but stood in a queue: that is learnt, but the window is no wider for it. */
static void test_an_overdue_answer(void)
{
    static const struct {
        uint64_t least;
        double then;
    } cases[] = {{800, 400}, {48, 399.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        attempt *a = overdue_one(&l, 800 * MS, ALIVE - 1);
        uint64_t measured = l.srv->measured;
        l.srv->least = cases[i].least * MS;
        l.srv->least_before = 0;
        lone_answer(&l, a);
        CHECK(l.srv->rtt == 800 * MS && l.srv->measured == measured, "it is not counted");
        CHECK(l.srv->window == cases[i].then, "case %zu: %f", i, l.srv->window);
        lone_end(&l);
    }
}

static void test_where_all_answers_are_overdue_the_way_is_longer_than_was_thought(void)
{
    lone l = lone_start();
    attempt *a = overdue_one(&l, 800 * MS, ALIVE);
    l.srv->rtt = l.srv->least = 10 * MS;
    lone_answer(&l, a);
    CHECK(l.srv->rtt == 800 * MS && l.srv->rtt_var == 400 * MS, "the old way is mixed in");
    CHECK(l.srv->least == 800 * MS && l.srv->least_before == 0, "the old least is kept");
    CHECK(l.srv->measured == l.now && l.srv->window == 400, "%f", l.srv->window);
    lone_end(&l);
}

/* ---- loss ---- */

static void lose(lone *l, int zone)
{
    attempt *a = lone_attempt(l, zone);
    dnsbl_pace_lost(l->srv, &a->fan->questions[0], l->now);
}

static void test_the_network_may_lose_3_of_100(void)
{
    static const struct {
        int answers, losses;
        double window, then;
    } cases[] = {{97, 3, 1000, 1000}, {96, 4, 1000, 700}, {0, 9, 120, NARROWEST}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        l.srv->window = cases[i].window;
        l.srv->answers = cases[i].answers;
        l.srv->losses = cases[i].losses - 1;
        l.srv->lanes[0].answered = l.now;
        lose(&l, 0);
        CHECK(l.srv->window == cases[i].then, "case %zu: %f", i, l.srv->window);
        CHECK(l.srv->threshold == (i == 0 ? WIDEST : cases[i].then), "case %zu: %f", i, l.srv->threshold);
        CHECK(l.srv->answers == 0 && l.srv->losses == 0 && l.srv->looked == l.now, "case %zu: counted again", i);
        lone_end(&l);
    }
}

/* What the silent lose says nothing of the way. */
static void test_the_loss_of_a_silent_zone_is_its_own(void)
{
    lone l = lone_start();
    l.srv->window = 1000;
    lose(&l, 0);
    CHECK(l.srv->losses == 0 && l.srv->window == 1000, "%f", l.srv->window);
    CHECK(l.srv->looked == l.now, "the time is not noted");
    lone_end(&l);
}

static void test_loss_counts_once_in_two_round_trips(void)
{
    static const uint64_t cases[][2] = {
        {0, 100 * MS}, {40 * MS, 100 * MS}, {50250000, 100500000}, {200 * MS, 400 * MS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        l.srv->window = 1000;
        l.srv->rtt = cases[i][0];
        l.srv->looked = l.now;
        l.now += cases[i][1] - 1;
        l.srv->lanes[0].answered = l.now;
        lose(&l, 0);
        CHECK(l.srv->window == 1000 && l.srv->losses == 1, "case %zu: too early", i);
        l.now++;
        lose(&l, 0);
        CHECK(l.srv->window == 700, "case %zu: %f", i, l.srv->window);
        lone_end(&l);
    }
}

static void test_loss_is_looked_at_with_each_answer(void)
{
    lone l = lone_start();
    l.srv->window = 1000;
    l.srv->losses = 1;
    lone_round_trip(&l, 0, 10 * MS);
    CHECK(l.srv->window == 700, "%f", l.srv->window);
    lone_end(&l);
}

/* ---- crowded ---- */

/* More than a window and what comes next waits for zones that answer. The first and second zone answer. */
static void test_crowded(void)
{
    static const struct {
        int first, second, silent;
        bool crowded;
    } cases[] = {{200, 0, 5, false}, {201, 0, 0, true}, {200, 1, 0, true}, {0, 201, 0, true}, {0, 100, 900, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lone l = lone_start();
        lone_lives(&l, NARROWEST);
        l.srv->lanes[0].answered = l.srv->lanes[1].answered = l.now;
        lone_wait_many(&l, 0, cases[i].first);
        lone_wait_many(&l, 1, cases[i].second);
        lone_wait_many(&l, 2, cases[i].silent);
        CHECK(dnsbl_pace_crowded(l.srv, l.now) == cases[i].crowded, "case %zu", i);
        lone_end(&l);
    }
}

int main(void)
{
    alarm(60);
    test_a_nameserver_that_has_not_answered_yet();
    test_how_long_one_is_on_its_way();
    test_after_a_silence_the_window_begins_anew();
    test_no_more_in_flight_than_the_loop_bears();
    test_when_to_look_again();
    test_what_an_answer_makes_of_the_window();
    test_the_least_of_two_periods_counts();
    test_what_a_new_period_makes_of_the_window();
    test_the_least_round_trip_is_forgotten_in_time();
    test_round_trips_are_smoothed();
    test_an_answer_ends_the_way_of_what_was_sent_before();
    test_an_overdue_answer();
    test_where_all_answers_are_overdue_the_way_is_longer_than_was_thought();
    test_the_network_may_lose_3_of_100();
    test_the_loss_of_a_silent_zone_is_its_own();
    test_loss_counts_once_in_two_round_trips();
    test_loss_is_looked_at_with_each_answer();
    test_crowded();
    return check_result("pace_window");
}
