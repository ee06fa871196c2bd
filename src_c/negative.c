/* The answer that most lookups get, "not listed", read from its bytes: no I/O, no state, no memory.
 *
 * c-ares' parser makes some forty allocations for such a message, and the front would have it parsed twice. What is
 * taken here is less than what that parser takes: no record at all, or one SOA record that ends with the message.
 * Everything else is left to it (tests/fuzz/fuzz_answer.c holds the two against each other). RFC 1035 sections
 * 3.3.13 and 4.1. */
#include "fanout_internal.h"

enum {
    HEADER = 12,
    FIXED = 10, /* of a record, after its name: type, class, TTL, length */
    SOA_NUMBERS = 20,
    TYPE_SOA = 6,
    CLASS_IN = 1,
    RCODE_NXDOMAIN = 3,
    NAME_MAX = 254
};

static uint32_t long_at(const unsigned char *bytes)
{
    return (uint32_t)number_at(bytes) << 16 | number_at(bytes + 2);
}

/* Where the name at `at` ends; 0: it is not whole, or its pointers do not lead back. */
static size_t after_name(const unsigned char *message, size_t length, size_t at)
{
    size_t after = 0, before = at, seen = 0;
    while (at < length && seen <= NAME_MAX) {
        size_t label = message[at];
        if (label == 0)
            return after != 0 ? after : at + 1;
        if (label < 64) {
            seen += label + 1;
            at += label + 1;
            continue;
        }
        if (label < 0xc0 || at + 1 >= length)
            return 0;
        seen++; /* so that not thousands of pointers are followed */
        if (after == 0)
            after = at + 2;
        at = number_at(message + at) & 0x3fff;
        if (at < HEADER || at >= before)
            return 0;
        before = at;
    }
    return 0;
}

static bool read_soa(const unsigned char *message, size_t length, size_t at, dnsbl_negative *out)
{
    size_t data = after_name(message, length, at);
    if (data == 0 || length - data < FIXED)
        return false;
    const unsigned char *fixed = message + data;
    data += FIXED;
    if (number_at(fixed) != TYPE_SOA || number_at(fixed + 2) != CLASS_IN || number_at(fixed + 8) != length - data)
        return false;
    at = after_name(message, length, data);
    at = at == 0 ? 0 : after_name(message, length, at);
    if (at == 0 || length - at != SOA_NUMBERS)
        return false;
    out->soa_ttl = dnsbl_answer_usable_ttl(long_at(fixed + 4));
    out->soa_minimum = dnsbl_answer_usable_ttl(long_at(message + at + SOA_NUMBERS - 4));
    return true;
}

bool dnsbl_negative_read(const unsigned char *message, size_t length, size_t after_question, dnsbl_negative *out)
{
    unsigned rcode = message[3] & 0x0f, authority = number_at(message + 8);
    *out = (dnsbl_negative){.soa_ttl = DNSBL_NO_TTL, .soa_minimum = DNSBL_NO_TTL};
    if ((rcode != 0 && rcode != RCODE_NXDOMAIN) || number_at(message + 6) != 0 || number_at(message + 10) != 0)
        return false;
    if (authority == 0)
        out->read = after_question == length;
    else if (authority == 1)
        out->read = read_soa(message, length, after_question, out);
    return out->read;
}
