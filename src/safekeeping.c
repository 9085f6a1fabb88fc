/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages into the spool and out of it: encodes them as records, waits for the sync, and
 * brings them back at start or when their turn comes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "relay_private.h"

#define RECORD_LIMIT_BYTES (4 * 1024 * 1024)

/* ---- keep ---- */

/* One transaction on its way to stable storage. */
struct safekeeping {
    struct spool_store store;
    struct worker *worker;
    struct list messages;
    safekeeping_fn *on_done;
    void *ctx;
    struct buf *records;
    struct spool_item items[];
};

static void finish(struct safekeeping *keeping, const struct error *error)
{
    struct relay *relay = keeping->worker->relay;

    keeping->on_done(keeping->ctx, keeping->worker, &keeping->messages, error);
    MUST(list_is_empty(&keeping->messages));
    for (size_t i = 0; i < keeping->store.count; i++)
        buf_done(&keeping->records[i]);
    free(keeping->records);
    free(keeping);
    atomic_fetch_sub(&relay->in_flight, 1);
}

static void on_stored(struct spool_store *store, const struct error *error)
{
    struct safekeeping *keeping = CONTAINER_OF(store, struct safekeeping, store);
    size_t i = 0;

    for (struct list_node *node = list_first(&keeping->messages); node && !error;
         node = list_next(&keeping->messages, node)) {
        struct message *message = message_of_link(node);

        message_set_spool_ref(message, store->items[i++].ref);
        message_mark_clean(message);
    }
    finish(keeping, error);
}

static int encode_all(struct safekeeping *keeping)
{
    size_t i = 0;

    for (struct list_node *node = list_first(&keeping->messages); node;
         node = list_next(&keeping->messages, node), i++) {
        struct message *message = message_of_link(node);

        buf_init(&keeping->records[i], RECORD_LIMIT_BYTES);
        if (message_encode(message, &keeping->records[i]))
            return -1;
        keeping->items[i].record = buf_span(&keeping->records[i]);
        keeping->items[i].body = message_body(message);
    }
    return 0;
}

void safekeeping_keep(struct worker *worker, struct list *messages, safekeeping_fn *on_done, void *ctx)
{
    size_t count = messages->count;
    struct safekeeping *keeping = mem_zalloc(sizeof *keeping + count * sizeof keeping->items[0]);
    struct error error;

    keeping->worker = worker;
    keeping->on_done = on_done;
    keeping->ctx = ctx;
    keeping->records = mem_zalloc(count * sizeof *keeping->records);
    keeping->store.items = keeping->items;
    keeping->store.count = count;
    keeping->store.on_done = on_stored;
    list_init(&keeping->messages);
    list_splice(&keeping->messages, messages);
    atomic_fetch_add(&worker->relay->in_flight, 1);
    if (!encode_all(keeping)) {
        spool_store(worker->relay->spool, &keeping->store);
        return;
    }
    error_set(&error, ERROR_TEMP, "a message's envelope and metadata exceed %d bytes", RECORD_LIMIT_BYTES);
    finish(keeping, &error);
}

/* ---- forget ---- */

void safekeeping_forget(struct relay *relay, struct message *message)
{
    if (message_spool_ref(message))
        spool_remove(relay->spool, message_spool_ref(message));
    message_free(message);
}

/* ---- save what changed ---- */

struct saving {
    struct turns *turns;
    struct message_saving *token;
    char id[MESSAGE_ID_CHARS + 1];
};

/* The message may be anywhere by now. One that could not be written is not kept in memory for that, which would fill it
 * while a disk fails: its place in the queue and its count of attempts it keeps until a restart, and so the metadata
 * that names its queue, but what else policy changed is lost once it waits on disk. The next attempt writes down all
 * anew. */
static void on_saved(void *ctx, uint64_t ref, const struct error *error)
{
    struct saving *saving = ctx;
    struct turns *turns = saving->turns;

    (void)ref;
    if (error)
        diag_error(NULL, error, "message %s: its attempt and changed metadata could not be written down", saving->id);
    if (error && error->kind == ERROR_PERM)
        message_save_end_gone(&saving->token);
    else
        message_save_end(&saving->token);
    free(saving);
    if (turns->queue)
        queue_saved(turns->queue);
    atomic_fetch_sub(&turns->relay->in_flight, 1);
}

/* A body that policy changed while the message waited has no place in the spool: it stays in memory until the message
 * has left, and a restart sends the body that was received. */
static void post(struct turns *turns, struct message *message, struct span record)
{
    struct relay *relay = turns->relay;
    struct saving *saving = mem_zalloc(sizeof *saving);

    saving->turns = turns;
    saving->token = message_save_begin(message);
    memcpy(saving->id, message_id(message), sizeof saving->id);
    atomic_fetch_add(&relay->in_flight, 1);
    spool_update(relay->spool, message_spool_ref(message), record, on_saved, saving);
}

void safekeeping_save(struct turns *turns, struct message *message)
{
    struct buf record;

    buf_init(&record, RECORD_LIMIT_BYTES);
    if (message_encode(message, &record))
        diag(DIAG_ERROR, NULL, "message %s: its changed metadata exceeds %d bytes and is not written down",
             message_id(message), RECORD_LIMIT_BYTES);
    else
        post(turns, message, buf_span(&record));
    buf_done(&record);
}

/* ---- fetch ---- */

struct fetch {
    struct turns *turns;
    struct message *message;
};

static void hand_over(struct fetch *fetch, struct span record, struct bytes *body, const struct error *error)
{
    struct error broken;

    if (!error && message_restore(fetch->message, record, body, &broken))
        error = &broken;
    queue_loaded(fetch->turns->queue, fetch->message, error);
}

static void on_read(void *ctx, char *record, size_t record_len, struct bytes *body, const struct error *error)
{
    struct fetch *fetch = ctx;
    struct relay *relay = fetch->turns->relay;

    if (!fetch->turns->queue) /* it has ended, and the message with it */
        bytes_unref(&body);
    else
        hand_over(fetch, span_make(record, record_len), body, error);
    free(record);
    free(fetch);
    atomic_fetch_sub(&relay->in_flight, 1);
}

void safekeeping_fetch(struct turns *turns, struct message *message)
{
    struct fetch *fetch = mem_alloc(sizeof *fetch);

    *fetch = (struct fetch){.turns = turns, .message = message};
    atomic_fetch_add(&turns->relay->in_flight, 1);
    spool_read(turns->relay->spool, message_spool_ref(message), on_read, fetch);
}

/* ---- bring back ---- */

static void on_entry(void *ctx, uint64_t ref, struct span record, size_t body_bytes)
{
    struct turns *turns = ctx;
    struct error error;
    struct message *message;

    (void)body_bytes; /* the record knows it too */
    if (!turns->queue)
        return; /* stopped before all were read: they stay where they are */
    message = message_decode_waiting(record, ref, &error);
    if (!message) {
        diag_error(NULL, &error, "a spooled message's record cannot be read; it stays in the spool");
        return;
    }
    queue_insert(turns->queue, message);
}

static void on_enumerated(void *ctx, uint64_t shown, uint64_t damaged)
{
    (void)ctx;
    diag(damaged ? DIAG_WARN : DIAG_INFO, NULL, "spool enumerated: %llu messages are back, %llu damaged records",
         (unsigned long long)shown, (unsigned long long)damaged);
}

void safekeeping_bring_back(struct turns *turns)
{
    spool_enumerate(turns->relay->spool, on_entry, on_enumerated, turns);
}
