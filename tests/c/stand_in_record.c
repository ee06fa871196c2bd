/* The stand-in's records, read as c-ares' accessors read its own. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "check.h"
#include "stand_in.h"

static int get_rcode(const void *record)
{
    return ((const stand_in_record *)record)->rcode;
}

static size_t rr_cnt(const void *record, int section)
{
    const stand_in_record *r = record;
    return section == 1 ? r->answers : section == 2 ? r->authorities : 0;
}

static const void *rr_get_const(const void *record, int section, size_t index)
{
    const stand_in_record *r = record;
    return index >= rr_cnt(record, section) ? NULL : &r->rr[section == 1 ? index : r->answers + index];
}

static int rr_type(const void *rr)
{
    return ((const stand_in_rr *)rr)->type;
}

static unsigned int rr_ttl(const void *rr)
{
    return ((const stand_in_rr *)rr)->ttl;
}

static const void *rr_addr(const void *rr, int key)
{
    static _Thread_local struct in_addr address; /* only the loop thread reads records */
    CHECK(key == 101 && rr_type(rr) == SI_A, "key %d", key);
    address.s_addr = htonl(((const stand_in_rr *)rr)->number);
    return &address;
}

static unsigned int rr_u32(const void *rr, int key)
{
    CHECK(key == 607 && rr_type(rr) == SI_SOA, "key %d", key);
    return ((const stand_in_rr *)rr)->number;
}

static size_t rr_abin_cnt(const void *rr, int key)
{
    size_t count = 0;
    CHECK(key == 1601 && rr_type(rr) == SI_TXT, "key %d", key);
    while (count < 4 && ((const stand_in_rr *)rr)->string[count].bytes != NULL)
        count++;
    return count;
}

static const unsigned char *rr_abin(const void *rr, int key, size_t index, size_t *length)
{
    CHECK(key == 1601, "key %d", key);
    *length = ((const stand_in_rr *)rr)->string[index].length;
    return (const unsigned char *)((const stand_in_rr *)rr)->string[index].bytes;
}

void stand_in_record_table(dnsbl_cares *table)
{
    table->record_get_rcode = get_rcode;
    table->record_rr_cnt = rr_cnt;
    table->record_rr_get_const = rr_get_const;
    table->rr_get_type = rr_type;
    table->rr_get_ttl = rr_ttl;
    table->rr_get_addr = rr_addr;
    table->rr_get_u32 = rr_u32;
    table->rr_get_abin_cnt = rr_abin_cnt;
    table->rr_get_abin = rr_abin;
}
