/* What stands between the sockets and c-ares. Loop thread only.
 *
 * c-ares closes the socket on which a message comes that it cannot parse, which ends every question on it: one
 * list's bytes would spoil the answers of all others. So each message is looked at before c-ares sees it, and
 * only one that answers a question in flight, and that c-ares can parse, is handed on. Of the others, at most
 * the question whose id, name and type it carries, as far as it goes, is blamed. These functions are called by
 * c-ares, inside a call of its own, and never call it for a channel. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fanout_internal.h"

enum { HEADER = 12, QUESTION_TAIL = 4, CLASS_IN = 1, TRUNCATED = 0x02, MESSAGE_MAX = 65535, CUT = 1 };

/* What has come over one TCP connection and was not yet handed on. */
typedef struct stream {
    int fd;
    struct stream *next;
    size_t have;
    size_t good; /* of these, looked at and to be handed on */
    unsigned char bytes[2 + MESSAGE_MAX];
} stream;

/* ---- which question ---- */

static attempt **bucket(channel *ch, uint16_t id)
{
    return &ch->by_id[id % CHANNEL_IDS];
}

void dnsbl_front_remember(channel *ch, attempt *a)
{
    a->next_id = *bucket(ch, a->id);
    *bucket(ch, a->id) = a;
}

void dnsbl_front_forget(channel *ch, attempt *a)
{
    for (attempt **at = bucket(ch, a->id); *at != NULL; at = &(*at)->next_id)
        if (*at == a) {
            *at = a->next_id;
            return;
        }
}

static attempt *attempt_with(channel *ch, uint16_t id)
{
    attempt *a = *bucket(ch, id);
    while (a != NULL && a->id != id)
        a = a->next_id;
    return a;
}

/* ---- one message ---- */

/* Where the question's type stands, if its name is `name` (without escapes) and all of it is there; CUT if the
 * message ends before, and is the same so far; 0 if it asks something else. */
static size_t after_name(const unsigned char *message, size_t length, const char *name)
{
    size_t at = HEADER;
    for (;;) {
        if (at >= length)
            return at > HEADER ? CUT : 0;
        size_t label = message[at++];
        if (label == 0)
            break;
        size_t there = label < length - at ? label : length - at;
        if (label > 63 || strlen(name) < label || strncasecmp((const char *)message + at, name, there) != 0)
            return 0;
        if (there < label)
            return at > HEADER + 1 ? CUT : 0;
        at += label;
        name += label;
        if (*name == '.')
            name++;
        else if (*name != 0)
            return 0;
    }
    return *name != 0 ? 0 : at + QUESTION_TAIL <= length ? at : CUT;
}

static bool parses(const dnsbl_cares *cares, const unsigned char *message, size_t length)
{
    void *record = NULL;
    if (cares->parse(message, length, 0, &record) != 0)
        return false;
    cares->record_destroy(record);
    return true;
}

static void cut_after_question(unsigned char *message, size_t *length, size_t question_end)
{
    memset(message + 6, 0, 6); /* the counts of what came after it */
    *length = question_end;
}

/* Makes of an answer what c-ares is to see of it. A truncated one is cut after its question, wherever the
 * nameserver cut it: all it has to say is that TCP is to be used. So is a negative one, which has been read here:
 * c-ares then looks at whose answer it is, and parses no more. False: c-ares could not parse it. */
static bool prepare(const dnsbl_cares *cares, attempt *a, unsigned char *message, size_t *length, size_t question_end)
{
    if (message[2] & TRUNCATED) {
        cut_after_question(message, length, question_end);
        return parses(cares, message, *length);
    }
    if (dnsbl_negative_read(message, *length, question_end, &a->negative))
        cut_after_question(message, length, question_end);
    else if (!parses(cares, message, *length))
        return false;
    a->handed_on = true;
    return true;
}

/* Whether c-ares may see the message. Of the answers to one attempt it sees the first. */
static bool passes(channel *ch, unsigned char *message, size_t *length)
{
    if (*length < HEADER)
        return false;
    attempt *a = attempt_with(ch, (uint16_t)number_at(message));
    if (a == NULL || a->handed_on)
        return false;
    const question *q = &a->fan->questions[a->index];
    size_t at = after_name(message, *length, q->name);
    if (at == 0 || (at != CUT && number_at(message + at) != q->type))
        return false;
    bool is_answer = at != CUT && (message[2] & 0xf8) == 0x80 && number_at(message + 4) == 1;
    if (is_answer && number_at(message + at + 2) == CLASS_IN &&
        prepare(&ch->loop->cares, a, message, length, at + QUESTION_TAIL))
        return true;
    dnsbl_fanout_malformed(ch->loop, a, dnsbl_fanout_now());
    return false;
}

/* ---- datagrams and streams ---- */

static ssize_t receive_datagram(channel *ch, int fd, void *buffer, size_t size, int flags, struct sockaddr *from,
                                socklen_t *from_length)
{
    socklen_t room = *from_length;
    /* The rest with the next poll, so that others have their turn and who waits for these is told. */
    for (; ch->loop->to_read > 0; ch->loop->to_read--) {
        *from_length = room;
        ssize_t count = recvfrom(fd, buffer, size, flags, from, from_length);
        if (count < 0)
            return count;
        size_t length = (size_t)count;
        if (passes(ch, buffer, &length)) {
            ch->loop->to_read--;
            return (ssize_t)length;
        }
    }
    errno = EAGAIN;
    return -1;
}

static stream *stream_of(channel *ch, int fd)
{
    for (stream *st = ch->streams; st != NULL; st = st->next)
        if (st->fd == fd)
            return st;
    stream *st = malloc(sizeof *st);
    if (st == NULL)
        return NULL;
    st->fd = fd;
    st->have = st->good = 0;
    st->next = ch->streams;
    return ch->streams = st;
}

static void forget_stream(channel *ch, int fd)
{
    for (stream **at = &ch->streams; *at != NULL; at = &(*at)->next)
        if ((*at)->fd == fd) {
            stream *gone = *at;
            *at = gone->next;
            free(gone);
            return;
        }
}

/* Look at each message that is whole, and take out those that c-ares is not to see. */
static void sift(channel *ch, stream *st)
{
    while (st->have - st->good >= 2) {
        unsigned char *frame = st->bytes + st->good;
        size_t whole = number_at(frame), length = whole;
        if (st->have - st->good < 2 + whole)
            return;
        bool good = passes(ch, frame + 2, &length);
        size_t keep = good ? 2 + length : 0;
        if (good) {
            frame[0] = (unsigned char)(length >> 8);
            frame[1] = (unsigned char)length;
        }
        memmove(frame + keep, frame + 2 + whole, st->have - st->good - 2 - whole);
        st->have -= 2 + whole - keep;
        st->good += keep;
    }
}

static ssize_t hand_on(stream *st, void *buffer, size_t size)
{
    size_t count = st->good < size ? st->good : size;
    memcpy(buffer, st->bytes, count);
    memmove(st->bytes, st->bytes + count, st->have - count);
    st->have -= count;
    st->good -= count;
    return (ssize_t)count;
}

static ssize_t receive_stream(channel *ch, int fd, void *buffer, size_t size, int flags)
{
    stream *st = stream_of(ch, fd);
    if (st == NULL) {
        errno = ENOMEM;
        return -1;
    }
    while (st->good == 0) {
        ssize_t count = recv(fd, st->bytes + st->have, sizeof st->bytes - st->have, flags);
        if (count <= 0)
            return count;
        st->have += (size_t)count;
        sift(ch, st);
    }
    return hand_on(st, buffer, size);
}

/* ---- what c-ares calls ---- */

static int front_socket(int domain, int type, int protocol, void *data)
{
    (void)data;
    int one = 1;
    int fd = socket(domain, type, protocol);
    if (fd < 0)
        return -1;
    bool made = fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
    if (made && type == SOCK_STREAM)
        made = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
    if (made)
        return fd;
    close(fd);
    return -1;
}

static int front_close(int fd, void *data)
{
    forget_stream(data, fd);
    return close(fd);
}

static int front_setsockopt(int fd, int option, const void *value, socklen_t size, void *data)
{
    (void)data;
    enum { SEND_BUFFER = 0, RECEIVE_BUFFER = 1 };
    if (option == SEND_BUFFER || option == RECEIVE_BUFFER)
        return setsockopt(fd, SOL_SOCKET, option == SEND_BUFFER ? SO_SNDBUF : SO_RCVBUF, value, size);
    errno = ENOSYS; /* nothing else is asked for; TCP fast open is done without */
    return -1;
}

static int front_connect(int fd, const struct sockaddr *address, socklen_t length, unsigned int flags, void *data)
{
    (void)flags;
    (void)data;
    return connect(fd, address, length);
}

static ssize_t front_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *from,
                              socklen_t *length, void *data)
{
    return from != NULL ? receive_datagram(data, fd, buffer, size, flags, from, length)
                        : receive_stream(data, fd, buffer, size, flags);
}

static ssize_t front_sendto(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *to,
                            socklen_t length, void *data)
{
    (void)data;
    return sendto(fd, buffer, size, flags | MSG_NOSIGNAL, to, length);
}

static int front_getsockname(int fd, struct sockaddr *address, socklen_t *length, void *data)
{
    (void)data;
    return getsockname(fd, address, length);
}

void dnsbl_front_install(dnsbl_loop *loop, channel *ch)
{
    static const socket_functions functions = {
        .version = 1, .flags = 1, .asocket = front_socket, .aclose = front_close,
        .asetsockopt = front_setsockopt, .aconnect = front_connect, .arecvfrom = front_recvfrom,
        .asendto = front_sendto, .agetsockname = front_getsockname,
    };
    if (loop->cares.set_socket_functions != NULL)
        (void)loop->cares.set_socket_functions(ch->ares, &functions, ch);
}

void dnsbl_front_close(channel *ch)
{
    while (ch->streams != NULL)
        forget_stream(ch, ch->streams->fd);
}
