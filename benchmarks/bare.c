/* The yardstick: a bare loop over c-ares, in C, with no Python per lookup and nothing but a count per answer.
 * Names come from src_c/qname.c. Built and called by bench_lookup.py through ctypes; no part of the library. */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "qname.h"

enum { TYPE_A = 1, FIRST = 0x0b000000, SOCKETS = 64, WINDOW = 100 /* queries: as many as the engine lets be on their way */ };

/* The functions it calls and the options of the engine's own channels, in an order of its own. */
typedef struct {
    int (*init_options)(void **channel, void *options, int optmask);
    int (*set_servers_csv)(void *channel, const char *servers);
    void (*destroy)(void *channel);
    int (*query_dnsrec)(void *channel, const char *name, int dnsclass, int type,
                        void (*callback)(void *, int, size_t, const void *), void *arg, unsigned short *qid);
    void (*process_fd)(void *channel, int read_fd, int write_fd);
    void *options;
    int optmask;
} bare_cares;

static struct pollfd sockets[SOCKETS];
static nfds_t socket_count;
static long answered;

void bare_socket(void *data, int fd, int readable, int writable)
{
    (void)data;
    short events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    nfds_t i = 0;
    while (i < socket_count && sockets[i].fd != fd)
        i++;
    if (events == 0) {
        if (i < socket_count)
            sockets[i] = sockets[--socket_count];
    } else if (i < SOCKETS) {
        sockets[i] = (struct pollfd){.fd = fd, .events = events};
        socket_count += i == socket_count;
    }
}

static void on_answer(void *arg, int status, size_t timeouts, const void *record)
{
    (void)arg, (void)status, (void)timeouts, (void)record;
    answered++;
}

static void *open_channel(const bare_cares *cares, const char *server)
{
    void *channel;
    if (cares->init_options(&channel, cares->options, cares->optmask) != 0)
        return NULL;
    return cares->set_servers_csv(channel, server) == 0 ? channel : NULL;
}

static int ask(const bare_cares *cares, void *channel, uint32_t number, const char *zone)
{
    char name[DNSBL_QNAME_SIZE];
    uint8_t address[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    if (dnsbl_qname_reverse(address, 4, zone, strlen(zone), name, sizeof name) < 0)
        return -1;
    cares->query_dnsrec(channel, name, 1, TYPE_A, on_answer, NULL, NULL);
    return 0;
}

static void take_answers(const bare_cares *cares, void *channel)
{
    struct pollfd ready[SOCKETS];
    nfds_t count = socket_count;
    if (poll(sockets, count, 1000) <= 0) {
        cares->process_fd(channel, -1, -1);
        return;
    }
    memcpy(ready, sockets, count * sizeof *ready);
    for (nfds_t i = 0; i < count; i++)
        if (ready[i].revents)
            cares->process_fd(channel, ready[i].revents & POLLOUT ? -1 : ready[i].fd,
                              ready[i].revents & POLLOUT ? ready[i].fd : -1);
}

/* Looks `lookups` addresses up, from 11.0.0.0 plus `offset` on, in each zone. Returns queries answered. */
long bare_run(const bare_cares *cares, const char *server, const char *const *zones, int zone_count,
              uint32_t offset, long lookups)
{
    long asked = 0, total = lookups * zone_count;
    void *channel = open_channel(cares, server);
    if (channel == NULL)
        return -1;
    answered = 0;
    while (answered < total) {
        for (; asked < total && asked - answered < WINDOW; asked++)
            if (ask(cares, channel, FIRST + offset + (uint32_t)(asked / zone_count), zones[asked % zone_count]) != 0)
                return -1;
        take_answers(cares, channel);
    }
    cares->destroy(channel);
    return answered;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The same, one lookup after the other; how many seconds each took goes to `took`. */
long bare_single(const bare_cares *cares, const char *server, const char *const *zones, int zone_count,
                 uint32_t offset, long lookups, double *took)
{
    void *channel = open_channel(cares, server);
    if (channel == NULL)
        return -1;
    answered = 0;
    for (long i = 0; i < lookups; i++) {
        double start = now_s();
        for (int zone = 0; zone < zone_count; zone++)
            if (ask(cares, channel, FIRST + offset + (uint32_t)i, zones[zone]) != 0)
                return -1;
        while (answered < (i + 1) * zone_count)
            take_answers(cares, channel);
        took[i] = now_s() - start;
    }
    cares->destroy(channel);
    return answered;
}
