/* Nameservers and their c-ares channels: which one is asked, over which channel, and its sockets.
 * Loop thread only. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "fanout_internal.h"

enum { CLASS_IN = 1, EVENT_READ = 1, EVENT_WRITE = 2, SKIP_NON_FD = 1 };

#define PROBE_EVERY DNSBL_S
#define SWEEP_EVERY (500 * DNSBL_MS)
#define CHANNEL_BUSY_MAX (10 * DNSBL_S) /* never idle for so long: its lost queries pile up, renew it */

/* ---- sockets ---- */

static void unpoll(dnsbl_loop *loop, nfds_t at)
{
    nfds_t last = --loop->polled_count;
    loop->polled[at] = loop->polled[last];
    loop->polled_channel[at] = loop->polled_channel[last];
}

static bool grow_polled(dnsbl_loop *loop)
{
    if (loop->polled_count < loop->polled_size)
        return true;
    nfds_t size = loop->polled_size * 2;
    struct pollfd *polled = realloc(loop->polled, size * sizeof *polled);
    if (polled == NULL)
        return false;
    loop->polled = polled;
    channel **channels = realloc(loop->polled_channel, size * sizeof *channels);
    if (channels == NULL)
        return false;
    loop->polled_channel = channels;
    loop->polled_size = size;
    return true;
}

void dnsbl_fanout_socket(void *data, int fd, int readable, int writable)
{
    dnsbl_loop *loop = data;
    short events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    for (nfds_t i = 1; i < loop->polled_count; i++) {
        if (loop->polled[i].fd != fd)
            continue;
        if (events == 0) {
            unpoll(loop, i);
        } else {
            loop->polled[i].events = events;
            loop->polled_channel[i] = loop->current;
        }
        return;
    }
    /* Out of memory: the socket is not watched, its queries end as TIMEOUT. */
    if (events == 0 || !grow_polled(loop))
        return;
    loop->polled[loop->polled_count] = (struct pollfd){.fd = fd, .events = events};
    loop->polled_channel[loop->polled_count++] = loop->current;
}

static void process(dnsbl_loop *loop, channel *ch, int fd, short ready)
{
    /* An error is reported by reading: c-ares finds it there and ends the tries. */
    bool readable = ready & (POLLIN | POLLERR | POLLHUP | POLLNVAL);
    bool writable = ready & POLLOUT;
    loop->current = ch;
    if (loop->cares.process_fds != NULL) {
        dnsbl_cares_event event = {fd, (readable ? EVENT_READ : 0u) | (writable ? EVENT_WRITE : 0u)};
        loop->cares.process_fds(ch->ares, &event, 1, SKIP_NON_FD);
    } else {
        loop->cares.process_fd(ch->ares, readable ? fd : -1, writable ? fd : -1);
    }
    loop->current = NULL;
}

void dnsbl_transport_ready(dnsbl_loop *loop)
{
    /* Downwards: handling one socket may remove it, which moves the last entry into its place; that one
     * has been looked at already. New sockets are appended and have no events yet. */
    for (nfds_t i = loop->polled_count; i-- > 1;) {
        if (i >= loop->polled_count)
            continue;
        short ready = loop->polled[i].revents;
        loop->polled[i].revents = 0;
        if (ready != 0)
            process(loop, loop->polled_channel[i], loop->polled[i].fd, ready);
    }
}

/* ---- channels ---- */

static channel *open_channel(dnsbl_loop *loop, server *srv)
{
    channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return NULL;
    const dnsbl_cares *cares = &loop->cares;
    loop->current = ch;
    int status = srv->loopback ? cares->init_options(&ch->ares, cares->options_loopback, cares->optmask_loopback)
                               : cares->init_options(&ch->ares, cares->options_remote, cares->optmask_remote);
    if (status != 0) {
        loop->current = NULL;
        free(ch);
        return NULL;
    }
    status = cares->set_servers_csv(ch->ares, srv->csv);
    if (status != 0) {
        cares->destroy(ch->ares);
        loop->current = NULL;
        free(ch);
        return NULL;
    }
    loop->current = NULL;
    ch->server = srv;
    ch->older = srv->channels;
    srv->channels = ch;
    return ch;
}

/* Ends its queries (their callbacks fire inside) and frees it. The caller has unlinked it. */
static void close_channel(dnsbl_loop *loop, channel *ch)
{
    loop->current = ch;
    loop->cares.destroy(ch->ares);
    loop->current = NULL;
    for (nfds_t i = loop->polled_count; i-- > 1;)
        if (loop->polled_channel[i] == ch)
            unpoll(loop, i);
    free(ch);
}

static bool worn_out(const channel *ch, uint64_t now)
{
    return ch->in_flight >= CHANNEL_IN_FLIGHT_MAX ||
           ch->queries >= CHANNEL_QUERIES_MAX ||
           (ch->in_flight > 0 && now - ch->busy_since > CHANNEL_BUSY_MAX);
}

static channel *channel_of(dnsbl_loop *loop, server *srv, uint64_t now)
{
    channel *ch = srv->channels;
    if (ch != NULL && !worn_out(ch, now))
        return ch;
    return open_channel(loop, srv);
}

static void sweep_server(dnsbl_loop *loop, server *srv, uint64_t now)
{
    int count = 0;
    for (channel **at = &srv->channels; *at != NULL;) {
        channel *ch = *at;
        bool newest = count++ == 0;
        bool idle = ch->in_flight == 0;
        bool overdue = !idle && now >= ch->needed_until;
        if (overdue || (idle && !newest) || count > CHANNELS_MAX) {
            *at = ch->older;
            close_channel(loop, ch);
        } else {
            at = &ch->older;
        }
    }
}

static int server_count(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    int count = loop->server_count;
    pthread_mutex_unlock(&loop->lock);
    return count;
}

void dnsbl_transport_sweep(dnsbl_loop *loop, uint64_t now)
{
    if (now < loop->next_sweep)
        return;
    loop->next_sweep = now + SWEEP_EVERY;
    for (int i = server_count(loop); i-- > 0;)
        sweep_server(loop, loop->servers[i], now);
}

void dnsbl_transport_close(dnsbl_loop *loop)
{
    for (int i = server_count(loop); i-- > 0;) {
        server *srv = loop->servers[i];
        while (srv->channels != NULL) {
            channel *ch = srv->channels;
            srv->channels = ch->older;
            close_channel(loop, ch);
        }
    }
}

void dnsbl_transport_free_servers(dnsbl_loop *loop)
{
    for (int i = 0; i < loop->server_count; i++) {
        free(loop->servers[i]->csv);
        free(loop->servers[i]);
    }
    loop->server_count = 0;
}

/* ---- which server, and the try itself ---- */

static bool is_down(const server *srv)
{
    return srv->failures >= SERVER_FAILURES_DOWN;
}

static void failed(server *srv, uint64_t now)
{
    if (srv->failures < SERVER_FAILURES_DOWN && ++srv->failures == SERVER_FAILURES_DOWN)
        srv->probe_at = now + PROBE_EVERY;
}

void dnsbl_transport_unanswered(dnsbl_loop *loop, const slot *s, uint64_t now)
{
    if (s->tries > 0 && !(s->refused & (1u << s->last_server)))
        failed(loop->sets[s->set].servers[s->last_server], now);
}

static void on_answer(void *arg, int status, size_t timeouts, const void *record)
{
    (void)timeouts;
    query *q = arg;
    dnsbl_loop *loop = q->loop;
    uint64_t now = dnsbl_fanout_now();
    q->channel->in_flight--;
    loop->in_flight--;
    server *srv = q->channel->server;
    if (record != NULL)
        srv->failures = 0;
    else if (status != ARES_EDESTRUCTION && status != ARES_ECANCELLED && status != ARES_EBADRESP)
        failed(srv, now);
    dnsbl_fanout_ended(loop, q, status, record, now);
    dnsbl_fan_release(q->fan);
    free(q);
}

static bool send_query(dnsbl_loop *loop, dnsbl_fan *fan, int index, int at, uint64_t now)
{
    slot *s = &fan->slots[index];
    server *srv = loop->sets[s->set].servers[at];
    query *q = malloc(sizeof *q);
    channel *ch = q == NULL ? NULL : channel_of(loop, srv, now);
    if (ch == NULL) {
        free(q);
        return false;
    }
    *q = (query){.loop = loop, .fan = fan, .channel = ch, .slot = (uint8_t)index, .server = (uint8_t)at};
    dnsbl_fan_retain(fan);
    if (ch->in_flight++ == 0)
        ch->busy_since = now;
    ch->queries++;
    loop->in_flight++;
    if (ch->needed_until < fan->listen_until)
        ch->needed_until = fan->listen_until;
    s->tries++;
    s->tried |= (uint8_t)(1u << at);
    s->last_server = (uint8_t)at;
    loop->current = ch;
    loop->cares.query_dnsrec(ch->ares, s->name, CLASS_IN, s->type, on_answer, q, NULL);
    loop->current = NULL;
    return true;
}

/* The first healthy one after the last asked, in the order of the set; if none is healthy, the next. */
static int choose_server(const server_set *set, const slot *s)
{
    int from = s->tries == 0 ? 0 : s->last_server + 1;
    for (int i = 0; i < set->count; i++) {
        int at = (from + i) % set->count;
        if (!is_down(set->servers[at]))
            return at;
    }
    return from % set->count;
}

bool dnsbl_transport_try(dnsbl_loop *loop, dnsbl_fan *fan, int index, uint64_t now)
{
    const slot *s = &fan->slots[index];
    const server_set *set = &loop->sets[s->set];
    bool first = s->tries == 0;
    int chosen = choose_server(set, s);
    bool sent = send_query(loop, fan, index, chosen, now);
    /* A better server that was down is asked as well, now and then, so that it is used again soon
     * after it is back; nobody waits for it. */
    for (int at = 0; first && at < chosen; at++) {
        server *srv = set->servers[at];
        if (now < srv->probe_at || s->answered)
            continue;
        srv->probe_at = now + PROBE_EVERY;
        sent |= send_query(loop, fan, index, at, now);
        fan->slots[index].last_server = (uint8_t)chosen;
    }
    return sent;
}

/* ---- the sets; any thread, under the lock ---- */

static server *find_server(dnsbl_loop *loop, const char *csv, bool loopback)
{
    for (int i = 0; i < loop->server_count; i++)
        if (strcmp(loop->servers[i]->csv, csv) == 0)
            return loop->servers[i];
    if (loop->server_count == SERVERS_MAX)
        return NULL;
    server *srv = calloc(1, sizeof *srv);
    char *copy = srv == NULL ? NULL : strdup(csv);
    if (copy == NULL) {
        free(srv);
        return NULL;
    }
    srv->csv = copy;
    srv->loopback = loopback;
    return loop->servers[loop->server_count++] = srv;
}

static int find_set(dnsbl_loop *loop, const server_set *wanted)
{
    for (int i = 0; i < loop->set_count; i++)
        if (loop->sets[i].count == wanted->count &&
            memcmp(loop->sets[i].servers, wanted->servers, (size_t)wanted->count * sizeof(server *)) == 0)
            return i;
    if (loop->set_count == DNSBL_FANOUT_MAX_SETS)
        return -1;
    loop->sets[loop->set_count] = *wanted;
    return loop->set_count++;
}

int dnsbl_fanout_add_set(dnsbl_loop *loop, const char *const *servers, const bool *loopback, int count)
{
    if (count < 1 || count > DNSBL_FANOUT_MAX_SET)
        return -1;
    server_set set = {.count = count};
    pthread_mutex_lock(&loop->lock);
    int number = 0;
    for (int i = 0; i < count && number == 0; i++)
        if ((set.servers[i] = find_server(loop, servers[i], loopback[i])) == NULL)
            number = -1;
    if (number == 0)
        number = find_set(loop, &set);
    pthread_mutex_unlock(&loop->lock);
    return number;
}
