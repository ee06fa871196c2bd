/* What the tests of the fan-out share: a loop over the stand-in, a clock that can be put forward, and memory
 * that runs out when told to. Clock and memory need the linker's --wrap, see the Makefile. */
#ifndef DNSBL_TESTS_SCENE_H
#define DNSBL_TESTS_SCENE_H

#include "stand_in.h"

#define MS ((uint64_t)1000000)

typedef struct {
    stand_in *ares;
    dnsbl_loop *loop;
    dnsbl_completions *completions;
    int set; /* of all its servers, in order */
} scene;

/* A running loop with `servers` silent nameservers, on loopback or not. */
scene scene_start(int servers, bool loopback);
/* Stop and free it all. */
void scene_end(scene *s);

/* A fan of A questions, "qINDEX.example", of the scene's set; its token is new. */
dnsbl_fan *scene_fan(const scene *s, int count, int timeout_ms, int attempts);
/* Submit to the scene's completions, the deadline from now on. */
dnsbl_ticket *scene_ask(const scene *s, dnsbl_fan *fan, int deadline_ms, int listen_ms, bool each);
/* Take from the completions until this ticket is done, at most 10 s. */
bool scene_wait(const scene *s, const dnsbl_ticket *ticket);
/* Ask, wait, and return the fan's first answer; the fan is the caller's. */
const dnsbl_answer *scene_answer(const scene *s, dnsbl_fan *fan, int deadline_ms);
/* Wait until the fan has finished, at most 10 s. */
bool scene_wait_finished(const dnsbl_fan *fan);
/* Wait until the loop has gone round, and so done all that was due, at most 10 s. It must have a reason to. */
bool scene_turn(void);

/* A record with one A record, 127.0.0.`last`, of 300 s. */
stand_in_record scene_listed(int last);

/* Everything under test sees a monotonic clock so much later, and wakes if that is a reason to. */
void clock_advance_ms(int ms);
/* How often the loop threads went to sleep so far. */
int poll_count(void);

/* From now on the `nth` allocation of the code under test fails (1: the next), or, with `all`, also every one
 * after it. 0: none. Returns whether the one set before has failed. */
bool fail_allocation(int nth, bool all);

#endif
