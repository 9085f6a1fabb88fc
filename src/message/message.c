/* SPDX-License-Identifier: Apache-2.0
 *
 * What a message knows of itself: envelope, metadata, body, when it is due. Its record for
 * the spool is in record.c, its headers are edited in edit.c.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "message/message_private.h"

struct message *message_blank(void) { return mem_zalloc(sizeof(struct message)); }

static void make_id(char out[MESSAGE_ID_CHARS + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    unsigned char bytes[MESSAGE_ID_CHARS / 2];

    random_bytes(bytes, sizeof bytes);
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(now_ms >> (8 * (5 - i)));
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[MESSAGE_ID_CHARS] = '\0';
}

struct message *message_new(void)
{
    struct message *message = message_blank();

    message->home = message_home();
    make_id(message->id);
    message->meta = json_object();
    MUST(message->meta);
    message->is_dirty = true;
    return message;
}

/* Held by the message and by whoever waits for the disk's answer: it is under way while both do. */
struct message_saving {
    atomic_int holders;
    atomic_bool found_none; /* the spool has no such message */
};

static void saving_unref(struct message_saving **saving)
{
    if (*saving && atomic_fetch_sub(&(*saving)->holders, 1) == 1)
        free(*saving);
    *saving = NULL;
}

void message_destroy(struct message *message)
{
    message_clear_recipients(message);
    free(message->sender);
    message_schedule_free(message->schedule);
    message_keys_unref(&message->keys);
    saving_unref(&message->saving);
    json_decref(message->meta);
    bytes_unref(&message->body);
    free(message);
}

struct message *message_fork(const struct message *message)
{
    struct message *fork = message_new();

    MUST(message->meta); /* what is on disk only cannot be copied */
    json_decref(fork->meta);
    fork->meta = json_deep_copy(message->meta);
    MUST(fork->meta);
    fork->sender = message->sender ? mem_strdup(message->sender) : NULL;
    fork->smtputf8 = message->smtputf8;
    fork->due_ms = message->due_ms;
    fork->schedule = message->schedule ? message_schedule_copy(message->schedule) : NULL;
    fork->body = bytes_ref(message->body);
    fork->body_bytes = message->body_bytes;
    fork->is_body_dirty = true;
    return fork;
}

const char *message_id(const struct message *message) { return message->id; }

int64_t message_created_ms(const struct message *message)
{
    int64_t ms = 0;

    for (int i = 0; i < 12; i++) {
        char c = message->id[i];

        ms = ms * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return ms;
}

/* ---- envelope ---- */

const char *message_sender(const struct message *message) { return message->sender ? message->sender : ""; }

void message_set_sender(struct message *message, struct span mailbox)
{
    char *sender = mailbox.len > 0 ? span_dup(mailbox) : NULL; /* `mailbox` may be the old one */

    free(message->sender);
    message->sender = sender;
    message->is_dirty = true;
}

size_t message_recipient_count(const struct message *message) { return message->recipient_count; }

const char *message_recipient(const struct message *message, size_t index)
{
    MUST(index < message->recipient_count);
    return message->recipient_count == 1 ? message->recipients.one : message->recipients.many[index];
}

static bool is_power_of_two(uint32_t n) { return (n & (n - 1)) == 0; }

void message_add_recipient(struct message *message, struct span mailbox)
{
    char *copy = span_dup(mailbox);
    uint32_t count = message->recipient_count;

    MUST(count < UINT32_MAX / 2);
    message->is_dirty = true;
    message->recipient_count = count + 1;
    if (count == 0) {
        message->recipients.one = copy;
        return;
    }
    if (count == 1) {
        char *first = message->recipients.one;

        message->recipients.many = mem_alloc(2 * sizeof first);
        message->recipients.many[0] = first;
    } else if (is_power_of_two(count)) {
        message->recipients.many = mem_realloc(message->recipients.many, 2 * (size_t)count * sizeof copy);
    }
    message->recipients.many[count] = copy;
}

void message_clear_recipients(struct message *message)
{
    if (message->recipient_count == 1)
        free(message->recipients.one);
    if (message->recipient_count > 1) {
        for (uint32_t i = 0; i < message->recipient_count; i++)
            free(message->recipients.many[i]);
        free(message->recipients.many);
    }
    message->recipients.one = NULL;
    message->recipient_count = 0;
    message->is_dirty = true;
}

struct span message_recipient_domain(const struct message *message)
{
    struct span mailbox;
    const char *at;

    if (message->recipient_count == 0)
        return SPAN_LIT("");
    mailbox = span_of(message_recipient(message, 0));
    at = memrchr(mailbox.data, '@', mailbox.len); /* the last: a quoted local part may hold one */
    return at ? span_from(mailbox, (size_t)(at - mailbox.data) + 1) : span_from(mailbox, mailbox.len);
}

bool message_is_smtputf8(const struct message *message) { return message->smtputf8; }

void message_set_smtputf8(struct message *message, bool smtputf8)
{
    message->smtputf8 = smtputf8;
    message->is_dirty = true;
}

/* ---- metadata ---- */

json_t *message_meta(const struct message *message) { return message->meta; }

json_t *message_meta_get(const struct message *message, const char *key)
{
    return message->meta ? json_object_get(message->meta, key) : message_keys_get(message->keys, key);
}

void message_inherit_meta(struct message *message, const json_t *meta)
{
    json_t *copy = json_deep_copy(meta);

    MUST(copy);
    json_decref(message->meta);
    message->meta = copy;
    message->is_dirty = true;
}

void message_meta_set(struct message *message, const char *key, json_t *value)
{
    MUST(message->meta && value);
    MUST(json_object_set_new_nocheck(message->meta, key, value) == 0);
    message->is_dirty = true;
}

/* ---- body ---- */

struct bytes *message_body(const struct message *message) { return message->body; }

void message_set_body(struct message *message, struct bytes *body)
{
    bytes_unref(&message->body);
    message->body = body;
    message->body_bytes = bytes_span(body).len;
    message->is_dirty = true;
    message->is_body_dirty = true;
}

bool message_prepend_in_place(struct message *message, struct span lines)
{
    if (!bytes_prepend(message->body, lines))
        return false;
    message->body_bytes = bytes_span(message->body).len;
    message->is_dirty = true;
    message->is_body_dirty = true;
    return true;
}

size_t message_body_bytes(const struct message *message) { return message->body_bytes; }

/* ---- scheduling ---- */

unsigned message_attempts(const struct message *message) { return message->attempts; }

void message_set_attempts(struct message *message, unsigned attempts) { message->attempts = attempts; }

int64_t message_due_ms(const struct message *message) { return message->due_ms; }

void message_set_due_ms(struct message *message, int64_t due_ms) { message->due_ms = due_ms; }

const struct message_schedule *message_schedule(const struct message *message) { return message->schedule; }

void message_set_schedule(struct message *message, struct message_schedule *schedule)
{
    message_schedule_free(message->schedule);
    message->schedule = schedule;
    message->is_dirty = true;
}

/* ---- spool ---- */

uint64_t message_spool_ref(const struct message *message) { return message->spool_ref; }

void message_set_spool_ref(struct message *message, uint64_t ref) { message->spool_ref = ref; }

bool message_is_dirty(const struct message *message) { return message->is_dirty; }

bool message_is_body_dirty(const struct message *message) { return message->is_body_dirty; }

void message_mark_clean(struct message *message)
{
    message->is_dirty = false;
    message->is_body_dirty = false;
}

struct message_saving *message_save_begin(struct message *message)
{
    struct message_saving *saving = mem_alloc(sizeof *saving);

    atomic_init(&saving->holders, 2);
    atomic_init(&saving->found_none, false);
    saving_unref(&message->saving); /* an answer to an earlier record says nothing of this one */
    message->saving = saving;
    message->is_dirty = message->is_body_dirty;
    return saving;
}

void message_save_end(struct message_saving **saving) { saving_unref(saving); }

void message_save_end_gone(struct message_saving **saving)
{
    atomic_store(&(*saving)->found_none, true);
    saving_unref(saving);
}

bool message_is_only_here(const struct message *message)
{
    return message->saving && atomic_load(&message->saving->found_none);
}

bool message_is_being_saved(const struct message *message)
{
    return message->saving && atomic_load(&message->saving->holders) > 1;
}

void message_shrink(struct message *message)
{
    MUST(message->spool_ref != 0 && !message->is_dirty && !message_is_being_saved(message));
    saving_unref(&message->saving);
    if (message->meta && !message->keys)
        message->keys = message_keys_take(message->meta);
    json_decref(message->meta);
    message->meta = NULL;
    bytes_unref(&message->body);
}

bool message_is_loaded(const struct message *message)
{
    return message->meta && (message->body || message->spool_ref == 0);
}

/* ---- links ---- */

struct list_node *message_link(struct message *message) { return &message->link; }

struct message *message_of_link(struct list_node *node) { return CONTAINER_OF(node, struct message, link); }

struct heap_node *message_heap_link(struct message *message) { return &message->heap_link; }

struct message *message_of_heap_link(struct heap_node *node) { return CONTAINER_OF(node, struct message, heap_link); }
