/* Completion queues and tickets: how the loop thread tells others that something is ready. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE /* macOS: pthread_cond_timedwait_relative_np */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fanout_internal.h"

struct dnsbl_completions {
    atomic_int refs;
    int fd[2]; /* -1: none */
    pthread_mutex_t lock;
    pthread_cond_t filled;
    bool closed;
    bool signalled; /* a byte is in the pipe */
    dnsbl_ticket *head, **end;
    atomic_ullong order; /* the turn of its last question, see queue.c */
    atomic_bool unread;  /* something is on the queue */
    atomic_uint fills;   /* how often the queue became unread */
    /* Of the one who reads it, see dnsbl_completions_give_way. */
    unsigned others; /* how often the queues of others had become unread */
    uint64_t gave_way, busy_until;
};

/* Of all queues in this process: those that are unread, and how often one became so. */
static atomic_int all_unread; /* after a fork less than 0, if one of the parent is read */
static atomic_uint all_fills;

#define GIVE_WAY_EVERY DNSBL_MS
#define GIVE_WAY_MAX DNSBL_MS
#define OTHERS_NS DNSBL_S /* how long others count as busy */
#define NAP_NS 100000

uint64_t dnsbl_completions_order(dnsbl_completions *completions, uint64_t now_at)
{
    uint64_t last = atomic_load_explicit(&completions->order, memory_order_relaxed);
    uint64_t next = (last > now_at ? last : now_at) + 1;
    atomic_store_explicit(&completions->order, next, memory_order_relaxed);
    return next;
}

static bool open_pipe(int fd[2])
{
    if (pipe(fd) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
        (void)fcntl(fd[i], F_SETFD, FD_CLOEXEC);
    }
    return true;
}

static bool init_condition(pthread_cond_t *condition)
{
#ifdef __APPLE__ /* has no pthread_condattr_setclock; waits there are relative instead */
    return pthread_cond_init(condition, NULL) == 0;
#else
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(condition, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
#endif
}

dnsbl_completions *dnsbl_completions_new(bool with_fd)
{
    dnsbl_completions *completions = calloc(1, sizeof *completions);
    if (completions == NULL)
        return NULL;
    atomic_init(&completions->refs, 1);
    completions->fd[0] = completions->fd[1] = -1;
    completions->end = &completions->head;
    if (pthread_mutex_init(&completions->lock, NULL) != 0)
        goto no_lock;
    if (!init_condition(&completions->filled))
        goto no_condition;
    if (with_fd && !open_pipe(completions->fd))
        goto no_pipe;
    return completions;
no_pipe:
    pthread_cond_destroy(&completions->filled);
no_condition:
    pthread_mutex_destroy(&completions->lock);
no_lock:
    free(completions);
    return NULL;
}

void dnsbl_completions_retain(dnsbl_completions *completions)
{
    atomic_fetch_add_explicit(&completions->refs, 1, memory_order_relaxed);
}

void dnsbl_completions_release(dnsbl_completions *completions)
{
    if (atomic_fetch_sub_explicit(&completions->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < 2; i++)
        if (completions->fd[i] >= 0)
            close(completions->fd[i]);
    pthread_cond_destroy(&completions->filled);
    pthread_mutex_destroy(&completions->lock);
    free(completions);
}

void dnsbl_completions_close(dnsbl_completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    completions->closed = true;
    pthread_mutex_unlock(&completions->lock);
    dnsbl_ticket *ticket;
    while ((ticket = dnsbl_completions_pop(completions)) != NULL)
        dnsbl_ticket_release(ticket);
    dnsbl_completions_release(completions);
}

int dnsbl_completions_fd(const dnsbl_completions *completions)
{
    return completions->fd[0];
}

/* ---- giving way ---- */

static void note_filled(dnsbl_completions *completions)
{
    atomic_store_explicit(&completions->unread, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&completions->fills, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_unread, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_fills, 1, memory_order_relaxed);
}

static void note_read(dnsbl_completions *completions)
{
    atomic_store_explicit(&completions->unread, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&all_unread, 1, memory_order_relaxed);
}

static bool others_have_news(const dnsbl_completions *completions)
{
    int own = atomic_load_explicit(&completions->unread, memory_order_relaxed);
    return atomic_load_explicit(&all_unread, memory_order_relaxed) > own;
}

static unsigned filled_by_others(const dnsbl_completions *completions)
{
    return atomic_load_explicit(&all_fills, memory_order_relaxed) -
           atomic_load_explicit(&completions->fills, memory_order_relaxed);
}

bool dnsbl_completions_is_wanted(dnsbl_completions *completions)
{
    uint64_t now = dnsbl_fanout_now();
    unsigned others = filled_by_others(completions);
    if (others != completions->others) {
        completions->others = others;
        completions->busy_until = now + OTHERS_NS;
        if (others_have_news(completions))
            return true;
    }
    return now < completions->busy_until && now - completions->gave_way >= GIVE_WAY_EVERY;
}

void dnsbl_completions_give_way(dnsbl_completions *completions)
{
    const struct timespec nap = {0, NAP_NS};
    uint64_t until = dnsbl_fanout_now() + GIVE_WAY_MAX;
    do
        nanosleep(&nap, NULL);
    while (others_have_news(completions) && dnsbl_fanout_now() < until);
    completions->gave_way = dnsbl_fanout_now();
}

void dnsbl_completions_forked(void)
{
    atomic_store(&all_unread, 0);
}

void dnsbl_completions_push(dnsbl_completions *completions, dnsbl_ticket *ticket)
{
    pthread_mutex_lock(&completions->lock);
    if (!completions->closed && !ticket->queued) {
        atomic_fetch_add_explicit(&ticket->refs, 1, memory_order_relaxed);
        ticket->queued = true;
        ticket->next_queued = NULL;
        if (completions->head == NULL)
            note_filled(completions);
        *completions->end = ticket;
        completions->end = &ticket->next_queued;
    }
    pthread_mutex_unlock(&completions->lock);
}

void dnsbl_completions_wake(dnsbl_completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    if (completions->head != NULL) {
        pthread_cond_broadcast(&completions->filled);
        if (completions->fd[1] >= 0 && !completions->signalled) {
            completions->signalled = true;
            while (write(completions->fd[1], "", 1) < 0 && errno == EINTR)
                ;
        }
    }
    pthread_mutex_unlock(&completions->lock);
}

static struct timespec as_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / DNSBL_S), .tv_nsec = (long)(ns % DNSBL_S)};
}

void dnsbl_completions_wait(dnsbl_completions *completions, uint64_t for_ns)
{
    uint64_t until = dnsbl_fanout_now() + for_ns;
    pthread_mutex_lock(&completions->lock);
    while (completions->head == NULL) {
        uint64_t now = dnsbl_fanout_now();
        if (now >= until)
            break;
#ifdef __APPLE__
        struct timespec left = as_timespec(until - now);
        pthread_cond_timedwait_relative_np(&completions->filled, &completions->lock, &left);
#else
        struct timespec at = as_timespec(until);
        pthread_cond_timedwait(&completions->filled, &completions->lock, &at);
#endif
    }
    pthread_mutex_unlock(&completions->lock);
}

bool dnsbl_completions_empty(dnsbl_completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    bool empty = completions->head == NULL;
    pthread_mutex_unlock(&completions->lock);
    return empty;
}

dnsbl_ticket *dnsbl_completions_pop(dnsbl_completions *completions)
{
    pthread_mutex_lock(&completions->lock);
    dnsbl_ticket *ticket = completions->head;
    if (ticket != NULL) {
        completions->head = ticket->next_queued;
        if (completions->head == NULL) {
            completions->end = &completions->head;
            note_read(completions);
        }
        ticket->queued = false;
    }
    if (completions->head == NULL && completions->signalled) {
        char byte;
        while (read(completions->fd[0], &byte, 1) < 0 && errno == EINTR)
            ;
        completions->signalled = false;
    }
    pthread_mutex_unlock(&completions->lock);
    return ticket;
}

void dnsbl_ticket_release(dnsbl_ticket *ticket)
{
    if (atomic_fetch_sub_explicit(&ticket->refs, 1, memory_order_acq_rel) != 1)
        return;
    dnsbl_fan_release(ticket->fan);
    dnsbl_completions_release(ticket->completions);
    free(ticket);
}

bool dnsbl_ticket_done(const dnsbl_ticket *ticket)
{
    return atomic_load_explicit(&ticket->done, memory_order_acquire);
}

void dnsbl_ticket_abandon(dnsbl_ticket *ticket)
{
    atomic_store_explicit(&ticket->abandoned, true, memory_order_release);
}
