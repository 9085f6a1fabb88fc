/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is connected, and who has to make room. The server's own time limit is for silence;
 * a client that sends one byte now and then would keep its place for ever. So when places
 * run short the one that has been without an answer for longest is cut off.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "admin/connections.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/must.h"

struct place {
    struct list_node node; /* in order of the last answer */
    int fd;
    bool is_busy; /* being answered: not cut */
};

struct connections {
    size_t spare_after;
    /* shared, under lock */
    pthread_mutex_t lock;
    struct list places;
};

struct connections *connections_new(size_t spare_after)
{
    struct connections *connections = mem_zalloc(sizeof *connections);

    connections->spare_after = spare_after;
    pthread_mutex_init(&connections->lock, NULL);
    list_init(&connections->places);
    return connections;
}

void connections_free(struct connections *connections)
{
    struct list_node *node;

    while ((node = list_take_first(&connections->places)))
        free(CONTAINER_OF(node, struct place, node));
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}

/* The server notices the end of the connection and frees the place itself. */
static void cut_oldest(struct connections *connections)
{
    for (struct list_node *node = list_first(&connections->places); node;
         node = list_next(&connections->places, node)) {
        struct place *place = CONTAINER_OF(node, struct place, node);

        if (!place->is_busy) {
            shutdown(place->fd, SHUT_RDWR);
            return;
        }
    }
}

struct place *connections_add(struct connections *connections, int fd)
{
    struct place *place = mem_zalloc(sizeof *place);

    place->fd = fd;
    pthread_mutex_lock(&connections->lock);
    if (connections->places.count >= connections->spare_after)
        cut_oldest(connections);
    list_push_back(&connections->places, &place->node);
    pthread_mutex_unlock(&connections->lock);
    return place;
}

void connections_remove(struct connections *connections, struct place *place)
{
    pthread_mutex_lock(&connections->lock);
    list_remove(&connections->places, &place->node);
    pthread_mutex_unlock(&connections->lock);
    free(place);
}

void connections_set_busy(struct connections *connections, struct place *place, bool is_busy)
{
    pthread_mutex_lock(&connections->lock);
    place->is_busy = is_busy;
    list_remove(&connections->places, &place->node);
    list_push_back(&connections->places, &place->node);
    pthread_mutex_unlock(&connections->lock);
}
