/* See lone.h. */
#include "lone.h"

#include <stdlib.h>

enum { MANY = 100000 };

lone lone_start(void)
{
    lone l = {.loop = calloc(1, sizeof *l.loop), .srv = calloc(1, sizeof *l.srv), .now = 500 * DNSBL_MS};
    l.asker = dnsbl_completions_new(false);
    dnsbl_pace_init(l.srv);
    return l;
}

void lone_end(lone *l)
{
    check_lists(l->srv);
    while (dnsbl_queue_pop_any(l->loop, l->srv) != NULL)
        ;
    CHECK(l->srv->waiting == 0, "%d wait", l->srv->waiting);
    while (l->made != NULL) {
        attempt *a = l->made;
        l->made = a->next_sent;
        dnsbl_pace_forget(a);
        free(a->fan->tickets);
        dnsbl_fan_release(a->fan);
        free(a);
    }
    check_lists(l->srv);
    CHECK(l->srv->on_way.count == 0, "%d are left", l->srv->on_way.count);
    dnsbl_completions_close(l->asker);
    free(l->srv);
    free(l->loop);
}

attempt *lone_attempt(lone *l, int zone)
{
    attempt *a = calloc(1, sizeof *a);
    a->loop = l->loop;
    a->fan = dnsbl_fan_new(1, 1);
    dnsbl_fan_question(a->fan, 0, 0, DNSBL_TYPE_A, 30 * DNSBL_S, 0);
    dnsbl_fan_zone(a->fan, 0, (uint16_t)zone);
    a->fan->ask_until = l->now + 30 * DNSBL_S;
    a->fan->tickets = calloc(1, sizeof *a->fan->tickets);
    a->fan->tickets->completions = l->asker;
    a->lane = &l->srv->lanes[zone];
    a->began = l->now;
    a->next_sent = l->made;
    l->made = a;
    return a;
}

attempt *lone_wait(lone *l, int zone)
{
    attempt *a = lone_attempt(l, zone);
    CHECK(dnsbl_queue_push(l->loop, l->srv, a), "no memory");
    return a;
}

void lone_wait_many(lone *l, int zone, int count)
{
    for (int i = 0; i < count; i++)
        lone_wait(l, zone);
}

static void sent(lone *l, attempt *a)
{
    a->sent = l->now;
    a->fan->sent = true;
    dnsbl_pace_sent(l->srv, a);
}

attempt *lone_send(lone *l, int zone)
{
    attempt *a = lone_attempt(l, zone);
    sent(l, a);
    return a;
}

void lone_send_many(lone *l, int zone, int count)
{
    for (int i = 0; i < count; i++)
        lone_send(l, zone);
}

int lone_pump(lone *l)
{
    int count = 0;
    bool over = false;
    for (attempt *a; (a = dnsbl_pace_pop(l->loop, l->srv, l->now, &over)) != NULL;)
        if (!over) {
            sent(l, a);
            count++;
        }
    check_lists(l->srv);
    return count;
}

void lone_answer(lone *l, attempt *a)
{
    l->srv->answered = l->now;
    dnsbl_pace_answered(l->srv, a, l->now);
    check_lists(l->srv);
}

void lone_round_trip(lone *l, int zone, uint64_t takes)
{
    attempt *a = lone_send(l, zone);
    l->now += takes;
    lone_answer(l, a);
}

void lone_lives(lone *l, double window)
{
    l->srv->answered = l->now;
    l->srv->window = window;
}

void check_list(const attempt_list *list)
{
    const attempt *before = NULL;
    int count = 0;
    for (const attempt *a = list->first; a != NULL && count < MANY; a = a->link[list->kind].after) {
        CHECK(a->link[list->kind].on == list && a->link[list->kind].before == before, "place %d", count);
        before = a;
        count++;
    }
    CHECK(list->last == before && list->count == count, "%d of %d", count, list->count);
}

void check_lists(const server *srv)
{
    CHECK(srv->on_way.kind == ON_WAY, "another kind");
    check_list(&srv->on_way);
    for (int i = 0; i < LANES; i++) {
        CHECK(srv->lanes[i].open.kind == ON_LANE && srv->lanes[i].late.kind == ON_LANE, "another kind");
        check_list(&srv->lanes[i].open);
        check_list(&srv->lanes[i].late);
    }
}
