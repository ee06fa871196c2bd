/* The c-ares channels of each nameserver and their sockets. Loop thread only. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "fanout_internal.h"

enum { EVENT_READ = 1, EVENT_WRITE = 2, SKIP_NON_FD = 1 };

#define SWEEP_EVERY (500 * DNSBL_MS)
#define CHANNEL_AGE_MAX (60 * DNSBL_S)  /* to another host: so that the source port does not stay for days */
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
    /* An error is reported by reading: c-ares finds it there and ends the attempts. */
    bool readable = ready & (POLLIN | POLLERR | POLLHUP | POLLNVAL);
    bool writable = ready & POLLOUT;
    loop->current = ch;
    loop->to_read = READ_AT_ONCE;
    if (loop->cares.process_fds != NULL) {
        dnsbl_cares_event event = {fd, (readable ? EVENT_READ : 0u) | (writable ? EVENT_WRITE : 0u)};
        loop->cares.process_fds(ch->ares, &event, 1, SKIP_NON_FD);
    } else {
        loop->cares.process_fd(ch->ares, readable ? fd : -1, writable ? fd : -1);
    }
    loop->current = NULL;
}

void dnsbl_channel_ready(dnsbl_loop *loop)
{
    /* Downwards: handling one socket may remove it, which moves the last entry into its place; that one
     * has been looked at already. New sockets are appended and have no events yet. */
    for (nfds_t i = loop->polled_count; i-- > 1;) {
        if (i >= loop->polled_count)
            continue;
        short ready = loop->polled[i].revents;
        loop->polled[i].revents = 0;
        if (ready & POLLNVAL)
            loop->polled_channel[i]->broken = true; /* foreign code closed it */
        if (ready & POLLNVAL)
            unpoll(loop, i);
        else if (ready != 0)
            process(loop, loop->polled_channel[i], loop->polled[i].fd, ready);
    }
}

/* ---- channels ---- */

static channel *open_channel(dnsbl_loop *loop, server *srv, uint64_t now)
{
    channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return NULL;
    const dnsbl_cares *cares = &loop->cares;
    ch->ares = dnsbl_stock_take(loop, srv->loopback);
    if (ch->ares == NULL) {
        free(ch);
        return NULL;
    }
    loop->current = ch;
    int status = cares->set_servers_csv(ch->ares, srv->csv);
    if (status != 0) {
        cares->destroy(ch->ares);
        loop->current = NULL;
        free(ch);
        return NULL;
    }
    loop->current = NULL;
    ch->loop = loop;
    ch->opened = now;
    ch->server = srv;
    dnsbl_front_install(loop, ch);
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
    dnsbl_front_close(ch);
    free(ch);
}

static bool worn_out(const channel *ch, uint64_t now)
{
    return ch->broken || ch->in_flight >= CHANNEL_IN_FLIGHT_MAX ||
           ch->queries >= CHANNEL_QUERIES_MAX || (!ch->server->loopback && now - ch->opened > CHANNEL_AGE_MAX) ||
           (ch->in_flight > 0 && now - ch->busy_since > CHANNEL_BUSY_MAX);
}

channel *dnsbl_channel_of(dnsbl_loop *loop, server *srv, uint64_t now)
{
    channel *newest = srv->channels;
    if (newest != NULL && !worn_out(newest, now))
        return newest;
    channel *made = open_channel(loop, srv, now);
    return made != NULL || newest == NULL || newest->broken ? made : newest;
}

/* Until when somebody listens to one of its attempts: a lookup that joined may have made it later. */
static uint64_t needed_until(const channel *ch)
{
    uint64_t until = 0;
    for (const attempt *a = ch->sent; a != NULL; a = a->next_sent)
        if (!a->fan->questions[a->index].answered && a->fan->listen_until > until)
            until = a->fan->listen_until;
    return until;
}

static bool overdue(channel *ch, uint64_t now)
{
    if (ch->in_flight == 0 || now < ch->needed_until)
        return false;
    ch->needed_until = needed_until(ch);
    return now >= ch->needed_until;
}

/* c-ares closes used-up sockets only together with its own timeouts: so when there is nothing to time out. */
static void close_used_up(dnsbl_loop *loop, channel *ch)
{
    loop->current = ch;
    if (loop->cares.process_fds != NULL)
        loop->cares.process_fds(ch->ares, NULL, 0, 0);
    else
        loop->cares.process_fd(ch->ares, -1, -1);
    loop->current = NULL;
}

static void sweep_server(dnsbl_loop *loop, server *srv, uint64_t now)
{
    int count = 0;
    for (channel **at = &srv->channels; *at != NULL;) {
        channel *ch = *at;
        bool newest = count++ == 0;
        bool idle = ch->in_flight == 0;
        if (overdue(ch, now) || (idle && !newest) || count > CHANNELS_MAX) {
            *at = ch->older;
            close_channel(loop, ch);
            continue;
        }
        if (idle)
            close_used_up(loop, ch);
        at = &ch->older;
    }
}

void dnsbl_channel_sweep(dnsbl_loop *loop, uint64_t now)
{
    if (now < loop->next_sweep)
        return;
    loop->next_sweep = now + SWEEP_EVERY;
    loop->sweep_wanted = loop->in_flight > 0;
    dnsbl_servers_remove(loop);
    for (int i = dnsbl_servers_count(loop); i-- > 0;)
        sweep_server(loop, loop->servers[i], now);
}

void dnsbl_channel_close_those_of(dnsbl_loop *loop, server *srv)
{
    while (srv->channels != NULL) {
        channel *ch = srv->channels;
        srv->channels = ch->older;
        close_channel(loop, ch);
    }
}
