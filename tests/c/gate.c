/* See gate.h. */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

gate_world gate;

static struct sockaddr_in peer;

/* ---- the system ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return gate.no_memory ? NULL : __real_malloc(size);
}

static ssize_t receive(void *buffer, size_t size)
{
    if (gate.read_count == gate.come_count || gate.comes[gate.read_count].bytes == NULL) {
        errno = gate.read_count == gate.come_count ? EAGAIN : (int)gate.comes[gate.read_count++].length;
        return -1;
    }
    size_t length = gate.comes[gate.read_count].length;
    CHECK(length <= size, "%zu bytes into %zu", length, size);
    memcpy(buffer, gate.comes[gate.read_count++].bytes, length);
    return (ssize_t)length;
}

ssize_t __wrap_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *length)
{
    CHECK(fd == 7 && flags == 5, "another call");
    CHECK(from == (struct sockaddr *)&peer && *length == sizeof peer, "room for %u", (unsigned)*length);
    *length = 4;
    return receive(buffer, size);
}

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    CHECK(fd >= 0 && flags == 5, "another call");
    CHECK(size > 0 && size <= 2 + GATE_MOST, "room for %zu", size);
    return receive(buffer, size);
}

int __wrap_socket(int domain, int type, int protocol)
{
    CHECK(domain == AF_INET6 && protocol == 17, "another call for type %d", type);
    return gate.fails == 'S' ? -1 : gate.next_fd;
}

/* Outside of a test these are gcov's, which locks and closes the files it counts in. */
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, long argument)
{
    if (gate.loop == NULL)
        return __real_fcntl(fd, command, argument);
    CHECK(fd == gate.next_fd && argument == (command == F_SETFL ? O_NONBLOCK : FD_CLOEXEC), "another call");
    return gate.fails == (command == F_SETFL ? 'L' : 'D') ? -1 : 0;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    CHECK(fd == gate.next_fd && size == sizeof(int) && *(const int *)value == 1, "another call");
    gate.set[0] = level;
    gate.set[1] = option;
    return gate.fails == 'O' ? -1 : 0;
}

int __real_close(int fd);
int __wrap_close(int fd)
{
    if (gate.loop == NULL)
        return __real_close(fd);
    gate.closed = fd;
    return 0;
}

/* ---- in place of c-ares, fanout.c, clock.c and negative.c ---- */

static int parse(const unsigned char *message, size_t length, unsigned int flags, void **record)
{
    CHECK(flags == 0 && length >= GATE_HEADER, "%zu bytes", length);
    gate.parsed++;
    gate.parsed_length = length;
    if (gate.unparsable)
        return 10;
    *record = malloc(1);
    gate.records++;
    return message == NULL;
}

static void destroy(void *record)
{
    free(record);
    gate.records--;
}

static int set_functions(void *ares, const void *functions, void *data)
{
    CHECK(ares == &gate && data == gate.ch, "of another channel");
    gate.calls = functions;
    return 0;
}

uint64_t dnsbl_fanout_now(void)
{
    return 77;
}

void dnsbl_fanout_malformed(dnsbl_loop *loop, attempt *a, uint64_t now)
{
    CHECK(loop == gate.loop && now == 77, "another loop");
    gate.blamed++;
    gate.blames = a;
}

bool dnsbl_negative_read(const unsigned char *message, size_t length, size_t after_question, dnsbl_negative *out)
{
    CHECK(after_question <= length && message[after_question - 1] == IN, "no question before %zu", after_question);
    *out = (dnsbl_negative){.read = gate.negative, .soa_ttl = (uint32_t)length};
    return gate.negative;
}

/* ---- for the tests ---- */

void gate_start(void)
{
    memset(&gate, 0, sizeof gate);
    gate.next_fd = 7;
    gate.closed = -1;
    gate.loop = calloc(1, sizeof *gate.loop);
    gate.loop->to_read = READ_AT_ONCE;
    gate.loop->cares.set_socket_functions = set_functions;
    gate.loop->cares.parse = parse;
    gate.loop->cares.record_destroy = destroy;
    gate.ch = calloc(1, sizeof *gate.ch);
    gate.ch->loop = gate.loop;
    gate.ch->ares = &gate;
    dnsbl_front_install(gate.loop, gate.ch);
}

void gate_end(void)
{
    dnsbl_front_close(gate.ch);
    CHECK(gate.ch->streams == NULL && gate.records == 0, "%d records are left", gate.records);
    for (int i = 0; i < CHANNEL_IDS; i++)
        while (gate.ch->by_id[i] != NULL)
            gate_ended(gate.ch->by_id[i]);
    free(gate.ch);
    free(gate.loop);
    gate.loop = NULL;
}

attempt *gate_asks(const char *name, int type, int id)
{
    attempt *a = calloc(1, sizeof *a);
    a->fan = dnsbl_fan_new(2, 1);
    a->index = 1;
    a->id = (uint16_t)id;
    strcpy(dnsbl_fan_question(a->fan, 1, 0, (dnsbl_qtype)type, DNSBL_S, 0), name);
    dnsbl_front_remember(gate.ch, a);
    return a;
}

void gate_ended(attempt *a)
{
    dnsbl_front_forget(gate.ch, a);
    dnsbl_fan_release(a->fan);
    free(a);
}

static void add_number(gate_message *m, int number)
{
    m->bytes[m->length++] = (unsigned char)(number >> 8);
    m->bytes[m->length++] = (unsigned char)number;
}

gate_message gate_answer(const attempt *a, int flags)
{
    const question *q = &a->fan->questions[a->index];
    gate_message m = {.length = 0};
    const int header[] = {a->id, flags, 1, 257, 257, 257};
    for (int i = 0; i < 6; i++)
        add_number(&m, header[i]);
    for (const char *label = q->name; *label != '\0';) {
        size_t length = strcspn(label, ".");
        m.bytes[m.length++] = (unsigned char)length;
        memcpy(m.bytes + m.length, label, length);
        m.length += length;
        label += length + (label[length] == '.');
    }
    m.length++;
    add_number(&m, q->type);
    add_number(&m, IN);
    return m;
}

void gate_adds(gate_message *message, size_t count)
{
    memset(message->bytes + message->length, 'x', count);
    message->length += count;
}

void gate_comes(const void *bytes, size_t length)
{
    if (gate.come_count == GATE_CHUNKS)
        abort();
    gate.comes[gate.come_count].bytes = bytes;
    gate.comes[gate.come_count++].length = length;
}

ssize_t gate_reads_datagram(void *buffer, size_t size)
{
    socklen_t length = sizeof peer;
    return gate.calls->arecvfrom(7, buffer, size, 5, (struct sockaddr *)&peer, &length, gate.ch);
}

ssize_t gate_reads_stream(int fd, void *buffer, size_t size)
{
    return gate.calls->arecvfrom(fd, buffer, size, 5, NULL, NULL, gate.ch);
}
