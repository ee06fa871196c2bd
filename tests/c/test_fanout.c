/* One question or a few at a time, over a scripted c-ares: what is asked when, and what the answers become. */
#include "fanout_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "scene.h"

static const stand_in_record servfail = {.rcode = 2}, refused = {.rcode = 5}, notauth = {.rcode = 9};

/* ---- answers ---- */

static void test_answers_in_any_order(void)
{
    enum { COUNT = 8 };
    static const int order[COUNT] = {5, 2, 7, 0, 1, 6, 3, 4};
    stand_in_record records[COUNT];
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, COUNT, 1000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 60000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, COUNT), "not asked");
    for (int i = 0; i < COUNT; i++) {
        CHECK(!dnsbl_ticket_done(ticket), "done after %d answers", i);
        records[order[i]] = scene_listed(order[i] + 2);
        CHECK(stand_in_end(s.ares, order[i], &records[order[i]], 0), "query %d", order[i]);
    }
    CHECK(scene_wait(&s, ticket) && dnsbl_fan_finished(fan), "not finished");
    for (int i = 0; i < COUNT; i++) {
        char name[STAND_IN_NAME];
        snprintf(name, sizeof name, "q%d.example", i);
        CHECK(strcmp(stand_in_nth(s.ares, i).name, name) == 0, "query %d is %s", i, stand_in_nth(s.ares, i).name);
        const dnsbl_answer *answer = dnsbl_fan_answer(fan, i);
        CHECK(answer != NULL && answer->status == DNSBL_STATUS_OK && answer->rcode == 0, "question %d", i);
        CHECK(answer->address_count == 1 && answer->address[0] == 0x7f000002u + (uint32_t)i, "question %d", i);
        CHECK(answer->ttl == 300 && answer->soa_ttl == DNSBL_NO_TTL && answer->server == 0, "question %d", i);
    }
    CHECK(stand_in_counted(s.ares).asked == COUNT, "asked %d times", stand_in_counted(s.ares).asked);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

/* The answer to a fan's first question, of this type, where the server gives `record`. */
static dnsbl_fan *answered_with(dnsbl_qtype type, const stand_in_record *record, int status, bool reads_rcode)
{
    static const char *const name[] = {"127.0.0.1:1"};
    static const bool loopback[] = {true};
    stand_in *ares = stand_in_new(name, 1);
    dnsbl_loop *loop = dnsbl_fanout_new();
    dnsbl_cares table;
    stand_in_table(ares, loop, &table);
    if (!reads_rcode)
        table.record_get_rcode = NULL;
    stand_in_do(ares, 0, SI_REPLY, record, status);
    CHECK(dnsbl_fanout_start(loop, &table) == 0, "no thread");
    scene s = {ares, loop, dnsbl_completions_new(false), dnsbl_fanout_add_set(loop, name, loopback, 1)};
    dnsbl_fan *fan = dnsbl_fan_new(1, 1);
    strcpy(dnsbl_fan_question(fan, 0, s.set, type, 500 * MS, 1), "q.example");
    CHECK(scene_answer(&s, fan, 5000) != NULL, "no answer");
    CHECK(stand_in_nth(ares, 0).type == (int)type, "type %d", stand_in_nth(ares, 0).type);
    scene_end(&s);
    return fan;
}

static void test_addresses_and_ttls(void)
{
    stand_in_record record = {.answers = 22, .rr = {{.type = SI_CNAME, .ttl = 50}, {.type = SI_TXT, .ttl = 1}}};
    for (uint32_t i = 0; i < 20; i++)
        record.rr[i + 2] = (stand_in_rr){.type = SI_A, .ttl = 100 + i, .number = 0x7f000014u - i};
    dnsbl_fan *fan = answered_with(DNSBL_TYPE_A, &record, 0, true);
    const dnsbl_answer *answer = dnsbl_fan_answer(fan, 0);
    CHECK(answer->address_count == 20, "%d kept", answer->address_count);
    for (uint32_t i = 0; i < 20; i++)
        CHECK(answer->address[i] == 0x7f000014u - i, "address %u", i);
    CHECK(answer->ttl == 50, "an alias on the way counts, another type does not: %u", answer->ttl);
    dnsbl_fan_release(fan);

    record = scene_listed(2);
    record.rr[0].ttl = 0x80000001u;
    fan = answered_with(DNSBL_TYPE_A, &record, 0, true);
    CHECK(dnsbl_fan_answer(fan, 0)->ttl == 0, "RFC 2181 section 8: %u", dnsbl_fan_answer(fan, 0)->ttl);
    dnsbl_fan_release(fan);

    record = (stand_in_record){.rcode = 3, .authorities = 2, .rr = {{.type = SI_A}, {SI_SOA, 700, 60, {{0}}}}};
    fan = answered_with(DNSBL_TYPE_A, &record, 4, true);
    answer = dnsbl_fan_answer(fan, 0);
    CHECK(answer->status == DNSBL_STATUS_NXDOMAIN && answer->rcode == 3 && answer->address_count == 0, "NXDOMAIN");
    CHECK(answer->ttl == DNSBL_NO_TTL && answer->soa_ttl == 700 && answer->soa_minimum == 60, "SOA");
    dnsbl_fan_release(fan);
}

static void test_texts(void)
{
    static char big[600];
    memset(big, 'x', sizeof big);
    stand_in_record record = {.answers = 6, .rr = {
        {SI_TXT, 9, 0, {{"ab\0cd", 5}, {"\xff", 1}}}, {SI_TXT, 9, 0, {{big, 255}, {big, 255}, {big, 90}}},
        {SI_TXT, 8, 0, {{"", 0}}}, {SI_TXT, 9, 0, {{"4", 1}}}, {SI_TXT, 9, 0, {{"5", 1}}}, {SI_A, 1, 1, {{0}}}}};
    dnsbl_fan *fan = answered_with(DNSBL_TYPE_TXT, &record, 0, true);
    const dnsbl_answer *answer = dnsbl_fan_answer(fan, 0);
    CHECK(answer->text_count == DNSBL_FANOUT_MAX_TEXTS && answer->address_count == 0, "%d", answer->text_count);
    const unsigned char *last = answer->text + 3 * DNSBL_FANOUT_MAX_TEXT;
    CHECK(answer->text_length[0] == 0 && answer->text_length[1] == 1 && answer->text_length[2] == 1, "sorted");
    CHECK(answer->text_length[3] == 6 && memcmp(last, "ab\0cd\xff", 6) == 0, "joined, with its NUL");
    CHECK(answer->ttl == 8, "TTL %u", answer->ttl);
    dnsbl_fan_release(fan);
}

static void test_rcodes(void)
{
    static const stand_in_record nodata = {0}, formerr = {.rcode = 1};
    const struct {
        const stand_in_record *record;
        int ares_status, status, rcode, rcode_by_status;
    } cases[] = {
        {&nodata, SI_ENODATA, DNSBL_STATUS_OK, 0, 0},
        {&formerr, 2, DNSBL_STATUS_RCODE, 1, 1},
        {&servfail, 3, DNSBL_STATUS_RCODE, 2, 2},
        {&refused, 6, DNSBL_STATUS_REFUSED, 5, 5},
        {&notauth, SI_SUCCESS, DNSBL_STATUS_RCODE, 9, 255}, /* c-ares has no status above rcode 5 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int reads_rcode = 0; reads_rcode < 2; reads_rcode++) {
            dnsbl_fan *fan = answered_with(DNSBL_TYPE_A, cases[i].record, cases[i].ares_status, reads_rcode);
            const dnsbl_answer *answer = dnsbl_fan_answer(fan, 0);
            int rcode = reads_rcode ? cases[i].rcode : cases[i].rcode_by_status;
            CHECK(answer->status == cases[i].status && answer->rcode == rcode, "%zu: %d", i, answer->rcode);
            dnsbl_fan_release(fan);
        }
}

/* ---- waiting ---- */

static void test_answers_inside_the_call(void)
{
    stand_in_record listed = scene_listed(2);
    scene s = scene_start(1, true);
    stand_in_do(s.ares, 0, SI_REPLY_NOW, &listed, 0);
    dnsbl_fan *fan = scene_fan(&s, 64, 1000, 0);
    CHECK(scene_answer(&s, fan, 5000) != NULL && dnsbl_fan_finished(fan), "not finished");
    dnsbl_fan_release(fan);
    scene_end(&s);
}

/* An unreachable network: c-ares calls back inside the query call, each time. */
static void test_unreachable_does_not_spin(void)
{
    scene s = scene_start(2, true);
    stand_in_do(s.ares, 0, SI_REPLY_NOW, NULL, SI_ECONNREFUSED);
    stand_in_do(s.ares, 1, SI_REPLY_NOW, NULL, SI_ECONNREFUSED);
    dnsbl_fan *fan = scene_fan(&s, 3, 1000, 0);
    uint64_t began = dnsbl_fanout_now();
    int polls = poll_count();
    CHECK(scene_answer(&s, fan, 600)->status == DNSBL_STATUS_TIMEOUT, "answered");
    CHECK(dnsbl_fanout_now() - began >= 600 * MS, "before the deadline");
    /* Both servers at once, then every 250 ms. */
    int asked = stand_in_counted(s.ares).asked;
    CHECK(asked >= 3 * 3 && asked <= 3 * 5, "asked %d times", asked);
    CHECK(poll_count() - polls < 60, "%d rounds", poll_count() - polls);
    CHECK(dnsbl_fan_answer(fan, 2)->status == DNSBL_STATUS_TIMEOUT, "not given up");
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_silence_and_late_answer(void)
{
    stand_in_record listed = scene_listed(2);
    uint64_t token = 0;
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 2, 1000, 0);
    uint64_t began = dnsbl_fanout_now();
    CHECK(scene_answer(&s, fan, 300) != NULL && dnsbl_fan_finished(fan), "listens on though told not to");
    CHECK(dnsbl_fanout_now() - began >= 300 * MS, "before the deadline");
    CHECK(dnsbl_fan_answer(fan, 1)->status == DNSBL_STATUS_TIMEOUT, "status %d", dnsbl_fan_answer(fan, 1)->status);
    CHECK(dnsbl_fan_answer(fan, 1)->rcode == -1 && dnsbl_fan_answer(fan, 1)->server == -1, "of nobody");
    while (!dnsbl_fanout_retired(s.loop, &token))
        usleep(500);
    CHECK(token == fan->token, "token");
    dnsbl_fan_release(fan);

    fan = scene_fan(&s, 2, 1000, 0);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 50, 60000, false);
    CHECK(scene_wait(&s, ticket) && dnsbl_fan_answer(fan, 0) == NULL, "answered");
    for (int i = 0; i < 2; i++) { /* the late answers, one by one: reported though nobody waits */
        CHECK(stand_in_end(s.ares, 2 + i, &listed, 0), "its channel is gone");
        while (!dnsbl_fanout_has_retired(s.loop))
            usleep(500);
        while (!dnsbl_fanout_retired(s.loop, &token))
            usleep(500);
        CHECK(token == fan->token && dnsbl_fan_answer(fan, i) != NULL, "answer %d", i);
        CHECK(dnsbl_fan_answer(fan, i)->latency_us >= 10000, "%u us", dnsbl_fan_answer(fan, i)->latency_us);
    }
    CHECK(dnsbl_fan_finished(fan), "not finished");
    CHECK(!dnsbl_fanout_retired(s.loop, &token) && !dnsbl_fanout_has_retired(s.loop), "told twice");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

static void test_times_of_attempts(void)
{
    static const struct {
        int attempts, least, most;
    } cases[] = {{1, 1, 1}, {2, 2, 2}, {0, 3, 6}};
    for (int i = 0; i < 3; i++) {
        scene s = scene_start(1, true);
        dnsbl_fan *fan = scene_fan(&s, 1, 40, cases[i].attempts);
        CHECK(scene_answer(&s, fan, 210)->status == DNSBL_STATUS_TIMEOUT, "answered");
        int asked = stand_in_counted(s.ares).asked;
        CHECK(asked >= cases[i].least && asked <= cases[i].most, "%d attempts for %d", asked, cases[i].attempts);
        for (int j = 1; j < asked; j++)
            CHECK(stand_in_nth(s.ares, j).at - stand_in_nth(s.ares, j - 1).at >= 20 * MS, "try %d too early", j);
        dnsbl_fan_release(fan);
        scene_end(&s);
    }
}

/* The next attempt was due just before the deadline, but the thread got there only after it. */
static void test_an_attempt_overtaken_by_the_deadline(void)
{
    scene s = scene_start(1, true);
    dnsbl_fan *fan = scene_fan(&s, 1, 50, 0);
    stand_in_stall(s.ares, 150);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 60, 1000, false);
    CHECK(scene_wait(&s, ticket), "the thread is stuck");
    CHECK(scene_wait_finished(fan), "the thread is stuck");
    CHECK(stand_in_counted(s.ares).asked == 1, "asked after the deadline");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    scene_end(&s);
}

int main(void)
{
    alarm(120); /* a thread that is stuck is a failure, not a wait */
    test_answers_in_any_order();
    test_addresses_and_ttls();
    test_texts();
    test_rcodes();
    test_answers_inside_the_call();
    test_unreachable_does_not_spin();
    test_silence_and_late_answer();
    test_times_of_attempts();
    test_an_attempt_overtaken_by_the_deadline();
    return check_result("fanout");
}
