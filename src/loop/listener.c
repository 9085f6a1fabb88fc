/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting with accept4, a bounded number per turn so that a flood of connections
 * does not starve the sessions there are.
 */
#include "loop/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "base/cidr.h"
#include "base/mem.h"

#define BACKLOG 4096
#define ACCEPTS_PER_TURN 64
#define PAUSE_WITHOUT_DESCRIPTORS_MS 100
#define RESERVE_SHARE 8 /* of the process's descriptors one in so many is for deliveries, files and stores */

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    int fd;
    int spare_fd; /* given up to accept one more when the process has no descriptors left */
    int ceiling;  /* numbers from here on are the reserve: the lowest free one is always given */
    struct timer pause;
    listener_accept_fn *on_accept;
    listener_refuse_fn *on_refuse;
    void *ctx;
};

static int set_up(int fd, const struct sockaddr *address, struct sockaddr_storage *bound_out)
{
    int one = 1;
    socklen_t len = sizeof *bound_out;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one))
        return -1;
    if (address->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one))
        return -1;
    if (bind(fd, address, sockaddr_length(address)) || listen(fd, BACKLOG))
        return -1;
    return getsockname(fd, (struct sockaddr *)bound_out, &len);
}

int listener_bind(const struct sockaddr *address, struct sockaddr_storage *bound_out, struct error *error)
{
    char text[SOCKADDR_TEXT_BYTES];
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    sockaddr_format(address, text);
    if (fd < 0)
        return error_set_errno(error, ERROR_TEMP, errno, "cannot make a socket for %s", text);
    if (set_up(fd, address, bound_out)) {
        error_set_errno(error, ERROR_PERM, errno, "cannot listen on %s", text);
        close(fd);
        return -1;
    }
    return fd;
}

static int open_spare(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

static int find_ceiling(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(files.rlim_cur - files.rlim_cur / RESERVE_SHARE);
}

/* The backlog must not keep waking us: one peer is told, and the listener rests for a moment. */
static void turn_away(struct listener *listener, int fd)
{
    uv_poll_stop(&listener->poll);
    timer_start(&listener->pause, PAUSE_WITHOUT_DESCRIPTORS_MS);
    if (fd < 0)
        return;
    if (listener->on_refuse)
        listener->on_refuse(listener->ctx, fd);
    close(fd);
}

/* Out of descriptors, the reserve included: with the spare one there is one more for a moment. */
static void turn_away_with_the_spare(struct listener *listener)
{
    if (listener->spare_fd >= 0)
        close(listener->spare_fd);
    turn_away(listener, accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    listener->spare_fd = open_spare();
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= listener->ceiling) {
            turn_away(listener, fd);
            return;
        } else if (fd >= 0) {
            listener->on_accept(listener->ctx, fd, (struct sockaddr *)&peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            turn_away_with_the_spare(listener);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_pause_over(void *ctx)
{
    struct listener *listener = ctx;

    uv_poll_start(&listener->poll, UV_READABLE, on_poll);
}

struct listener *listener_new(struct loop *loop, int fd, listener_accept_fn *on_accept, listener_refuse_fn *on_refuse,
                              void *ctx, struct error *error)
{
    struct listener *listener = mem_zalloc(sizeof *listener);
    int status = uv_poll_init(loop_uv(loop), &listener->poll, fd);

    if (status) {
        error_set_errno(error, ERROR_TEMP, -status, "cannot watch a listening socket");
        close(fd);
        free(listener);
        return NULL;
    }
    listener->poll.data = listener;
    listener->loop = loop;
    listener->fd = fd;
    listener->spare_fd = open_spare();
    listener->ceiling = find_ceiling();
    listener->on_accept = on_accept;
    listener->on_refuse = on_refuse;
    listener->ctx = ctx;
    timer_init(&listener->pause, loop, on_pause_over, listener);
    uv_poll_start(&listener->poll, UV_READABLE, on_poll);
    return listener;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;

    close(listener->fd);
    if (listener->spare_fd >= 0)
        close(listener->spare_fd);
    free(listener);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    timer_stop(&listener->pause);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
}
