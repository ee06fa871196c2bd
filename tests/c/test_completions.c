/* Completion queues by themselves, in one thread, over a clock that stands still and calls of the system that fail
 * when told to: what is told to whom, that all is taken back, and when it is time to give way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "still.h"

/* ---- what the tests share ---- */

/* A ticket that the loop holds, and its own fan. */
static dnsbl_ticket *ticket_of(dnsbl_completions *completions)
{
    dnsbl_ticket *ticket = calloc(1, sizeof *ticket);
    atomic_init(&ticket->refs, 1);
    ticket->fan = dnsbl_fan_new(1, 1);
    ticket->completions = completions;
    dnsbl_completions_retain(completions);
    return ticket;
}

/* A new one is put on the queue, which alone holds it then. */
static void put(dnsbl_completions *completions)
{
    dnsbl_ticket *ticket = ticket_of(completions);
    dnsbl_completions_push(completions, ticket);
    dnsbl_ticket_release(ticket);
}

/* Take one, which must be there. */
static void take(dnsbl_completions *completions)
{
    dnsbl_ticket *ticket = dnsbl_completions_pop(completions);
    CHECK(ticket != NULL, "nothing to take");
    if (ticket != NULL)
        dnsbl_ticket_release(ticket);
}

static bool readable(const dnsbl_completions *completions)
{
    struct pollfd fd = {.fd = dnsbl_completions_fd(completions), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* ---- made and taken back ---- */

static void test_made_and_closed(void)
{
    int flags = fcntl(0, F_GETFL), descriptor_flags = fcntl(0, F_GETFD);
    dnsbl_completions *plain = dnsbl_completions_new(false), *piped = dnsbl_completions_new(true);
    CHECK(dnsbl_completions_fd(plain) == -1, "it has none");
    CHECK(dnsbl_completions_fd(piped) == still.pipe_end[0], "another descriptor");
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(still.pipe_end[i], F_GETFL) & O_NONBLOCK, "end %d blocks", i);
        CHECK(fcntl(still.pipe_end[i], F_GETFD) & FD_CLOEXEC, "end %d goes to other programs", i);
    }
    CHECK(fcntl(0, F_GETFL) == flags && fcntl(0, F_GETFD) == descriptor_flags, "another descriptor is changed");
    dnsbl_completions_close(plain);
    dnsbl_completions_retain(piped);
    dnsbl_completions_close(piped);
    CHECK(is_open(still.pipe_end[0]) && is_open(still.pipe_end[1]), "closed though it is held");
    dnsbl_completions_release(piped);
    CHECK(!is_open(still.pipe_end[0]) && !is_open(still.pipe_end[1]), "left open");
    CHECK(still.made == 0, "%d are left", still.made);
}

/* Whatever fails, nothing is left of it. */
static void test_not_made(void)
{
    dnsbl_completions *completions = NULL;
    int nth = 0;
    while (completions == NULL && nth < 20) {
        still.fail_at = ++nth;
        completions = dnsbl_completions_new(true);
        CHECK(completions != NULL || still.made == 0, "call %d: %d are left", nth, still.made);
    }
    still.fail_at = 0;
    CHECK(nth == 7, "%d calls can fail", nth - 1);
    dnsbl_completions_close(completions);
}

/* In a process without standard input a pipe has the descriptor 0. */
static void test_descriptor_0(void)
{
    int kept = dup(0);
    close(0);
    dnsbl_completions *completions = dnsbl_completions_new(true);
    CHECK(dnsbl_completions_fd(completions) == 0, "descriptor %d", dnsbl_completions_fd(completions));
    put(completions);
    dnsbl_completions_wake(completions);
    CHECK(readable(completions), "not told");
    dnsbl_completions_close(completions);
    CHECK(!is_open(0), "left open");
    dup2(kept, 0);
    close(kept);
}

static void test_what_comes_after_the_end_is_dropped(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_ticket *ticket = ticket_of(completions);
    put(completions);
    dnsbl_completions_close(completions);
    CHECK(dnsbl_completions_empty(completions), "what was on it stays");
    dnsbl_completions_push(completions, ticket);
    CHECK(!ticket->queued && dnsbl_completions_empty(completions), "what comes is kept");
    dnsbl_ticket_release(ticket);
}

static void test_an_abandoned_ticket(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_ticket *ticket = ticket_of(completions);
    CHECK(!dnsbl_ticket_done(ticket) && !atomic_load(&ticket->abandoned), "a new one");
    atomic_store(&ticket->done, true);
    dnsbl_ticket_abandon(ticket);
    CHECK(dnsbl_ticket_done(ticket) && atomic_load(&ticket->abandoned), "not noted");
    dnsbl_ticket_release(ticket);
    dnsbl_completions_close(completions);
}

/* ---- in and out ---- */

static void test_first_in_first_out(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    dnsbl_ticket *a = ticket_of(completions), *b = ticket_of(completions);
    CHECK(dnsbl_completions_empty(completions) && dnsbl_completions_pop(completions) == NULL, "a new one");
    dnsbl_completions_push(completions, a);
    dnsbl_completions_push(completions, b);
    dnsbl_completions_push(completions, a); /* is there already */
    CHECK(!dnsbl_completions_empty(completions), "empty");
    CHECK(dnsbl_completions_pop(completions) == a, "not the first");
    dnsbl_completions_push(completions, a); /* comes again, behind the other */
    CHECK(dnsbl_completions_pop(completions) == b && dnsbl_completions_pop(completions) == a, "another order");
    CHECK(dnsbl_completions_empty(completions) && dnsbl_completions_pop(completions) == NULL, "more than came");
    dnsbl_completions_push(completions, b);
    CHECK(dnsbl_completions_pop(completions) == b, "lost after it was empty");
    CHECK(a->refs == 3 && b->refs == 3, "%d and %d hold them", a->refs, b->refs);
    for (int i = 0; i < 3; i++) {
        dnsbl_ticket_release(a);
        dnsbl_ticket_release(b);
    }
    dnsbl_completions_close(completions);
}

/* The turns of one who asks, see queue.c. */
static void test_order(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    static const uint64_t at[] = {0, 0, 10, 3}, order[] = {1, 2, 11, 12};
    for (int i = 0; i < 4; i++) {
        uint64_t got = dnsbl_completions_order(completions, at[i]);
        CHECK(got == order[i], "turn %d is %d", i, (int)got);
    }
    dnsbl_completions_close(completions);
}

/* ---- waking and waiting ---- */

/* One byte is in the pipe from when the queue is told of until it is empty. */
static void test_one_byte_tells(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(true);
    still.reads = still.writes = still.broadcasts = 0;
    dnsbl_completions_wake(completions);
    CHECK(!readable(completions) && still.broadcasts == 0 && still.writes == 0, "woken for nothing");
    for (int round = 1; round <= 2; round++) {
        put(completions);
        put(completions);
        CHECK(!readable(completions), "told too early");
        dnsbl_completions_wake(completions);
        dnsbl_completions_wake(completions);
        CHECK(readable(completions) && still.writes == round, "%d written", still.writes);
        CHECK(still.broadcasts == 2 * round, "%d broadcasts", still.broadcasts);
        take(completions);
        CHECK(readable(completions), "one is left");
        take(completions);
        CHECK(!readable(completions) && still.reads == round, "%d read", still.reads);
    }
    put(completions);
    take(completions);
    CHECK(dnsbl_completions_pop(completions) == NULL && still.reads == 2, "read though nothing was told");
    dnsbl_completions_close(completions);
}

static void test_without_a_pipe_nothing_is_written(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    still.reads = still.writes = still.broadcasts = 0;
    put(completions);
    dnsbl_completions_wake(completions);
    take(completions);
    CHECK(still.writes == 0 && still.reads == 0, "%d written, %d read", still.writes, still.reads);
    CHECK(still.broadcasts == 1, "%d broadcasts", still.broadcasts);
    dnsbl_completions_close(completions);
}

/* A signal comes between, or the pipe is full or empty. */
static void test_interrupted_reads_and_writes(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(true);
    still.reads = still.writes = 0;
    put(completions);
    still.interrupted = 2;
    dnsbl_completions_wake(completions);
    CHECK(still.writes == 3 && readable(completions), "%d writes", still.writes);
    still.interrupted = 2;
    take(completions);
    CHECK(still.reads == 3 && !readable(completions), "%d reads", still.reads);
    still.error = EAGAIN;
    put(completions);
    still.interrupted = 1;
    dnsbl_completions_wake(completions);
    still.interrupted = 1;
    take(completions);
    CHECK(still.writes == 4 && still.reads == 4, "%d writes, %d reads", still.writes, still.reads);
    still.error = EINTR;
    dnsbl_completions_close(completions);
}

static void test_waiting(void)
{
    dnsbl_completions *completions = dnsbl_completions_new(false);
    still.now = 7300 * DNSBL_MS;
    still.waits = 0;
    dnsbl_completions_wait(completions, 900 * DNSBL_MS);
    CHECK(still.waits == 1 && still.waits_until == 8200 * DNSBL_MS, "%d waits", still.waits);
    still.comes = ticket_of(completions);
    dnsbl_ticket *ticket = still.comes;
    dnsbl_completions_wait(completions, 900 * DNSBL_MS);
    CHECK(still.waits == 2 && still.now == 8200 * DNSBL_MS, "it goes on waiting");
    dnsbl_completions_wait(completions, 900 * DNSBL_MS);
    CHECK(still.waits == 2, "there is one to take");
    take(completions);
    dnsbl_ticket_release(ticket);
    dnsbl_completions_wait(completions, 0);
    CHECK(still.waits == 2, "it waits though it was not to");
    dnsbl_completions_close(completions);
}

/* ---- giving way ---- */

/* Whether `busy` is wanted for news of another, and not only because it is long since it gave way. */
static bool has_news(dnsbl_completions *busy)
{
    dnsbl_completions_give_way(busy);
    return dnsbl_completions_is_wanted(busy);
}

static void test_news_of_others(void)
{
    dnsbl_completions *busy = dnsbl_completions_new(false), *other = dnsbl_completions_new(false);
    still.now = 100 * DNSBL_S;
    (void)dnsbl_completions_is_wanted(busy);
    still.now += 100 * DNSBL_S;
    put(busy);
    CHECK(!dnsbl_completions_is_wanted(busy), "news of its own");
    put(other);
    CHECK(has_news(busy), "the other has something to take");
    CHECK(!has_news(busy), "told twice");
    take(other);
    put(other);
    take(other);
    CHECK(!has_news(busy), "the other has taken it");
    take(busy);
    put(other);
    CHECK(has_news(busy), "the other has something to take again");
    put(busy);
    CHECK(has_news(other), "the news of both");
    take(other);
    take(busy);
    dnsbl_completions_close(busy);
    dnsbl_completions_close(other);
}

/* Another that had something to take lately will have so again: every millisecond, for a second. */
static void test_how_long_others_count_as_busy(void)
{
    dnsbl_completions *busy = dnsbl_completions_new(false), *other = dnsbl_completions_new(false);
    still.now = 1000 * DNSBL_S;
    (void)dnsbl_completions_is_wanted(busy);
    still.now += 100 * DNSBL_S;
    CHECK(!dnsbl_completions_is_wanted(busy), "there is nobody else");
    put(other);
    take(other);
    uint64_t told = still.now;
    CHECK(dnsbl_completions_is_wanted(busy), "it has not given way yet");
    still.naps = 0;
    dnsbl_completions_give_way(busy);
    CHECK(still.naps == 1 && !dnsbl_completions_is_wanted(busy), "%d naps", still.naps);
    still.now += DNSBL_MS - 1;
    CHECK(!dnsbl_completions_is_wanted(busy), "less than a millisecond");
    still.now++;
    CHECK(dnsbl_completions_is_wanted(busy), "a millisecond");
    still.now = told + DNSBL_S - 1;
    CHECK(dnsbl_completions_is_wanted(busy), "within a second");
    still.now++;
    CHECK(!dnsbl_completions_is_wanted(busy), "after a second");
    dnsbl_completions_close(busy);
    dnsbl_completions_close(other);
}

/* While others have something to take: for a millisecond at the most. */
static void test_how_long_it_gives_way(void)
{
    dnsbl_completions *busy = dnsbl_completions_new(false), *other = dnsbl_completions_new(false);
    put(other);
    still.naps = 0;
    dnsbl_completions_give_way(busy);
    CHECK(still.naps == 10, "%d naps", still.naps);
    take(other);
    dnsbl_completions_close(busy);
    dnsbl_completions_close(other);
}

/* What the parent's other threads have to take is nobody's in the child. The last test: the counts are off then. */
static void test_forked(void)
{
    dnsbl_completions *busy = dnsbl_completions_new(false), *of_parent = dnsbl_completions_new(false);
    put(of_parent);
    dnsbl_completions_forked();
    CHECK(!has_news(busy), "it gives way to a thread that is not there");
    dnsbl_completions_close(busy);
    dnsbl_completions_close(of_parent);
}

int main(void)
{
    alarm(60);
    test_made_and_closed();
    test_not_made();
    test_descriptor_0();
    test_what_comes_after_the_end_is_dropped();
    test_an_abandoned_ticket();
    test_first_in_first_out();
    test_order();
    test_one_byte_tells();
    test_without_a_pipe_nothing_is_written();
    test_interrupted_reads_and_writes();
    test_waiting();
    test_news_of_others();
    test_how_long_others_count_as_busy();
    test_how_long_it_gives_way();
    test_forked();
    CHECK(still.made == 0 && !still.locked, "%d are left", still.made);
    return check_result("completions");
}
