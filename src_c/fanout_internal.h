/* What the files of the fan-out share. Not for others.
 *
 * Everything here belongs to the loop thread unless it says otherwise. */
#ifndef DNSBL_FANOUT_INTERNAL_H
#define DNSBL_FANOUT_INTERNAL_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "fanout.h"

#define DNSBL_MS ((uint64_t)1000000)
#define DNSBL_S ((uint64_t)1000000000)

/* Two bytes of a message, in network order. */
static inline unsigned number_at(const unsigned char *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* c-ares' statuses that are looked at (ares.h of 1.34). */
enum { ARES_EBADRESP = 10, ARES_ETIMEOUT = 12, ARES_EDESTRUCTION = 16, ARES_ECANCELLED = 24 };

/* struct ares_socket_functions_ex, version 1 (ares.h of c-ares 1.34). */
typedef struct {
    unsigned int version;
    unsigned int flags; /* 1: the sockets do not block */
    int (*asocket)(int domain, int type, int protocol, void *data);
    int (*aclose)(int fd, void *data);
    int (*asetsockopt)(int fd, int option, const void *value, socklen_t size, void *data);
    int (*aconnect)(int fd, const struct sockaddr *address, socklen_t length, unsigned int flags, void *data);
    ssize_t (*arecvfrom)(int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *length,
                         void *data);
    ssize_t (*asendto)(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to,
                       socklen_t length, void *data);
    int (*agetsockname)(int fd, struct sockaddr *address, socklen_t *length, void *data);
    int (*abind)(int fd, unsigned int flags, const struct sockaddr *address, socklen_t length, void *data);
    unsigned int (*aif_nametoindex)(const char *name, void *data);
    const char *(*aif_indextoname)(unsigned int index, char *buffer, size_t size, void *data);
} socket_functions;

enum {
    SPARES = 4,
    LANES = 64,
    FLOW_BUCKETS = 512,
    READ_AT_ONCE = 32, /* datagrams of one socket */
    CHANNEL_IDS = 1024, /* buckets of the table of attempts by their ids */
    RETIRED_MAX = 8192,
    SERVERS_MAX = 256,
    CHANNELS_MAX = 8,             /* channels of one nameserver, the newest takes the queries */
    CHANNEL_IN_FLIGHT_MAX = 8192, /* far from the 65,536 ids, so that c-ares finds a free one quickly */
    CHANNEL_QUERIES_MAX = 16384,  /* to another host; then a new one, so that used-up sockets are closed */
    SERVER_FAILURES_DOWN = 3      /* unanswered attempts in a row, with no answer to anybody between */
};

/* One channel of one nameserver. Queries that are never answered stay in c-ares until their channel is
 * destroyed, so a channel that holds such is retired and a new one takes its place. */
typedef struct channel {
    dnsbl_loop *loop;
    void *ares;
    struct server *server;
    struct channel *older;
    uint64_t opened;
    bool broken; /* a socket of its is gone: to be replaced */
    int in_flight;
    int queries;
    uint64_t busy_since;   /* when in_flight last rose from 0 */
    uint64_t needed_until; /* not to be closed before; may have grown since, see its attempts' fans */
    struct attempt *sent;    /* all in flight, the last first */
    struct attempt *by_id[CHANNEL_IDS];
    struct stream *streams; /* its TCP connections */
} channel;

/* Attempts in the order they were sent. One is on at most one list of each kind. */
typedef struct {
    struct attempt *first, *last;
    int count;
    uint8_t kind; /* index into attempt.link */
} attempt_list;

enum { ON_WAY = 0, ON_LANE = 1 };

/* Where something stands in a heap that is ordered by `key`, the least first, and then by when it came. */
typedef struct place {
    struct place *child, *next;
    uint64_t key, serial;
} place;

/* One zone at one nameserver (zones whose numbers are equal modulo LANES share one). */
typedef struct {
    place *flows; /* those who have attempts waiting, whose turn it is first */
    int waiting;  /* of all of them */
    attempt_list open; /* sent, and not yet late */
    attempt_list late; /* sent so long ago that an answer is late; the nameserver may be waiting for the zone */
    uint64_t answered;      /* when its last answer came; 0: never */
    uint64_t rtt, rtt_var;  /* smoothed, and its mean deviation */
    uint64_t probe_at;      /* when silent: the next time it is asked nevertheless */
    uint64_t second;        /* when the present count of answers began */
    int answers, answers_before;
} lane;

typedef struct server {
    char *csv;
    bool loopback;
    int uses;           /* sets it is in; under the loop's lock */
    int failures;       /* attempts in a row without an answer, since the last answer to anybody */
    uint64_t answered;  /* when the last answer to anybody came; 0: never */
    uint64_t probe_at;  /* when down: the next time it is asked again */
    bool went_down;     /* since the last pump */
    channel *channels;  /* newest first */
    uint64_t full_at; /* when the window kept something waiting last */
    attempt_list on_way;  /* sent after the newest that was answered */
    double window;      /* how many may be on the way */
    double threshold;   /* up to here it doubles in each round trip */
    uint64_t rtt, rtt_var;       /* of what was on the way when answered */
    uint64_t measured;           /* when that was last the case; 0: never */
    uint64_t least, least_before; /* the least in this period of PERIOD_NS, and in the one before; 0: none */
    uint64_t period;
    int answers, losses; /* since the window was last looked at */
    uint64_t looked;
    int waiting;       /* on all lanes */
    unsigned turn;     /* the lane that is first in the next round */
    lane lanes[LANES];
    struct flow *flows[FLOW_BUCKETS]; /* see queue.c */
} server;

typedef struct {
    int count;
    server *servers[DNSBL_FANOUT_MAX_SET];
} server_set;

typedef struct {
    dnsbl_answer answer;
    atomic_bool answered; /* set with release after `answer` is whole; read by any thread */
    uint16_t most_attempts; /* the limit */
    uint16_t attempts;
    uint16_t sent;    /* queries that went out */
    uint16_t waiting; /* attempts made that wait for their server to have room */
    uint8_t malformed;
    uint8_t failures; /* SERVFAIL and its like, from the last nameserver there is */
    uint8_t last_server;
    uint8_t tried;   /* bit per server of the set: asked */
    uint8_t refused; /* bit per server of the set: answered with an error rcode */
    int16_t error_rcode;
    int16_t error_server;
    uint16_t type;
    int set;
    uint16_t zone; /* a number of its own, for its share */
    uint64_t timeout_ns;
    uint64_t first_attempt;
    uint64_t next_attempt;
    char name[DNSBL_FANOUT_MAX_NAME];
} question;

struct dnsbl_ticket {
    atomic_int refs;
    atomic_bool abandoned;
    atomic_bool done;
    bool each;
    bool queued; /* on its completion queue; under that queue's lock */
    dnsbl_fan *fan;
    dnsbl_completions *completions;
    uint64_t deadline;
    uint64_t listen_ns;
    dnsbl_ticket *next;        /* on the loop's inbox, then on the fan's list */
    dnsbl_ticket *next_queued; /* on its completion queue; under that queue's lock */
};

struct dnsbl_fan {
    atomic_int refs;
    atomic_bool finished;
    bool started;
    bool sent; /* one of its attempts went out */
    bool retired_queued; /* on the loop's retired list; under the loop's lock */
    int count;
    int open; /* questions not answered */
    uint64_t token;
    uint64_t ask_until;
    uint64_t listen_until;
    dnsbl_ticket *tickets;
    int heap_index; /* -1: not in the heap */
    uint64_t due;
    question questions[];
};

/* A "not listed" that was read without c-ares' parser, see negative.c; the TTLs as in dnsbl_answer. */
typedef struct {
    bool read;
    uint32_t soa_ttl, soa_minimum;
} dnsbl_negative;

/* One attempt. It holds a reference to its fan until its callback fires, or it is dropped before it was sent. */
typedef struct attempt {
    place waits;       /* among those waiting, by when they have to be answered; first, see queue.c */
    uint64_t began;    /* to wait */
    dnsbl_loop *loop;
    dnsbl_fan *fan;
    channel *channel;
    uint64_t sent;
    struct {
        struct attempt *before, *after;
        attempt_list *on;
    } link[2];
    bool overdue; /* it is no more counted as on its way, because its answer did not come in the usual time */
    lane *lane;
    struct attempt *next_sent, **sent_at; /* on its channel's list, once sent */
    struct attempt *next_id; /* on its channel's table, once sent */
    bool probe;              /* nobody waits for it, and it is none of its question's attempts */
    bool handed_on;          /* its answer is c-ares' already, or about to be */
    dnsbl_negative negative; /* that answer */
    uint16_t id;
    uint8_t index;  /* of its question in the fan */
    uint8_t server; /* index into the question's set */
} attempt;

struct dnsbl_loop {
    dnsbl_cares cares;
    pthread_t thread;
    bool started;
    bool joined;
    int wake[2];

    pthread_mutex_t lock; /* guards from here ... */
    bool stopping;
    bool sleeping;
    bool parked; /* the loop thread sleeps, and nothing is in flight: another may do its work */
    bool driven; /* another does */
    uint64_t parked_until; /* when the loop thread wakes by itself */
    pthread_cond_t handed_back;
    dnsbl_ticket *inbox, **inbox_end;
    server *servers[SERVERS_MAX];
    int server_count;
    server_set sets[DNSBL_FANOUT_MAX_SETS];
    int set_count;
    dnsbl_fan *retired[RETIRED_MAX];
    unsigned retired_head, retired_count;
    void *spares[2][SERVERS_MAX + SPARES]; /* channels made ahead, for other hosts and for loopback */
    int spare_count[2];
    bool retired_overflow; /* ... to here */
    atomic_bool has_retired;
    atomic_bool stock_wanted; /* nameservers were added or channels taken */

    attempt *sending;   /* being given to c-ares; NULL when it has ended inside that call */
    int to_read;      /* datagrams, until others have their turn */
    channel *current; /* whose c-ares call is under way: its sockets are reported to us */
    int in_flight;  /* sent, and not ended */
    uint64_t order; /* the turn of the last attempt that left the waiting ones */
    uint64_t serial; /* of the next that waits */
    atomic_bool crowded; /* see dnsbl_fanout_crowded */
    struct pollfd *polled; /* [0] is the wake pipe */
    channel **polled_channel;
    nfds_t polled_count, polled_size;
    dnsbl_fan **heap; /* fans by `due`, the earliest first */
    int heap_count, heap_size;
    dnsbl_completions *to_wake[64]; /* completion queues with something new since the last flush */
    int to_wake_count;
    uint64_t next_sweep;
    bool sweep_wanted; /* something was sent since the last sweep that found nothing in flight */
    uint64_t next_pump; /* when a waiting attempt may get room without an answer; UINT64_MAX: none waits */
};

/* stock.c */
void *dnsbl_stock_take(dnsbl_loop *loop, bool loopback); /* NULL: none */
void dnsbl_stock_free(dnsbl_loop *loop);                 /* after the loop thread's end */

/* servers.c */
int dnsbl_servers_count(dnsbl_loop *loop); /* any thread */
void dnsbl_servers_remove(dnsbl_loop *loop); /* those in no set any more; loop thread */
void dnsbl_servers_free(dnsbl_loop *loop); /* after the loop thread's end */

/* channel.c */
channel *dnsbl_channel_of(dnsbl_loop *loop, server *srv, uint64_t now); /* NULL: no memory or descriptor */
void dnsbl_channel_ready(dnsbl_loop *loop); /* handle what poll found */
void dnsbl_channel_sweep(dnsbl_loop *loop, uint64_t now);
void dnsbl_channel_close_those_of(dnsbl_loop *loop, server *srv);

/* front.c: what stands between the sockets and c-ares. */
void dnsbl_front_install(dnsbl_loop *loop, channel *ch);
void dnsbl_front_remember(channel *ch, attempt *a);
void dnsbl_front_forget(channel *ch, attempt *a); /* no harm if not remembered */
void dnsbl_front_close(channel *ch);

/* pace.c: how many queries may be on their way, and which is next. */
void dnsbl_pace_init(server *srv);
void dnsbl_pace_sent(server *srv, attempt *a);
void dnsbl_pace_answered(server *srv, attempt *a, uint64_t now);
void dnsbl_pace_lost(server *srv, const question *q, uint64_t now);
void dnsbl_pace_forget(attempt *a);
uint64_t dnsbl_pace_retry_ns(const server *srv, const question *q, uint64_t now);
attempt *dnsbl_pace_pop(dnsbl_loop *loop, server *srv, uint64_t now, bool *over); /* NULL: none has room now */
bool dnsbl_pace_crowded(const server *srv, uint64_t now);
uint64_t dnsbl_pace_next(server *srv, uint64_t now); /* when one waiting may have room though no answer comes */

/* queue.c: those that wait. */
bool dnsbl_queue_push(dnsbl_loop *loop, server *srv, attempt *a); /* false: out of memory */
attempt *dnsbl_queue_first(const lane *ln); /* NULL: none waits */
/* The first, of a lane where one waits; one that is to be sent uses up its asker's turn. */
attempt *dnsbl_queue_pop(dnsbl_loop *loop, server *srv, lane *ln, bool to_be_sent);
attempt *dnsbl_queue_pop_any(dnsbl_loop *loop, server *srv); /* NULL: none waits */

/* transport.c */
void dnsbl_transport_attempt(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t now);
uint64_t dnsbl_transport_pump(dnsbl_loop *loop, uint64_t now); /* when to call again; UINT64_MAX: no need */
void dnsbl_transport_unanswered(dnsbl_loop *loop, const question *q, uint64_t now);
void dnsbl_transport_drop_waiting(dnsbl_loop *loop, server *srv);
void dnsbl_transport_close(dnsbl_loop *loop);

/* negative.c. `message` is a response that was not truncated, with one question that ends at `after_question`. */
bool dnsbl_negative_read(const unsigned char *message, size_t length, size_t after_question, dnsbl_negative *out);

/* answer.c: read a c-ares record into the answer of a question. */
typedef enum {
    DNSBL_READ_WHOLE,
    DNSBL_READ_UNUSABLE, /* a referral, or records of other names or classes only */
    DNSBL_READ_NO_MEMORY
} dnsbl_reading;
uint32_t dnsbl_answer_usable_ttl(uint32_t ttl);
dnsbl_reading dnsbl_answer_read(const dnsbl_cares *cares, dnsbl_answer *answer, const question *q,
                                const void *record);
void dnsbl_answer_take_negative(dnsbl_answer *answer, const dnsbl_negative *negative);
int dnsbl_answer_rcode(const dnsbl_cares *cares, int status, const void *record);
dnsbl_status dnsbl_answer_status(int rcode);

/* fan.c */
void dnsbl_fan_retire(dnsbl_loop *loop, dnsbl_fan *fan);
bool dnsbl_heap_add(dnsbl_loop *loop, dnsbl_fan *fan); /* false: out of memory */
void dnsbl_heap_fix(dnsbl_loop *loop, int at);         /* after the fan's `due` changed */
void dnsbl_heap_remove(dnsbl_loop *loop, dnsbl_fan *fan);

/* fanout.c. In dnsbl_fanout_ended an attempt ended: `record` is NULL where no answer came, `status` is c-ares'. */
void dnsbl_fanout_ended(dnsbl_loop *loop, attempt *a, int status, const void *record, uint64_t now);
void dnsbl_fanout_ask_again_at(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t at);
void dnsbl_fanout_malformed(dnsbl_loop *loop, attempt *a, uint64_t now);
void dnsbl_fanout_accept(dnsbl_loop *loop, dnsbl_ticket *ticket, uint64_t now); /* takes the loop's reference */
void dnsbl_fanout_run_due(dnsbl_loop *loop, uint64_t now);
void dnsbl_fanout_give_up(dnsbl_loop *loop, dnsbl_fan *fan, uint64_t now);
void dnsbl_fanout_flush_wakes(dnsbl_loop *loop);

/* completions.c */
void dnsbl_completions_retain(dnsbl_completions *completions);
void dnsbl_completions_release(dnsbl_completions *completions);
/* The next number in the order of sending, for one who waits; loop thread only. */
uint64_t dnsbl_completions_order(dnsbl_completions *completions, uint64_t now_at);
void dnsbl_completions_push(dnsbl_completions *completions, dnsbl_ticket *ticket);
void dnsbl_completions_wake(dnsbl_completions *completions);

#endif
