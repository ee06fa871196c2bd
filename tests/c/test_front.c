/* Which datagrams front.c lets pass to c-ares, what it makes of them, and which question it blames for the others. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate.h"

static const char NAME[] = "2.0.0.127.bl.example";

typedef enum { PASSES, DROPPED, BLAMED } verdict;

/* What becomes of a datagram, in a buffer that is no longer than it; what passes is `m` afterwards. */
static verdict tried(gate_message *m)
{
    unsigned char *buffer = malloc(m->length);
    int blamed = gate.blamed, to_read = gate.loop->to_read = READ_AT_ONCE;
    gate_comes(m->bytes, m->length);
    ssize_t count = gate_reads_datagram(buffer, m->length);
    CHECK(gate.loop->to_read == to_read - 1, "%d are counted", to_read - gate.loop->to_read);
    gate.come_count = gate.read_count = 0;
    if (count >= 0) {
        memcpy(m->bytes, buffer, (size_t)count);
        m->length = (size_t)count;
    }
    free(buffer);
    CHECK(count >= 0 ? gate.blamed == blamed : count == -1 && errno == EAGAIN, "returns %d", (int)count);
    return count >= 0 ? PASSES : gate.blamed > blamed ? BLAMED : DROPPED;
}

static verdict tried_of(const attempt *a, int flags)
{
    gate_message m = gate_answer(a, flags);
    return tried(&m);
}

/* ---- whose ---- */

static void test_an_answer_passes_as_it_is(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 0x1234);
    gate_message m = gate_answer(a, RESPONSE), before;
    gate_adds(&m, 16);
    before = m;
    CHECK(tried(&m) == PASSES && m.length == before.length, "%zu bytes", m.length);
    CHECK(memcmp(m.bytes, before.bytes, m.length) == 0, "changed");
    CHECK(a->handed_on && !a->negative.read && gate.parsed == 1 && gate.parsed_length == m.length, "not parsed");
    CHECK(tried(&m) == DROPPED && gate.parsed == 1, "a second time");
    gate_end();
}

/* All three places of a bucket of the table, and ids that differ in one byte. */
static void test_found_by_its_id(void)
{
    static const int ids[] = {5, 5 + CHANNEL_IDS, 5 + 2 * CHANNEL_IDS, 6, 0x0600};
    for (int gone = 0; gone < 3; gone++) {
        gate_start();
        attempt *asked[5];
        for (int i = 0; i < 5; i++)
            asked[i] = gate_asks(NAME, A, ids[i]);
        gate_message m = gate_answer(asked[gone], RESPONSE);
        gate_ended(asked[gone]);
        CHECK(tried(&m) == DROPPED, "%d is gone", ids[gone]);
        attempt never = {.id = 5};
        dnsbl_front_forget(gate.ch, &never);
        for (int i = 0; i < 5; i++) {
            CHECK(i == gone || tried_of(asked[i], RESPONSE) == PASSES, "id %d", ids[i]);
            CHECK(i == gone || asked[i]->handed_on, "id %d", ids[i]);
        }
        gate_end();
    }
}

/* Answers of these labels to a question of that name. */
static verdict tried_labels(const char *name, const char *labels, size_t length)
{
    gate_start();
    attempt *a = gate_asks(name, A, 5);
    gate_message m = gate_answer(a, RESPONSE);
    memcpy(m.bytes + GATE_HEADER, labels, length);
    memcpy(m.bytes + GATE_HEADER + length, "\0\0\1\0\1", 5);
    m.length = GATE_HEADER + length + 5;
    verdict result = tried(&m);
    gate_end();
    return result;
}

#define TRIED_LABELS(name, labels) tried_labels(name, labels, sizeof labels - 1)

static void test_of_another_name(void)
{
    CHECK(TRIED_LABELS("ab.cde", "\2ab\3cde") == PASSES, "the same");
    CHECK(TRIED_LABELS("ab.cde", "\2aB\3CDE") == PASSES, "another case");
    CHECK(TRIED_LABELS("ab.cde", "\2ab\3cdx") == DROPPED, "another letter");
    CHECK(TRIED_LABELS("ab.cde", "\2xb\3cde") == DROPPED, "another letter");
    CHECK(TRIED_LABELS("ab.cde", "\2ab\3cde\1f") == DROPPED, "one label more");
    CHECK(TRIED_LABELS("ab.cde", "\2ab") == DROPPED, "one label less");
    CHECK(TRIED_LABELS("ab.cde", "") == DROPPED, "the root");
    CHECK(TRIED_LABELS("", "") == PASSES, "of the root");
    CHECK(TRIED_LABELS("", "\1a") == DROPPED, "not the root");
    CHECK(TRIED_LABELS("ab.cde", "\6ab.cde") == PASSES, "a dot in a label reads as one"); /* c-ares sees it */
    CHECK(TRIED_LABELS("ab.cde", "\1a\1b\3cde") == DROPPED, "a label ends early");
    CHECK(TRIED_LABELS("ab.cde", "\2ab\2cd") == DROPPED, "the last ends early");
    CHECK(TRIED_LABELS("ab.cde", "\2ab\5cde\0x") == DROPPED, "goes on after a NUL");
    CHECK(TRIED_LABELS("ab.cde", "\300\14") == DROPPED, "a pointer");
}

static void test_the_longest_label(void)
{
    char name[65], labels[65];
    for (int length = 63; length <= 64; length++) {
        memset(name, 'n', (size_t)length);
        name[length] = '\0';
        labels[0] = (char)length;
        memset(labels + 1, 'n', (size_t)length);
        CHECK(tried_labels(name, labels, (size_t)length + 1) == (length == 63 ? PASSES : DROPPED), "%d", length);
    }
}

/* Cut anywhere: whose it is shows from the first letter of the name on. */
static void test_cut_within_the_question(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message whole = gate_answer(a, RESPONSE);
    for (size_t length = 0; length < whole.length; length++) {
        gate_message m = whole;
        m.length = length;
        verdict is = tried(&m);
        CHECK(is == (length <= GATE_HEADER + 1 ? DROPPED : BLAMED), "%zu bytes: %d", length, is);
        CHECK(is != BLAMED || gate.blames == a, "another one");
        m.bytes[GATE_HEADER + 1] = 'x';
        m.length = length;
        CHECK(tried(&m) == DROPPED, "%zu bytes of another name", length);
    }
    CHECK(!a->handed_on && tried(&whole) == PASSES, "the true answer");
    gate_end();
}

/* ---- what is no answer ---- */

static void test_blamed_and_asked_for_still(void)
{
    static const struct {
        int from_end, at, byte;
        verdict is;
    } changed[] = {
        {0, 2, 0x04, BLAMED},  /* a query */
        {0, 2, 0x8c, BLAMED},  /* another opcode */
        {0, 2, 0xc4, BLAMED},  /* another one */
        {0, 5, 0, BLAMED},     /* no question */
        {0, 5, 2, BLAMED},     /* two */
        {0, 4, 1, BLAMED},     /* 257 */
        {1, 1, 3, BLAMED},     /* class CHAOS */
        {1, 2, 1, BLAMED},     /* class 257 */
        {1, 3, 16, DROPPED},   /* another type */
        {1, 4, 1, DROPPED},    /* type 257 */
        {0, 3, 0xff, PASSES},  /* any rcode and other flags */
    };
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        gate_message m = gate_answer(a, RESPONSE);
        m.bytes[changed[i].from_end ? m.length - (size_t)changed[i].at : (size_t)changed[i].at] =
            (unsigned char)changed[i].byte;
        CHECK(tried(&m) == changed[i].is, "change %zu", i);
        CHECK(a->handed_on == (changed[i].is == PASSES), "change %zu", i);
    }
    gate_end();
}

static void test_what_c_ares_cannot_parse(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, TXT, 5);
    gate.unparsable = true;
    CHECK(tried_of(a, RESPONSE) == BLAMED && gate.blames == a && !a->handed_on, "it passes");
    CHECK(tried_of(a, TRUNCATED_RESPONSE) == BLAMED && !a->handed_on, "it passes");
    gate.unparsable = false;
    CHECK(tried_of(a, RESPONSE) == PASSES && a->handed_on && gate.parsed == 3, "the true answer");
    gate_end();
}

/* ---- what c-ares is to see ---- */

/* It ends with its question, and says so. */
static void check_cut(const gate_message *m, const attempt *a, int flags)
{
    gate_message bare = gate_answer(a, flags);
    memset(bare.bytes + 6, 0, 6);
    CHECK(m->length == bare.length && memcmp(m->bytes, bare.bytes, bare.length) == 0, "%zu bytes", m->length);
}

static void test_a_truncated_answer(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, TRUNCATED_RESPONSE);
    gate_adds(&m, 9);
    CHECK(tried(&m) == PASSES && gate.parsed == 1 && gate.parsed_length == m.length, "not parsed");
    check_cut(&m, a, TRUNCATED_RESPONSE);
    CHECK(!a->handed_on && tried_of(a, RESPONSE) == PASSES, "the answer over TCP");
    gate_end();
}

static void test_a_negative_answer(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, RESPONSE);
    gate_adds(&m, 9);
    uint32_t length = (uint32_t)m.length;
    gate.negative = true;
    CHECK(tried(&m) == PASSES && gate.parsed == 0, "parsed twice");
    check_cut(&m, a, RESPONSE);
    CHECK(a->handed_on && a->negative.read && a->negative.soa_ttl == length, "not kept");
    gate_end();
}

/* ---- one read ---- */

static void test_only_so_many_at_once(void)
{
    gate_start();
    unsigned char buffer[512];
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, RESPONSE);
    for (int i = 0; i < 3; i++)
        gate_comes(i == 0 ? "" : "another's", i == 0 ? 0 : 9);
    gate_comes(m.bytes, m.length);
    gate.loop->to_read = 2;
    errno = 0;
    CHECK(gate_reads_datagram(buffer, sizeof buffer) == -1 && errno == EAGAIN, "it passes");
    CHECK(gate.read_count == 2 && gate.loop->to_read == 0, "%d are read", gate.read_count);
    CHECK(gate_reads_datagram(buffer, sizeof buffer) == -1 && gate.read_count == 2, "%d are read", gate.read_count);
    gate.loop->to_read = 8;
    CHECK(gate_reads_datagram(buffer, sizeof buffer) == (ssize_t)m.length && gate.loop->to_read == 6, "not read");
    gate_comes(NULL, ECONNREFUSED);
    CHECK(gate_reads_datagram(buffer, sizeof buffer) == -1 && errno == ECONNREFUSED, "errno %d", errno);
    CHECK(gate.loop->to_read == 6, "%d are left", gate.loop->to_read);
    gate_end();
}

int main(void)
{
    alarm(60);
    test_an_answer_passes_as_it_is();
    test_found_by_its_id();
    test_of_another_name();
    test_the_longest_label();
    test_cut_within_the_question();
    test_blamed_and_asked_for_still();
    test_what_c_ares_cannot_parse();
    test_a_truncated_answer();
    test_a_negative_answer();
    test_only_so_many_at_once();
    return check_result("front");
}
