#include "scene.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static const char *const loopback_names[STAND_IN_SERVERS] = {
    "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4",
    "127.0.0.1:5", "127.0.0.1:6", "127.0.0.1:7", "127.0.0.1:8",
};
static const char *const remote_names[STAND_IN_SERVERS] = {
    "192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53", "192.0.2.4:53",
    "192.0.2.5:53", "192.0.2.6:53", "192.0.2.7:53", "192.0.2.8:53",
};

scene scene_start(int servers, bool loopback)
{
    const char *const *names = loopback ? loopback_names : remote_names;
    bool is_loopback[STAND_IN_SERVERS];
    for (int i = 0; i < servers; i++)
        is_loopback[i] = loopback;
    scene s = {.ares = stand_in_new(names, servers), .loop = dnsbl_fanout_new()};
    s.completions = dnsbl_completions_new(false);
    dnsbl_cares table;
    stand_in_table(s.ares, s.loop, &table);
    CHECK(dnsbl_fanout_start(s.loop, &table) == 0, "%s", strerror(errno));
    s.set = dnsbl_fanout_add_set(s.loop, names, is_loopback, servers);
    CHECK(s.set >= 0, "no set");
    return s;
}

void scene_end(scene *s)
{
    dnsbl_fanout_stop(s->loop);
    dnsbl_fanout_free(s->loop);
    dnsbl_completions_close(s->completions);
    stand_in_free(s->ares);
}

dnsbl_fan *scene_fan(const scene *s, int count, int timeout_ms, int attempts)
{
    static atomic_ullong token;
    dnsbl_fan *fan = dnsbl_fan_new(count, atomic_fetch_add(&token, 1) + 1);
    for (int i = 0; fan != NULL && i < count; i++)
        snprintf(dnsbl_fan_question(fan, i, s->set, DNSBL_TYPE_A, (uint64_t)timeout_ms * MS, attempts),
                 DNSBL_FANOUT_MAX_NAME, "q%d.example", i);
    return fan;
}

dnsbl_ticket *scene_ask(const scene *s, dnsbl_fan *fan, int deadline_ms, int listen_ms, bool each)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* as Python's */
    pthread_mutex_lock(&lock);
    dnsbl_fanout_stock(s->loop);
    pthread_mutex_unlock(&lock);
    return dnsbl_fanout_submit(s->loop, fan, s->completions, dnsbl_fanout_now() + (uint64_t)deadline_ms * MS,
                               (uint64_t)listen_ms * MS, each);
}

bool scene_wait(const scene *s, const dnsbl_ticket *ticket)
{
    for (int i = 0; i < 100 && !dnsbl_ticket_done(ticket); i++) {
        dnsbl_completions_wait(s->completions, 100 * MS);
        dnsbl_ticket *told;
        while ((told = dnsbl_completions_pop(s->completions)) != NULL)
            dnsbl_ticket_release(told);
    }
    return dnsbl_ticket_done(ticket);
}

const dnsbl_answer *scene_answer(const scene *s, dnsbl_fan *fan, int deadline_ms)
{
    dnsbl_ticket *ticket = scene_ask(s, fan, deadline_ms, 0, false);
    CHECK(scene_wait(s, ticket), "no end");
    dnsbl_ticket_release(ticket);
    return dnsbl_fan_answer(fan, 0);
}

bool scene_wait_finished(const dnsbl_fan *fan)
{
    for (int i = 0; i < 20000 && !dnsbl_fan_finished(fan); i++)
        usleep(500);
    return dnsbl_fan_finished(fan);
}

bool scene_turn(void)
{
    int before = poll_count();
    for (int i = 0; i < 20000 && poll_count() < before + 2; i++)
        usleep(500);
    return poll_count() >= before + 2;
}

stand_in_record scene_listed(int last)
{
    return (stand_in_record){.answers = 1, .rr = {{SI_A, 300, 0x7f000000u + (uint32_t)last, {{0}}}}};
}

/* ---- the clock ---- */

static atomic_ullong clock_ahead_ns;
static atomic_int polls;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *at);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *at);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

void clock_advance_ms(int ms)
{
    atomic_fetch_add(&clock_ahead_ns, (unsigned long long)ms * MS);
}

int poll_count(void)
{
    return atomic_load(&polls);
}

static struct timespec moved(struct timespec at, int64_t by_ns)
{
    int64_t ns = at.tv_sec * 1000000000LL + at.tv_nsec + by_ns;
    return (struct timespec){.tv_sec = ns / 1000000000LL, .tv_nsec = ns % 1000000000LL};
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    if (clock == CLOCK_MONOTONIC)
        *now = moved(*now, (int64_t)atomic_load(&clock_ahead_ns));
    return result;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *at)
{
    struct timespec real = moved(*at, -(int64_t)atomic_load(&clock_ahead_ns));
    return __real_pthread_cond_timedwait(cond, lock, &real);
}

/* Sleeps in small pieces, to see the clock put forward. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    enum { PIECE_MS = 5 };
    uint64_t until = timeout_ms < 0 ? UINT64_MAX : dnsbl_fanout_now() + (uint64_t)timeout_ms * MS;
    atomic_fetch_add(&polls, 1);
    for (;;) {
        uint64_t now = dnsbl_fanout_now();
        uint64_t left_ms = now >= until ? 0 : (until - now + MS - 1) / MS;
        int ready = __real_poll(fds, count, left_ms < PIECE_MS ? (int)left_ms : PIECE_MS);
        if (ready != 0 || left_ms == 0)
            return ready;
    }
}

/* ---- memory ---- */

static atomic_int allocations_left; /* before the one that fails; 0 and below: none does */
static atomic_bool all_after;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
int __real_pipe(int fd[2]);
int __wrap_pipe(int fd[2]);

bool fail_allocation(int nth, bool all)
{
    bool failed = atomic_load(&allocations_left) < 0;
    atomic_store(&all_after, all);
    atomic_store(&allocations_left, nth);
    return failed;
}

static bool fails(void)
{
    int left = atomic_load(&allocations_left);
    while (left > 0)
        if (atomic_compare_exchange_weak(&allocations_left, &left, left == 1 ? -1 : left - 1))
            return left == 1;
    return left < 0 && atomic_load(&all_after);
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

int __wrap_pipe(int fd[2])
{
    if (!fails())
        return __real_pipe(fd);
    errno = EMFILE;
    return -1;
}
