/* Fan-out: many DNS questions at once over c-ares, in one thread that never holds Python's lock.
 *
 * What it does: takes a fan (up to 64 questions asked together), sends them, asks again what is not
 * answered, changes nameservers when one fails, writes the answer of each question, and wakes whoever waits.
 * What it does not do: it knows no blocklist rules, keeps no cache and calls nothing of Python.
 *
 * c-ares carries each attempt: one query, one nameserver, no retry of its own. Time is kept here, because
 * c-ares ends an attempt after five times the mean latency (at least 250 ms) and then drops its answer, so a
 * slow list behind a fast nameserver would never be heard.
 *
 * Threads: the loop thread is the only one that calls c-ares, and the only one that writes answers. While it has
 * nothing to do, one who waits may take its place (dnsbl_fanout_take_over): two thread switches less a lookup.
 * "Any thread" below means any thread, with or without Python's lock, but not from a c-ares callback.
 *
 * Ownership: fans, tickets and completion queues are counted; every function that hands one out gives the caller
 * a reference of its own, to be returned with the matching _release.
 *
 * All times are nanoseconds; points in time are on CLOCK_MONOTONIC, see dnsbl_fanout_now.
 */
#ifndef DNSBL_FANOUT_H
#define DNSBL_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DNSBL_FANOUT_MAX_QUESTIONS = 64,  /* questions in one fan */
    DNSBL_FANOUT_MAX_ADDRESSES = 4095, /* A records of one answer: more do not fit into a message */
    DNSBL_FANOUT_MAX_TEXTS = 4,       /* TXT records kept of one answer: the first when sorted, without doubles */
    DNSBL_FANOUT_MAX_TEXT = 512,      /* bytes kept of one TXT record */
    DNSBL_FANOUT_MAX_NAME = 254,      /* a query name and its NUL */
    DNSBL_FANOUT_MAX_SET = 8,         /* nameservers in one set */
    DNSBL_FANOUT_MAX_SETS = 256,      /* distinct sets of nameservers */
    DNSBL_FANOUT_MAX_ATTEMPTS = 65535, /* attempts for one question, however long the deadline */
    DNSBL_FANOUT_MAX_IN_FLIGHT = 32768 /* queries sent and not ended; beyond it questions wait */
};

/* How a question ended; the numbers are those of dnsbl.model.Status. */
typedef enum {
    DNSBL_STATUS_OK = 0,
    DNSBL_STATUS_NXDOMAIN = 1,
    DNSBL_STATUS_REFUSED = 2,
    DNSBL_STATUS_RCODE = 3,
    DNSBL_STATUS_TIMEOUT = 4,
    DNSBL_STATUS_MALFORMED = 5,
    DNSBL_STATUS_UNSENT = 6 /* its time ended before there was room to send it: nobody was asked */
} dnsbl_status;

typedef enum { DNSBL_TYPE_A = 1, DNSBL_TYPE_TXT = 16 } dnsbl_qtype;

enum { DNSBL_NO_TTL = 0xffffffffu }; /* no such record in the answer */

/* c-ares as the loop calls it. The pointers come from the library that pycares loaded; the C tests put
 * a scripted stand-in here. Types are c-ares' own (ares.h of c-ares 1.34), written with void pointers. */
typedef void (*dnsbl_cares_callback)(void *arg, int status, size_t timeouts, const void *record);

typedef struct {
    int fd;
    unsigned int events; /* 1 readable, 2 writable: ares_fd_eventflag_t */
} dnsbl_cares_event;

typedef struct {
    int (*init_options)(void **channel, void *options, int optmask);
    int (*set_servers_csv)(void *channel, const char *servers);
    void (*destroy)(void *channel);
    int (*query_dnsrec)(void *channel, const char *name, int dnsclass, int type,
                        dnsbl_cares_callback callback, void *arg, unsigned short *qid);
    /* ares_process_fds; NULL where the loaded library does not export it: then process_fd is used, and
     * c-ares' own timeouts apply on top, so very slow answers are lost. */
    int (*process_fds)(void *channel, const dnsbl_cares_event *events, size_t count, unsigned int flags);
    void (*process_fd)(void *channel, int read_fd, int write_fd);
    /* NULL where not exported: rcodes above 5 then read as an unknown rcode. */
    int (*record_get_rcode)(const void *record);
    size_t (*record_rr_cnt)(const void *record, int section);
    const void *(*record_rr_get_const)(const void *record, int section, size_t index);
    int (*rr_get_type)(const void *rr);
    unsigned int (*rr_get_ttl)(const void *rr);
    const void *(*rr_get_addr)(const void *rr, int key);
    unsigned int (*rr_get_u32)(const void *rr, int key);
    size_t (*rr_get_abin_cnt)(const void *rr, int key);
    const unsigned char *(*rr_get_abin)(const void *rr, int key, size_t index, size_t *length);
    /* All three, or NULL where not exported: then whose record it is is not looked at. */
    const char *(*rr_get_name)(const void *rr);
    int (*rr_get_class)(const void *rr);
    const char *(*rr_get_str)(const void *rr, int key);
    /* ares_set_socket_functions_ex, ares_dns_parse and ares_dns_record_destroy, all three or none: with them
     * no message reaches c-ares that would make it end the questions of others, see front.c. */
    int (*set_socket_functions)(void *channel, const void *functions, void *data);
    int (*parse)(const unsigned char *message, size_t length, unsigned int flags, void **record);
    void (*record_destroy)(void *record);
    /* Two struct ares_options, kept alive by the caller until dnsbl_fanout_free: for nameservers on
     * loopback, and for all others (source ports change there). Both name dnsbl_fanout_socket as the
     * socket state callback with the loop as its data. */
    void *options_loopback;
    void *options_remote;
    int optmask_loopback;
    int optmask_remote;
} dnsbl_cares;

typedef struct dnsbl_loop dnsbl_loop;
typedef struct dnsbl_completions dnsbl_completions;
typedef struct dnsbl_fan dnsbl_fan;
typedef struct dnsbl_ticket dnsbl_ticket;

/* One answered question, to be read only where dnsbl_fan_answer returned it. */
typedef struct {
    uint8_t status; /* dnsbl_status */
    uint8_t text_count;
    uint16_t address_count;
    int16_t rcode;  /* -1: no answer came */
    int16_t server; /* index into the set; -1: no answer came */
    uint32_t ttl;   /* lowest of the records asked for; DNSBL_NO_TTL if there is none */
    uint32_t soa_ttl;
    uint32_t soa_minimum;
    uint32_t latency_us; /* first attempt to answer */
    uint64_t arrived;    /* dnsbl_fanout_clock when it was settled */
    uint16_t queries;    /* queries sent for it, to all nameservers together */
    uint16_t text_length[DNSBL_FANOUT_MAX_TEXTS];
    uint32_t *address;   /* host order, as they came; owned by the fan; NULL if none */
    unsigned char *text; /* text i at i * DNSBL_FANOUT_MAX_TEXT; owned by the fan; NULL if none */
} dnsbl_answer;

/* Now on CLOCK_MONOTONIC. Any thread. */
uint64_t dnsbl_fanout_now(void);

/* Now on the clock that answers age by: CLOCK_BOOTTIME, which goes on while the machine sleeps, where it exists,
 * else CLOCK_MONOTONIC. Any thread. */
uint64_t dnsbl_fanout_clock(void);

/* Make a loop; its thread starts with dnsbl_fanout_start. `cares` is copied later by dnsbl_fanout_start,
 * because the options it points at name the loop. NULL: out of memory or descriptors. Any thread. */
dnsbl_loop *dnsbl_fanout_new(void);

/* Start the thread. 0, or an errno value. Once per loop, any thread. */
int dnsbl_fanout_start(dnsbl_loop *loop, const dnsbl_cares *cares);

/* Stop the thread and wait for it. What is in flight ends as TIMEOUT, and every ticket is delivered.
 * Afterwards submits return NULL. Safe to call twice, but the second call does not wait for the first: one
 * thread stops and frees. Any thread but the loop's. */
void dnsbl_fanout_stop(dnsbl_loop *loop);

/* Free a stopped loop, or one never started. Fans, tickets and completion queues outlive it. Any thread. */
void dnsbl_fanout_free(dnsbl_loop *loop);

/* In a child after fork(): close the descriptors of the parent's loop that are known here, touch no lock
 * and no c-ares; the memory is given up. Only thread of the child. */
void dnsbl_fanout_abandon(dnsbl_loop *loop);

/* Make channels ahead, where there are too few. Any thread that the environment cannot change under (Python's
 * lock held), after nameservers were added and before each submit. The loop makes none itself: it goes on with
 * an old one, or waits. */
void dnsbl_fanout_stock(dnsbl_loop *loop);

/* Register a set of 1..8 nameservers, texts as ares_set_servers_csv takes them, in order of preference.
 * Equal sets share a number, and equal nameservers their health. Returns the set's number, -1 if the
 * tables are full or memory is short. Any thread. */
int dnsbl_fanout_add_set(dnsbl_loop *loop, const char *const *servers, const bool *loopback, int count);

/* No fan that is not finished asks this set, and none will: its number may be given to another. Any thread. */
void dnsbl_fanout_remove_set(dnsbl_loop *loop, int number);

/* A fan of `count` questions (1..64), to be filled with dnsbl_fan_question and started with
 * dnsbl_fanout_submit. NULL: out of memory, or bad count. Any thread. */
dnsbl_fan *dnsbl_fan_new(int count, uint64_t token);
void dnsbl_fan_retain(dnsbl_fan *fan);
void dnsbl_fan_release(dnsbl_fan *fan);

/* Where question `index`'s name is to be written: DNSBL_FANOUT_MAX_NAME bytes. `set` is a number that
 * dnsbl_fanout_add_set gave for the loop it will be submitted to. `timeout_ns` is how long an
 * attempt may stay unanswered before the next; `attempts` is 0 for as many as fit before the deadline. Only
 * before the fan is submitted, by its maker. */
char *dnsbl_fan_question(dnsbl_fan *fan, int index, int set, dnsbl_qtype type, uint64_t timeout_ns, int attempts);

/* The zone that question `index` is of, as a number: each has a share of its nameserver. 0 if not told. */
void dnsbl_fan_zone(dnsbl_fan *fan, int index, uint16_t zone);

/* The answer of question `index`, or NULL while it is open. Any thread; stays valid with the fan. */
const dnsbl_answer *dnsbl_fan_answer(const dnsbl_fan *fan, int index);

/* All questions are answered, or given up after the listening time. Any thread. */
bool dnsbl_fan_finished(const dnsbl_fan *fan);

/* Ask a new fan, or join one already asked: `completions` is woken when all questions are answered, or at
 * `deadline`, whichever comes first; with `each`, after every answer too, and at once if some are there when
 * it joins. Unanswered questions are asked again until the latest deadline of all joined, and listened for
 * `listen_ns` longer. Returns a ticket, NULL if the loop is stopped or memory is short. Any thread. */
dnsbl_ticket *dnsbl_fanout_submit(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions,
                                  uint64_t deadline, uint64_t listen_ns, bool each);
/* More waits for a nameserver that answers than it will soon take: who has much to ask had better wait.
 * Any thread. */
bool dnsbl_fanout_crowded(const dnsbl_loop *loop);

/* As dnsbl_fanout_submit, but the loop thread is not woken: dnsbl_fanout_take_over must follow, or
 * dnsbl_fanout_wake by who will not wait after all. */
dnsbl_ticket *dnsbl_fanout_submit_quietly(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions,
                                          uint64_t deadline, uint64_t listen_ns, bool each);

/* Have the loop thread look at what was submitted quietly. Any thread. */
void dnsbl_fanout_wake(dnsbl_loop *loop);

/* Take the loop thread's place if it has nothing to do: true, and dnsbl_fanout_drive must follow, until when the
 * loop is neither stopped nor freed. Else the loop thread (or who has its place) is woken for what was submitted
 * quietly. Any thread. */
bool dnsbl_fanout_take_over(dnsbl_loop *loop);

/* Do the loop's work until `completions` has a ticket or `for_ns` have passed, then give it back. */
void dnsbl_fanout_drive(dnsbl_loop *loop, dnsbl_completions *completions, uint64_t for_ns);

/* The ticket's deadline has passed or its fan has finished. Any thread. */
bool dnsbl_ticket_done(const dnsbl_ticket *ticket);
/* Nobody waits for this ticket any more; the fan goes on. Any thread. */
void dnsbl_ticket_abandon(dnsbl_ticket *ticket);
void dnsbl_ticket_release(dnsbl_ticket *ticket);

/* A completion queue. `with_fd` gives it a pipe that becomes readable when the queue is not empty. */
dnsbl_completions *dnsbl_completions_new(bool with_fd);
/* Give the queue up: what is on it is dropped, and so is what would come. Takes the maker's reference. */
void dnsbl_completions_close(dnsbl_completions *completions);
int dnsbl_completions_fd(const dnsbl_completions *completions); /* -1 without one */
/* Wait until the queue is not empty or `for_ns` have passed. Any thread, without Python's lock. */
void dnsbl_completions_wait(dnsbl_completions *completions, uint64_t for_ns);
/* Somebody else in this process has something to take that came since this queue last gave way, or may wait for
 * Python's lock: time for dnsbl_completions_give_way. For one who has much to do, and asks often. */
bool dnsbl_completions_is_wanted(dnsbl_completions *completions);
/* Let others have the processor and Python's lock, for about a millisecond at the most. Without that lock. */
void dnsbl_completions_give_way(dnsbl_completions *completions);
/* In a child after fork(): the queues of the parent's other threads are read by nobody. */
void dnsbl_completions_forked(void);
bool dnsbl_completions_empty(dnsbl_completions *completions);
/* The oldest ticket of the queue, with a reference for the caller; NULL if empty. Any thread. */
dnsbl_ticket *dnsbl_completions_pop(dnsbl_completions *completions);

/* Fans with answers that no completion queue was told of, and all fans that finished: the token of one, and true;
 * false when there is none. The list holds 8,192; what does not fit sets `overflow`. Any thread. */
bool dnsbl_fanout_retired(dnsbl_loop *loop, uint64_t *token);
bool dnsbl_fanout_has_retired(const dnsbl_loop *loop);
bool dnsbl_fanout_retired_overflow(dnsbl_loop *loop); /* reads and clears it */

/* c-ares' socket state callback; `data` is the loop. Called by c-ares, in the loop thread. */
void dnsbl_fanout_socket(void *data, int fd, int readable, int writable);

#endif
