/* The loop thread's life, and the inbox through which others reach it. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fanout_internal.h"

/* ---- the inbox ---- */

static dnsbl_ticket *take_inbox(dnsbl_loop *loop, bool *stopping)
{
    pthread_mutex_lock(&loop->lock);
    dnsbl_ticket *tickets = loop->inbox;
    loop->inbox = NULL;
    loop->inbox_end = &loop->inbox;
    loop->sleeping = false;
    *stopping = loop->stopping;
    pthread_mutex_unlock(&loop->lock);
    return tickets;
}

/* The pipe does not block: where it is full, a byte is in it already. */
static void write_byte(int fd)
{
    while (write(fd, "", 1) < 0 && errno == EINTR)
        ;
}

/* Under the loop's lock, so that nobody frees it meanwhile. */
static void wake_locked(dnsbl_loop *loop)
{
    write_byte(loop->wake[1]);
}

void dnsbl_fanout_wake(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    int fd = loop->wake[1];
    pthread_mutex_unlock(&loop->lock);
    write_byte(fd);
}

static dnsbl_ticket *submit(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions,
                            uint64_t deadline, uint64_t listen_ns, bool each, bool quietly)
{
    dnsbl_ticket *ticket = calloc(1, sizeof *ticket);
    if (ticket == NULL)
        return NULL;
    atomic_init(&ticket->refs, 2); /* the caller's and the loop's */
    ticket->each = each;
    ticket->fan = fan;
    ticket->completions = completions;
    ticket->deadline = deadline;
    ticket->listen_ns = listen_ns;
    dnsbl_fan_retain(fan);
    dnsbl_completions_retain(completions);
    pthread_mutex_lock(&loop->lock);
    bool accepted = loop->started && !loop->stopping;
    bool sleeping = loop->sleeping && !quietly;
    if (accepted) {
        *loop->inbox_end = ticket;
        loop->inbox_end = &ticket->next;
        loop->sleeping &= quietly; /* one wake is enough */
    }
    pthread_mutex_unlock(&loop->lock);
    if (!accepted) {
        dnsbl_ticket_release(ticket);
        dnsbl_ticket_release(ticket);
        return NULL;
    }
    if (sleeping)
        dnsbl_fanout_wake(loop);
    return ticket;
}

bool dnsbl_fanout_crowded(const dnsbl_loop *loop)
{
    return atomic_load_explicit(&loop->crowded, memory_order_relaxed);
}

dnsbl_ticket *dnsbl_fanout_submit(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions,
                                  uint64_t deadline, uint64_t listen_ns, bool each)
{
    return submit(loop, fan, completions, deadline, listen_ns, each, false);
}

dnsbl_ticket *dnsbl_fanout_submit_quietly(dnsbl_loop *loop, dnsbl_fan *fan, dnsbl_completions *completions,
                                          uint64_t deadline, uint64_t listen_ns, bool each)
{
    return submit(loop, fan, completions, deadline, listen_ns, each, true);
}

/* ---- the loop ---- */

static int poll_timeout_ms(const dnsbl_loop *loop, uint64_t now)
{
    uint64_t until = loop->heap_count > 0 ? loop->heap[0]->due : UINT64_MAX;
    if (loop->sweep_wanted && loop->next_sweep < until)
        until = loop->next_sweep;
    if (loop->next_pump < until)
        until = loop->next_pump;
    if (until == UINT64_MAX)
        return -1;
    if (until <= now)
        return 0;
    uint64_t ms = (until - now + DNSBL_MS - 1) / DNSBL_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

static bool open_wake(int wake_fd[2])
{
    if (pipe(wake_fd) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(wake_fd[i], F_SETFL, O_NONBLOCK);
        (void)fcntl(wake_fd[i], F_SETFD, FD_CLOEXEC);
    }
    return true;
}

/* Foreign code closed it (closerange of one who daemonizes). Its numbers may be another's by now: not closed. */
static void renew_wake(dnsbl_loop *loop)
{
    int made[2];
    if (!open_wake(made)) {
        poll(NULL, 0, 100); /* no descriptor: try again, without spinning */
        return;
    }
    pthread_mutex_lock(&loop->lock);
    loop->wake[0] = made[0];
    loop->wake[1] = made[1];
    pthread_mutex_unlock(&loop->lock);
    loop->polled[0].fd = made[0];
}

static void drain_wake(const dnsbl_loop *loop)
{
    char bytes[64];
    while (read(loop->wake[0], bytes, sizeof bytes) > 0)
        ;
}

/* For at most `most_ms`, -1: however long. By who has the loop. */
static void sleep_until_something(dnsbl_loop *loop, int most_ms)
{
    pthread_mutex_lock(&loop->lock);
    bool idle = loop->inbox == NULL && !loop->stopping;
    loop->sleeping = idle;
    pthread_mutex_unlock(&loop->lock);
    int timeout_ms = idle ? poll_timeout_ms(loop, dnsbl_fanout_now()) : 0;
    if (most_ms >= 0 && (timeout_ms < 0 || timeout_ms > most_ms))
        timeout_ms = most_ms;
    if (poll(loop->polled, loop->polled_count, timeout_ms) <= 0)
        return;
    if (loop->polled[0].revents & (POLLNVAL | POLLERR | POLLHUP))
        renew_wake(loop);
    else if (loop->polled[0].revents != 0)
        drain_wake(loop);
    dnsbl_channel_ready(loop);
}

/* One turn without the sleep. False: the loop is to end. */
static bool turn(dnsbl_loop *loop)
{
    bool stopping;
    dnsbl_ticket *ticket = take_inbox(loop, &stopping);
    uint64_t now = dnsbl_fanout_now();
    while (ticket != NULL) {
        dnsbl_ticket *next = ticket->next;
        dnsbl_fanout_accept(loop, ticket, now);
        ticket = next;
    }
    dnsbl_fanout_run_due(loop, now);
    if (loop->next_pump != UINT64_MAX)
        loop->next_pump = dnsbl_transport_pump(loop, now);
    dnsbl_channel_sweep(loop, now);
    dnsbl_fanout_flush_wakes(loop);
    return !stopping;
}

/* ---- one who waits in the loop thread's place ---- */

static bool has_work(const dnsbl_loop *loop)
{
    return loop->heap_count > 0 || loop->in_flight > 0 || loop->next_pump != UINT64_MAX;
}

/* The loop thread with nothing to do: what it has may be used by another, who gives it back when it has. */
static void park(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    if (loop->inbox != NULL || loop->stopping) {
        pthread_mutex_unlock(&loop->lock);
        return;
    }
    loop->sleeping = loop->parked = true;
    loop->parked_until = loop->sweep_wanted ? loop->next_sweep : UINT64_MAX;
    struct pollfd woken = {.fd = loop->wake[0], .events = POLLIN};
    int timeout_ms = poll_timeout_ms(loop, dnsbl_fanout_now());
    pthread_mutex_unlock(&loop->lock);
    (void)poll(&woken, 1, timeout_ms);
    pthread_mutex_lock(&loop->lock);
    while (loop->driven) /* what is in the pipe is for who drives */
        pthread_cond_wait(&loop->handed_back, &loop->lock);
    loop->parked = false;
    pthread_mutex_unlock(&loop->lock);
    if (woken.revents & (POLLNVAL | POLLERR | POLLHUP))
        renew_wake(loop);
    else
        drain_wake(loop);
}

bool dnsbl_fanout_take_over(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool mine = loop->parked && !loop->driven && !loop->stopping;
    loop->driven |= mine;
    if (!mine && loop->sleeping && loop->inbox != NULL) {
        loop->sleeping = false;
        wake_locked(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return mine;
}

void dnsbl_fanout_drive(dnsbl_loop *loop, dnsbl_completions *completions, uint64_t for_ns)
{
    uint64_t until = dnsbl_fanout_now() + for_ns;
    bool stopping = false;
    while (!stopping) {
        stopping = !turn(loop);
        uint64_t now = dnsbl_fanout_now();
        if (stopping || now >= until || !dnsbl_completions_empty(completions))
            break;
        sleep_until_something(loop, (int)((until - now) / DNSBL_MS) + 1);
        dnsbl_fanout_flush_wakes(loop);
        if (!dnsbl_completions_empty(completions))
            break;
    }
    pthread_mutex_lock(&loop->lock);
    loop->driven = false;
    loop->sleeping = true;
    bool due = loop->sweep_wanted && loop->next_sweep < loop->parked_until;
    if (has_work(loop) || due || loop->inbox != NULL || loop->stopping) {
        loop->sleeping = false;
        loop->parked = false; /* nobody else, until it has looked */
        wake_locked(loop);
    }
    pthread_cond_broadcast(&loop->handed_back);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- its life ---- */

static void end_everything(dnsbl_loop *loop)
{
    uint64_t now = dnsbl_fanout_now();
    while (loop->heap_count > 0)
        dnsbl_fanout_give_up(loop, loop->heap[0], now);
    dnsbl_transport_close(loop);
    dnsbl_fanout_flush_wakes(loop);
}

static void *run(void *arg)
{
    dnsbl_loop *loop = arg;
    while (turn(loop)) {
        if (has_work(loop))
            sleep_until_something(loop, -1);
        else
            park(loop);
        dnsbl_fanout_flush_wakes(loop);
    }
    end_everything(loop);
    return NULL;
}

dnsbl_loop *dnsbl_fanout_new(void)
{
    enum { FIRST_SIZE = 16 };
    dnsbl_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return NULL;
    loop->inbox_end = &loop->inbox;
    loop->next_pump = UINT64_MAX;
    loop->wake[0] = loop->wake[1] = -1;
    loop->polled = calloc(FIRST_SIZE, sizeof *loop->polled);
    loop->polled_channel = calloc(FIRST_SIZE, sizeof *loop->polled_channel);
    loop->heap = calloc(FIRST_SIZE, sizeof *loop->heap);
    loop->polled_size = loop->heap_size = FIRST_SIZE;
    if (loop->polled == NULL || loop->polled_channel == NULL || loop->heap == NULL || !open_wake(loop->wake))
        goto failed;
    loop->polled[0] = (struct pollfd){.fd = loop->wake[0], .events = POLLIN};
    loop->polled_count = 1;
    if (pthread_mutex_init(&loop->lock, NULL) != 0)
        goto failed;
    if (pthread_cond_init(&loop->handed_back, NULL) != 0) {
        pthread_mutex_destroy(&loop->lock);
        goto failed;
    }
    return loop;
failed:
    for (int i = 0; i < 2; i++)
        if (loop->wake[i] >= 0)
            close(loop->wake[i]);
    free(loop->heap);
    free(loop->polled_channel);
    free(loop->polled);
    free(loop);
    return NULL;
}

int dnsbl_fanout_start(dnsbl_loop *loop, const dnsbl_cares *cares)
{
    loop->cares = *cares;
    /* Signals are Python's business: they go to its threads. */
    sigset_t all, before;
    sigfillset(&all);
    /* Except those of a fault of its own, which Python's faulthandler reports. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loop->thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&loop->lock);
    loop->started = error == 0;
    pthread_mutex_unlock(&loop->lock);
    return error;
}

void dnsbl_fanout_stop(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool join = loop->started && !loop->joined;
    loop->stopping = true;
    loop->joined = true;
    pthread_mutex_unlock(&loop->lock);
    if (!join)
        return;
    dnsbl_fanout_wake(loop);
    pthread_join(loop->thread, NULL);
}

void dnsbl_fanout_free(dnsbl_loop *loop)
{
    uint64_t token;
    while (dnsbl_fanout_retired(loop, &token))
        ;
    dnsbl_stock_free(loop);
    dnsbl_servers_free(loop);
    pthread_cond_destroy(&loop->handed_back);
    pthread_mutex_destroy(&loop->lock);
    close(loop->wake[0]);
    close(loop->wake[1]);
    free(loop->heap);
    free(loop->polled_channel);
    free(loop->polled);
    free(loop);
}

static bool is_socket(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

void dnsbl_fanout_abandon(dnsbl_loop *loop)
{
    dnsbl_completions_forked();
    /* The sockets as well: the parent reads them. Its thread may have been changing the table; what is in no
     * order there is left open. */
    nfds_t count = loop->polled_count;
    for (nfds_t i = 1; i < count && i < loop->polled_size; i++)
        if (is_socket(loop->polled[i].fd))
            close(loop->polled[i].fd);
    close(loop->wake[0]);
    close(loop->wake[1]);
}
