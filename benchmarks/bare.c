/* The yardstick: a bare loop over c-ares, in C, with no Python per lookup and nothing but a count per answer.
 * Names come from src_c/qname.c. Built and called by bench_lookup.py through ctypes; no part of the library. */
#include <poll.h>
#include <stdint.h>
#include <string.h>

#include "qname.h"

enum { SOCKETS = 64, WINDOW = 100 /* queries: as many as the engine lets be on their way */ };

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

/* Looks `lookups` addresses up, from 11.0.0.0 plus `offset` on, in each zone. Returns queries answered. */
long bare_run(const bare_cares *cares, const char *server, const char *const *zones, int zone_count,
              uint32_t offset, long lookups)
{
    void *channel;
    char name[DNSBL_QNAME_SIZE];
    long asked = 0, total = lookups * zone_count;
    answered = 0;
    if (cares->init_options(&channel, cares->options, cares->optmask) != 0 ||
        cares->set_servers_csv(channel, server) != 0)
        return -1;
    while (answered < total) {
        while (asked < total && asked - answered < WINDOW) {
            uint32_t number = 0x0b000000u + offset + (uint32_t)(asked / zone_count);
            uint8_t address[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                                  (uint8_t)number};
            const char *zone = zones[asked % zone_count];
            if (dnsbl_qname_reverse(address, 4, zone, strlen(zone), name, sizeof name) < 0)
                return -1;
            cares->query_dnsrec(channel, name, 1, 1, on_answer, NULL, NULL);
            asked++;
        }
        struct pollfd ready[SOCKETS];
        nfds_t count = socket_count;
        if (poll(sockets, count, 1000) <= 0) {
            cares->process_fd(channel, -1, -1);
            continue;
        }
        memcpy(ready, sockets, count * sizeof *ready);
        for (nfds_t i = 0; i < count; i++)
            if (ready[i].revents)
                cares->process_fd(channel, ready[i].revents & POLLOUT ? -1 : ready[i].fd,
                                  ready[i].revents & POLLOUT ? ready[i].fd : -1);
    }
    cares->destroy(channel);
    return answered;
}
