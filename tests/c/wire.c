/* See wire.h. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

wire_world wire = {.memory = INT32_MAX};

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return wire.memory-- > 0 ? __real_malloc(size) : NULL;
}

/* ---- in place of clock.c, servers.c, channel.c, front.c and fanout.c ---- */

uint64_t dnsbl_fanout_now(void)
{
    return wire.now;
}

int dnsbl_servers_count(dnsbl_loop *loop)
{
    return loop->server_count;
}

static channel *channel_of(const server *srv)
{
    int at = 0;
    while (wire.servers[at] != srv)
        at++;
    return &wire.channels[at];
}

channel *dnsbl_channel_of(dnsbl_loop *loop, server *srv, uint64_t now)
{
    (void)loop;
    CHECK(now == wire.now, "another time");
    return wire.no_channel ? NULL : channel_of(srv);
}

void dnsbl_channel_close_those_of(dnsbl_loop *loop, server *srv)
{
    (void)loop;
    wire.closed++;
    for (int i = 0; i < wire.sent_count; i++)
        if (wire.sent[i].open && wire.sent[i].of == channel_of(srv))
            wire_ends(i, ARES_EDESTRUCTION, NULL);
}

void dnsbl_front_remember(channel *ch, attempt *a)
{
    wire_query *last = &wire.sent[wire.sent_count - 1];
    CHECK(last->open && a == last->a && ch == last->of, "another one");
    CHECK(a->id == WIRE_FIRST_ID + wire.sent_count - 1, "id %d", a->id);
    wire.remembered++;
}

void dnsbl_front_forget(channel *ch, attempt *a)
{
    CHECK(ch == a->channel, "of another channel");
    wire.remembered--;
}

void dnsbl_fanout_ended(dnsbl_loop *loop, attempt *a, int status, const void *record, uint64_t now)
{
    (void)loop;
    CHECK(now == wire.now, "another time");
    if (wire.ended_count == WIRE_MAX)
        abort();
    wire.ended[wire.ended_count].index = a->index;
    wire.ended[wire.ended_count].server = a->server;
    wire.ended[wire.ended_count].status = status;
    wire.ended[wire.ended_count++].record = record;
}

void dnsbl_fanout_ask_again_at(dnsbl_loop *loop, dnsbl_fan *fan, question *q, uint64_t at)
{
    (void)loop;
    CHECK(q >= fan->questions && q < fan->questions + fan->count, "of another fan");
    wire.asked_again++;
    if (at < q->next_attempt)
        q->next_attempt = at;
}

/* ---- in place of c-ares ---- */

static int query(void *ares, const char *name, int dnsclass, int type, dnsbl_cares_callback callback, void *arg,
                 unsigned short *qid)
{
    attempt *a = arg;
    const question *q = &a->fan->questions[a->index];
    CHECK(ares == a->channel->ares && a->loop->current == a->channel, "whose sockets are these?");
    CHECK(strcmp(name, q->name) == 0 && dnsclass == 1 && type == q->type, "another question: %s", name);
    CHECK(a->loop->sending == a, "front.c knows it already");
    if (wire.sent_count == WIRE_MAX)
        abort();
    wire_query *made = &wire.sent[wire.sent_count];
    *made = (wire_query){.a = a, .callback = callback, .of = a->channel, .open = true};
    *qid = (unsigned short)(WIRE_FIRST_ID + wire.sent_count++);
    if (wire.ends_inside)
        wire_ends(wire.sent_count - 1, ARES_ETIMEOUT, NULL);
    return 0;
}

void wire_ends(int n, int status, const void *record)
{
    wire.sent[n].open = false;
    wire.sent[n].callback(wire.sent[n].a, status, 0, record);
}

/* ---- for the tests ---- */

dnsbl_loop *wire_start(void)
{
    dnsbl_loop *loop = calloc(1, sizeof *loop);
    memset(&wire, 0, sizeof wire);
    wire.now = 1000 * DNSBL_S;
    wire.memory = INT32_MAX;
    loop->cares.query_dnsrec = query;
    loop->next_pump = UINT64_MAX;
    loop->server_count = loop->sets[0].count = WIRE_SERVERS;
    for (int i = 0; i < WIRE_SERVERS; i++) {
        server *srv = calloc(1, sizeof *srv);
        dnsbl_pace_init(srv);
        srv->looked = wire.now;
        wire.servers[i] = loop->servers[i] = loop->sets[0].servers[i] = srv;
        wire.channels[i].loop = loop;
        wire.channels[i].server = srv;
        wire.channels[i].ares = &wire.channels[i];
    }
    return loop;
}

void wire_end(dnsbl_loop *loop)
{
    dnsbl_transport_close(loop);
    CHECK(wire.closed == WIRE_SERVERS, "the channels of %d are closed", wire.closed);
    CHECK(loop->in_flight == 0 && wire.remembered == 0, "%d are left", loop->in_flight);
    CHECK(loop->sending == NULL && loop->current == NULL, "as if one were being sent");
    for (int i = 0; i < WIRE_SERVERS; i++) {
        CHECK(wire.channels[i].in_flight == 0 && wire.channels[i].sent == NULL, "left on channel %d", i);
        CHECK(wire.servers[i]->waiting == 0 && wire.servers[i]->on_way.count == 0, "left at server %d", i);
        CHECK(wire.servers[i]->on_way.first == NULL, "freed, and on a list");
        free(wire.servers[i]);
    }
    free(loop);
}

dnsbl_fan *wire_fan(int count)
{
    dnsbl_fan *fan = dnsbl_fan_new(count, 1);
    fan->ask_until = wire.now + WIRE_ASKED_FOR;
    fan->listen_until = wire.now + WIRE_LISTENED_FOR;
    for (int i = 0; i < count; i++)
        sprintf(dnsbl_fan_question(fan, i, 0, i % 2 == 0 ? DNSBL_TYPE_A : DNSBL_TYPE_TXT, WIRE_TIMEOUT, 0),
                "%d.example", i);
    return fan;
}

question *wire_ask(dnsbl_loop *loop)
{
    dnsbl_fan *fan = wire_fan(1);
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    dnsbl_fan_release(fan);
    return &fan->questions[0];
}

void wire_ask_many(dnsbl_loop *loop, int count)
{
    for (int i = 0; i < count; i++)
        wire_ask(loop);
}

void wire_fails(dnsbl_loop *loop, int server_at, int times)
{
    question q = {.attempts = 1, .tried = (uint8_t)(1u << server_at), .last_server = (uint8_t)server_at};
    for (int i = 0; i < times; i++)
        dnsbl_transport_unanswered(loop, &q, wire.now);
}

void wire_lives(int server_at)
{
    server *srv = wire.servers[server_at];
    srv->answered = srv->lanes[0].answered = wire.now;
}
