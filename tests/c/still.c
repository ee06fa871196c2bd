/* See still.h. */
#include "still.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { PLENTY = 1000 }; /* calls that have no end */

still_system still = {.error = EINTR};

uint64_t dnsbl_fanout_now(void)
{
    return still.now;
}

static bool fails(void)
{
    return still.fail_at > 0 && --still.fail_at == 0;
}

#define MAKES(call, parameters, arguments) \
    int __real_##call parameters; \
    int __wrap_##call parameters; \
    int __wrap_##call parameters \
    { \
        int result = fails() ? ENOMEM : __real_##call arguments; \
        still.made += result == 0; \
        return result; \
    }
#define UNMAKES(call, parameters, arguments) \
    int __real_##call parameters; \
    int __wrap_##call parameters; \
    int __wrap_##call parameters \
    { \
        still.made--; \
        return __real_##call arguments; \
    }

MAKES(pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t *attr), (mutex, attr))
UNMAKES(pthread_mutex_destroy, (pthread_mutex_t * mutex), (mutex))
MAKES(pthread_cond_init, (pthread_cond_t * condition, const pthread_condattr_t *attr), (condition, attr))
UNMAKES(pthread_cond_destroy, (pthread_cond_t * condition), (condition))
MAKES(pthread_condattr_init, (pthread_condattr_t * attr), (attr))
UNMAKES(pthread_condattr_destroy, (pthread_condattr_t * attr), (attr))

int __real_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock);
int __wrap_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock);
int __wrap_pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock)
{
    return fails() ? EINVAL : __real_pthread_condattr_setclock(attr, clock);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

int __real_pipe(int fd[2]);
int __wrap_pipe(int fd[2]);
int __wrap_pipe(int fd[2])
{
    if (fails() || __real_pipe(fd) != 0)
        return -1;
    still.pipe_end[0] = fd[0];
    still.pipe_end[1] = fd[1];
    return 0;
}

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (still.locked)
        abort(); /* it would wait for ever */
    still.locked = true;
    return __real_pthread_mutex_lock(mutex);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    CHECK(still.locked, "unlocked twice");
    still.locked = false;
    return __real_pthread_mutex_unlock(mutex);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    (void)condition;
    still.broadcasts++;
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *at);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *at)
{
    (void)condition;
    still.waits_until = (uint64_t)at->tv_sec * DNSBL_S + (uint64_t)at->tv_nsec;
    CHECK(still.locked, "waits without the lock");
    if (++still.waits > PLENTY)
        abort();
    dnsbl_ticket *ticket = still.comes;
    still.comes = NULL;
    if (ticket == NULL) {
        still.now = still.waits_until;
        return ETIMEDOUT;
    }
    pthread_mutex_unlock(mutex);
    dnsbl_completions_push(ticket->completions, ticket);
    pthread_mutex_lock(mutex);
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)left;
    CHECK(time->tv_sec == 0 && time->tv_nsec == 100000, "another nap");
    still.naps++;
    still.now += (uint64_t)time->tv_nsec;
    return 0;
}

static bool is_interrupted(int fd, size_t length)
{
    CHECK(fd >= 0 && length == 1, "%zu bytes of descriptor %d", length, fd);
    if (still.interrupted == 0)
        return false;
    still.interrupted--;
    errno = still.error;
    return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    if (++still.writes > PLENTY)
        abort();
    return is_interrupted(fd, length) ? -1 : __real_write(fd, bytes, length);
}

ssize_t __real_read(int fd, void *bytes, size_t length);
ssize_t __wrap_read(int fd, void *bytes, size_t length);
ssize_t __wrap_read(int fd, void *bytes, size_t length)
{
    if (++still.reads > PLENTY)
        abort();
    return is_interrupted(fd, length) ? -1 : __real_read(fd, bytes, length);
}
