/* SPDX-License-Identifier: Apache-2.0
 *
 * What others ask of the writer: the doors that put a request into its inbox, and what
 * the writer does when it takes one out, which is to add it to the batch or to refuse it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "spool/spool_private.h"

/* ---- store ---- */

static void on_store_answered(struct mail *mail)
{
    struct spool_store *store = CONTAINER_OF(mail, struct spool_store, mail);

    store->on_done(store, store->error.kind == ERROR_NONE ? NULL : &store->error);
}

static struct batch_item *items_of(struct spool *spool, const struct spool_store *store)
{
    struct batch_item *items = mem_alloc(store->count * sizeof *items);

    for (size_t i = 0; i < store->count; i++)
        items[i] = (struct batch_item){.ref = spool->next_ref + i,
                                       .record = store->items[i].record,
                                       .body = bytes_span(store->items[i].body),
                                       .body_key = store->items[i].body,
                                       .origin = &store->items[i]};
    return items;
}

static int try_store(struct spool *spool, struct spool_store *store)
{
    struct batch_item *items;
    uint64_t bytes;
    int status;

    if (floor_is_reached(spool, &store->error))
        return -1;
    items = items_of(spool, store);
    bytes = batch_items_bytes(FRAME_STORE, items, store->count);
    status = bytes > FRAME_LIMIT_BYTES
                 ? error_set(&store->error, ERROR_PERM, "spool %s: a transaction of %llu bytes is too large",
                             spool->name, (unsigned long long)bytes)
                 : batch_make_room(spool, bytes, true, &store->error);
    if (!status) {
        batch_add_items(spool, FRAME_STORE, items, store->count, CHANGE_STORE);
        spool->next_ref += store->count;
    }
    free(items);
    return status;
}

static void on_store(struct mail *mail)
{
    struct spool_store *store = CONTAINER_OF(mail, struct spool_store, mail);

    (void)try_store(store->spool, store);
    mail->deliver = on_store_answered;
    batch_add_answer(store->spool, store->reply_to, mail, &store->error);
}

void spool_store(struct spool *spool, struct spool_store *store)
{
    store->reply_to = loop_current();
    MUST(store->reply_to && store->count > 0);
    store->spool = spool;
    store->error.kind = ERROR_NONE;
    store->mail.deliver = on_store;
    writer_post(spool, &store->mail);
}

/* ---- update ---- */

struct update {
    struct mail mail;
    struct spool *spool;
    struct loop *reply_to;
    struct error error;
    uint64_t ref;
    spool_updated_fn *on_done;
    void *ctx;
    size_t record_len;
    char record[];
};

static void on_update_answered(struct mail *mail)
{
    struct update *update = CONTAINER_OF(mail, struct update, mail);

    if (update->on_done)
        update->on_done(update->ctx, update->ref, update->error.kind == ERROR_NONE ? NULL : &update->error);
    free(update);
}

static bool is_live(struct spool *spool, uint64_t ref)
{
    struct entry *entry;
    bool live;

    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    live = entry && !(entry->flags & ENTRY_REMOVING);
    pthread_mutex_unlock(&spool->lock);
    return live;
}

static int try_update(struct spool *spool, struct update *update, struct batch_item *item)
{
    uint64_t bytes = batch_items_bytes(FRAME_UPDATE, item, 1);

    if (!is_live(spool, update->ref))
        return error_set(&update->error, ERROR_PERM, "spool %s: no such message", spool->name);
    if (batch_make_room(spool, bytes, false, &update->error))
        return -1;
    batch_add_items(spool, FRAME_UPDATE, item, 1, CHANGE_RECORD);
    return 0;
}

static void on_update(struct mail *mail)
{
    struct update *update = CONTAINER_OF(mail, struct update, mail);
    struct batch_item item = {.ref = update->ref, .record = span_make(update->record, update->record_len)};

    (void)try_update(update->spool, update, &item);
    mail->deliver = on_update_answered;
    batch_add_answer(update->spool, update->reply_to, mail, &update->error);
}

void spool_update(struct spool *spool, uint64_t ref, struct span record, spool_updated_fn *on_done, void *ctx)
{
    struct update *update = mem_alloc(sizeof *update + record.len);

    *update = (struct update){.mail.deliver = on_update,
                              .spool = spool,
                              .reply_to = loop_current(),
                              .ref = ref,
                              .on_done = on_done,
                              .ctx = ctx,
                              .record_len = record.len};
    MUST(update->reply_to);
    if (record.len)
        memcpy(update->record, record.data, record.len);
    writer_post(spool, &update->mail);
}

/* ---- remove ---- */

struct removal {
    struct mail mail;
    struct spool *spool;
    uint64_t ref;
};

static void add_late(struct spool *spool, uint64_t ref)
{
    spool->late_removes =
        batch_grow(spool->late_removes, spool->late_count, &spool->late_capacity, sizeof *spool->late_removes);
    spool->late_removes[spool->late_count++] = ref;
}

static void add_remove(struct spool *spool, uint64_t ref)
{
    struct batch *batch = &spool->batch;

    if (batch_make_room(spool, FRAME_HEADER_BYTES + MARK_BYTES, false, NULL)) {
        add_late(spool, ref);
        return;
    }
    batch->removes = batch_grow(batch->removes, batch->remove_count, &batch->remove_capacity, sizeof *batch->removes);
    batch->removes[batch->remove_count++] = ref;
}

/* False when it is gone, or going, already. */
static bool flag_removing(struct spool *spool, uint64_t ref)
{
    struct entry *entry;
    bool first;

    pthread_mutex_lock(&spool->lock);
    entry = index_find(&spool->index, ref);
    first = entry && !(entry->flags & ENTRY_REMOVING);
    if (first)
        entry->flags |= ENTRY_REMOVING;
    pthread_mutex_unlock(&spool->lock);
    return first;
}

static void on_remove(struct mail *mail)
{
    struct removal *removal = CONTAINER_OF(mail, struct removal, mail);

    if (flag_removing(removal->spool, removal->ref))
        add_remove(removal->spool, removal->ref);
    free(removal);
}

void spool_remove(struct spool *spool, uint64_t ref)
{
    struct removal *removal = mem_alloc(sizeof *removal);

    *removal = (struct removal){.mail.deliver = on_remove, .spool = spool, .ref = ref};
    writer_post(spool, &removal->mail);
}

void requests_retry_removes(struct spool *spool)
{
    size_t count = spool->late_count;
    uint64_t *late = spool->late_removes;

    spool->late_removes = NULL;
    spool->late_count = spool->late_capacity = 0;
    for (size_t i = 0; i < count; i++)
        add_remove(spool, late[i]);
    free(late);
}
