#include "stand_in.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

enum { CHANNELS = 256, NONE = -1 };

typedef struct {
    int fd[2]; /* [0] is the loop's, [1] ours; -1: none */
} pair;

typedef struct {
    stand_in_query seen;
    struct channel *of;
    bool ready; /* told to end, not yet ended */
    dnsbl_cares_callback callback;
    void *arg;
    const stand_in_record *record;
    int status;
    int next_ready;
    int previous, next; /* in the channel's list of those not ended */
    pair own;
} query;

typedef struct channel {
    stand_in *world;
    bool used;
    int number, server;
    int first_ready, last_ready, first;
    pair shared;
} channel;

struct stand_in {
    pthread_mutex_t lock;
    dnsbl_loop *loop;
    int server_count;
    struct {
        char name[48];
        stand_in_does does;
        const stand_in_record *record;
        int status;
        int asked;
    } servers[STAND_IN_SERVERS];
    channel channels[CHANNELS];
    stand_in_counts counts;
    int failing_init, failing_servers, stall_ms;
    bool socket_each;
    query queries[STAND_IN_QUERIES];
};

/* ---- sockets ---- */

static pair open_pair(stand_in *world)
{
    pair made = {{NONE, NONE}};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, made.fd) == 0, "socketpair: %s", strerror(errno));
    dnsbl_fanout_socket(world->loop, made.fd[0], 1, 0);
    return made;
}

static void close_pair(stand_in *world, pair *gone)
{
    if (gone->fd[0] == NONE)
        return;
    dnsbl_fanout_socket(world->loop, gone->fd[0], 0, 0);
    close(gone->fd[0]);
    close(gone->fd[1]);
    *gone = (pair){{NONE, NONE}};
}

/* ---- ending queries ---- */

static void unlink_query(stand_in *world, query *q)
{
    if (q->previous == NONE)
        q->of->first = q->next;
    else
        world->queries[q->previous].next = q->next;
    if (q->next != NONE)
        world->queries[q->next].previous = q->previous;
    q->seen.ended = true;
}

/* Under the lock: the reply is there; the loop will see it at the socket. */
static bool make_ready(stand_in *world, int number, const stand_in_record *record, int status)
{
    query *q = &world->queries[number];
    if (q->seen.ended || q->ready)
        return false;
    channel *ch = q->of;
    q->ready = true;
    q->record = record;
    q->status = status;
    q->next_ready = NONE;
    if (ch->first_ready == NONE)
        ch->first_ready = number;
    else
        world->queries[ch->last_ready].next_ready = number;
    ch->last_ready = number;
    int fd = world->socket_each ? q->own.fd[1] : ch->shared.fd[1];
    (void)send(fd, "", 1, MSG_DONTWAIT); /* a full one is readable as well */
    return true;
}

bool stand_in_end(stand_in *world, int number, const stand_in_record *record, int status)
{
    pthread_mutex_lock(&world->lock);
    bool open = make_ready(world, number, record, status);
    pthread_mutex_unlock(&world->lock);
    return open;
}

void stand_in_end_all(stand_in *world, int server, int status)
{
    pthread_mutex_lock(&world->lock);
    for (int i = 0; i < world->counts.asked; i++)
        if (world->queries[i].seen.server == server)
            make_ready(world, i, NULL, status);
    pthread_mutex_unlock(&world->lock);
}

/* ---- the functions of c-ares ---- */

static int init_options(void **out, void *options, int optmask)
{
    stand_in *world = options;
    (void)optmask;
    pthread_mutex_lock(&world->lock);
    channel *ch = world->channels;
    while (ch->used && ch < &world->channels[CHANNELS - 1])
        ch++;
    int status = world->failing_init > 0 ? SI_ENOMEM : SI_SUCCESS;
    if (status != SI_SUCCESS) {
        world->failing_init--;
    } else {
        CHECK(!ch->used, "more than %d channels open", CHANNELS);
        *ch = (channel){.world = world, .used = true, .server = NONE, .first_ready = NONE, .first = NONE,
                        .shared = {{NONE, NONE}}};
        *out = ch;
    }
    pthread_mutex_unlock(&world->lock);
    return status;
}

static int set_servers_csv(void *arg, const char *csv)
{
    channel *ch = arg;
    stand_in *world = ch->world;
    pthread_mutex_lock(&world->lock);
    bool fails = world->failing_servers > 0 && world->failing_servers-- > 0;
    for (int i = 0; i < world->server_count; i++)
        if (strcmp(world->servers[i].name, csv) == 0)
            ch->server = i;
    ch->number = world->counts.channels_made++;
    world->counts.channels++;
    pthread_mutex_unlock(&world->lock);
    CHECK(ch->server != NONE, "no server %s", csv);
    return fails ? SI_ENOMEM : SI_SUCCESS;
}

static void destroy(void *arg)
{
    channel *ch = arg;
    stand_in *world = ch->world;
    pthread_mutex_lock(&world->lock);
    while (ch->first != NONE) {
        query *q = &world->queries[ch->first];
        unlink_query(world, q);
        pthread_mutex_unlock(&world->lock);
        q->callback(q->arg, SI_EDESTRUCTION, 0, NULL);
        close_pair(world, &q->own);
        pthread_mutex_lock(&world->lock);
    }
    pthread_mutex_unlock(&world->lock);
    close_pair(world, &ch->shared);
    pthread_mutex_lock(&world->lock);
    ch->used = false;
    world->counts.channels -= ch->server != NONE;
    pthread_mutex_unlock(&world->lock);
}

/* Under the lock. */
static query *note_query(channel *ch, const char *name, int type, dnsbl_cares_callback callback, void *arg)
{
    stand_in *world = ch->world;
    CHECK(world->counts.asked < STAND_IN_QUERIES, "too many queries");
    query *q = &world->queries[world->counts.asked++];
    *q = (query){.of = ch, .callback = callback, .arg = arg, .previous = NONE, .next = ch->first, .own = {{NONE, NONE}}};
    q->seen = (stand_in_query){.server = ch->server, .type = type, .channel = ch->number, .at = dnsbl_fanout_now()};
    size_t length = strlen(name) < STAND_IN_NAME - 1 ? strlen(name) : STAND_IN_NAME - 1;
    memcpy(q->seen.name, name, length);
    if (ch->first != NONE)
        world->queries[ch->first].previous = (int)(q - world->queries);
    ch->first = (int)(q - world->queries);
    world->servers[ch->server].asked++;
    return q;
}

static int query_dnsrec(void *arg, const char *name, int dnsclass, int type, dnsbl_cares_callback callback,
                        void *callback_arg, unsigned short *qid)
{
    channel *ch = arg;
    stand_in *world = ch->world;
    CHECK(dnsclass == 1, "class %d", dnsclass);
    pthread_mutex_lock(&world->lock);
    int stall_ms = world->stall_ms;
    world->stall_ms = 0;
    pthread_mutex_unlock(&world->lock);
    if (stall_ms > 0)
        usleep((useconds_t)stall_ms * 1000);
    pthread_mutex_lock(&world->lock);
    query *q = note_query(ch, name, type, callback, callback_arg);
    *qid = (unsigned short)(q - world->queries);
    stand_in_does does = world->servers[ch->server].does;
    q->record = world->servers[ch->server].record;
    q->status = world->servers[ch->server].status;
    if (does == SI_REPLY_NOW)
        unlink_query(world, q);
    else if (world->socket_each)
        q->own = open_pair(world);
    else if (ch->shared.fd[0] == NONE)
        ch->shared = open_pair(world);
    if (does == SI_REPLY)
        make_ready(world, (int)(q - world->queries), q->record, q->status);
    pthread_mutex_unlock(&world->lock);
    if (does != SI_REPLY_NOW)
        return SI_SUCCESS;
    callback(callback_arg, q->status, 0, q->record);
    return q->status;
}

static void reopen(stand_in *world, pair *own)
{
    close_pair(world, own); /* its number is given out again at once: */
    pair next = open_pair(world);
    close_pair(world, &next);
}

static int process_fds(void *arg, const dnsbl_cares_event *events, size_t count, unsigned int flags)
{
    channel *ch = arg;
    stand_in *world = ch->world;
    char bytes[256];
    pthread_mutex_lock(&world->lock);
    world->counts.processed += count > 0;
    world->counts.cleanups += count == 0;
    if (count == 0)
        CHECK(ch->first == NONE, "c-ares would end queries by its own clock");
    else
        CHECK(flags == 1 && count == 1, "flags %u, %zu events", flags, count);
    pthread_mutex_unlock(&world->lock);
    if (count > 0)
        while (recv(events[0].fd, bytes, sizeof bytes, MSG_DONTWAIT) == (ssize_t)sizeof bytes)
            ;
    for (;;) {
        pthread_mutex_lock(&world->lock);
        query *q = ch->first_ready == NONE ? NULL : &world->queries[ch->first_ready];
        if (q != NULL) {
            ch->first_ready = q->next_ready;
            unlink_query(world, q);
        }
        pthread_mutex_unlock(&world->lock);
        if (q == NULL)
            return SI_SUCCESS;
        q->callback(q->arg, q->status, 0, q->record);
        if (q->own.fd[0] != NONE)
            reopen(world, &q->own);
    }
}

static void process_fd(void *arg, int read_fd, int write_fd)
{
    dnsbl_cares_event event = {read_fd, 1};
    CHECK(write_fd == -1, "nothing is ever written");
    process_fds(arg, &event, read_fd == -1 ? 0 : 1, 1);
}

void stand_in_table(stand_in *world, dnsbl_loop *loop, dnsbl_cares *table)
{
    world->loop = loop;
    *table = (dnsbl_cares){
        .init_options = init_options, .set_servers_csv = set_servers_csv, .destroy = destroy,
        .query_dnsrec = query_dnsrec, .process_fds = process_fds, .process_fd = process_fd,
        .options_loopback = world, .options_remote = world,
    };
    stand_in_record_table(table);
}

/* ---- the script and the accounts ---- */

stand_in *stand_in_new(const char *const *servers, int count)
{
    /* Not from malloc, which may be told to fail. */
    stand_in *world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED)
        abort();
    pthread_mutex_init(&world->lock, NULL);
    world->server_count = count;
    for (int i = 0; i < count; i++)
        strncpy(world->servers[i].name, servers[i], sizeof world->servers[i].name - 1);
    return world;
}

void stand_in_free(stand_in *world)
{
    for (int i = 0; i < CHANNELS; i++)
        CHECK(!world->channels[i].used, "channel %d left open", i);
    for (int i = 0; i < world->counts.asked; i++)
        CHECK(world->queries[i].seen.ended, "query %d never ended", i);
    pthread_mutex_destroy(&world->lock);
    munmap(world, sizeof *world);
}

void stand_in_do(stand_in *world, int server, stand_in_does what, const stand_in_record *record, int status)
{
    pthread_mutex_lock(&world->lock);
    world->servers[server].does = what;
    world->servers[server].record = record;
    world->servers[server].status = status;
    pthread_mutex_unlock(&world->lock);
}

void stand_in_fail_channels(stand_in *world, int init, int set_servers)
{
    pthread_mutex_lock(&world->lock);
    world->failing_init = init;
    world->failing_servers = set_servers;
    pthread_mutex_unlock(&world->lock);
}

void stand_in_socket_each(stand_in *world)
{
    pthread_mutex_lock(&world->lock);
    world->socket_each = true;
    pthread_mutex_unlock(&world->lock);
}

void stand_in_stall(stand_in *world, int ms)
{
    pthread_mutex_lock(&world->lock);
    world->stall_ms = ms;
    pthread_mutex_unlock(&world->lock);
}

stand_in_counts stand_in_counted(stand_in *world)
{
    pthread_mutex_lock(&world->lock);
    stand_in_counts counts = world->counts;
    pthread_mutex_unlock(&world->lock);
    return counts;
}

int stand_in_asked(stand_in *world, int server)
{
    pthread_mutex_lock(&world->lock);
    int count = world->servers[server].asked;
    pthread_mutex_unlock(&world->lock);
    return count;
}

stand_in_query stand_in_nth(stand_in *world, int number)
{
    pthread_mutex_lock(&world->lock);
    stand_in_query seen = world->queries[number].seen;
    pthread_mutex_unlock(&world->lock);
    return seen;
}

bool stand_in_wait_asked(stand_in *world, int count)
{
    for (int i = 0; i < 20000; i++) {
        if (stand_in_counted(world).asked >= count)
            return true;
        usleep(500);
    }
    return false;
}
