/* SPDX-License-Identifier: Apache-2.0
 *
 * libpq's socket on the loop. libpq may close one and open the next (another host, a second try without TLS), perhaps
 * under the same number, so a watch is stopped before each step of libpq's that may do so, and started afresh after.
 * The handle goes each time: one that stayed would, when it is closed later, take a descriptor of the same number out
 * of the loop that has become somebody else's.
 */
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/postgresql.h"

struct poll {
    uv_poll_t uv;
    struct pg_watch *watch;
    int fd;
    int events;
};

struct pg_watch {
    struct loop *loop;
    void (*on_event)(void *ctx);
    void *ctx;
    struct poll *poll; /* NULL: of no descriptor yet */
};

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct pg_watch *watch = CONTAINER_OF(uv, struct poll, uv)->watch;

    (void)status; /* libpq finds out itself, and has words for it */
    (void)events;
    watch->on_event(watch->ctx);
}

static void on_closed(uv_handle_t *handle) { free(CONTAINER_OF((uv_poll_t *)handle, struct poll, uv)); }

void pg_watch_stop(struct pg_watch *watch)
{
    if (!watch->poll)
        return;
    uv_poll_stop(&watch->poll->uv);
    uv_close((uv_handle_t *)&watch->poll->uv, on_closed);
    watch->poll = NULL;
}

struct pg_watch *pg_watch_new(struct loop *loop, void (*on_event)(void *ctx), void *ctx)
{
    struct pg_watch *watch = mem_zalloc(sizeof *watch);

    watch->loop = loop;
    watch->on_event = on_event;
    watch->ctx = ctx;
    return watch;
}

void pg_watch_free(struct pg_watch *watch)
{
    if (!watch)
        return;
    pg_watch_stop(watch);
    free(watch);
}

static int open_poll(struct pg_watch *watch, int fd)
{
    struct poll *poll = mem_zalloc(sizeof *poll);

    if (uv_poll_init(loop_uv(watch->loop), &poll->uv, fd)) {
        free(poll);
        return -1;
    }
    poll->watch = watch;
    poll->fd = fd;
    watch->poll = poll;
    return 0;
}

int pg_watch_start(struct pg_watch *watch, int fd, int events)
{
    MUST(!watch->poll || watch->poll->fd == fd);
    if (!watch->poll && open_poll(watch, fd))
        return -1;
    if (watch->poll->events == events)
        return 0;
    watch->poll->events = events;
    return uv_poll_start(&watch->poll->uv, events, on_poll) ? -1 : 0;
}
