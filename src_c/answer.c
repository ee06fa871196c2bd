/* Reading what c-ares parsed into an answer: records, TTLs and rcode. No I/O, no state. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fanout_internal.h"

/* c-ares' public numbers (ares_dns_record.h of 1.34). */
enum {
    SECTION_ANSWER = 1,
    SECTION_AUTHORITY = 2,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    KEY_A_ADDRESS = 101,
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
static uint32_t usable_ttl(uint32_t ttl)
{
    return ttl & 0x80000000u ? 0 : ttl;
}

static void lower_ttl(dnsbl_answer *answer, uint32_t ttl)
{
    ttl = usable_ttl(ttl);
    if (answer->ttl == DNSBL_NO_TTL || ttl < answer->ttl)
        answer->ttl = ttl;
}

/* The strings of one record, joined without a space, cut at DNSBL_FANOUT_MAX_TEXT. */
static bool read_text(const dnsbl_cares *cares, dnsbl_answer *answer, const void *rr)
{
    if (answer->text_count == DNSBL_FANOUT_MAX_TEXTS)
        return true;
    size_t start = 0, length = 0, strings = cares->rr_get_abin_cnt(rr, KEY_TXT_DATA);
    for (int i = 0; i < answer->text_count; i++)
        start += answer->text_length[i];
    if (answer->text == NULL) {
        answer->text = malloc((size_t)DNSBL_FANOUT_MAX_TEXTS * DNSBL_FANOUT_MAX_TEXT);
        if (answer->text == NULL)
            return false;
    }
    for (size_t i = 0; i < strings && length < DNSBL_FANOUT_MAX_TEXT; i++) {
        size_t size = 0;
        const unsigned char *data = cares->rr_get_abin(rr, KEY_TXT_DATA, i, &size);
        if (data == NULL)
            continue;
        if (size > DNSBL_FANOUT_MAX_TEXT - length)
            size = DNSBL_FANOUT_MAX_TEXT - length;
        memcpy(answer->text + start + length, data, size);
        length += size;
    }
    answer->text_length[answer->text_count++] = (uint16_t)length;
    return true;
}

static void read_address(const dnsbl_cares *cares, dnsbl_answer *answer, const void *rr)
{
    const struct in_addr *address = cares->rr_get_addr(rr, KEY_A_ADDRESS);
    if (address == NULL || answer->address_count == DNSBL_FANOUT_MAX_ADDRESSES)
        return;
    answer->address[answer->address_count++] = ntohl(address->s_addr);
}

bool dnsbl_answer_read(const dnsbl_cares *cares, dnsbl_answer *answer, dnsbl_qtype type, const void *record)
{
    answer->ttl = answer->soa_ttl = answer->soa_minimum = DNSBL_NO_TTL;
    size_t count = cares->record_rr_cnt(record, SECTION_ANSWER);
    for (size_t i = 0; i < count; i++) {
        const void *rr = cares->record_rr_get_const(record, SECTION_ANSWER, i);
        int rr_type = rr == NULL ? 0 : cares->rr_get_type(rr);
        /* An alias that leads to the answer limits its life as well. */
        if (rr_type == (int)type || rr_type == TYPE_CNAME)
            lower_ttl(answer, cares->rr_get_ttl(rr));
        if (rr_type != (int)type)
            continue;
        if (type == DNSBL_TYPE_A)
            read_address(cares, answer, rr);
        else if (!read_text(cares, answer, rr))
            return false;
    }
    count = cares->record_rr_cnt(record, SECTION_AUTHORITY);
    for (size_t i = 0; i < count; i++) {
        const void *rr = cares->record_rr_get_const(record, SECTION_AUTHORITY, i);
        if (rr == NULL || cares->rr_get_type(rr) != TYPE_SOA)
            continue;
        answer->soa_ttl = usable_ttl(cares->rr_get_ttl(rr));
        answer->soa_minimum = usable_ttl(cares->rr_get_u32(rr, KEY_SOA_MINIMUM));
        break;
    }
    return true;
}
