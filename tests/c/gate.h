/* front.c by itself: a stand-in of the sockets, of c-ares' parser, and of what is told of a malformed answer. */
#ifndef DNSBL_TESTS_GATE_H
#define DNSBL_TESTS_GATE_H

#include "check.h"
#include "fanout_internal.h"

enum { GATE_CHUNKS = 128, GATE_HEADER = 12, GATE_MOST = 65535 };
enum { RESPONSE = 0x8400, TRUNCATED_RESPONSE = 0x8600, A = 1, TXT = 16, IN = 1 };

typedef struct {
    size_t length;
    unsigned char bytes[2 + GATE_MOST + 1];
} gate_message;

typedef struct {
    dnsbl_loop *loop;
    channel *ch;
    const socket_functions *calls; /* what c-ares was given */
    struct {
        const unsigned char *bytes; /* NULL: an error, `length` is errno */
        size_t length;
    } comes[GATE_CHUNKS]; /* datagrams, or what one recv gives; then EAGAIN */
    int come_count, read_count;
    int blamed, parsed, records; /* dnsbl_fanout_malformed; parse; records not yet destroyed */
    attempt *blames;             /* the last */
    size_t parsed_length;
    bool unparsable, negative, no_memory;
    int fails;       /* 'S'ocket, 'L' or 'D' for fcntl's F_SETFL and F_SETFD, or set'O'ption */
    int next_fd;     /* of socket */
    int closed;      /* the last that was */
    int set[2];      /* level and option that were set last */
} gate_world;

extern gate_world gate;

void gate_start(void);
void gate_end(void);
/* A question in flight. */
attempt *gate_asks(const char *name, int type, int id);
/* What is told no more of; it ended. */
void gate_ended(attempt *a);
/* An answer to that: a header with counts of 1 and 257 thrice, and the question. */
gate_message gate_answer(const attempt *a, int flags);
/* So many bytes 'x' after it. */
void gate_adds(gate_message *message, size_t count);

void gate_comes(const void *bytes, size_t length);
ssize_t gate_reads_datagram(void *buffer, size_t size);
ssize_t gate_reads_stream(int fd, void *buffer, size_t size);

#endif
