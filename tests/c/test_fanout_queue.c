/* Who is next when not all can be sent at once: turns, deadlines, what comes too late, and what others are told. */
#include <unistd.h>

#include "check.h"
#include "scene.h"

enum { WINDOW = 100 }; /* how many may be on their way at first, see pace.c */

static stand_in_record listed;

/* A question that the stand-in sees apart from all others: a TXT one. */
static dnsbl_fan *marked(const scene *s)
{
    dnsbl_fan *fan = dnsbl_fan_new(1, 1u << 20);
    snprintf(dnsbl_fan_question(fan, 0, s->set, DNSBL_TYPE_TXT, 30000 * MS, 1), DNSBL_FANOUT_MAX_NAME, "marked.example");
    return fan;
}

/* Ask `count` questions, and wait until the first WINDOW of them are on their way. */
static void fill(scene *s, dnsbl_ticket **tickets, int count, int deadline_ms)
{
    for (int i = 0; i < count / 64; i++) {
        dnsbl_fan *fan = scene_fan(s, 64, 60000, 1);
        tickets[i] = scene_ask(s, fan, deadline_ms, 0, false);
        dnsbl_fan_release(fan);
    }
    CHECK(stand_in_wait_asked(s->ares, WINDOW), "the window is not used");
}

static void release_all(dnsbl_ticket **tickets, int count)
{
    for (int i = 0; i < count; i++)
        dnsbl_ticket_release(tickets[i]);
}

/* Where among all that were asked the marked question came; -1: it did not. */
static int place_of_marked(const scene *s)
{
    for (int i = 0; i < stand_in_counted(s->ares).asked; i++)
        if (stand_in_nth(s->ares, i).type == SI_TXT)
            return i;
    return -1;
}

/* Answer one after the other until the marked question is sent; how many others went before it since `asked`. */
static int overtaken(scene *s, int asked)
{
    for (int i = 0; i < 400 && place_of_marked(s) == -1; i++) {
        CHECK(stand_in_end(s->ares, i, &listed, 0), "query %d", i);
        CHECK(stand_in_wait_asked(s->ares, asked + i + 1), "nothing is sent though there is room");
    }
    CHECK(place_of_marked(s) >= 0, "never sent");
    return place_of_marked(s) - asked;
}

enum { A_FEW = 60 }; /* of 300 and more that wait: those sent before the loop sees it, and some turns */

/* Somebody has hundreds of questions waiting; another asks one: it is among the next. */
static void test_who_asks_little_is_not_behind_who_asks_much(void)
{
    dnsbl_ticket *tickets[8];
    scene s = scene_start(1, true), other = s;
    fill(&s, tickets, 512, 60000);
    other.completions = dnsbl_completions_new(false);
    int asked = stand_in_counted(s.ares).asked;
    dnsbl_fan *fan = marked(&s);
    dnsbl_ticket *ticket = scene_ask(&other, fan, 60000, 0, false);
    int before = overtaken(&s, asked);
    CHECK(before <= A_FEW, "%d others were sent first", before);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    release_all(tickets, 8);
    dnsbl_completions_close(other.completions);
    scene_end(&s);
}

/* Of one who asks, what has to be answered first is sent first. */
static void test_the_earliest_deadline_is_first(void)
{
    dnsbl_ticket *tickets[8];
    scene s = scene_start(1, true);
    fill(&s, tickets, 512, 60000);
    int asked = stand_in_counted(s.ares).asked;
    dnsbl_fan *fan = marked(&s);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 30000, 0, false);
    int before = overtaken(&s, asked);
    CHECK(before <= A_FEW, "%d others were sent first", before);
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    release_all(tickets, 8);
    scene_end(&s);
}

/* An answer takes 0.9 s: what has less time left, because it had to wait, makes room for others. */
static void test_what_would_be_too_late_is_not_sent(void)
{
    dnsbl_ticket *tickets[8];
    scene s = scene_start(1, true);
    fill(&s, tickets, 512, 60000);
    clock_advance_ms(900);
    stand_in_end(s.ares, 0, &listed, 0);
    CHECK(stand_in_wait_asked(s.ares, 2 * WINDOW), "the window is not used again");
    int asked = stand_in_counted(s.ares).asked;
    dnsbl_fan *fan = marked(&s);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 600, 0, false);
    clock_advance_ms(50);
    for (int i = 1; i <= 20; i++)
        stand_in_end(s.ares, i, &listed, 0);
    CHECK(stand_in_wait_asked(s.ares, asked + 1), "the others wait for it");
    clock_advance_ms(600);
    CHECK(scene_wait(&s, ticket), "its end is not told");
    const dnsbl_answer *answer = dnsbl_fan_answer(fan, 0);
    CHECK(answer != NULL && answer->status == DNSBL_STATUS_UNSENT, "status %d", answer == NULL ? -1 : answer->status);
    CHECK(place_of_marked(&s) == -1, "sent though too late");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    release_all(tickets, 8);
    scene_end(&s);
}

/* Who has much to ask is told when more waits than will soon be sent, but not for a nameserver that is silent. */
static void test_crowded(void)
{
    dnsbl_ticket *tickets[16];
    scene s = scene_start(1, true);
    fill(&s, tickets, 1024, 60000);
    CHECK(scene_turn() && !dnsbl_fanout_crowded(s.loop), "crowded though nothing is answered");
    stand_in_end(s.ares, 0, &listed, 0);
    for (int i = 0; i < 20000 && !dnsbl_fanout_crowded(s.loop); i++)
        usleep(500);
    CHECK(dnsbl_fanout_crowded(s.loop), "900 wait");
    stand_in_do(s.ares, 0, SI_REPLY_NOW, &listed, 0);
    stand_in_end(s.ares, 1, &listed, 0);
    for (int i = 0; i < 20000 && dnsbl_fanout_crowded(s.loop); i++)
        usleep(500);
    CHECK(!dnsbl_fanout_crowded(s.loop), "crowded though nothing waits");
    release_all(tickets, 16);
    scene_end(&s);
}

/* Who does much is told once that another has something to take, and then now and then for a second. */
static void test_giving_way(void)
{
    scene s = scene_start(1, true);
    dnsbl_completions *busy = dnsbl_completions_new(false);
    clock_advance_ms(2000);
    (void)dnsbl_completions_is_wanted(busy);
    clock_advance_ms(2000);
    CHECK(!dnsbl_completions_is_wanted(busy), "wanted though nobody else is there");
    dnsbl_fan *fan = scene_fan(&s, 1, 60000, 1);
    dnsbl_ticket *ticket = scene_ask(&s, fan, 60000, 0, false);
    CHECK(stand_in_wait_asked(s.ares, 1) && stand_in_end(s.ares, 0, &listed, 0), "not asked");
    bool wanted = false;
    for (int i = 0; i < 20000 && !(wanted = dnsbl_completions_is_wanted(busy)); i++)
        usleep(500);
    CHECK(wanted, "another has news");
    dnsbl_completions_give_way(busy);
    clock_advance_ms(10);
    CHECK(dnsbl_completions_is_wanted(busy), "another is at work");
    clock_advance_ms(2000);
    CHECK(!dnsbl_completions_is_wanted(busy), "wanted though nobody was at work for long");
    CHECK(scene_wait(&s, ticket), "its news is lost");
    dnsbl_ticket_release(ticket);
    dnsbl_fan_release(fan);
    dnsbl_completions_close(busy);
    scene_end(&s);
}

int main(void)
{
    alarm(120);
    listed = scene_listed(2);
    test_who_asks_little_is_not_behind_who_asks_much();
    test_the_earliest_deadline_is_first();
    test_what_would_be_too_late_is_not_sent();
    test_crowded();
    test_giving_way();
    return check_result("fanout_queue");
}
