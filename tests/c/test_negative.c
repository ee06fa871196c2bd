/* "Not listed" read from its bytes: what is read, and what is left to c-ares. */
#include "fanout_internal.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define QUESTION "\0011\002bl\007example\0\0\1\0\1"
#define HEAD(rcode, authorities) "\x12\x34\x84" rcode "\0\1\0\0\0" authorities "\0\0" QUESTION
#define NUMBERS "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\1\x2c"
#define ZONE "\xc0\x0e" /* bl.example, in the question */

enum { QUESTION_END = 12 + sizeof QUESTION - 1 };

/* A copy that ends with its block, so that a read past it is seen. */
static bool read_copy(const void *message, size_t length, dnsbl_negative *out)
{
    unsigned char *copy = malloc(length);
    CHECK(copy != NULL, "no memory");
    memcpy(copy, message, length);
    bool read = dnsbl_negative_read(copy, length, QUESTION_END, out);
    free(copy);
    CHECK(read == out->read, "%d, marked %d", read, out->read);
    return read;
}

#define READ(text, out) read_copy(text, sizeof(text) - 1, out)

static void no_record(void)
{
    dnsbl_negative seen = {0};
    CHECK(READ(HEAD("\x03", "\0"), &seen), "NXDOMAIN without a record");
    CHECK(seen.soa_ttl == DNSBL_NO_TTL && seen.soa_minimum == DNSBL_NO_TTL, "%u %u", seen.soa_ttl, seen.soa_minimum);
    CHECK(READ(HEAD("\x80", "\0"), &seen), "NOERROR without a record");
    CHECK(!READ(HEAD("\x03", "\0") "x", &seen), "a byte after the end");
}

static void one_soa(void)
{
    dnsbl_negative seen = {0};
    CHECK(READ(HEAD("\x03", "\1") ZONE "\0\6\0\1\0\0\0\x3c\0\x1f\2ns" ZONE "\3own" ZONE NUMBERS, &seen), "a SOA record");
    CHECK(seen.soa_ttl == 60 && seen.soa_minimum == 300, "%u %u", seen.soa_ttl, seen.soa_minimum);
    CHECK(READ(HEAD("\x03", "\1") "\0\0\6\0\1\xff\xff\xff\xff\0\x16\0\0" NUMBERS, &seen), "a SOA record of the root");
    CHECK(seen.soa_ttl == 0 && seen.soa_minimum == 300, "%u %u", seen.soa_ttl, seen.soa_minimum);
}

static void cut_anywhere(void)
{
    static const char whole[] = HEAD("\x03", "\1") ZONE "\0\6\0\1\0\0\0\x3c\0\x1f\2ns" ZONE "\3own" ZONE NUMBERS;
    for (size_t length = QUESTION_END; length < sizeof whole - 1; length++) {
        dnsbl_negative seen = {0};
        CHECK(!read_copy(whole, length, &seen), "cut after %zu bytes", length);
    }
}

static void left_to_cares(void)
{
    dnsbl_negative seen = {0};
    static const char soa[] = ZONE "\0\6\0\1\0\0\0\x3c\0\x18" ZONE ZONE NUMBERS;
    static const struct {
        const char *what;
        size_t at;
        char byte;
    } changes[] = {
        {"SERVFAIL", 3, 2},
        {"an answer", 7, 1},
        {"two authorities", 9, 2},
        {"256 authorities more", 8, 1},
        {"something additional", 11, 1},
        {"another type", QUESTION_END + 3, 2},
        {"another class", QUESTION_END + 5, 3},
        {"a longer record", QUESTION_END + 11, 0x19},
        {"a shorter record", QUESTION_END + 11, 0x17},
        {"a pointer into the header", QUESTION_END + 1, 11},
        {"a pointer to itself", QUESTION_END + 1, QUESTION_END},
        {"a pointer ahead", QUESTION_END + 1, QUESTION_END + 12},
        {"a label of an unknown kind", QUESTION_END, 0x40},
    };
    char message[QUESTION_END + sizeof soa - 1];
    for (size_t i = 0; i <= sizeof changes / sizeof *changes; i++) {
        memcpy(message, HEAD("\x03", "\1"), QUESTION_END);
        memcpy(message + QUESTION_END, soa, sizeof soa - 1);
        if (i == 0) {
            CHECK(read_copy(message, sizeof message, &seen), "as it is");
            continue;
        }
        message[changes[i - 1].at] = changes[i - 1].byte;
        CHECK(!read_copy(message, sizeof message, &seen), "%s was read", changes[i - 1].what);
    }
}

/* A name of 127 labels is the longest there is; pointers that lead back step by step count as well. */
static void long_names(void)
{
    enum { FIXED = 10, LABELS = 127 };
    unsigned char message[QUESTION_END + 2 * LABELS + 3 + FIXED + 2 + 20];
    for (int labels = LABELS; labels <= LABELS + 1; labels++) {
        dnsbl_negative seen = {0};
        unsigned char *at = message + QUESTION_END;
        memcpy(message, HEAD("\x03", "\1"), QUESTION_END);
        for (int i = 0; i < labels; i++, at += 2)
            memcpy(at, "\1a", 2);
        memcpy(at, "\0\0\6\0\1\0\0\0\x3c\0\x16\0\0" NUMBERS, 1 + FIXED + 2 + 20);
        bool read = read_copy(message, (size_t)(at - message) + 1 + FIXED + 2 + 20, &seen);
        CHECK(read == (labels == LABELS), "%d labels: %d", labels, read);
    }
}

int main(void)
{
    no_record();
    one_soa();
    cut_anywhere();
    left_to_cares();
    long_names();
    return check_result("negative");
}
