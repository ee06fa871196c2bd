/* Fans as values shared between threads, the list of retired ones, and the heap of fans by due time. */
#include <stdlib.h>

#include "fanout_internal.h"

dnsbl_fan *dnsbl_fan_new(int count, uint64_t token)
{
    if (count < 1 || count > DNSBL_FANOUT_MAX_QUESTIONS)
        return NULL;
    dnsbl_fan *fan = calloc(1, sizeof *fan + (size_t)count * sizeof(question));
    if (fan == NULL)
        return NULL;
    atomic_init(&fan->refs, 1);
    fan->count = fan->open = count;
    fan->token = token;
    fan->heap_index = -1;
    return fan;
}

void dnsbl_fan_retain(dnsbl_fan *fan)
{
    atomic_fetch_add_explicit(&fan->refs, 1, memory_order_relaxed);
}

void dnsbl_fan_release(dnsbl_fan *fan)
{
    if (atomic_fetch_sub_explicit(&fan->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < fan->count; i++) {
        free(fan->questions[i].answer.address);
        free(fan->questions[i].answer.text);
    }
    free(fan);
}

char *dnsbl_fan_question(dnsbl_fan *fan, int index, int set, dnsbl_qtype type, uint64_t timeout_ns, int attempts)
{
    question *q = &fan->questions[index];
    q->set = set;
    q->type = (uint16_t)type;
    q->timeout_ns = timeout_ns;
    bool limited = attempts > 0 && attempts < DNSBL_FANOUT_MAX_ATTEMPTS;
    q->most_attempts = limited ? (uint16_t)attempts : DNSBL_FANOUT_MAX_ATTEMPTS;
    q->error_rcode = -1;
    return q->name;
}

void dnsbl_fan_zone(dnsbl_fan *fan, int index, uint16_t zone)
{
    fan->questions[index].zone = zone;
}

const dnsbl_answer *dnsbl_fan_answer(const dnsbl_fan *fan, int index)
{
    const question *q = &fan->questions[index];
    return atomic_load_explicit(&q->answered, memory_order_acquire) ? &q->answer : NULL;
}

bool dnsbl_fan_finished(const dnsbl_fan *fan)
{
    return atomic_load_explicit(&fan->finished, memory_order_acquire);
}

/* ---- the retired list ---- */

void dnsbl_fan_retire(dnsbl_loop *loop, dnsbl_fan *fan)
{
    pthread_mutex_lock(&loop->lock);
    if (fan->retired_queued) {
        ;
    } else if (loop->retired_count == RETIRED_MAX) {
        loop->retired_overflow = true;
    } else {
        fan->retired_queued = true;
        dnsbl_fan_retain(fan);
        loop->retired[(loop->retired_head + loop->retired_count++) % RETIRED_MAX] = fan;
    }
    atomic_store_explicit(&loop->has_retired, true, memory_order_release);
    pthread_mutex_unlock(&loop->lock);
}

bool dnsbl_fanout_has_retired(const dnsbl_loop *loop)
{
    return atomic_load_explicit(&loop->has_retired, memory_order_acquire);
}

bool dnsbl_fanout_retired(dnsbl_loop *loop, uint64_t *token)
{
    dnsbl_fan *fan = NULL;
    pthread_mutex_lock(&loop->lock);
    if (loop->retired_count > 0) {
        fan = loop->retired[loop->retired_head];
        loop->retired_head = (loop->retired_head + 1) % RETIRED_MAX;
        loop->retired_count--;
        fan->retired_queued = false;
    } else {
        atomic_store_explicit(&loop->has_retired, false, memory_order_release);
    }
    pthread_mutex_unlock(&loop->lock);
    if (fan == NULL)
        return false;
    *token = fan->token;
    dnsbl_fan_release(fan);
    return true;
}

bool dnsbl_fanout_retired_overflow(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool overflow = loop->retired_overflow;
    loop->retired_overflow = false;
    pthread_mutex_unlock(&loop->lock);
    return overflow;
}

/* ---- the heap, the earliest due first; loop thread only ---- */

static void heap_put(dnsbl_loop *loop, int at, dnsbl_fan *fan)
{
    loop->heap[at] = fan;
    fan->heap_index = at;
}

void dnsbl_heap_fix(dnsbl_loop *loop, int at)
{
    dnsbl_fan *fan = loop->heap[at];
    for (int up; at > 0 && loop->heap[up = (at - 1) / 2]->due > fan->due; at = up)
        heap_put(loop, at, loop->heap[up]);
    for (int down; (down = 2 * at + 1) < loop->heap_count; at = down) {
        if (down + 1 < loop->heap_count && loop->heap[down + 1]->due < loop->heap[down]->due)
            down++;
        if (loop->heap[down]->due >= fan->due)
            break;
        heap_put(loop, at, loop->heap[down]);
    }
    heap_put(loop, at, fan);
}

bool dnsbl_heap_add(dnsbl_loop *loop, dnsbl_fan *fan)
{
    if (loop->heap_count == loop->heap_size) {
        int size = loop->heap_size * 2;
        dnsbl_fan **heap = realloc(loop->heap, (size_t)size * sizeof(dnsbl_fan *));
        if (heap == NULL)
            return false;
        loop->heap = heap;
        loop->heap_size = size;
    }
    heap_put(loop, loop->heap_count++, fan);
    dnsbl_heap_fix(loop, fan->heap_index);
    return true;
}

void dnsbl_heap_remove(dnsbl_loop *loop, dnsbl_fan *fan)
{
    int at = fan->heap_index;
    fan->heap_index = -1;
    dnsbl_fan *last = loop->heap[--loop->heap_count];
    if (last == fan)
        return;
    heap_put(loop, at, last);
    dnsbl_heap_fix(loop, at);
}
