/* The nameservers and the sets of them. Any thread, under the loop's lock; entries stay as they are once made. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "fanout_internal.h"

int dnsbl_servers_count(dnsbl_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    int count = loop->server_count;
    pthread_mutex_unlock(&loop->lock);
    return count;
}

static server *find_server(dnsbl_loop *loop, const char *csv, bool loopback)
{
    for (int i = 0; i < loop->server_count; i++)
        if (strcmp(loop->servers[i]->csv, csv) == 0)
            return loop->servers[i];
    if (loop->server_count == SERVERS_MAX)
        return NULL;
    server *srv = calloc(1, sizeof *srv);
    char *copy = srv == NULL ? NULL : strdup(csv);
    if (copy == NULL) {
        free(srv);
        return NULL;
    }
    srv->csv = copy;
    srv->loopback = loopback;
    dnsbl_pace_init(srv);
    atomic_store_explicit(&loop->stock_wanted, true, memory_order_release);
    return loop->servers[loop->server_count++] = srv;
}

static int find_set(dnsbl_loop *loop, const server_set *wanted)
{
    int unused = -1;
    for (int i = loop->set_count; i-- > 0;) {
        if (loop->sets[i].count == 0)
            unused = i;
        else if (loop->sets[i].count == wanted->count &&
                 memcmp(loop->sets[i].servers, wanted->servers, (size_t)wanted->count * sizeof(server *)) == 0)
            return i;
    }
    if (unused < 0 && loop->set_count == DNSBL_FANOUT_MAX_SETS)
        return -1;
    int number = unused < 0 ? loop->set_count++ : unused;
    loop->sets[number] = *wanted;
    for (int i = 0; i < wanted->count; i++)
        wanted->servers[i]->uses++;
    return number;
}

int dnsbl_fanout_add_set(dnsbl_loop *loop, const char *const *servers, const bool *loopback, int count)
{
    if (count < 1 || count > DNSBL_FANOUT_MAX_SET)
        return -1;
    server_set set = {.count = count};
    pthread_mutex_lock(&loop->lock);
    int number = 0;
    for (int i = 0; i < count && number == 0; i++)
        if ((set.servers[i] = find_server(loop, servers[i], loopback[i])) == NULL)
            number = -1;
    if (number == 0)
        number = find_set(loop, &set);
    pthread_mutex_unlock(&loop->lock);
    return number;
}

void dnsbl_fanout_remove_set(dnsbl_loop *loop, int number)
{
    pthread_mutex_lock(&loop->lock);
    server_set *set = &loop->sets[number];
    for (int i = 0; i < set->count; i++)
        set->servers[i]->uses--;
    set->count = 0;
    pthread_mutex_unlock(&loop->lock);
}

static server *take_unused(dnsbl_loop *loop)
{
    server *unused = NULL;
    pthread_mutex_lock(&loop->lock);
    for (int i = 0; i < loop->server_count && unused == NULL; i++)
        if (loop->servers[i]->uses == 0) {
            unused = loop->servers[i];
            loop->servers[i] = loop->servers[--loop->server_count];
        }
    pthread_mutex_unlock(&loop->lock);
    return unused;
}

static void free_server(server *srv)
{
    free(srv->csv);
    free(srv);
}

void dnsbl_servers_remove(dnsbl_loop *loop)
{
    for (server *srv; (srv = take_unused(loop)) != NULL;) {
        dnsbl_transport_drop_waiting(loop, srv);
        dnsbl_channel_close_those_of(loop, srv);
        free_server(srv);
    }
}

void dnsbl_servers_free(dnsbl_loop *loop)
{
    for (int i = 0; i < loop->server_count; i++)
        free_server(loop->servers[i]);
    loop->server_count = 0;
}
