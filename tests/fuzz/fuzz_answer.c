/* Any bytes as what a nameserver sends: through the front, c-ares' parser and the reader of answers, as the loop
 * has them, with one question in flight.
 *
 * The first byte of an input says how it is taken: TXT or A, over TCP or UDP, in pieces of how many bytes; and
 * whether the bytes after it are sent as they are (RAW), or are flags, the counts of the three sections and what
 * follows the question, while id, the count of questions and the question itself are put in: so that most of
 * what the fuzzer makes reaches the reader. */
#include <errno.h>
#include <string.h>

#include "cares.h"
#include "fanout_internal.h"
#include "require.h"

enum { AS_TXT = 1, AS_STREAM = 2, AS_RAW = 4, PIECE_SHIFT = 3, ID = 0x1234, NAME_BYTES = 22, MESSAGE_MAX = 70000 };

#define ASKED "2.0.0.127.bl.example"

static const unsigned char asked_name[NAME_BYTES] = "\0012\0010\0010\003127\002bl\007example";

/* ---- what the code under test calls ---- */

static const socket_functions *front; /* what dnsbl_front_install gave to c-ares */
static int blamed;

static int take_functions(void *channel, const void *functions, void *data)
{
    (void)channel;
    (void)data;
    front = functions;
    return 0;
}

void dnsbl_fanout_malformed(dnsbl_loop *loop, attempt *a, uint64_t now)
{
    (void)loop;
    (void)now;
    REQUIRE(a->id == ID);
    blamed++;
}

uint64_t dnsbl_fanout_now(void)
{
    return DNSBL_S;
}

/* The socket: what is left of the input, `piece` bytes at a time. */
static struct {
    const unsigned char *bytes;
    size_t left, piece;
    bool stream;
} incoming;

ssize_t __wrap_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *length);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    (void)fd;
    (void)flags;
    if (incoming.left == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t count = incoming.left < size ? incoming.left : size;
    if (incoming.stream && incoming.piece < count)
        count = incoming.piece;
    memcpy(buffer, incoming.bytes, count);
    incoming.bytes += count;
    incoming.left -= incoming.stream ? count : incoming.left;
    return (ssize_t)count;
}

ssize_t __wrap_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *from, socklen_t *length)
{
    (void)from;
    (void)length;
    return __wrap_recv(fd, buffer, size, flags);
}

/* ---- what must hold ---- */

static void answer_is_sound(const dnsbl_answer *answer, dnsbl_qtype type)
{
    enum { SIZE = DNSBL_FANOUT_MAX_TEXT };
    REQUIRE(answer->address_count <= DNSBL_FANOUT_MAX_ADDRESSES && answer->text_count <= DNSBL_FANOUT_MAX_TEXTS);
    REQUIRE((answer->address == NULL) == (answer->address_count == 0));
    REQUIRE(type == DNSBL_TYPE_A ? answer->text_count == 0 : answer->address_count == 0);
    REQUIRE(answer->ttl == DNSBL_NO_TTL || answer->ttl < 0x80000000u);
    REQUIRE(answer->soa_ttl == DNSBL_NO_TTL || answer->soa_ttl < 0x80000000u);
    for (int i = 0; i < answer->text_count; i++) {
        REQUIRE(answer->text_length[i] <= SIZE);
        size_t size = answer->text_length[i], before = i == 0 ? 0 : answer->text_length[i - 1];
        int order = i == 0 ? -1 : memcmp(answer->text + (i - 1) * SIZE, answer->text + i * SIZE,
                                         before < size ? before : size);
        REQUIRE(i == 0 || order < 0 || (order == 0 && before < size)); /* sorted, and no two alike */
    }
}

/* The front has let this message through to c-ares. */
static void handed_on(const dnsbl_cares *cares, const question *q, const unsigned char *message, size_t length)
{
    void *record = NULL;
    unsigned char *exact = malloc(length == 0 ? 1 : length);
    REQUIRE(exact != NULL);
    memcpy(exact, message, length);
    REQUIRE(length >= 12 && exact[0] == ID >> 8 && exact[1] == (ID & 0xff) && (exact[2] & 0x80));
    REQUIRE(cares->parse(exact, length, 0, &record) == 0); /* or c-ares would close the socket */
    dnsbl_answer answer = {0};
    dnsbl_reading reading = dnsbl_answer_read(cares, &answer, q, record);
    REQUIRE(reading != DNSBL_READ_NO_MEMORY);
    answer_is_sound(&answer, (dnsbl_qtype)q->type);
    REQUIRE(dnsbl_answer_rcode(cares, 0, record) >= 0);
    free(answer.address);
    free(answer.text);
    cares->record_destroy(record);
    free(exact);
}

/* What is read without c-ares' parser is what its parser and the reader of its records make of the same bytes. */
static void negative_as_parsed(const dnsbl_cares *cares, const question *q, const unsigned char *message, size_t length)
{
    enum { QUESTION_END = 12 + NAME_BYTES + 4, RESPONSE = 0x80, OPCODE_AND_TRUNCATED = 0x7a };
    void *record = NULL;
    dnsbl_negative negative;
    dnsbl_answer answer = {0};
    unsigned char *exact = malloc(length);
    REQUIRE(exact != NULL && length >= QUESTION_END);
    memcpy(exact, message, length);
    if ((exact[2] & (RESPONSE | OPCODE_AND_TRUNCATED)) == RESPONSE &&
        dnsbl_negative_read(exact, length, QUESTION_END, &negative)) {
        REQUIRE(cares->parse(exact, length, 0, &record) == 0);
        REQUIRE(dnsbl_answer_read(cares, &answer, q, record) == DNSBL_READ_WHOLE);
        REQUIRE(answer.address_count == 0 && answer.text_count == 0 && answer.ttl == DNSBL_NO_TTL);
        REQUIRE(answer.soa_ttl == negative.soa_ttl && answer.soa_minimum == negative.soa_minimum);
        REQUIRE(dnsbl_answer_rcode(cares, 0, record) == (exact[3] & 0x0f));
        cares->record_destroy(record);
    }
    free(exact);
}

static size_t first_frame(const unsigned char *bytes, size_t have)
{
    size_t whole = have < 2 ? 0 : 2 + ((size_t)bytes[0] << 8 | bytes[1]);
    return have >= 2 && whole <= have ? whole : 0;
}

static void receive_all(const dnsbl_cares *cares, channel *ch, const question *q)
{
    static unsigned char got[2 * MESSAGE_MAX];
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    size_t have = 0;
    for (;;) {
        struct sockaddr *sender = incoming.stream ? NULL : (struct sockaddr *)&from;
        ssize_t count = front->arecvfrom(3, got + have, sizeof got - have, 0, sender, &length, ch);
        if (count <= 0)
            break;
        if (!incoming.stream) {
            handed_on(cares, q, got, (size_t)count);
            continue;
        }
        have += (size_t)count;
        for (size_t whole; (whole = first_frame(got, have)) > 0; have -= whole) {
            handed_on(cares, q, got + 2, whole - 2);
            memmove(got, got + whole, have - whole);
        }
    }
    REQUIRE(incoming.left == 0 && have == 0); /* only whole messages are handed on */
}

/* ---- one input ---- */

/* Flags, counts and rest of the input around the id and the question; the length. */
static size_t put_in(unsigned char *out, int type, const uint8_t *data, size_t size)
{
    unsigned char head[12] = {ID >> 8, ID & 0xff, 0x84, 0, 0, 1};
    size_t given = size < 8 ? size : 8, at = 0;
    memcpy(head + 2, data, given < 2 ? given : 2);
    if (given > 2)
        memcpy(head + 6, data + 2, given - 2);
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, asked_name, sizeof asked_name);
    at = sizeof head + sizeof asked_name;
    const unsigned char tail[4] = {0, (unsigned char)type, 0, 1};
    memcpy(out + at, tail, sizeof tail);
    at += sizeof tail;
    memcpy(out + at, data + given, size - given);
    return at + size - given;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dnsbl_loop loop;
    static dnsbl_fan *fan;
    static unsigned char bytes[2 + MESSAGE_MAX];
    if (fan == NULL) {
        cares_table(&loop.cares);
        loop.cares.set_socket_functions = take_functions;
        fan = calloc(1, sizeof *fan + sizeof(question));
        REQUIRE(fan != NULL);
    }
    if (size == 0 || size > 60000)
        return 0;
    question *q = &fan->questions[0];
    q->type = data[0] & AS_TXT ? DNSBL_TYPE_TXT : DNSBL_TYPE_A;
    strcpy(q->name, ASKED);
    channel ch = {.loop = &loop};
    attempt a = {.loop = &loop, .fan = fan, .channel = &ch, .id = ID};
    dnsbl_front_install(&loop, &ch);
    dnsbl_front_remember(&ch, &a);

    bool raw = data[0] & AS_RAW;
    incoming.stream = data[0] & AS_STREAM;
    incoming.piece = data[0] >> PIECE_SHIFT == 0 ? MESSAGE_MAX : data[0] >> PIECE_SHIFT;
    incoming.bytes = bytes + (incoming.stream && !raw ? 0 : 2);
    if (raw)
        memcpy(bytes + 2, data + 1, size - 1);
    size_t length = raw ? size - 1 : put_in(bytes + 2, q->type, data + 1, size - 1);
    if (!raw)
        negative_as_parsed(&loop.cares, q, bytes + 2, length);
    bytes[0] = (unsigned char)(length >> 8);
    bytes[1] = (unsigned char)length;
    incoming.left = length + (incoming.stream && !raw ? 2 : 0);
    blamed = 0;
    loop.to_read = 1000; /* datagrams in this turn of the loop */
    receive_all(&loop.cares, &ch, q);
    REQUIRE(incoming.stream || blamed <= 1); /* one datagram, one blame */
    dnsbl_front_forget(&ch, &a);
    dnsbl_front_close(&ch);
    return 0;
}
