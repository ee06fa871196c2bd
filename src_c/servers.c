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
    return loop->servers[loop->server_count++] = srv;
}

static int find_set(dnsbl_loop *loop, const server_set *wanted)
{
    for (int i = 0; i < loop->set_count; i++)
        if (loop->sets[i].count == wanted->count &&
            memcmp(loop->sets[i].servers, wanted->servers, (size_t)wanted->count * sizeof(server *)) == 0)
            return i;
    if (loop->set_count == DNSBL_FANOUT_MAX_SETS)
        return -1;
    loop->sets[loop->set_count] = *wanted;
    return loop->set_count++;
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

void dnsbl_servers_free(dnsbl_loop *loop)
{
    for (int i = 0; i < loop->server_count; i++) {
        free(loop->servers[i]->csv);
        free(loop->servers[i]);
    }
    loop->server_count = 0;
}
