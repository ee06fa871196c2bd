/* Preloaded into a Python process by tests of tests/faults: memory that runs out at a chosen allocation of the
 * engine or of c-ares, and a wall clock that jumps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_int left; /* allocations before the one that fails; 0: none does */
static atomic_int seen;
static atomic_bool counting;
static atomic_llong ahead_s;

/* From now on count; let the nth allocation fail (0: none). */
void faults_memory(int nth)
{
    atomic_store(&seen, 0);
    atomic_store(&left, nth);
    atomic_store(&counting, nth >= 0);
}

int faults_allocations(void)
{
    return atomic_load(&seen);
}

void faults_clock(long long seconds)
{
    atomic_store(&ahead_s, seconds);
}

static bool fails(const void *caller)
{
    Dl_info from;
    if (!atomic_load(&counting) || dladdr(caller, &from) == 0 || from.dli_fname == NULL)
        return false;
    if (strstr(from.dli_fname, "_engine") == NULL && strstr(from.dli_fname, "_cares") == NULL)
        return false;
    atomic_fetch_add(&seen, 1);
    return atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1;
}

#define REAL(type, name) \
    static type real;    \
    if (real == NULL)    \
        real = (type)dlsym(RTLD_NEXT, name)

typedef void *(*malloc_type)(size_t);
typedef void *(*realloc_type)(void *, size_t);
typedef char *(*strdup_type)(const char *);
typedef int (*clock_type)(clockid_t, struct timespec *);

void *malloc(size_t size)
{
    REAL(malloc_type, "malloc");
    return fails(__builtin_return_address(0)) ? NULL : real(size);
}

void *realloc(void *block, size_t size)
{
    REAL(realloc_type, "realloc");
    return fails(__builtin_return_address(0)) ? NULL : real(block, size);
}

/* By malloc, because finding the real one calls it. */
void *calloc(size_t count, size_t size)
{
    REAL(malloc_type, "malloc");
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || fails(__builtin_return_address(0)))
        return NULL;
    void *block = real(bytes);
    return block == NULL ? NULL : memset(block, 0, bytes);
}

char *strdup(const char *text)
{
    REAL(strdup_type, "strdup");
    return fails(__builtin_return_address(0)) ? NULL : real(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_type, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += atomic_load(&ahead_s);
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
