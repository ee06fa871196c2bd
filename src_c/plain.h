/* Plain negatives: answers that say no and nothing else, taken in without an object for each.
 *
 * Most lookups end with every zone saying so. What is to be done with such an answer is always the same: count it,
 * note that its zone answers, and hold it until its time is up. All numbers that this depends on are given by the
 * caller, who reads the counters as well: nothing here decides anything. */
#ifndef DNSBL_PLAIN_H
#define DNSBL_PLAIN_H

#include "fanout.h"

enum {
    DNSBL_PLAIN_HEADER = 32, /* bytes; the form is that of dnsbl/cache/entry.py */
    DNSBL_PLAIN_PART = 13,
    DNSBL_PLAIN_WAY = 6
};

/* A zone's counters, in one array: the buckets of a histogram of latencies, how many are in it, how many answers
 * were plain, how many questions were asked. */
typedef struct {
    double ttl_min_s, ttl_max_s;
    const uint64_t *bound_us; /* of each bucket but the last: what lies below is in it or in one before */
    int buckets;
    uint64_t halve_at;        /* then all buckets of a zone are halved, so that they follow the present */
} dnsbl_plain_rules;

typedef struct {
    uint64_t zones; /* a bit mask: whose answers were plain, and are taken in */
    double soonest, latest; /* of their expiries */
    size_t size, way_size;
    unsigned char entry[DNSBL_PLAIN_HEADER + DNSBL_FANOUT_MAX_QUESTIONS * DNSBL_PLAIN_PART]; /* to be cached */
    unsigned char way[DNSBL_FANOUT_MAX_QUESTIONS * DNSBL_PLAIN_WAY]; /* of each: latency, nameserver */
} dnsbl_plain;

void dnsbl_plain_begin(dnsbl_plain *plain);

/* Whether an answer is a plain no that may be held at `now_s`; then it is counted in `counters` of its zone,
 * `answered_s` (when the zone last answered) is moved on, and it is added to `plain`. */
bool dnsbl_plain_add(dnsbl_plain *plain, const dnsbl_plain_rules *rules, const dnsbl_answer *answer, int zone,
                     uint64_t *counters, double *answered_s, double now_s);

void dnsbl_plain_end(dnsbl_plain *plain);

#endif
