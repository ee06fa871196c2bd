/* Attempts that wait: the earliest deadline first, those who ask in turns, nothing lost where memory runs out. */
#include <stdlib.h>
#include <unistd.h>

#include "lone.h"

enum { ZONE = 3, OTHER_ZONE = 4 };

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

/* One of a question that only this one waits for. */
static attempt *wait_of(lone *l, int zone, dnsbl_completions *asker)
{
    attempt *a = lone_attempt(l, zone);
    a->fan->tickets->completions = asker;
    CHECK(dnsbl_queue_push(l->loop, l->srv, a), "no memory");
    return a;
}

/* One of a question that nobody waits for any more. */
static attempt *wait_of_nobody(lone *l, int zone)
{
    attempt *a = lone_attempt(l, zone);
    free(a->fan->tickets);
    a->fan->tickets = NULL;
    CHECK(dnsbl_queue_push(l->loop, l->srv, a), "no memory");
    return a;
}

static attempt *pop(lone *l, int zone, bool to_be_sent)
{
    return dnsbl_queue_pop(l->loop, l->srv, &l->srv->lanes[zone], to_be_sent);
}

/* ---- deadlines ---- */

static bool is_before(const attempt *a, const attempt *b)
{
    const dnsbl_fan *f = a->fan, *g = b->fan;
    return f->ask_until != g->ask_until ? f->ask_until < g->ask_until : f->token < g->token;
}

/* Of 400, with 20 deadlines, taken out here and there while they come: the earliest is next, and of equal ones
 * the first that came. */
static void test_the_earliest_deadline_is_first(void)
{
    enum { COUNT = 400 };
    lone l = lone_start();
    attempt *waits[COUNT];
    int count = 0;
    unsigned number = 1;
    for (int i = 0; i < 2 * COUNT; i++) {
        number = number * 1103515245u + 12345u;
        if (i < COUNT) {
            attempt *a = waits[count++] = lone_attempt(&l, ZONE);
            a->fan->ask_until = 1000 + (number >> 16) % 20;
            a->fan->token = (uint64_t)i;
            CHECK(dnsbl_queue_push(l.loop, l.srv, a), "no memory");
            if (i % 3 != 0)
                continue;
        }
        if (count == 0)
            break;
        int first = 0;
        for (int j = 1; j < count; j++)
            if (is_before(waits[j], waits[first]))
                first = j;
        CHECK(dnsbl_queue_first(&l.srv->lanes[ZONE]) == waits[first], "at %d", i);
        CHECK(pop(&l, ZONE, i % 2 == 0) == waits[first], "at %d", i);
        waits[first] = waits[--count];
        CHECK(l.srv->waiting == count && l.srv->lanes[ZONE].waiting == count, "%d wait", l.srv->waiting);
    }
    CHECK(dnsbl_queue_first(&l.srv->lanes[ZONE]) == NULL, "one is left");
    lone_end(&l);
}

/* ---- turns ---- */

/* Whose the attempts are that are sent next: a letter for each, in order. */
static void check_order(lone *l, int zone, dnsbl_completions *b, const char *order)
{
    for (const char *at = order; *at != '\0'; at++) {
        const attempt *a = pop(l, zone, true);
        const dnsbl_completions *asker = a->fan->tickets == NULL ? NULL : a->fan->tickets->completions;
        char of = asker == NULL ? '-' : asker == b ? 'b' : 'a';
        CHECK(of == *at, "%s: %c at %d", order, of, (int)(at - order));
    }
    CHECK(l->srv->lanes[zone].waiting == 0, "more than %s", order);
}

static void test_those_who_ask_take_turns(void)
{
    lone l = lone_start();
    dnsbl_completions *b = dnsbl_completions_new(false);
    for (int i = 0; i < 5; i++)
        wait_of(&l, ZONE, l.asker);
    for (int i = 0; i < 3; i++)
        wait_of(&l, ZONE, b);
    check_order(&l, ZONE, b, "abababaa");
    lone_end(&l);
    dnsbl_completions_close(b);
}

/* What nobody waits for any more has turns as well. */
static void test_the_turns_of_nobody(void)
{
    lone l = lone_start();
    for (int i = 0; i < 4; i++)
        wait_of(&l, ZONE, l.asker);
    for (int i = 0; i < 3; i++)
        wait_of_nobody(&l, ZONE);
    check_order(&l, ZONE, NULL, "a-a-a-a");
    lone_end(&l);
}

static void test_who_waits_at_one_zone_is_second_at_another(void)
{
    lone l = lone_start();
    dnsbl_completions *b = dnsbl_completions_new(false);
    wait_of(&l, OTHER_ZONE, l.asker);
    wait_of(&l, ZONE, l.asker);
    wait_of(&l, ZONE, b);
    check_order(&l, ZONE, b, "ba");
    lone_end(&l);
    dnsbl_completions_close(b);
}

/* Who comes late does not go before all others for as long as they have waited. */
static void test_a_newcomer_has_saved_up_no_turns(void)
{
    lone l = lone_start();
    dnsbl_completions *b = dnsbl_completions_new(false);
    lone_wait_many(&l, ZONE, 14);
    for (int i = 0; i < 10; i++)
        pop(&l, ZONE, true);
    for (int i = 0; i < 4; i++)
        wait_of(&l, ZONE, b);
    check_order(&l, ZONE, b, "abababab");
    lone_end(&l);
    dnsbl_completions_close(b);
}

/* Of several who wait for one question, it is the turn of who asked first. */
static void test_a_question_is_of_who_asked_first(void)
{
    lone l = lone_start();
    dnsbl_completions *b = dnsbl_completions_new(false);
    for (int i = 0; i < 3; i++)
        wait_of(&l, ZONE, l.asker);
    attempt *shared = lone_attempt(&l, ZONE);
    dnsbl_ticket newer = {.completions = b, .next = shared->fan->tickets};
    shared->fan->tickets = &newer;
    CHECK(dnsbl_queue_push(l.loop, l.srv, shared), "no memory");
    shared->fan->tickets = newer.next;
    for (int i = 0; i < 3; i++)
        CHECK(pop(&l, ZONE, true) != shared, "it has a turn of its own");
    CHECK(pop(&l, ZONE, true) == shared, "it is lost");
    lone_end(&l);
    dnsbl_completions_close(b);
}

/* What is dropped uses up nobody's turn. */
static void test_only_what_is_sent_uses_up_a_turn(void)
{
    lone l = lone_start();
    dnsbl_completions *b = dnsbl_completions_new(false);
    for (int i = 0; i < 4; i++)
        wait_of(&l, ZONE, l.asker);
    wait_of(&l, ZONE, b);
    pop(&l, ZONE, false);
    pop(&l, ZONE, false);
    CHECK(l.loop->order == 0, "a turn is counted");
    check_order(&l, ZONE, b, "aba");
    CHECK(l.loop->order > 0, "no turn is counted");
    lone_end(&l);
    dnsbl_completions_close(b);
}

/* An old turn at another zone does not put the clock of turns back. */
static void test_turns_go_forward(void)
{
    lone l = lone_start();
    wait_of(&l, OTHER_ZONE, l.asker);
    lone_wait_many(&l, ZONE, 10);
    for (int i = 0; i < 10; i++)
        pop(&l, ZONE, true);
    uint64_t order = l.loop->order;
    pop(&l, OTHER_ZONE, true);
    CHECK(l.loop->order == order, "%d turns back", (int)(order - l.loop->order));
    lone_end(&l);
}

/* ---- many who wait ---- */

/* More who ask than there are buckets to find them by. */
static void test_many_who_ask_at_two_zones(void)
{
    enum { ASKERS = FLOW_BUCKETS + 1 };
    lone l = lone_start();
    dnsbl_completions *askers[ASKERS];
    for (int i = 0; i < ASKERS; i++)
        askers[i] = dnsbl_completions_new(false);
    for (int i = 0; i < 4 * ASKERS; i++)
        wait_of(&l, i % 2 == 0 ? ZONE : OTHER_ZONE, askers[i / 2 % ASKERS]);
    for (int i = 0; i < 4 * ASKERS; i++) {
        int zone = i < 2 * ASKERS ? OTHER_ZONE : ZONE;
        const attempt *a = pop(&l, zone, true);
        CHECK(a->lane == &l.srv->lanes[zone], "of another zone");
        CHECK(a->fan->tickets->completions == askers[i % ASKERS], "turn %d", i);
    }
    CHECK(l.srv->waiting == 0, "%d left", l.srv->waiting);
    for (int i = 0; i < FLOW_BUCKETS; i++)
        CHECK(l.srv->flows[i] == NULL, "one who waits for nothing is kept");
    lone_end(&l);
    for (int i = 0; i < ASKERS; i++)
        dnsbl_completions_close(askers[i]);
}

static void test_pop_any(void)
{
    lone l = lone_start();
    CHECK(dnsbl_queue_pop_any(l.loop, l.srv) == NULL, "nothing waits");
    attempt *last = wait_of(&l, LANES - 1, l.asker), *first = wait_of(&l, 0, l.asker);
    CHECK(dnsbl_queue_pop_any(l.loop, l.srv) == first && dnsbl_queue_pop_any(l.loop, l.srv) == last, "another");
    CHECK(dnsbl_queue_pop_any(l.loop, l.srv) == NULL && l.srv->waiting == 0, "nothing waits");
    CHECK(l.loop->order == 0, "they were not sent: no turn is used up");
    lone_end(&l);
}

/* Who waits already needs no memory to wait for more. */
static void test_no_memory(void)
{
    lone l = lone_start();
    attempt *a = lone_attempt(&l, ZONE), *b = lone_attempt(&l, ZONE);
    no_memory = true;
    CHECK(!dnsbl_queue_push(l.loop, l.srv, a), "there was none");
    CHECK(l.srv->waiting == 0 && dnsbl_queue_first(&l.srv->lanes[ZONE]) == NULL, "it waits all the same");
    no_memory = false;
    CHECK(dnsbl_queue_push(l.loop, l.srv, a), "no memory");
    no_memory = true;
    CHECK(dnsbl_queue_push(l.loop, l.srv, b), "no memory is needed");
    no_memory = false;
    CHECK(pop(&l, ZONE, true) == a && pop(&l, ZONE, true) == b, "another order");
    lone_end(&l);
}

int main(void)
{
    alarm(60);
    test_the_earliest_deadline_is_first();
    test_those_who_ask_take_turns();
    test_the_turns_of_nobody();
    test_who_waits_at_one_zone_is_second_at_another();
    test_a_newcomer_has_saved_up_no_turns();
    test_a_question_is_of_who_asked_first();
    test_only_what_is_sent_uses_up_a_turn();
    test_turns_go_forward();
    test_many_who_ask_at_two_zones();
    test_pop_any();
    test_no_memory();
    return check_result("queue");
}
