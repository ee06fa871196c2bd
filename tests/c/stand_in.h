/* A stand-in for c-ares that does what a test tells it: no network, but real descriptors, so that the loop's
 * poll sleeps and wakes as it does over c-ares.
 *
 * Each channel has one server, as the loop uses it, and a socket pair for every query or one for all. A reply
 * is given by any thread and reaches the loop as c-ares' would: the socket becomes readable, and the callback
 * fires inside process_fds, in the loop thread. Like c-ares it fires every callback exactly once, at the
 * latest when the channel is destroyed.
 *
 * Records are the test's and must outlive the stand-in. It allocates nothing after stand_in_new. */
#ifndef DNSBL_TESTS_STAND_IN_H
#define DNSBL_TESTS_STAND_IN_H

#include "fanout.h"

enum { STAND_IN_SERVERS = 8, STAND_IN_QUERIES = 1 << 17, STAND_IN_NAME = 24 };

/* c-ares' statuses as the tests use them (ares.h of 1.34). */
enum { SI_SUCCESS = 0, SI_ENODATA = 1, SI_EBADRESP = 10, SI_ECONNREFUSED = 11, SI_ENOMEM = 15, SI_EDESTRUCTION = 16 };

enum { SI_A = 1, SI_CNAME = 5, SI_SOA = 6, SI_TXT = 16 };

typedef struct {
    int type;
    uint32_t ttl;
    uint32_t number; /* A: the address in host order; SOA: the minimum */
    struct {
        const char *bytes;
        size_t length;
    } string[4]; /* TXT; unused ones are NULL */
} stand_in_rr;

typedef struct {
    int rcode;
    size_t answers, authorities; /* the first of `rr`, and those after them */
    stand_in_rr rr[24];
} stand_in_record;

typedef enum {
    SI_HOLD,      /* nothing, until the test ends the query */
    SI_REPLY,     /* end it with the server's record and status */
    SI_REPLY_NOW, /* the same inside the query call */
} stand_in_does;

typedef struct {
    char name[STAND_IN_NAME];
    int server;
    int type;
    int channel; /* how many channels were put to use before its own */
    uint64_t at; /* on the loop's clock */
    bool ended;
} stand_in_query;

typedef struct stand_in stand_in;

/* `count` servers, numbered as given. All hold at first. */
stand_in *stand_in_new(const char *const *servers, int count);
/* After the loop was stopped; channels still open are a failed check. */
void stand_in_free(stand_in *world);
/* What dnsbl_fanout_start takes. The server texts beginning with 127. count as loopback for the options. */
void stand_in_table(stand_in *world, dnsbl_loop *loop, dnsbl_cares *table);

/* Its part that reads records. */
void stand_in_record_table(dnsbl_cares *table);

/* ---- the script; any thread ---- */

void stand_in_do(stand_in *world, int server, stand_in_does what, const stand_in_record *record, int status);
/* The next calls to init_options, or set_servers_csv, fail. */
void stand_in_fail_channels(stand_in *world, int init_options, int set_servers);
/* Every query gets a socket of its own, which is closed with it; another is opened in its place at once. */
void stand_in_socket_each(stand_in *world);
/* The next query call takes so long. */
void stand_in_stall(stand_in *world, int ms);
/* End a query; false if it has ended already. */
bool stand_in_end(stand_in *world, int number, const stand_in_record *record, int status);
/* End all queries of a server, as c-ares does when it closes a socket. */
void stand_in_end_all(stand_in *world, int server, int status);

/* ---- what happened; any thread ---- */

typedef struct {
    int asked;         /* queries */
    int channels;      /* in use now: given a server, and not closed */
    int channels_made; /* put to use ever */
    int processed;     /* calls to process_fds with an event */
    int cleanups;      /* calls to process_fds without one: no query is open then */
} stand_in_counts;

stand_in_counts stand_in_counted(stand_in *world);
int stand_in_asked(stand_in *world, int server);
stand_in_query stand_in_nth(stand_in *world, int number);
bool stand_in_wait_asked(stand_in *world, int count); /* false if so many have not come after 10 s */

#endif
