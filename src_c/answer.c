/* Reading what c-ares parsed into an answer: records, TTLs and rcode. No I/O, no state. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fanout_internal.h"

/* c-ares' public numbers (ares_dns_record.h of 1.34). */
enum {
    SECTION_ANSWER = 1,
    SECTION_AUTHORITY = 2,
    CLASS_IN = 1,
    TYPE_NS = 2,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    KEY_A_ADDRESS = 101,
    KEY_CNAME = 501,
    KEY_SOA_MINIMUM = 607,
    KEY_TXT_DATA = 1601
};

enum { RCODE_NXDOMAIN = 3, RCODE_REFUSED = 5, RCODE_UNKNOWN = 255 };

/* c-ares' status for each rcode up to 5 (ares.h: ARES_SUCCESS, _EFORMERR, _ESERVFAIL, _ENOTFOUND, ...);
 * ARES_ENODATA is NOERROR without an answer. */
int dnsbl_answer_rcode(const dnsbl_cares *cares, int status, const void *record)
{
    if (cares->record_get_rcode != NULL)
        return cares->record_get_rcode(record);
    switch (status) {
    case 1: return 0;
    case 2: return 1;
    case 3: return 2;
    case 4: return RCODE_NXDOMAIN;
    case 5: return 4;
    case 6: return RCODE_REFUSED;
    default: break;
    }
    /* Rcodes above 5 come as status 0 too, then without an answer. */
    return cares->record_rr_cnt(record, SECTION_ANSWER) > 0 ? 0 : RCODE_UNKNOWN;
}

dnsbl_status dnsbl_answer_status(int rcode)
{
    switch (rcode) {
    case 0: return DNSBL_STATUS_OK;
    case RCODE_NXDOMAIN: return DNSBL_STATUS_NXDOMAIN;
    case RCODE_REFUSED: return DNSBL_STATUS_REFUSED;
    default: return DNSBL_STATUS_RCODE;
    }
}

/* RFC 2181 section 8: a TTL with the top bit set is zero. */
uint32_t dnsbl_answer_usable_ttl(uint32_t ttl)
{
    return ttl & 0x80000000u ? 0 : ttl;
}

static void lower_ttl(dnsbl_answer *answer, uint32_t ttl)
{
    ttl = dnsbl_answer_usable_ttl(ttl);
    if (answer->ttl == DNSBL_NO_TTL || ttl < answer->ttl)
        answer->ttl = ttl;
}

/* The strings of one record, joined without a space, cut at DNSBL_FANOUT_MAX_TEXT; their length. */
static size_t join_text(const dnsbl_cares *cares, const void *rr, unsigned char *out)
{
    size_t length = 0, strings = cares->rr_get_abin_cnt(rr, KEY_TXT_DATA);
    for (size_t i = 0; i < strings && length < DNSBL_FANOUT_MAX_TEXT; i++) {
        size_t size = 0;
        const unsigned char *data = cares->rr_get_abin(rr, KEY_TXT_DATA, i, &size);
        if (data == NULL)
            continue;
        if (size > DNSBL_FANOUT_MAX_TEXT - length)
            size = DNSBL_FANOUT_MAX_TEXT - length;
        memcpy(out + length, data, size);
        length += size;
    }
    return length;
}

static int compare_text(const unsigned char *a, size_t a_length, const unsigned char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* Kept sorted and without doubles, so that which are kept does not depend on the order they came in. */
static bool read_text(const dnsbl_cares *cares, dnsbl_answer *answer, const void *rr)
{
    enum { SIZE = DNSBL_FANOUT_MAX_TEXT, LAST = DNSBL_FANOUT_MAX_TEXTS - 1 };
    unsigned char text[SIZE];
    if (answer->text == NULL && (answer->text = malloc((size_t)DNSBL_FANOUT_MAX_TEXTS * SIZE)) == NULL)
        return false;
    size_t length = join_text(cares, rr, text);
    int at = 0, order = 1;
    for (; at < answer->text_count; at++)
        if ((order = compare_text(text, length, answer->text + at * SIZE, answer->text_length[at])) <= 0)
            break;
    if (order == 0 || at > LAST)
        return true;
    if (answer->text_count <= LAST)
        answer->text_count++;
    for (int i = answer->text_count - 1; i > at; i--) {
        memcpy(answer->text + i * SIZE, answer->text + (i - 1) * SIZE, answer->text_length[i - 1]);
        answer->text_length[i] = answer->text_length[i - 1];
    }
    memcpy(answer->text + at * SIZE, text, length);
    answer->text_length[at] = (uint16_t)length;
    return true;
}

/* `room`: how many records the answer has. */
static bool read_address(const dnsbl_cares *cares, dnsbl_answer *answer, const void *rr, size_t room)
{
    const struct in_addr *address = cares->rr_get_addr(rr, KEY_A_ADDRESS);
    if (address == NULL || answer->address_count == DNSBL_FANOUT_MAX_ADDRESSES)
        return true;
    if (answer->address == NULL && (answer->address = malloc(room * sizeof *answer->address)) == NULL)
        return false;
    answer->address[answer->address_count++] = ntohl(address->s_addr);
    return true;
}

/* ---- whose records ---- */

static bool same_name(const char *a, const char *b)
{
    size_t length = strlen(a), other = strlen(b);
    length -= length > 0 && a[length - 1] == '.';
    other -= other > 0 && b[other - 1] == '.';
    return length == other && strncasecmp(a, b, length) == 0;
}

static bool is_of(const dnsbl_cares *cares, const void *rr, const char *owner)
{
    if (cares->rr_get_name == NULL)
        return true;
    const char *name = cares->rr_get_name(rr);
    return cares->rr_get_class(rr) == CLASS_IN && name != NULL && same_name(name, owner);
}

/* The end of the chain of aliases that begins at `name`. A ring of aliases ends where it was entered for the
 * second time, with no record there. */
static const char *end_of_chain(const dnsbl_cares *cares, const void *record, const char *name, size_t count)
{
    for (size_t hop = 0; hop < count && cares->rr_get_name != NULL; hop++) {
        const char *next = NULL;
        for (size_t i = 0; i < count && next == NULL; i++) {
            const void *rr = cares->record_rr_get_const(record, SECTION_ANSWER, i);
            if (rr != NULL && cares->rr_get_type(rr) == TYPE_CNAME && is_of(cares, rr, name))
                next = cares->rr_get_str(rr, KEY_CNAME);
        }
        if (next == NULL)
            break;
        name = next;
    }
    return name;
}

/* Reads the negative TTL of an answer; false: it is a referral to other nameservers, and no answer. */
static bool read_authority(const dnsbl_cares *cares, dnsbl_answer *answer, const void *record, bool empty)
{
    bool delegates = false;
    size_t count = cares->record_rr_cnt(record, SECTION_AUTHORITY);
    for (size_t i = 0; i < count; i++) {
        const void *rr = cares->record_rr_get_const(record, SECTION_AUTHORITY, i);
        int type = rr == NULL ? 0 : cares->rr_get_type(rr);
        delegates |= type == TYPE_NS;
        if (type != TYPE_SOA)
            continue;
        answer->soa_ttl = dnsbl_answer_usable_ttl(cares->rr_get_ttl(rr));
        answer->soa_minimum = dnsbl_answer_usable_ttl(cares->rr_get_u32(rr, KEY_SOA_MINIMUM));
        return true;
    }
    return !(delegates && empty);
}

static void clear(dnsbl_answer *answer)
{
    answer->ttl = answer->soa_ttl = answer->soa_minimum = DNSBL_NO_TTL;
    answer->address_count = answer->text_count = 0;
}

void dnsbl_answer_take_negative(dnsbl_answer *answer, const dnsbl_negative *negative)
{
    clear(answer);
    answer->soa_ttl = negative->soa_ttl;
    answer->soa_minimum = negative->soa_minimum;
}

dnsbl_reading dnsbl_answer_read(const dnsbl_cares *cares, dnsbl_answer *answer, const question *q,
                                const void *record)
{
    clear(answer);
    size_t count = cares->record_rr_cnt(record, SECTION_ANSWER), foreign = 0;
    const char *owner = end_of_chain(cares, record, q->name, count);
    for (size_t i = 0; i < count; i++) {
        const void *rr = cares->record_rr_get_const(record, SECTION_ANSWER, i);
        int type = rr == NULL ? 0 : cares->rr_get_type(rr);
        if (type == TYPE_CNAME) /* an alias that leads to the answer limits its life as well */
            lower_ttl(answer, cares->rr_get_ttl(rr));
        if (type != q->type)
            continue;
        if (!is_of(cares, rr, owner)) {
            foreign++;
            continue;
        }
        lower_ttl(answer, cares->rr_get_ttl(rr));
        if (type == DNSBL_TYPE_A ? !read_address(cares, answer, rr, count) : !read_text(cares, answer, rr))
            return DNSBL_READ_NO_MEMORY;
    }
    if (foreign > 0 && answer->address_count == 0 && answer->text_count == 0)
        return DNSBL_READ_UNUSABLE;
    bool empty = count == 0 && dnsbl_answer_rcode(cares, 0, record) == 0;
    return read_authority(cares, answer, record, empty) ? DNSBL_READ_WHOLE : DNSBL_READ_UNUSABLE;
}
