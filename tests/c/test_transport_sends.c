/* How transport.c sends what has room, what it counts, and what becomes of each query. */
#include <unistd.h>

#include "wire.h"

enum { WINDOW = 100 }; /* of a nameserver that has answered nobody yet */

static const int record; /* nothing reads it */

static int waiting_at(int at)
{
    return wire.servers[at]->waiting;
}

static uint64_t pump(dnsbl_loop *loop)
{
    return dnsbl_transport_pump(loop, wire.now);
}

/* Send one more question, to server 0; its number among what was sent. */
static int send_one(dnsbl_loop *loop)
{
    wire_ask(loop);
    pump(loop);
    return wire.sent_count - 1;
}

/* ---- sent ---- */

static void test_what_is_sent(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(2);
    dnsbl_fan_zone(fan, 1, LANES + 3);
    uint64_t began = wire.now;
    for (int i = 0; i < 2; i++)
        dnsbl_transport_attempt(loop, fan, i, wire.now);
    CHECK(!fan->sent && wire.sent_count == 0 && !loop->sweep_wanted, "sent without a pump");
    CHECK(atomic_load(&fan->refs) == 3, "held by %d", atomic_load(&fan->refs));
    wire.now += DNSBL_MS;
    CHECK(pump(loop) == UINT64_MAX && wire.sent_count == 2, "%d sent", wire.sent_count);
    for (int i = 0; i < 2; i++) {
        const attempt *a = wire.sent[i].a;
        CHECK(a->loop == loop && a->fan == fan && a->index == i && a->server == 0, "question %d", i);
        CHECK(a->began == began && a->sent == wire.now, "at another time");
        CHECK(a->lane == &wire.servers[0]->lanes[i == 0 ? 0 : 3], "in lane %d", (int)(a->lane - wire.servers[0]->lanes));
        CHECK(a->channel == &wire.channels[0] && a->id == WIRE_FIRST_ID + i, "id %d", a->id);
        CHECK(fan->questions[i].sent == 1 && fan->questions[i].waiting == 0, "question %d", i);
    }
    CHECK(fan->sent && loop->sweep_wanted && loop->in_flight == 2 && wire.remembered == 2, "%d", loop->in_flight);
    CHECK(loop->current == NULL && loop->sending == NULL, "as if one were being sent");
    CHECK(wire.servers[0]->on_way.count == 2, "%d on the way", wire.servers[0]->on_way.count);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

static void test_what_a_channel_counts(void)
{
    dnsbl_loop *loop = wire_start();
    channel *ch = &wire.channels[0];
    uint64_t began = wire.now;
    send_one(loop);
    wire.now += DNSBL_MS;
    send_one(loop);
    CHECK(ch->in_flight == 2 && ch->queries == 2 && ch->busy_since == began, "%d, %d", ch->in_flight, ch->queries);
    CHECK(ch->needed_until == wire.now + WIRE_LISTENED_FOR, "needed by another time");
    wire_ends(0, 0, &record);
    wire_ends(1, ARES_ETIMEOUT, NULL);
    CHECK(ch->in_flight == 0 && ch->queries == 2 && loop->in_flight == 0, "%d, %d", ch->in_flight, ch->queries);
    wire.now += DNSBL_MS;
    question *q = wire_ask(loop);
    dnsbl_queue_first(&wire.servers[0]->lanes[q->zone])->fan->listen_until = wire.now;
    pump(loop);
    CHECK(ch->busy_since == wire.now, "busy for longer");
    CHECK(ch->needed_until == began + DNSBL_MS + WIRE_LISTENED_FOR, "the longest is needed");
    wire_end(loop);
}

/* The wait for an answer begins when it is sent, and is the nameserver's own. */
static void test_when_it_is_asked_again(void)
{
    dnsbl_loop *loop = wire_start();
    question *q = wire_ask(loop);
    q->next_attempt = wire.now + DNSBL_MS;
    pump(loop);
    CHECK(q->next_attempt == wire.now + WIRE_TIMEOUT && wire.asked_again == 1, "silent");
    wire_lives(0);
    q = wire_ask(loop);
    pump(loop);
    CHECK(q->next_attempt == wire.now + 250 * DNSBL_MS && wire.asked_again == 2, "answers others");
    wire_end(loop);
}

static void test_an_earlier_server_sets_no_time(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(1);
    question *q = &fan->questions[0];
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    q->last_server = 1; /* as if that were asked since */
    q->next_attempt = 77;
    pump(loop);
    CHECK(q->next_attempt == 77 && wire.asked_again == 0 && q->sent == 1, "another time");
    dnsbl_fan_release(fan);
    wire_end(loop);
}

/* ---- ended ---- */

/* A channel's attempts are on its list, whichever of them ends first. */
static void check_list_of(const channel *ch, int count)
{
    attempt *const *at = &ch->sent;
    for (; *at != NULL && count > 0; at = &(*at)->next_sent, count--)
        CHECK((*at)->sent_at == at && (*at)->channel == ch, "%d before the end", count);
    CHECK(*at == NULL && count == 0, "%d too few", count);
}

static void test_ended_in_each_order(void)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 6; i++) {
        dnsbl_loop *loop = wire_start();
        wire_ask_many(loop, 3);
        pump(loop);
        for (int j = 0; j < 3; j++) {
            check_list_of(&wire.channels[0], 3 - j);
            wire_ends(orders[i][j], ARES_ETIMEOUT, NULL);
            CHECK(wire.remembered == 2 - j && loop->in_flight == 2 - j, "%d", wire.remembered);
        }
        check_list_of(&wire.channels[0], 0);
        wire_end(loop);
    }
}

static void test_an_answer(void)
{
    dnsbl_loop *loop = wire_start();
    server *srv = wire.servers[0];
    send_one(loop);
    wire_fails(loop, 0, 2);
    wire.now += 7 * DNSBL_MS;
    wire_ends(0, 5, &record);
    CHECK(srv->failures == 0 && srv->answered == wire.now, "%d failures", srv->failures);
    CHECK(srv->lanes[0].answered == wire.now && srv->answers == 1 && srv->rtt > 0, "its pace");
    CHECK(wire.ended_count == 1 && wire.ended[0].status == 5 && wire.ended[0].record == &record, "not told");
    CHECK(wire.ended[0].index == 0 && wire.ended[0].server == 0, "of another question");
    CHECK(srv->on_way.count == 0 && loop->in_flight == 0, "still on its way");
    wire_end(loop);
}

static void test_the_end_without_an_answer(void)
{
    dnsbl_loop *loop = wire_start();
    server *srv = wire.servers[0];
    send_one(loop);
    wire_fails(loop, 0, 2);
    wire_ends(0, ARES_ETIMEOUT, NULL);
    CHECK(srv->failures == 2 && srv->answered == 0 && srv->answers == 0, "counted as an answer");
    CHECK(wire.ended_count == 1 && wire.ended[0].status == ARES_ETIMEOUT, "not told");
    CHECK(srv->on_way.count == 0 && srv->lanes[0].open.count == 0, "still on its way");
    wire_end(loop);
}

/* As where the connection is refused at once. */
static void test_ended_while_it_is_sent(void)
{
    dnsbl_loop *loop = wire_start();
    wire.ends_inside = true;
    wire_ask_many(loop, 2);
    pump(loop);
    CHECK(wire.sent_count == 2 && wire.ended_count == 2 && wire.remembered == 0, "%d", wire.remembered);
    CHECK(loop->sending == NULL && loop->current == NULL && loop->in_flight == 0, "as if one were being sent");
    check_list_of(&wire.channels[0], 0);
    wire_end(loop);
}

/* ---- not sent ---- */

static void test_without_a_channel(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(1);
    question *q = &fan->questions[0];
    q->next_attempt = 77;
    wire.no_channel = true;
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    CHECK(pump(loop) == UINT64_MAX, "something waits");
    CHECK(q->attempts == 1 && q->sent == 0 && q->waiting == 0 && q->next_attempt == 77, "not as if it were lost");
    CHECK(!fan->sent && loop->in_flight == 0 && atomic_load(&fan->refs) == 1, "%d", loop->in_flight);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

static void test_without_memory(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(1);
    question *q = &fan->questions[0];
    wire.memory = 0;
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    CHECK(waiting_at(0) == 0 && loop->next_pump == UINT64_MAX, "it waits all the same");
    wire.memory = 1; /* for the attempt, not for the queue */
    dnsbl_transport_attempt(loop, fan, 0, wire.now);
    CHECK(waiting_at(0) == 0 && loop->next_pump == UINT64_MAX, "it waits all the same");
    wire.memory = INT32_MAX;
    CHECK(q->attempts == 0 && q->tried == 0 && q->waiting == 0 && atomic_load(&fan->refs) == 1, "one was made");
    CHECK(loop->in_flight == 0, "%d in flight", loop->in_flight);
    dnsbl_fan_release(fan);
    wire_end(loop);
}

static void test_what_is_over_is_dropped(void)
{
    dnsbl_loop *loop = wire_start();
    dnsbl_fan *fan = wire_fan(3);
    for (int i = 0; i < 3; i++)
        dnsbl_transport_attempt(loop, fan, i, wire.now);
    fan->questions[0].answered = true;
    CHECK(pump(loop) == UINT64_MAX && wire.sent_count == 2, "%d sent", wire.sent_count);
    CHECK(fan->questions[0].attempts == 0 && fan->questions[0].waiting == 0, "it was none");
    CHECK(fan->questions[1].attempts == 1 && fan->questions[1].waiting == 0, "it was one");
    CHECK(wire.ended_count == 0 && atomic_load(&fan->refs) == 3, "held by %d", atomic_load(&fan->refs));
    dnsbl_fan_release(fan);
    wire_end(loop);
}

/* ---- the pump ---- */

/* One more than there is room for is sent when the first is no longer counted as on its way. */
static void test_when_to_pump_again(void)
{
    dnsbl_loop *loop = wire_start();
    wire_ask_many(loop, WINDOW + 1);
    uint64_t again = pump(loop);
    CHECK(wire.sent_count == WINDOW && waiting_at(0) == 1, "%d sent", wire.sent_count);
    CHECK(again == wire.now + 100 * DNSBL_MS, "again in %d us", (int)((again - wire.now) / 1000));
    wire.now = again - 1;
    CHECK(pump(loop) == again && wire.sent_count == WINDOW, "1 ns too early");
    wire.now++;
    CHECK(pump(loop) == UINT64_MAX && wire.sent_count == WINDOW + 1, "%d sent", wire.sent_count);
    wire_end(loop);
}

/* Server 0 and server 2 have both too much to send, one from later on; the earlier time counts. */
static void test_the_earliest_of_all_servers(void)
{
    for (int later = 0; later <= 2; later += 2) {
        dnsbl_loop *loop = wire_start();
        uint64_t first = wire.now;
        for (int i = 0; i < 2; i++) {
            int at = i == 0 ? 2 - later : later;
            for (int other = 0; other < WIRE_SERVERS; other++) {
                wire.servers[other]->failures = other == at ? 0 : SERVER_FAILURES_DOWN;
                wire.servers[other]->probe_at = UINT64_MAX;
            }
            wire_ask_many(loop, WINDOW + 1);
            pump(loop);
            wire.now += DNSBL_MS;
        }
        CHECK(waiting_at(0) == 1 && waiting_at(2) == 1, "%d and %d wait", waiting_at(0), waiting_at(2));
        CHECK(pump(loop) == first + 100 * DNSBL_MS, "the later one");
        wire_end(loop);
    }
}

static void test_crowded(void)
{
    for (int at = 0; at < WIRE_SERVERS; at++) {
        dnsbl_loop *loop = wire_start();
        for (int other = 0; other < WIRE_SERVERS; other++) {
            wire.servers[other]->failures = other == at ? 0 : SERVER_FAILURES_DOWN;
            wire.servers[other]->probe_at = other == 1 ? 0 : UINT64_MAX; /* one waits here too */
        }
        wire_lives(at);
        wire_ask_many(loop, 3 * WINDOW);
        pump(loop);
        CHECK(!atomic_load(&loop->crowded), "as many wait as are soon sent");
        wire_ask(loop);
        pump(loop);
        CHECK(atomic_load(&loop->crowded), "more wait");
        wire.now += 20 * DNSBL_MS;
        pump(loop);
        CHECK(!atomic_load(&loop->crowded), "no longer");
        wire_end(loop);
    }
}

static void test_dropped_with_its_server(void)
{
    dnsbl_loop *loop = wire_start();
    wire_ask_many(loop, 2);
    dnsbl_transport_drop_waiting(loop, wire.servers[1]);
    CHECK(waiting_at(0) == 2, "of another server");
    dnsbl_transport_drop_waiting(loop, wire.servers[0]);
    CHECK(waiting_at(0) == 0 && wire.ended_count == 0 && wire.sent_count == 0, "%d wait", waiting_at(0));
    wire_end(loop);
}

int main(void)
{
    alarm(60);
    test_what_is_sent();
    test_what_a_channel_counts();
    test_when_it_is_asked_again();
    test_an_earlier_server_sets_no_time();
    test_ended_in_each_order();
    test_an_answer();
    test_the_end_without_an_answer();
    test_ended_while_it_is_sent();
    test_without_a_channel();
    test_without_memory();
    test_what_is_over_is_dropped();
    test_when_to_pump_again();
    test_the_earliest_of_all_servers();
    test_crowded();
    test_dropped_with_its_server();
    return check_result("transport_sends");
}
