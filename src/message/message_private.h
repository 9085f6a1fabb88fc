/* SPDX-License-Identifier: Apache-2.0
 *
 * The message itself, for the files of this room. A million of these may wait at once, so
 * every field has to be worth its bytes.
 */
#ifndef GATEPOST_MESSAGE_PRIVATE_H
#define GATEPOST_MESSAGE_PRIVATE_H

#include "base/heap.h"
#include "message/message.h"
#include "message/schedule.h"

struct message_keys;
struct message_home;

struct message {
    /* links of whoever owns it */
    union {
        struct list_node link;
        struct message *next_dead; /* when nobody does any more */
    };
    struct heap_node heap_link;
    struct message_home *home; /* of the thread that made it; NULL: it may die anywhere */

    /* always in memory */
    char *sender; /* NULL: "" */
    union {
        char *one; /* recipient_count is 1, as it nearly always is */
        char **many;
    } recipients;
    struct message_schedule *schedule;
    struct message_keys *keys; /* what the queue needs of the metadata while that is on disk */
    struct message_saving *saving;
    uint64_t spool_ref;
    int64_t due_ms;
    size_t body_bytes;
    uint32_t recipient_count;
    uint32_t attempts;
    bool smtputf8;
    bool is_dirty;
    bool is_body_dirty;
    char id[MESSAGE_ID_CHARS + 1];

    /* NULL while on disk only */
    json_t *meta;
    struct bytes *body;
};

/* The metadata that names the queue, shared by all shrunk messages that agree on it. */
struct message_keys *message_keys_take(const json_t *meta); /* NULL when none of it is set */
/* The same from the metadata's text; false when that is not as simple as it nearly always is. */
bool message_keys_read(struct span meta, struct message_keys **keys_out);
void message_keys_unref(struct message_keys **keys);
json_t *message_keys_get(const struct message_keys *keys, const char *key); /* borrowed; may be NULL */
/* What names the queue in `meta` becomes what it is in `keys`, which may be NULL. */
void message_keys_put(const struct message_keys *keys, json_t *meta);

/* Puts `lines` in front of the body without copying it. False: the body is shared, or has no room there. */
bool message_prepend_in_place(struct message *message, struct span lines) __attribute__((warn_unused_result));

/* home.c: the calling thread's. */
struct message_home *message_home(void);
void message_destroy(struct message *message);

/* A message without id and metadata. */
struct message *message_blank(void);

#endif
