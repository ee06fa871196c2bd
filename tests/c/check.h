/* What the C tests share: a check that names its place, and goes on, so that one run shows more than the first. */
#ifndef DNSBL_TESTS_CHECK_H
#define DNSBL_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdio.h>

#define CHECK_SHOWN 20 /* the rest is only counted */

/* One count for all files of a test, though each includes this. */
__attribute__((weak)) atomic_int check_failures;

#define CHECK(condition, ...)                                        \
    do {                                                             \
        if (!(condition)) {                                          \
            if (atomic_fetch_add(&check_failures, 1) < CHECK_SHOWN) { \
                fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
                fprintf(stderr, __VA_ARGS__);                        \
                fputc('\n', stderr);                                 \
            }                                                        \
        }                                                            \
    } while (0)

/* The exit code of main: what failed, told in one line. */
static inline int check_result(const char *name) {
    int failures = atomic_load(&check_failures);
    printf("%s: %s, %d failed\n", name, failures == 0 ? "ok" : "FAILED", failures);
    return failures != 0;
}

#endif
