/* Channels made ahead, because c-ares reads the environment whenever it makes one: not in the loop thread, while
 * another changes it, but in a thread of Python's that holds its lock; and without what the environment would
 * add. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "fanout_internal.h"

static char *hide(const char *name)
{
    const char *value = getenv(name);
    char *copy = value == NULL ? NULL : strdup(value);
    if (copy != NULL)
        unsetenv(name);
    return copy;
}

static void show(const char *name, char *value)
{
    if (value == NULL)
        return;
    setenv(name, value, 1);
    free(value);
}

/* How many there are too few: each nameserver may need one at once, and some need their next soon after. */
static int lacking(dnsbl_loop *loop, bool loopback)
{
    pthread_mutex_lock(&loop->lock);
    int servers = 0;
    for (int i = 0; i < loop->server_count; i++)
        servers += loop->servers[i]->loopback == loopback;
    int count = servers == 0 ? 0 : servers + SPARES - loop->spare_count[loopback];
    pthread_mutex_unlock(&loop->lock);
    return count;
}

static bool add(dnsbl_loop *loop, bool loopback)
{
    void *ares = NULL;
    const dnsbl_cares *cares = &loop->cares;
    if (cares->init_options(&ares, loopback ? cares->options_loopback : cares->options_remote,
                            loopback ? cares->optmask_loopback : cares->optmask_remote) != 0)
        return false;
    pthread_mutex_lock(&loop->lock);
    bool room = loop->spare_count[loopback] < SERVERS_MAX + SPARES;
    if (room)
        loop->spares[loopback][loop->spare_count[loopback]++] = ares;
    pthread_mutex_unlock(&loop->lock);
    if (!room)
        cares->destroy(ares);
    return room;
}

void dnsbl_fanout_stock(dnsbl_loop *loop)
{
    if (!atomic_exchange_explicit(&loop->stock_wanted, false, memory_order_acq_rel))
        return;
    char *options = hide("RES_OPTIONS"), *domain = hide("LOCALDOMAIN");
    for (int loopback = 0; loopback < 2; loopback++)
        for (int count = lacking(loop, loopback); count > 0; count--)
            if (!add(loop, loopback)) {
                atomic_store_explicit(&loop->stock_wanted, true, memory_order_release);
                break;
            }
    show("RES_OPTIONS", options);
    show("LOCALDOMAIN", domain);
}

void *dnsbl_stock_take(dnsbl_loop *loop, bool loopback)
{
    pthread_mutex_lock(&loop->lock);
    atomic_store_explicit(&loop->stock_wanted, true, memory_order_release);
    void *ares = loop->spare_count[loopback] > 0 ? loop->spares[loopback][--loop->spare_count[loopback]] : NULL;
    pthread_mutex_unlock(&loop->lock);
    return ares;
}

void dnsbl_stock_free(dnsbl_loop *loop)
{
    for (int loopback = 0; loopback < 2; loopback++)
        for (void *ares; (ares = dnsbl_stock_take(loop, loopback)) != NULL;)
            loop->cares.destroy(ares);
}
