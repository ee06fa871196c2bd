/* A nameserver for bench_network.py: delay_server DELAY_MS LOSS_PERCENT RATE
 *
 * It says NXDOMAIN to everything after the set delay, and loses the set share of the queries. RATE: queries a
 * second that it answers, one after the other, with room for BACKLOG that wait; 0: as many as come. It prints its port,
 * and at the end of its input how many queries came. It never waits on a full buffer: what does not fit is lost,
 * as in a network. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 17, SIZE = 320, HEADER = 12, BACKLOG = 256 };

typedef struct {
    uint64_t due;
    struct sockaddr_in to;
    size_t length;
    unsigned char bytes[SIZE];
} reply;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* NXDOMAIN with an SOA of 60 s, over the query itself; 0 if it is none. */
static size_t answer(unsigned char *bytes, size_t length)
{
    static const unsigned char soa[] = {0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1,
                                        0,    0,  0, 1, 0, 0, 0, 1, 0, 0, 0, 60};
    size_t at = HEADER;
    while (at < length && bytes[at] != 0)
        at += bytes[at] + 1u;
    at += 5;
    if (at > length || at + sizeof soa > SIZE)
        return 0;
    memcpy(bytes + 2, "\x84\x03\0\1\0\0\0\1\0\0", 10);
    memcpy(bytes + at, soa, sizeof soa);
    return at + sizeof soa;
}

static int open_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 16 << 20;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) != 0 ||
        getsockname(fd, (struct sockaddr *)&here, &length) != 0) {
        perror("delay_server");
        exit(1);
    }
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **argument)
{
    if (count != 4)
        return fprintf(stderr, "usage: delay_server DELAY_MS LOSS_PERCENT RATE\n"), 2;
    uint64_t delay_ns = (uint64_t)(atof(argument[1]) * 1e6);
    double loss = atof(argument[2]) / 100, rate = atof(argument[3]);
    uint64_t each_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0, busy_until = 0;
    int fd = open_socket();
    reply *ring = malloc(RING * sizeof *ring);
    if (ring == NULL)
        return 1;
    unsigned head = 0, tail = 0;
    unsigned long got = 0;
    for (;;) {
        uint64_t now = now_ns();
        for (; tail != head && ring[tail % RING].due <= now; tail++) {
            reply *r = &ring[tail % RING];
            (void)sendto(fd, r->bytes, r->length, 0, (struct sockaddr *)&r->to, sizeof r->to);
        }
        int64_t wait_ns = tail == head ? 100000000 : (int64_t)(ring[tail % RING].due - now);
        struct timespec wait = {0, wait_ns < 0 ? 0 : wait_ns};
        struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        (void)ppoll(polled, 2, &wait, NULL);
        if (polled[1].revents)
            break;
        while (head - tail < RING) {
            reply *r = &ring[head % RING];
            socklen_t length = sizeof r->to;
            ssize_t size = recvfrom(fd, r->bytes, SIZE, 0, (struct sockaddr *)&r->to, &length);
            if (size < 0)
                break;
            got++;
            r->length = answer(r->bytes, (size_t)size);
            uint64_t began = now_ns();
            busy_until = busy_until > began ? busy_until : began;
            if (r->length == 0 || drand48() < loss || busy_until - began > each_ns * BACKLOG)
                continue;
            busy_until += each_ns;
            r->due = busy_until + delay_ns;
            head++;
        }
    }
    printf("%lu\n", got);
    return 0;
}
