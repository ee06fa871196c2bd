/* Completion lists and tickets: how the loop thread tells others that something is ready. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE /* macOS: pthread_cond_timedwait_relative_np */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fanout_internal.h"

struct dnsbl_waiter {
    atomic_int refs;
    int fd[2]; /* -1: none */
    pthread_mutex_t lock;
    pthread_cond_t filled;
    bool closed;
    bool signalled; /* a byte is in the pipe */
    dnsbl_ticket *head, **end;
    atomic_ullong order; /* the turn of its last question, see queue.c */
    atomic_bool unread;  /* something is on the list */
    atomic_uint fills;   /* how often the list became unread */
    /* Of the one who reads it, see dnsbl_waiter_give_way. */
    unsigned others; /* how often the lists of others had become unread */
    uint64_t gave_way, busy_until;
};

/* Of all lists in this process: those that are unread, and how often one became so. */
static atomic_int all_unread; /* after a fork less than 0, if one of the parent is read */
static atomic_uint all_fills;

#define GIVE_WAY_EVERY DNSBL_MS
#define GIVE_WAY_MAX DNSBL_MS
#define OTHERS_NS DNSBL_S /* how long others count as busy */
#define NAP_NS 100000

uint64_t dnsbl_waiter_order(dnsbl_waiter *waiter, uint64_t now_at)
{
    uint64_t last = atomic_load_explicit(&waiter->order, memory_order_relaxed);
    uint64_t next = (last > now_at ? last : now_at) + 1;
    atomic_store_explicit(&waiter->order, next, memory_order_relaxed);
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

dnsbl_waiter *dnsbl_waiter_new(bool with_fd)
{
    dnsbl_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL)
        return NULL;
    atomic_init(&waiter->refs, 1);
    waiter->fd[0] = waiter->fd[1] = -1;
    waiter->end = &waiter->head;
    if (pthread_mutex_init(&waiter->lock, NULL) != 0)
        goto no_lock;
    if (!init_condition(&waiter->filled))
        goto no_condition;
    if (with_fd && !open_pipe(waiter->fd))
        goto no_pipe;
    return waiter;
no_pipe:
    pthread_cond_destroy(&waiter->filled);
no_condition:
    pthread_mutex_destroy(&waiter->lock);
no_lock:
    free(waiter);
    return NULL;
}

void dnsbl_waiter_retain(dnsbl_waiter *waiter)
{
    atomic_fetch_add_explicit(&waiter->refs, 1, memory_order_relaxed);
}

void dnsbl_waiter_release(dnsbl_waiter *waiter)
{
    if (atomic_fetch_sub_explicit(&waiter->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < 2; i++)
        if (waiter->fd[i] >= 0)
            close(waiter->fd[i]);
    pthread_cond_destroy(&waiter->filled);
    pthread_mutex_destroy(&waiter->lock);
    free(waiter);
}

void dnsbl_waiter_close(dnsbl_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->closed = true;
    pthread_mutex_unlock(&waiter->lock);
    dnsbl_ticket *ticket;
    while ((ticket = dnsbl_waiter_pop(waiter)) != NULL)
        dnsbl_ticket_release(ticket);
    dnsbl_waiter_release(waiter);
}

int dnsbl_waiter_fd(const dnsbl_waiter *waiter)
{
    return waiter->fd[0];
}

/* ---- giving way ---- */

static void note_filled(dnsbl_waiter *waiter)
{
    atomic_store_explicit(&waiter->unread, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&waiter->fills, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_unread, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&all_fills, 1, memory_order_relaxed);
}

static void note_read(dnsbl_waiter *waiter)
{
    atomic_store_explicit(&waiter->unread, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&all_unread, 1, memory_order_relaxed);
}

static bool others_have_news(const dnsbl_waiter *waiter)
{
    int own = atomic_load_explicit(&waiter->unread, memory_order_relaxed);
    return atomic_load_explicit(&all_unread, memory_order_relaxed) > own;
}

static unsigned filled_by_others(const dnsbl_waiter *waiter)
{
    return atomic_load_explicit(&all_fills, memory_order_relaxed) -
           atomic_load_explicit(&waiter->fills, memory_order_relaxed);
}

bool dnsbl_waiter_is_wanted(dnsbl_waiter *waiter)
{
    uint64_t now = dnsbl_fanout_now();
    unsigned others = filled_by_others(waiter);
    if (others != waiter->others) {
        waiter->others = others;
        waiter->busy_until = now + OTHERS_NS;
        if (others_have_news(waiter))
            return true;
    }
    return now < waiter->busy_until && now - waiter->gave_way >= GIVE_WAY_EVERY;
}

void dnsbl_waiter_give_way(dnsbl_waiter *waiter)
{
    const struct timespec nap = {0, NAP_NS};
    uint64_t until = dnsbl_fanout_now() + GIVE_WAY_MAX;
    do
        nanosleep(&nap, NULL);
    while (others_have_news(waiter) && dnsbl_fanout_now() < until);
    waiter->gave_way = dnsbl_fanout_now();
}

void dnsbl_waiter_forked(void)
{
    atomic_store(&all_unread, 0);
}

void dnsbl_waiter_push(dnsbl_waiter *waiter, dnsbl_ticket *ticket)
{
    pthread_mutex_lock(&waiter->lock);
    if (!waiter->closed && !ticket->queued) {
        dnsbl_ticket_retain(ticket);
        ticket->queued = true;
        ticket->next_queued = NULL;
        if (waiter->head == NULL)
            note_filled(waiter);
        *waiter->end = ticket;
        waiter->end = &ticket->next_queued;
    }
    pthread_mutex_unlock(&waiter->lock);
}

void dnsbl_waiter_wake(dnsbl_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    if (waiter->head != NULL) {
        pthread_cond_broadcast(&waiter->filled);
        if (waiter->fd[1] >= 0 && !waiter->signalled) {
            waiter->signalled = true;
            while (write(waiter->fd[1], "", 1) < 0 && errno == EINTR)
                ;
        }
    }
    pthread_mutex_unlock(&waiter->lock);
}

static struct timespec as_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / DNSBL_S), .tv_nsec = (long)(ns % DNSBL_S)};
}

void dnsbl_waiter_wait(dnsbl_waiter *waiter, uint64_t for_ns)
{
    uint64_t until = dnsbl_fanout_now() + for_ns;
    pthread_mutex_lock(&waiter->lock);
    while (waiter->head == NULL) {
        uint64_t now = dnsbl_fanout_now();
        if (now >= until)
            break;
#ifdef __APPLE__
        struct timespec left = as_timespec(until - now);
        pthread_cond_timedwait_relative_np(&waiter->filled, &waiter->lock, &left);
#else
        struct timespec at = as_timespec(until);
        pthread_cond_timedwait(&waiter->filled, &waiter->lock, &at);
#endif
    }
    pthread_mutex_unlock(&waiter->lock);
}

bool dnsbl_waiter_empty(dnsbl_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    bool empty = waiter->head == NULL;
    pthread_mutex_unlock(&waiter->lock);
    return empty;
}

dnsbl_ticket *dnsbl_waiter_pop(dnsbl_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    dnsbl_ticket *ticket = waiter->head;
    if (ticket != NULL) {
        waiter->head = ticket->next_queued;
        if (waiter->head == NULL) {
            waiter->end = &waiter->head;
            note_read(waiter);
        }
        ticket->queued = false;
    }
    if (waiter->head == NULL && waiter->signalled) {
        char byte;
        while (read(waiter->fd[0], &byte, 1) < 0 && errno == EINTR)
            ;
        waiter->signalled = false;
    }
    pthread_mutex_unlock(&waiter->lock);
    return ticket;
}

void dnsbl_ticket_retain(dnsbl_ticket *ticket)
{
    atomic_fetch_add_explicit(&ticket->refs, 1, memory_order_relaxed);
}

void dnsbl_ticket_release(dnsbl_ticket *ticket)
{
    if (atomic_fetch_sub_explicit(&ticket->refs, 1, memory_order_acq_rel) != 1)
        return;
    dnsbl_fan_release(ticket->fan);
    dnsbl_waiter_release(ticket->waiter);
    free(ticket);
}

bool dnsbl_ticket_done(const dnsbl_ticket *ticket)
{
    return atomic_load_explicit(&ticket->done, memory_order_acquire);
}

dnsbl_fan *dnsbl_ticket_fan(const dnsbl_ticket *ticket)
{
    return ticket->fan;
}

void dnsbl_ticket_abandon(dnsbl_ticket *ticket)
{
    atomic_store_explicit(&ticket->abandoned, true, memory_order_release);
}
