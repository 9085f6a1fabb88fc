/* SPDX-License-Identifier: Apache-2.0
 *
 * The room that makes a message safe: an append-only log of segments with one writer
 * thread. It knows ids, records and bodies as opaque bytes, and decides nothing. What
 * has been acknowledged through on_done is on stable storage. README.md beside this file
 * lists the durable steps in order.
 */
#ifndef GATEPOST_SPOOL_SPOOL_H
#define GATEPOST_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/span.h"
#include "loop/loop.h"

struct spool;

struct spool_floor {
    uint64_t bytes_or_inodes; /* used when percent is 0 */
    unsigned percent;         /* of the file system */
};

struct spool_config {
    const char *name; /* for logs and errors */
    const char *path; /* a directory; made when missing, mode 0700; locked while open */
    bool flush;       /* false: never sync. Loses mail when the machine dies; warned about */
    struct spool_floor min_free_space;
    struct spool_floor min_free_inodes;
    uint64_t segment_bytes; /* 0: the default, 64 MiB */
};

/* Opens the log, takes the lock, reads the segments' headers. Starts the writer thread.
 * Records are read by spool_enumerate. An unknown format version, a directory in use or
 * one that cannot be written is an error. */
struct spool *spool_open(const struct spool_config *config, struct error *error);

/* Finishes what was asked, syncs, ends the thread. NULL is fine. */
void spool_close(struct spool *spool);

/* ---- at start: what is there ---- */

/* One live message. `record` is borrowed for the call; the body stays on disk. */
typedef void spool_entry_fn(void *ctx, uint64_t ref, struct span record, size_t body_bytes);
/* All were shown. Damaged records were skipped, counted and logged; what the disk did not give is
 * logged and may be shown at another start. */
typedef void spool_enumerated_fn(void *ctx, uint64_t shown, uint64_t damaged);

/* Shows every message that was live at spool_open, from a thread of its own, in batches
 * delivered on the calling loop; new ones may be stored meanwhile and are not shown. */
void spool_enumerate(struct spool *spool, spool_entry_fn *on_entry, spool_enumerated_fn *on_end, void *ctx);

/* ---- store, update, remove: from any thread that runs a loop ---- */

struct spool_item {
    struct span record; /* envelope and metadata */
    struct bytes *body; /* items with the same body store it once */
    uint64_t ref;       /* set when stored */
};

/* All of `items` become durable together. `items`, their records and bodies must stay
 * until on_done, which runs on the calling loop; then each item has its ref.
 * ERROR_AGAIN: below a floor (answer 452). ERROR_TEMP: writing or syncing failed
 * (answer 451); nothing of it may be called safe, and the data is not synced again. */
struct spool_store {
    struct mail mail; /* private */
    struct loop *reply_to;
    struct spool *spool;
    struct error error;

    struct spool_item *items;
    size_t count;
    void (*on_done)(struct spool_store *store, const struct error *error);
};

void spool_store(struct spool *spool, struct spool_store *store);

/* A new record for a stored message (attempts, due time, metadata), its body kept.
 * `record` is copied; the ref stays. `on_done` may be NULL. ERROR_PERM: the message is
 * gone; else as for a store. */
typedef void spool_updated_fn(void *ctx, uint64_t ref, const struct error *error);
void spool_update(struct spool *spool, uint64_t ref, struct span record, spool_updated_fn *on_done, void *ctx);

/* The message has left: delivered or given up, and that is on record. Written in the next
 * batch; a crash before its sync brings the message back (sent twice, never lost). */
void spool_remove(struct spool *spool, uint64_t ref);

/* ---- read back, off the writer's thread ---- */

/* `record` and `body` are the receiver's to free (record: malloc'd text; body: a
 * reference). ERROR_PERM when the record is damaged or gone, ERROR_TEMP
 * when it cannot be read now. */
typedef void spool_read_fn(void *ctx, char *record, size_t record_len, struct bytes *body, const struct error *error);
void spool_read(struct spool *spool, uint64_t ref, spool_read_fn *on_done, void *ctx);

/* ---- for admission and metrics: from any thread ---- */

/* False while below a floor or broken by an I/O error: reception should answer 452. */
bool spool_accepts(const struct spool *spool);

struct spool_stats {
    uint64_t stored, updated, removed, syncs, batches, live_messages, live_bytes, segments, damaged;
    uint64_t bytes_written, compacted;
    uint64_t moments;    /* waited for others to join a batch */
    uint64_t aside;      /* files with damage that are kept for a person */
    uint64_t unreadable; /* segments that could not be read whole at start */
};
void spool_get_stats(const struct spool *spool, struct spool_stats *stats_out);

#endif
