/* src_c/qname.c alone. Every input lies in a heap block of exactly its length, without a NUL, so that the
 * address sanitizer sees a read past its end; every output in a buffer with canaries around it. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "qname.h"

#define CANARY 0xA5
#define MARGIN 16
#define SIZES 257 /* output sizes 0 to 256 */

static const char ZONE[] = "bl.example.com";

/* A copy in a block of its own; one byte is allocated for length 0, and none of it may be read. */
static void *exact(const void *bytes, size_t len) {
    void *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, bytes, len);
    return copy;
}

static int parse(const char *text, uint8_t out[16], size_t *scope_at) {
    size_t len = strlen(text);
    char *copy = exact(text, len);
    int got = dnsbl_qname_parse(copy, len, out, scope_at);
    free(copy);
    return got;
}

typedef enum { REVERSE, JOIN, FORMAT } writer;

typedef struct {
    writer kind;
    const void *head; /* the address, or the name */
    size_t head_len;
    const char *zone;
} call;

static int run(const call *c, char *out, size_t out_size) {
    size_t zone_len = c->zone != NULL ? strlen(c->zone) : 0;
    void *head = exact(c->head, c->head_len);
    char *zone = exact(c->zone != NULL ? c->zone : "", zone_len);
    int got = c->kind == REVERSE ? dnsbl_qname_reverse(head, c->head_len, zone, zone_len, out, out_size)
              : c->kind == JOIN  ? dnsbl_qname_join(head, c->head_len, zone, zone_len, out, out_size)
                                 : dnsbl_qname_format(head, c->head_len, out, out_size);
    free(head);
    free(zone);
    return got;
}

/* Every size of output: enough gives the text and a NUL, too little gives ESPACE and not one byte. */
static void check_writes(const call *c, const char *expected) {
    unsigned char room[MARGIN + SIZES + MARGIN];
    size_t expected_len = strlen(expected);

    for (size_t size = 0; size < SIZES; size++) {
        memset(room, CANARY, sizeof room);
        int got = run(c, (char *)room + MARGIN, size);
        size_t written = 0;
        if (size > expected_len) {
            written = expected_len + 1;
            CHECK(got == (int)expected_len, "size %zu: %d for %s", size, got, expected);
            CHECK(memcmp(room + MARGIN, expected, written) == 0, "size %zu, not %s", size, expected);
        } else {
            CHECK(got == DNSBL_QNAME_ESPACE, "size %zu: %d for %s", size, got, expected);
        }
        for (size_t i = 0; i < sizeof room; i++)
            if (i < MARGIN || i >= MARGIN + written)
                CHECK(room[i] == CANARY, "size %zu: byte %zu touched for %s", size, i, expected);
    }
}

/* Every size of output gives the same error, and not one byte. */
static void check_refused(const call *c, int error) {
    unsigned char room[MARGIN + SIZES + MARGIN];

    for (size_t size = 0; size < SIZES; size++) {
        memset(room, CANARY, sizeof room);
        int got = run(c, (char *)room + MARGIN, size);
        CHECK(got == error, "size %zu: %d, not %d, zone '%s'", size, got, error, c->zone);
        for (size_t i = 0; i < sizeof room; i++)
            CHECK(room[i] == CANARY, "size %zu: byte %zu touched", size, i);
    }
}

static void reverse_is(const char *address, const char *zone, const char *expected) {
    uint8_t addr[16];
    int len = parse(address, addr, NULL);
    CHECK(len > 0, "%s", address);
    check_writes(&(call){REVERSE, addr, (size_t)len, zone}, expected);
}

static void test_reverse(void) {
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 2};

    reverse_is("192.0.2.99", ZONE, "99.2.0.192.bl.example.com");
    reverse_is("203.0.113.255", ZONE, "255.113.0.203.bl.example.com");
    reverse_is("128.0.2.200", ZONE, "200.2.0.128.bl.example.com");
    reverse_is("::ffff:192.0.2.99", ZONE, "99.2.0.192.bl.example.com");
    reverse_is("2001:db8::2", ZONE,
               "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example.com");
    reverse_is("::2", ZONE,
               "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example.com");
    check_writes(&(call){REVERSE, mapped, 16, ZONE},
                 "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example.com");
    for (size_t len = 0; len <= 20; len++)
        if (len != 4 && len != 16)
            check_refused(&(call){REVERSE, "01234567890123456789", len, ZONE}, DNSBL_QNAME_EADDR);
}

/* Each value of an octet in each place, against the C library's printf. */
static void test_every_octet(void) {
    char expected[DNSBL_QNAME_SIZE], out[DNSBL_QNAME_SIZE], text[DNSBL_QNAME_SIZE];

    for (int place = 0; place < 4; place++)
        for (int value = 0; value < 256; value++) {
            uint8_t addr[4] = {1, 22, 203, 0}, back[16];
            addr[place] = (uint8_t)value;
            snprintf(expected, sizeof expected, "%d.%d.%d.%d.%s", addr[3], addr[2], addr[1], addr[0], ZONE);
            int got = dnsbl_qname_reverse(addr, 4, ZONE, strlen(ZONE), out, sizeof out);
            CHECK(got == (int)strlen(expected) && strcmp(out, expected) == 0, "%s for %s", out, expected);
            snprintf(expected, sizeof expected, "%d.%d.%d.%d", addr[0], addr[1], addr[2], addr[3]);
            got = dnsbl_qname_format(addr, 4, text, sizeof text);
            CHECK(got == (int)strlen(expected) && strcmp(text, expected) == 0, "%s for %s", text, expected);
            CHECK(parse(text, back, NULL) == 4 && memcmp(back, addr, 4) == 0, "%s", text);
        }
}

static void test_zone_dots(void) {
    static const char *const dotted[] = {"bl.example",   ".bl.example",  "bl.example.",
                                         ".bl.example.", "..bl.example", "bl.example...."};
    static const char *const unusable[] = {"",          ".",          "....",       "bl..example",
                                           ".bl..example.", "bl. example", "bl.exam\nple", "bl.ex\\ample",
                                           "bl.ex\x7f",  "bl.\xc3\xa9", "b\t.example"};
    static const uint8_t addr[4] = {192, 0, 2, 99};

    for (size_t i = 0; i < sizeof dotted / sizeof *dotted; i++) {
        check_writes(&(call){REVERSE, addr, 4, dotted[i]}, "99.2.0.192.bl.example");
        check_writes(&(call){JOIN, "example.com", 11, dotted[i]}, "example.com.bl.example");
    }
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        check_refused(&(call){REVERSE, addr, 4, unusable[i]}, DNSBL_QNAME_ENAME);
        check_refused(&(call){JOIN, "example.com", 11, unusable[i]}, DNSBL_QNAME_ENAME);
    }
}

static void test_join(void) {
    static const char *const unusable[] = {"", ".", "a.", ".a", "a..b", "a b", "a\\.b", "\xff.example"};

    check_writes(&(call){JOIN, "TEST", 4, ZONE}, "TEST.bl.example.com");
    check_writes(&(call){JOIN, "_dnsbl_.test", 12, ZONE}, "_dnsbl_.test.bl.example.com");
    check_refused(&(call){JOIN, "a\0b", 3, ZONE}, DNSBL_QNAME_ENAME);
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++)
        check_refused(&(call){JOIN, unusable[i], strlen(unusable[i]), ZONE}, DNSBL_QNAME_ENAME);
}

/* `len` characters in labels of 31, the last of at most 32. */
static void fill_name(char *out, size_t len) {
    for (size_t i = 0; i < len; i++)
        out[i] = i % 32 == 31 && i + 1 < len ? '.' : 'a';
    out[len] = '\0';
}

static void test_lengths(void) {
    static const uint8_t ip4[4] = {192, 0, 2, 99}, ip6[16] = {0x20, 0x01, 0x0d, 0xb8};
    char name[400], zone[400], out[DNSBL_QNAME_SIZE], label[65];

    for (size_t zone_len = 1; zone_len < 300; zone_len++) {
        fill_name(zone, zone_len);
        int got = dnsbl_qname_reverse(ip4, 4, zone, zone_len, out, sizeof out);
        CHECK(got == (zone_len <= 242 ? 11 + (int)zone_len : DNSBL_QNAME_ELONG), "%zu: %d", zone_len, got);
        got = dnsbl_qname_reverse(ip6, 16, zone, zone_len, out, sizeof out);
        CHECK(got == (zone_len <= 189 ? 64 + (int)zone_len : DNSBL_QNAME_ELONG), "%zu: %d", zone_len, got);
        for (size_t name_len = 1; name_len < 300; name_len++) {
            size_t len = name_len + 1 + zone_len;
            fill_name(name, name_len);
            got = dnsbl_qname_join(name, name_len, zone, zone_len, out, sizeof out);
            CHECK(got == (len <= 253 ? (int)len : DNSBL_QNAME_ELONG), "%zu, %zu: %d", name_len, zone_len, got);
        }
    }
    memset(label, 'a', sizeof label);
    CHECK(dnsbl_qname_join(label, 63, ZONE, strlen(ZONE), out, sizeof out) == 78, "label of 63");
    CHECK(dnsbl_qname_join(label, 64, ZONE, strlen(ZONE), out, sizeof out) == DNSBL_QNAME_ENAME, "of 64");
    CHECK(dnsbl_qname_reverse(ip4, 4, label, 63, out, sizeof out) == 74, "zone label of 63");
    CHECK(dnsbl_qname_reverse(ip4, 4, label, 64, out, sizeof out) == DNSBL_QNAME_ENAME, "zone label of 64");
}

static void test_parse_refuses(void) {
    static const char *const bad[] = {
        "", ".", ":", "%", "192.0.2.010", "0300.0.2.1", "00.0.2.1", "192.0.2", "192.0.2.1.5", "192.0.2.256",
        "1922.0.2.1", " 192.0.2.1", "192.0.2.1 ", "192.0.2.1\n", "192.0.2.", ".192.0.2.1", "192..2.1",
        "0x1.0.2.1", "-1.0.2.1", "+1.0.2.1", "192.0.2.1%eth0", "192.0.2.1/24", "3221225985", "192.0.2.1.",
        ":::", ":1", "1:", "::1::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "12345::", "::g", "::1 ", " ::1", "[::1]", "2001:db8::1%eth0",
        "::1%lo", "ff02::1%eth0", "::192.0.2", "::192.0.2.256", "::192.0.2.01", "::1.2.3.4:5", "::.1.2.3",
        "1:2:3:4:5:6:7:192.0.2.1", "fe80::1%", "fe80::1%a%b", "fe80::1%a b", "fe80::1%9]]", "fe80::1%a/b",
        "fe80::1%0123456789abcdef", "fe80%eth0::1", "::ffff:192.0.2.1%eth0", "\xef\xbc\x91.0.2.1", "1:2"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t out[16];
        size_t scope_at = 77;
        memset(out, CANARY, sizeof out);
        CHECK(parse(bad[i], out, &scope_at) == DNSBL_QNAME_EADDR, "'%s'", bad[i]);
        CHECK(scope_at == 77, "'%s' left a scope", bad[i]);
        for (int byte = 0; byte < 16; byte++)
            CHECK(out[byte] == CANARY, "'%s' wrote byte %d", bad[i], byte);
    }
}

static void parses(const char *text, const char *canonical, size_t expected_scope_at) {
    uint8_t addr[16];
    size_t scope_at = 77;
    char out[DNSBL_QNAME_ADDR_TEXT_SIZE];
    int len = parse(text, addr, &scope_at);

    CHECK(len == 4 || len == 16, "%s: %d", text, len);
    CHECK(scope_at == expected_scope_at, "%s: scope at %zu", text, scope_at);
    if (len > 0 && dnsbl_qname_format(addr, (size_t)len, out, sizeof out) > 0)
        CHECK(strcmp(out, canonical) == 0, "%s: %s, not %s", text, out, canonical);
}

static void test_parse_accepts(void) {
    parses("0.0.0.0", "0.0.0.0", 0);
    parses("255.255.255.255", "255.255.255.255", 0);
    parses("::", "::", 0);
    parses("::1", "::1", 0);
    parses("1::", "1::", 0);
    parses("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 0);
    parses("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", 0);
    parses("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", 0);
    parses("1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201", 0);
    parses("64:ff9b::192.0.2.33", "64:ff9b::c000:221", 0);
    parses("2001:0DB8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1", 0);
    parses("::FFFF:C000:263", "192.0.2.99", 0);
    parses("0:0:0:0:0:ffff:255.255.255.255", "255.255.255.255", 0);
    parses("fe80::1%eth0", "fe80::1", 8);
    parses("febf::%9", "febf::", 7);
    parses("fe80:0001:0002:0003:0004:0005:0006:0007%0123456789abcde", "fe80:1:2:3:4:5:6:7", 40);
}

/* Every address the C library writes is read, and what it reads is written and read again. Zero bytes
 * are frequent, so that runs of them come in every place. */
static void test_round_trip(void) {
    unsigned state = 1;
    char text[INET6_ADDRSTRLEN], out[DNSBL_QNAME_ADDR_TEXT_SIZE];

    for (int round = 0; round < 100000; round++) {
        uint8_t addr[16], back[16];
        for (int i = 0; i < 16; i++) {
            state = state * 1664525u + 1013904223u;
            addr[i] = state >> 30 == 0 ? (uint8_t)(state >> 16) : 0;
        }
        addr[0] |= 1; /* never in ::/96, where inet_ntop writes the old dotted form */
        CHECK(inet_ntop(AF_INET6, addr, text, sizeof text) != NULL, "inet_ntop");
        CHECK(parse(text, back, NULL) == 16 && memcmp(addr, back, 16) == 0, "%s", text);
        CHECK(dnsbl_qname_format(addr, 16, out, sizeof out) == (int)strlen(text), "%s for %s", out, text);
        CHECK(strcmp(out, text) == 0, "%s, not %s", out, text);
    }
}

/* Random strings of an address's characters: whatever is read is what inet_pton reads. */
static void test_parse_fuzz(void) {
    static const char alphabet[] = "01259afF:::..%";
    unsigned state = 2;

    for (int round = 0; round < 300000; round++) {
        char text[24];
        uint8_t ours[16], theirs[16];
        state = state * 1664525u + 1013904223u;
        size_t len = (state >> 16) % (sizeof text - 1);
        for (size_t i = 0; i < len; i++) {
            state = state * 1664525u + 1013904223u;
            text[i] = alphabet[(state >> 16) % (sizeof alphabet - 1)];
        }
        text[len] = '\0';
        bool scoped = strchr(text, '%') != NULL;
        int got = parse(text, ours, NULL);
        if (got == 4 && strchr(text, ':') == NULL)
            CHECK(inet_pton(AF_INET, text, theirs) == 1 && memcmp(ours, theirs, 4) == 0, "%s", text);
        else if (got == 4)
            CHECK(inet_pton(AF_INET6, text, theirs) == 1 && memcmp(ours, theirs + 12, 4) == 0, "%s", text);
        else if (got == 16 && !scoped)
            CHECK(inet_pton(AF_INET6, text, theirs) == 1 && memcmp(ours, theirs, 16) == 0, "%s", text);
        else if (got < 0 && !scoped)
            CHECK(inet_pton(AF_INET, text, theirs) != 1 && inet_pton(AF_INET6, text, theirs) != 1, "%s", text);
    }
}

static void test_format(void) {
    uint8_t addr[16];

    CHECK(parse("ff0f:ff0f:ff0f:ff0f:ff0f:ff0f:ff0f:ff0f", addr, NULL) == 16, "parse");
    check_writes(&(call){FORMAT, addr, 16, NULL}, "ff0f:ff0f:ff0f:ff0f:ff0f:ff0f:ff0f:ff0f");
    CHECK(parse("255.255.255.255", addr, NULL) == 4, "parse");
    check_writes(&(call){FORMAT, addr, 4, NULL}, "255.255.255.255");
    memset(addr, 0, sizeof addr);
    check_writes(&(call){FORMAT, addr, 16, NULL}, "::");
    memset(addr + 10, 0xff, 6);
    check_writes(&(call){FORMAT, addr, 16, NULL}, "::ffff:255.255.255.255");
    check_refused(&(call){FORMAT, addr, 5, NULL}, DNSBL_QNAME_EADDR);
}

static void test_is_local(void) {
    static const struct {
        const char *text;
        int local;
    } cases[] = {
        {"0.0.0.0", 1},        {"0.255.255.255", 1},   {"1.0.0.0", 0},         {"9.255.255.255", 0},
        {"10.0.0.0", 1},       {"10.255.255.255", 1},  {"11.0.0.0", 0},        {"100.63.255.255", 0},
        {"100.64.0.0", 1},     {"100.127.255.255", 1}, {"100.128.0.0", 0},     {"126.255.255.255", 0},
        {"127.0.0.0", 1},      {"127.0.0.1", 0},       {"127.0.0.2", 0},       {"127.0.0.3", 1},
        {"127.1.0.1", 1},      {"127.0.1.2", 1},       {"127.255.255.255", 1}, {"128.0.0.0", 0},
        {"169.253.255.255", 0}, {"169.254.0.0", 1},    {"169.254.255.255", 1}, {"169.255.0.0", 0},
        {"172.15.255.255", 0}, {"172.16.0.0", 1},      {"172.31.255.255", 1},  {"172.32.0.0", 0},
        {"192.0.2.1", 0},      {"192.167.255.255", 0}, {"192.168.0.0", 1},     {"192.168.255.255", 1},
        {"192.169.0.0", 0},    {"198.51.100.1", 0},    {"203.0.113.1", 0},     {"223.255.255.255", 0},
        {"224.0.0.0", 1},      {"255.255.255.255", 1}, {"::", 1},              {"::1", 1},
        {"::2", 0},            {"1::", 0},             {"100::1", 0},          {"2001:db8::1", 0},
        {"fbff:ffff::", 0},    {"fc00::", 1},          {"fdff:ffff::1", 1},    {"fe00::", 0},
        {"fe7f:ffff::", 0},    {"fe80::", 1},          {"febf::1", 1},         {"fec0::", 0},
        {"feff::", 0},         {"ff00::", 1},          {"ffff::1", 1},
    };
    uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t addr[16];
        int len = parse(cases[i].text, addr, NULL);
        CHECK(len > 0 && dnsbl_qname_is_local(addr, (size_t)len) == cases[i].local, "%s", cases[i].text);
        if (len == 4) {
            memcpy(mapped + 12, addr, 4);
            CHECK(dnsbl_qname_is_local(mapped, 16) == cases[i].local, "::ffff:%s", cases[i].text);
        }
    }
    for (size_t len = 0; len < 20; len++)
        if (len != 4 && len != 16)
            CHECK(dnsbl_qname_is_local((const uint8_t *)"01234567890123456789", len) == DNSBL_QNAME_EADDR,
                  "%zu bytes", len);
}

static void *reverse_many(void *seed) {
    char out[DNSBL_QNAME_SIZE], expected[DNSBL_QNAME_SIZE];
    int number = *(const int *)seed;

    for (int i = 0; i < 20000; i++) {
        uint8_t addr[4] = {192, (uint8_t)number, (uint8_t)(i >> 8), (uint8_t)i};
        snprintf(expected, sizeof expected, "%d.%d.%d.192.%s", addr[3], addr[2], addr[1], ZONE);
        int got = dnsbl_qname_reverse(addr, 4, ZONE, strlen(ZONE), out, sizeof out);
        CHECK(got == (int)strlen(expected) && strcmp(out, expected) == 0, "%s, not %s", out, expected);
    }
    return NULL;
}

/* No hidden state: threads at once give each its own names. */
static void test_threads(void) {
    pthread_t threads[8];
    int seeds[8];

    for (int i = 0; i < 8; i++) {
        seeds[i] = i;
        if (pthread_create(&threads[i], NULL, reverse_many, &seeds[i]) != 0)
            abort();
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    test_reverse();
    test_every_octet();
    test_zone_dots();
    test_join();
    test_lengths();
    test_parse_refuses();
    test_parse_accepts();
    test_round_trip();
    test_parse_fuzz();
    test_format();
    test_is_local();
    test_threads();
    return check_result("qname");
}
