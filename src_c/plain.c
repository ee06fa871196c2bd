/* Taking in plain negatives. No I/O, no state, no lock. */
#include <math.h>
#include <string.h>

#include "plain.h"

#define NS_PER_S 1e9

void dnsbl_plain_begin(dnsbl_plain *plain)
{
    plain->zones = 0;
    plain->soonest = INFINITY;
    plain->latest = 0;
    plain->size = DNSBL_PLAIN_HEADER;
    plain->way_size = 0;
}

static void put(unsigned char *bytes, size_t *at, const void *value, size_t size)
{
    memcpy(bytes + *at, value, size);
    *at += size;
}

void dnsbl_plain_end(dnsbl_plain *plain)
{
    uint64_t notable = 0;
    size_t at = 0;
    put(plain->entry, &at, &plain->soonest, sizeof plain->soonest);
    put(plain->entry, &at, &plain->latest, sizeof plain->latest);
    put(plain->entry, &at, &plain->zones, sizeof plain->zones);
    put(plain->entry, &at, &notable, sizeof notable);
}

/* For how long it may be held (RFC 2308 section 5), 0 without an SOA. */
static double hold_s(const dnsbl_plain_rules *rules, const dnsbl_answer *answer)
{
    if (answer->soa_ttl == DNSBL_NO_TTL || answer->soa_minimum == DNSBL_NO_TTL)
        return 0;
    double ttl_s = answer->soa_ttl < answer->soa_minimum ? answer->soa_ttl : answer->soa_minimum;
    if (ttl_s < rules->ttl_min_s)
        ttl_s = rules->ttl_min_s;
    return ttl_s < rules->ttl_max_s ? ttl_s : rules->ttl_max_s;
}

static void count(const dnsbl_plain_rules *rules, uint64_t *counters, uint32_t latency_us)
{
    int low = 0, high = rules->buckets - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (latency_us < rules->bound_us[middle])
            high = middle;
        else
            low = middle + 1;
    }
    counters[low]++;
    uint64_t *total = counters + rules->buckets;
    total[1]++;
    if (++*total < rules->halve_at)
        return;
    *total = 0;
    for (int i = 0; i < rules->buckets; i++)
        *total += counters[i] /= 2;
}

bool dnsbl_plain_add(dnsbl_plain *plain, const dnsbl_plain_rules *rules, const dnsbl_answer *answer, int zone,
                     uint64_t *counters, double *answered_s, double now_s)
{
    bool is_no = answer->status == DNSBL_STATUS_NXDOMAIN || answer->status == DNSBL_STATUS_OK;
    if (!is_no || answer->address_count > 0 || answer->queries != 1)
        return false;
    double arrived = (double)answer->arrived / NS_PER_S, expires = arrived + hold_s(rules, answer);
    if (expires <= now_s)
        return false;
    unsigned char number = (unsigned char)zone, none = 0;
    put(plain->entry, &plain->size, &number, 1);
    put(plain->entry, &plain->size, &answer->status, 1);
    put(plain->entry, &plain->size, &answer->rcode, sizeof answer->rcode);
    put(plain->entry, &plain->size, &none, 1);
    put(plain->entry, &plain->size, &expires, sizeof expires);
    put(plain->way, &plain->way_size, &answer->latency_us, sizeof answer->latency_us);
    put(plain->way, &plain->way_size, &answer->server, sizeof answer->server);
    plain->zones |= (uint64_t)1 << zone;
    plain->soonest = expires < plain->soonest ? expires : plain->soonest;
    plain->latest = expires > plain->latest ? expires : plain->latest;
    if (arrived > *answered_s)
        *answered_s = arrived;
    count(rules, counters, answer->latency_us);
    return true;
}
