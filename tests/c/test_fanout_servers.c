/* Several nameservers, over a scripted c-ares: which one is asked next, and when one counts as down. */
#include "fanout.h"

#include <unistd.h>

#include "check.h"
#include "scene.h"

static const stand_in_record servfail = {.rcode = 2}, refused = {.rcode = 5};
static stand_in_record listed;

/* A fan of one question is answered by this server. */
static void check_answered_by(const scene *s, int server, int timeout_ms, const char *when)
{
    dnsbl_fan *fan = scene_fan(s, 1, timeout_ms, 0);
    const dnsbl_answer *answer = scene_answer(s, fan, 8000);
    CHECK(answer != NULL && answer->status == DNSBL_STATUS_OK && answer->server == server, "%s", when);
    dnsbl_fan_release(fan);
}

static void test_over_to_the_next_and_back(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    dnsbl_fan *fan = scene_fan(&s, 3, 50, 0);
    const dnsbl_answer *answer = scene_answer(&s, fan, 8000);
    CHECK(answer != NULL && answer->server == 1 && dnsbl_fan_finished(fan), "not answered by the second");
    CHECK(answer->latency_us >= 50000, "answered after %u us: the first was not waited for", answer->latency_us);
    CHECK(stand_in_asked(s.ares, 0) == 3 && stand_in_asked(s.ares, 1) == 3, "asked once each");
    dnsbl_fan_release(fan);
    /* Three attempts unanswered: it is down and left out, */
    check_answered_by(&s, 1, 5000, "while the first is down");
    CHECK(stand_in_asked(s.ares, 0) == 3, "asked though down");
    /* but for a probe now and then, which nobody waits for. */
    clock_advance_ms(1100);
    check_answered_by(&s, 1, 5000, "while the first is probed");
    check_answered_by(&s, 1, 5000, "between two probes");
    CHECK(stand_in_asked(s.ares, 0) == 4, "probed %d times", stand_in_asked(s.ares, 0) - 3);
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    clock_advance_ms(1100);
    fan = scene_fan(&s, 1, 5000, 0);
    CHECK(scene_answer(&s, fan, 8000) != NULL, "answered by either");
    dnsbl_fan_release(fan);
    while (stand_in_asked(s.ares, 0) < 5 || !stand_in_nth(s.ares, stand_in_counted(s.ares).asked - 1).ended)
        usleep(500);
    check_answered_by(&s, 0, 5000, "when the first is back");
    /* Now the other way round. */
    stand_in_do(s.ares, 0, SI_HOLD, NULL, 0);
    check_answered_by(&s, 1, 50, "when the first is silent again");
    scene_end(&s);
}

static void test_a_probe_is_not_one_of_the_attempts(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    dnsbl_fan *fan = scene_fan(&s, 3, 50, 0);
    CHECK(scene_answer(&s, fan, 8000) != NULL, "not answered");
    dnsbl_fan_release(fan);
    stand_in_do(s.ares, 1, SI_HOLD, NULL, 0);
    clock_advance_ms(1100);
    int before = stand_in_asked(s.ares, 1);
    fan = scene_fan(&s, 1, 50, 2);
    CHECK(scene_answer(&s, fan, 400)->status == DNSBL_STATUS_TIMEOUT, "answered");
    CHECK(stand_in_asked(s.ares, 0) == 4, "%d probes", stand_in_asked(s.ares, 0) - 3);
    CHECK(stand_in_asked(s.ares, 1) - before == 2, "%d attempts", stand_in_asked(s.ares, 1) - before);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_error_rcodes(void)
{
    const struct {
        const stand_in_record *record;
        int attempts, status, asked[2];
        bool second_listed;
    } cases[] = {
        {&servfail, 0, DNSBL_STATUS_OK, {1, 1}, true},
        {&refused, 0, DNSBL_STATUS_OK, {1, 1}, true},
        {&servfail, 0, DNSBL_STATUS_RCODE, {3, 3}, false}, /* asked twice again, REFUSED is not */
        {&refused, 0, DNSBL_STATUS_REFUSED, {1, 1}, false},
        {&servfail, 1, DNSBL_STATUS_RCODE, {1, 0}, true}, /* no attempt left for the second */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene s = scene_start(2, true);
        stand_in_do(s.ares, 0, SI_REPLY, cases[i].record, 3);
        stand_in_do(s.ares, 1, SI_REPLY, cases[i].second_listed ? &listed : cases[i].record, 0);
        dnsbl_fan *fan = scene_fan(&s, 1, 5000, cases[i].attempts);
        uint64_t began = dnsbl_fanout_now();
        const dnsbl_answer *answer = scene_answer(&s, fan, 8000);
        CHECK(answer->status == cases[i].status, "case %zu: status %d", i, answer->status);
        CHECK(answer->server == (cases[i].asked[1] ? 1 : 0), "case %zu: by %d", i, answer->server);
        CHECK(dnsbl_fanout_now() - began < 4000 * MS, "case %zu: waited for a timeout", i);
        for (int j = 0; j < 2; j++)
            CHECK(stand_in_asked(s.ares, j) == cases[i].asked[j], "case %zu: server %d", i, j);
        dnsbl_fan_release(fan);
        scene_end(&s);
    }
}

/* One says SERVFAIL, the other nothing: that is a SERVFAIL once the other had its time. */
static void test_error_rcode_and_silence(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 0, SI_REPLY, &servfail, 3);
    dnsbl_fan *fan = scene_fan(&s, 1, 60, 0);
    const dnsbl_answer *answer = scene_answer(&s, fan, 8000);
    CHECK(answer->status == DNSBL_STATUS_RCODE && answer->rcode == 2 && answer->server == 0, "%d", answer->status);
    CHECK(answer->latency_us >= 60000, "after %u us", answer->latency_us);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_nonsense(void)
{
    scene s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY, NULL, SI_EBADRESP);
    dnsbl_fan *fan = scene_fan(&s, 1, 5000, 0);
    const dnsbl_answer *answer = scene_answer(&s, fan, 8000);
    CHECK(answer->status == DNSBL_STATUS_MALFORMED && answer->rcode == -1, "status %d", answer->status);
    CHECK(stand_in_asked(s.ares, 0) == 3, "asked %d times", stand_in_asked(s.ares, 0));
    dnsbl_fan_release(fan);

    stand_in_do(s.ares, 0, SI_HOLD, NULL, 0);
    fan = scene_fan(&s, 1, 5000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 8000, 0, false);
    for (int i = 3; i < 6; i++) { /* twice nonsense, then an answer */
        CHECK(stand_in_wait_asked(s.ares, i + 1), "not asked again");
        CHECK(stand_in_end(s.ares, i, i < 5 ? NULL : &listed, i < 5 ? SI_EBADRESP : 0), "query %d", i);
    }
    CHECK(scene_wait(&s, ticket) && dnsbl_fan_answer(fan, 0)->status == DNSBL_STATUS_OK, "not recovered");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_refused_connections(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 0, SI_REPLY, NULL, SI_ECONNREFUSED);
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    uint64_t began = dnsbl_fanout_now();
    check_answered_by(&s, 1, 5000, "the next at once");
    check_answered_by(&s, 1, 5000, "the next at once");
    CHECK(stand_in_asked(s.ares, 0) == 2, "down after two failures");
    check_answered_by(&s, 1, 5000, "the next at once");
    CHECK(stand_in_asked(s.ares, 0) == 3, "down after two failures");
    check_answered_by(&s, 1, 5000, "without the first");
    CHECK(stand_in_asked(s.ares, 0) == 3, "not down after three failures");
    CHECK(dnsbl_fanout_now() - began < 4000 * MS, "waited for a timeout");
    scene_end(&s);

    s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY, NULL, SI_ECONNREFUSED);
    dnsbl_fan *fan = scene_fan(&s, 2, 5000, 0);
    CHECK(scene_answer(&s, fan, 600)->status == DNSBL_STATUS_TIMEOUT, "answered");
    int asked = stand_in_asked(s.ares, 0);
    CHECK(asked >= 2 * 2 && asked <= 2 * 3, "every 250 ms, not %d times", asked);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

/* The first fails late, when the second has been asked already: that one gets its full time. */
static void test_late_failure_of_an_earlier_attempt(void)
{
    scene s = scene_start(2, true);
    dnsbl_fan *fan = scene_fan(&s, 1, 600, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 20000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 2), "the second was not asked");
    CHECK(stand_in_end(s.ares, 0, NULL, SI_ECONNREFUSED), "ended already");
    CHECK(stand_in_wait_asked(s.ares, 3), "not asked again");
    uint64_t between = stand_in_nth(s.ares, 2).at - stand_in_nth(s.ares, 1).at;
    CHECK(between >= 450 * MS, "the second had %llu ms", (unsigned long long)(between / MS));
    dnsbl_ticket_abandon(ticket);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

/* A burst stands before a server that turns out to be dead: it is not lost on it. */
static void burst_at_a_dead_server(int count, int each, int attempts, int lost)
{
    enum { FANS = 101 };
    dnsbl_fan *fans[FANS];
    dnsbl_ticket *tickets[FANS];
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    for (int i = 0; i < count; i++) {
        fans[i] = scene_fan(&s, each, 90, attempts);
        tickets[i] = scene_ask(&s, fans[i], 600, 0, false);
    }
    int open = 0;
    for (int i = 0; i < count; i++) {
        CHECK(scene_wait(&s, tickets[i]), "no end");
        for (int j = 0; j < each; j++)
            open += dnsbl_fan_answer(fans[i], j)->status != DNSBL_STATUS_OK;
        dnsbl_ticket_release(tickets[i]);
        dnsbl_fan_release(fans[i]);
    }
    CHECK(open == lost, "%d of %d not answered though the second server lives", open, count * each);
    scene_end(&s);
}

static void test_burst_at_a_dead_server(void)
{
    burst_at_a_dead_server(20, 50, 0, 0);
    /* Those sent have had their attempt; the others have it with the second server, */
    burst_at_a_dead_server(20, 50, 1, 100);
    burst_at_a_dead_server(101, 1, 1, 100); /* and if it is a single one. */
}

/* Nobody answers, and nothing happens but that time passes: what waits is sent all the same. */
static void test_one_that_waits_before_silence(void)
{
    scene s = scene_start(1, true);
    dnsbl_ticket *tickets[101];
    for (int i = 0; i < 101; i++) {
        dnsbl_fan *fan = scene_fan(&s, 1, 60000, 1);
        tickets[i] = scene_ask(&s, fan, 60000, 0, false);
        dnsbl_fan_release(fan);
    }
    CHECK(stand_in_wait_asked(s.ares, 100), "the window is not used");
    for (int i = 0; i < 100 && stand_in_counted(s.ares).asked == 100; i++) {
        clock_advance_ms(500);
        usleep(2000);
    }
    CHECK(stand_in_wait_asked(s.ares, 101), "the last is never sent");
    for (int i = 0; i < 101; i++)
        dnsbl_ticket_release(tickets[i]);
    scene_end(&s);
}

/* A nameserver that answers is not down, whatever it answers, and failures count in a row only. */
static void test_error_rcodes_are_no_failures(void)
{
    static const char *const swapped[] = {"127.0.0.1:2", "127.0.0.1:1"};
    static const bool loopback[] = {true, true};
    scene s = scene_start(2, true);
    for (int i = 0; i < 2; i++)
        stand_in_do(s.ares, i, SI_REPLY, &servfail, 3);
    dnsbl_fan *fan = scene_fan(&s, 3, 60000, 0), *marked = dnsbl_fan_new(1, 1u << 20);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 60000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 6), "not both asked");
    for (int i = 0; i < 2; i++)
        stand_in_do(s.ares, i, SI_HOLD, NULL, 0);
    CHECK(stand_in_wait_asked(s.ares, 9), "not asked again after a pause");
    int other = dnsbl_fanout_add_set(s.loop, swapped, loopback, 2), asked_of = -1;
    char *name = dnsbl_fan_question(marked, 0, other, DNSBL_TYPE_TXT, 60000 * MS, 1);
    snprintf(name, DNSBL_FANOUT_MAX_NAME, "marked.example");
    dnsbl_ticket *second = scene_ask(&s, marked, 60000, 0, false);
    for (int turn = 0; turn < 20000 && asked_of < 0; turn++, usleep(500))
        for (int i = 0; i < stand_in_counted(s.ares).asked; i++)
            if (stand_in_nth(s.ares, i).type == SI_TXT)
                asked_of = stand_in_nth(s.ares, i).server;
    CHECK(asked_of == 1, "the one that said SERVFAIL three times is left out: %d is asked", asked_of);
    dnsbl_ticket_release(ticket);
    dnsbl_ticket_release(second);
    dnsbl_fan_release(fan);
    dnsbl_fan_release(marked);
    scene_end(&s);
}

static void test_failures_in_a_row(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    for (int round = 0; round < 2; round++) {
        stand_in_do(s.ares, 0, SI_REPLY, NULL, SI_ECONNREFUSED);
        for (int i = 0; i < 2; i++)
            check_answered_by(&s, 1, 60000, "the next at once");
        stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
        check_answered_by(&s, 0, 60000, "two failures, then an answer: it is not down");
    }
    scene_end(&s);
}

static void test_sets(void)
{
    static const char *const names[] = {"127.0.0.1:1", "127.0.0.1:2"};
    static const char *const swapped[] = {"127.0.0.1:2", "127.0.0.1:1"};
    static const bool loopback[] = {true, true};
    scene s = scene_start(2, true);
    CHECK(dnsbl_fanout_add_set(s.loop, names, loopback, 2) == s.set, "equal sets have one number");
    int other = dnsbl_fanout_add_set(s.loop, swapped, loopback, 2);
    CHECK(other >= 0 && other != s.set, "the order counts");
    CHECK(dnsbl_fanout_add_set(s.loop, names, loopback, 0) == -1, "empty");
    CHECK(dnsbl_fanout_add_set(s.loop, names, loopback, DNSBL_FANOUT_MAX_SET + 1) == -1, "too many");
    /* Sets share the health of their servers. */
    stand_in_do(s.ares, 1, SI_REPLY, &listed, 0);
    dnsbl_fan *fan = scene_fan(&s, 3, 50, 0);
    CHECK(scene_answer(&s, fan, 8000) != NULL, "not answered");
    dnsbl_fan_release(fan);
    int number = dnsbl_fanout_add_set(s.loop, names, loopback, 1);
    CHECK(number > other, "a set of its own");
    s.set = other;
    check_answered_by(&s, 0, 5000, "its own order");
    scene_end(&s);
}

static void test_sets_are_given_back(void)
{
    static const bool loopback[] = {true};
    const char *const known[] = {"127.0.0.1:1"};
    scene s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY, &listed, 0);
    dnsbl_fanout_remove_set(s.loop, s.set);
    for (int i = 0; i < 600; i++) { /* more than there is room for sets, and for nameservers */
        char name[32];
        const char *const names[] = {name};
        snprintf(name, sizeof name, "127.0.0.1:%d", 1000 + i);
        int number = dnsbl_fanout_add_set(s.loop, names, loopback, 1);
        CHECK(number >= 0, "set %d", i);
        dnsbl_fanout_remove_set(s.loop, number);
        s.set = dnsbl_fanout_add_set(s.loop, known, loopback, 1);
        if (i % 100 == 99) { /* those in no set are looked for now and then */
            clock_advance_ms(600);
            check_answered_by(&s, 0, 5000, "after many others");
        }
        dnsbl_fanout_remove_set(s.loop, s.set);
    }
    scene_end(&s);
}

int main(void)
{
    alarm(120);
    listed = scene_listed(2);
    test_over_to_the_next_and_back();
    test_a_probe_is_not_one_of_the_attempts();
    test_error_rcodes();
    test_error_rcode_and_silence();
    test_nonsense();
    test_refused_connections();
    test_late_failure_of_an_earlier_attempt();
    test_burst_at_a_dead_server();
    test_one_that_waits_before_silence();
    test_error_rcodes_are_no_failures();
    test_failures_in_a_row();
    test_sets();
    test_sets_are_given_back();
    return check_result("fanout_servers");
}
