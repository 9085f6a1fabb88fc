/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the two halves of the Redis backend: redis_link.c keeps one connection with its requests in order,
 * redis.c says what is asked over it.
 */
#ifndef GATEPOST_TALLY_REDIS_PRIVATE_H
#define GATEPOST_TALLY_REDIS_PRIVATE_H

#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include "loop/jobs.h"
#include "loop/socket.h"
#include "loop/thread.h"
#include "tally/tally_private.h"
#include "tls/tls.h"

#define REASON_BYTES 160

struct link;

/* `reply` is NULL when the connection was lost. -1: it must be, link_fault has said why. */
typedef int link_reply_fn(void *owner, void *ctx, const redisReply *reply);

struct link_owner {
    void (*on_up)(void *owner);   /* connected (and TLS done): say hello */
    void (*on_lost)(void *owner); /* every request has been told; the link tries again by itself */
};

struct link_request {
    struct list_node node;
    uint64_t due_ms;
    link_reply_fn *on_reply;
    void *ctx;
};

struct link {
    /* fixed after start */
    char *address;
    char *host; /* NULL: the address is one of numbers, or a path */
    char *port;
    uint64_t timeout_ms;
    struct tls_client *tls;
    const struct link_owner *owner_calls;
    void *owner;
    struct jobs *resolver;
    /* owned by its loop */
    struct loop *loop;
    struct sockaddr_storage peer;
    struct socket *socket; /* NULL while away */
    redisReader *reader;
    bool is_up;
    bool is_resolving;
    bool is_closed;
    struct list requests; /* in the order in which they will be answered */
    struct timer due;
    struct timer retry;
    uint64_t backoff_ms;
    char reason[REASON_BYTES];
    struct job lookup;
    unsigned tries;
    bool is_found; /* written by the job */
};

/* -1 when `address` cannot be one. */
int link_init(struct link *link, const struct tally_options *options, const struct link_owner *calls, void *owner,
              struct error *error) __attribute__((warn_unused_result));
void link_done(struct link *link);                    /* after its thread ended */
void link_open(struct link *link, struct loop *loop); /* starts to connect */
void link_close(struct link *link);                   /* requests are told */
void link_send(struct link *link, struct script_command *command, link_reply_fn *on_reply, void *ctx);
/* Says why the connection is given up; always -1. */
int link_fault(struct link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));
void link_lose(struct link *link);
void link_is_well(struct link *link); /* the next loss is followed by a quick try */

#endif
