/* Answers over TCP, in whatever pieces they come, and the sockets that front.c makes. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate.h"

static const char NAME[] = "2.0.0.127.bl.example";

enum { FD = 7, ANSWERS = 3 };

/* Adds the message as it travels over TCP. */
static void add_frame(gate_message *stream, const gate_message *m)
{
    stream->bytes[stream->length++] = (unsigned char)(m->length >> 8);
    stream->bytes[stream->length++] = (unsigned char)m->length;
    memcpy(stream->bytes + stream->length, m->bytes, m->length);
    stream->length += m->length;
}

/* All that c-ares gets to see until there is no more, read in pieces of so many bytes. */
static gate_message read_all(int fd, size_t size)
{
    gate_message all = {.length = 0};
    unsigned char *piece = malloc(size); /* no longer than it is said to be */
    ssize_t count;
    while ((count = gate_reads_stream(fd, piece, size)) > 0) {
        memcpy(all.bytes + all.length, piece, (size_t)count);
        all.length += (size_t)count;
    }
    CHECK(count == -1 && errno == EAGAIN, "ends with %d, errno %d", (int)count, errno);
    free(piece);
    return all;
}

static void check_same(const gate_message *is, const gate_message *wanted, const char *what)
{
    CHECK(is->length == wanted->length && memcmp(is->bytes, wanted->bytes, is->length) == 0, "%s: %zu bytes of %zu",
          what, is->length, wanted->length);
}

/* Between answers to three questions: others' answers, an empty message, and one that is blamed; one of the three is
 * negative and longer than 255 bytes. `seen` is what c-ares is to see of them. */
static void make_stream(gate_message *stream, gate_message *seen, attempt **asked)
{
    static const gate_message empty = {.length = 0};
    attempt other = {.id = 99, .fan = asked[0]->fan, .index = 1};
    gate_message foreign = gate_answer(&other, RESPONSE);
    stream->length = seen->length = 0;
    add_frame(stream, &foreign);
    for (int i = 0; i < ANSWERS; i++) {
        asked[i]->handed_on = false;
        gate_message m = gate_answer(asked[i], i == 1 ? TRUNCATED_RESPONSE : RESPONSE);
        gate_message is = m;
        gate_adds(&m, i == 1 ? 300 : (size_t)i);
        if (i == 1)
            memset(is.bytes + 6, 0, 6);
        else
            gate_adds(&is, (size_t)i);
        add_frame(stream, &m);
        add_frame(seen, &is);
        add_frame(stream, &empty);
        m.bytes[2] = 0;
        add_frame(stream, &m);
    }
    add_frame(stream, &foreign);
}

static void test_in_any_pieces(void)
{
    static gate_message stream, seen;
    gate_start();
    attempt *asked[ANSWERS];
    for (int i = 0; i < ANSWERS; i++)
        asked[i] = gate_asks(NAME, A, i);
    for (size_t cut = 1; cut <= stream.length || cut == 1; cut++) {
        make_stream(&stream, &seen, asked);
        gate.come_count = gate.read_count = gate.blamed = 0;
        gate_comes(stream.bytes, cut);
        if (cut < stream.length)
            gate_comes(stream.bytes + cut, stream.length - cut);
        gate_message all = read_all(FD, 1 + cut % 3 * 50);
        check_same(&all, &seen, "in two pieces");
        CHECK(gate.blamed == 1, "%d are blamed", gate.blamed); /* what was truncated is waited for still */
    }
    gate_end();
}

static void test_byte_for_byte(void)
{
    static gate_message stream, seen;
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, RESPONSE);
    stream.length = seen.length = 0;
    add_frame(&stream, &m);
    add_frame(&seen, &m);
    for (size_t i = 0; i < stream.length; i++)
        gate_comes(stream.bytes + i, 1);
    gate_message all = read_all(FD, 1);
    check_same(&all, &seen, "byte for byte");
    gate_end();
}

/* What is left of one read is there for the next, and nothing is received before it is gone. */
static void test_more_than_is_asked_for(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, RESPONSE), stream = {.length = 0};
    unsigned char piece[200];
    add_frame(&stream, &m);
    gate_comes(stream.bytes, stream.length);
    gate_comes(NULL, ECONNRESET);
    for (size_t left = stream.length; left > 0;) {
        ssize_t count = gate_reads_stream(FD, piece, left > 7 ? 7 : 2);
        CHECK(count == (left > 7 ? 7 : left >= 2 ? 2 : 1), "%d of %zu", (int)count, left);
        left -= (size_t)count;
        CHECK(gate.read_count == 1, "received with %zu left", left);
    }
    CHECK(gate_reads_stream(FD, piece, 200) == -1 && errno == ECONNRESET, "errno %d", errno);
    gate_end();
}

static void test_the_longest_message(void)
{
    static gate_message stream, next;
    gate_start();
    attempt *a = gate_asks(NAME, A, 5), *b = gate_asks(NAME, A, 6);
    gate_message m = gate_answer(a, RESPONSE), n = gate_answer(b, RESPONSE);
    gate_adds(&m, GATE_MOST - m.length);
    stream.length = next.length = 0;
    add_frame(&stream, &m);
    add_frame(&next, &n);
    gate_comes(stream.bytes, 60000);
    gate_comes(stream.bytes + 60000, stream.length - 60000);
    gate_comes(next.bytes, next.length);
    unsigned char *all = malloc(stream.length);
    CHECK(gate_reads_stream(FD, all, stream.length) == (ssize_t)stream.length, "not whole");
    CHECK(memcmp(all, stream.bytes, stream.length) == 0, "not the same");
    CHECK(gate_reads_stream(FD, all, stream.length) == (ssize_t)next.length, "not the next");
    free(all);
    gate_end();
}

static void test_two_that_fill_the_room(void)
{
    static gate_message stream;
    gate_start();
    attempt *asked[] = {gate_asks(NAME, A, 5), gate_asks(NAME, A, 6)};
    stream.length = 0;
    for (int i = 0; i < 2; i++) {
        gate_message m = gate_answer(asked[i], RESPONSE);
        gate_adds(&m, 32000 - m.length);
        add_frame(&stream, &m);
    }
    gate_comes(stream.bytes, stream.length);
    gate_message all = read_all(FD, stream.length);
    check_same(&all, &stream, "both");
    gate_end();
}

static void test_two_connections(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5), *b = gate_asks(NAME, A, 6);
    gate_message m = gate_answer(a, RESPONSE), n = gate_answer(b, RESPONSE);
    gate_message of_m = {.length = 0}, of_n = {.length = 0};
    add_frame(&of_m, &m);
    add_frame(&of_n, &n);
    gate_comes(of_m.bytes, 10);
    CHECK(read_all(FD, 99).length == 0, "not whole");
    gate_comes(of_n.bytes, 20);
    CHECK(read_all(FD + 1, 99).length == 0, "not whole");
    gate_comes(of_m.bytes + 10, of_m.length - 10);
    gate_message all = read_all(FD, 99);
    check_same(&all, &of_m, "the first");
    gate.calls->aclose(FD, gate.ch);
    CHECK(gate.closed == FD, "not closed");
    gate_comes(of_n.bytes + 20, of_n.length - 20);
    all = read_all(FD + 1, 99);
    check_same(&all, &of_n, "the second, when the first is closed");
    gate_end();
}

/* The number of a closed connection is given to another. */
static void test_what_came_goes_with_its_connection(void)
{
    gate_start();
    attempt *a = gate_asks(NAME, A, 5);
    gate_message m = gate_answer(a, RESPONSE), stream = {.length = 0};
    unsigned char piece[99];
    add_frame(&stream, &m);
    for (int fd = FD; fd < FD + 3; fd++) {
        gate_comes(stream.bytes, 10);
        CHECK(read_all(fd, 99).length == 0, "not whole");
    }
    static const int order[] = {FD + 1, FD, FD + 2};
    for (int i = 0; i < 3; i++) {
        a->handed_on = false;
        gate.calls->aclose(order[i], gate.ch);
        gate_comes(stream.bytes, stream.length);
        gate_message all = read_all(order[i], 99);
        check_same(&all, &stream, "anew");
    }
    gate.calls->aclose(FD + 3, gate.ch);
    gate_comes("", 0);
    CHECK(gate_reads_stream(FD, piece, sizeof piece) == 0, "the other end has closed it");
    gate_end();
}

static void test_a_stream_without_memory(void)
{
    gate_start();
    unsigned char piece[9];
    gate_comes("x", 1);
    gate.no_memory = true;
    errno = 0;
    CHECK(gate_reads_stream(FD, piece, sizeof piece) == -1 && errno == ENOMEM, "errno %d", errno);
    CHECK(gate.read_count == 0, "received");
    gate.no_memory = false;
    gate_end();
}

/* ---- sockets ---- */

static int make_socket(int type, int fails)
{
    gate.fails = fails;
    gate.set[0] = gate.set[1] = gate.closed = -1;
    return gate.calls->asocket(AF_INET6, type, 17, gate.ch);
}

static void test_a_socket(void)
{
    gate_start();
    CHECK(gate.calls->version == 1 && gate.calls->flags == 1, "what c-ares does not know");
    for (gate.next_fd = 7; gate.next_fd >= 0; gate.next_fd -= 7) {
        CHECK(make_socket(SOCK_DGRAM, 0) == gate.next_fd && gate.set[0] == -1, "for datagrams");
        CHECK(make_socket(SOCK_STREAM, 0) == gate.next_fd, "for a stream");
        CHECK(gate.set[0] == IPPROTO_TCP && gate.set[1] == TCP_NODELAY && gate.closed == -1, "%d", gate.set[1]);
        CHECK(make_socket(SOCK_STREAM, 'S') == -1 && gate.closed == -1, "there was none");
        for (const char *fails = "LDO"; *fails != '\0'; fails++)
            CHECK(make_socket(SOCK_STREAM, *fails) == -1 && gate.closed == gate.next_fd, "%c failed", *fails);
        CHECK(make_socket(SOCK_DGRAM, 'L') == -1 && gate.set[0] == -1, "F_SETFL failed");
    }
    gate_end();
}

static void test_a_socket_s_buffers(void)
{
    static const int wanted[] = {SO_SNDBUF, SO_RCVBUF};
    gate_start();
    int one = 1;
    for (int option = 0; option < 2; option++) {
        CHECK(gate.calls->asetsockopt(7, option, &one, sizeof one, gate.ch) == 0, "option %d", option);
        CHECK(gate.set[0] == SOL_SOCKET && gate.set[1] == wanted[option], "%d is set", gate.set[1]);
    }
    gate.set[0] = -1;
    CHECK(gate.calls->asetsockopt(7, 2, &one, sizeof one, gate.ch) == -1 && errno == ENOSYS, "errno %d", errno);
    CHECK(gate.set[0] == -1, "another is set");
    gate.loop->cares.set_socket_functions = NULL;
    dnsbl_front_install(gate.loop, gate.ch); /* of a c-ares that has no such thing */
    gate_end();
}

int main(void)
{
    alarm(60);
    test_in_any_pieces();
    test_byte_for_byte();
    test_more_than_is_asked_for();
    test_the_longest_message();
    test_two_that_fill_the_room();
    test_two_connections();
    test_what_came_goes_with_its_connection();
    test_a_stream_without_memory();
    test_a_socket();
    test_a_socket_s_buffers();
    return check_result("front_streams");
}
