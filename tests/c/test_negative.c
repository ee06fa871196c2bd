/* "Not listed" read from its bytes: what is read, and what is left to c-ares. */
#include "fanout_internal.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define QUESTION "\0011\002bl\007example\0\0\1\0\1"
#define HEAD(rcode, authorities) "\x12\x34\x84" rcode "\0\1\0\0\0" authorities "\0\0" QUESTION
#define NUMBERS "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\1\x2c"
#define ASKED "\xc0\x0c" /* 1.bl.example, in the question */
#define ZONE "\xc0\x0e"  /* bl.example */

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
    CHECK(READ(HEAD("\x03", "\1") ZONE "\0\6\0\1\0\1\0\x3c\0\x1f\2ns" ZONE "\3own" ZONE NUMBERS, &seen), "a SOA record");
    CHECK(seen.soa_ttl == 65596 && seen.soa_minimum == 300, "%u %u", seen.soa_ttl, seen.soa_minimum);
    CHECK(READ(HEAD("\x03", "\1") ASKED "\0\6\0\1\0\0\0\x3c\0\x16\0\0" NUMBERS, &seen), "of the name asked");
    CHECK(READ(HEAD("\x03", "\1") "\0\0\6\0\1\xff\xff\xff\xff\0\x16\0\0" NUMBERS, &seen), "a SOA record of the root");
    CHECK(seen.soa_ttl == 0 && seen.soa_minimum == 300, "%u %u", seen.soa_ttl, seen.soa_minimum);
}

/* The record's length is right, what it holds is not. */
static void another_soa(void)
{
    dnsbl_negative seen = {0};
    CHECK(!READ(HEAD("\x03", "\1") ASKED "\0\6\0\1\0\0\0\x3c\0\x1a\0\0" NUMBERS "\0\0\0\5", &seen), "six numbers");
    CHECK(!READ(HEAD("\x03", "\1") ASKED "\0\6\0\1\0\0\0\x3c\0\x06\0\0\0\0\0\1", &seen), "one number");
    /* A first name of an unknown kind; from the message's first byte a name leads to the end of the second. */
    char message[] = HEAD("\x03", "\1") "\0\0\6\0\1\0\0\0\x3c\0\x16\x40\0" NUMBERS;
    enum { LENGTH = sizeof message - 1 };
    message[0] = LENGTH - 20 - 2;
    CHECK(!read_copy(message, LENGTH, &seen), "a name of an unknown kind");
    message[LENGTH - 20 - 2] = 0;
    CHECK(read_copy(message, LENGTH, &seen), "the same, and the name is the root's");
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
        {"256 answers", 6, 1},
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

/* Labels of a letter each, after a first one of `first` letters, take up 254 bytes in the longest name. */
static bool reads_name(int first, int labels)
{
    enum { LONGEST = 300, AFTER = 1 + 10 + 2 + 20 };
    unsigned char message[QUESTION_END + LONGEST + AFTER] = {0}, *at = message + QUESTION_END;
    dnsbl_negative seen = {0};
    memcpy(message, HEAD("\x03", "\1"), QUESTION_END);
    for (int i = 0; i < labels; i++) {
        int letters = i == 0 ? first : 1;
        *at++ = (unsigned char)letters;
        memset(at, 'a', (size_t)letters);
        at += letters;
    }
    memcpy(at, "\0\0\6\0\1\0\0\0\x3c\0\x16\0\0" NUMBERS, AFTER);
    return read_copy(message, (size_t)(at - message) + AFTER, &seen);
}

static void long_names(void)
{
    CHECK(reads_name(1, 127), "254 bytes");
    CHECK(!reads_name(2, 127), "255 bytes");
    CHECK(!reads_name(1, 128), "256 bytes");
    CHECK(reads_name(63, 1), "a label of 63 letters");
}

/* A name may not go back and then on again: here by way of the TTL, to the zero byte of the record's length. */
static void back_and_on(void)
{
    enum { TTL = QUESTION_END + 5, LENGTH = QUESTION_END + 9 };
    const unsigned char soa[] = {0,    0,       6, 0, 1, 0xc0, LENGTH, 0, 0, 0, 23, 0xc0, TTL, 0, 0, 0, 0, 1,
                                 0,    0,       0, 2, 0, 0,    0,      3, 0, 0, 0,  4,    0,   0, 1, 0x2c};
    unsigned char message[QUESTION_END + sizeof soa];
    dnsbl_negative seen = {0};
    memcpy(message, HEAD("\x03", "\1"), QUESTION_END);
    memcpy(message + QUESTION_END, soa, sizeof soa);
    CHECK(!read_copy(message, sizeof message, &seen), "was read");
    message[QUESTION_END + 12] = 12; /* instead of the TTL: the question's name */
    CHECK(read_copy(message, sizeof message, &seen), "the same without it");
}

int main(void)
{
    no_record();
    one_soa();
    another_soa();
    cut_anywhere();
    left_to_cares();
    long_names();
    back_and_on();
    return check_result("negative");
}
