/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: the spool, its segments, the batch being written and
 * the compaction under way. One lock guards what the writer shares with readers and with
 * recovery; it is never held over I/O.
 */
#ifndef GATEPOST_SPOOL_PRIVATE_H
#define GATEPOST_SPOOL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "log/diag.h"
#include "loop/jobs.h"
#include "spool/format.h"
#include "spool/index.h"
#include "spool/io.h"
#include "spool/spool.h"

/* ---- segments (segment.c, ledger.c) ---- */

enum segment_state {
    SEGMENT_FREE,      /* its header on disk says that nothing in it counts */
    SEGMENT_CURRENT,   /* being appended to */
    SEGMENT_CLOSED,    /* complete and synced */
    SEGMENT_ABANDONED, /* a write or sync failed: never written or synced again, to be unlinked */
    SEGMENT_LINGERING, /* unlinked, but its name may come back with a power cut: nothing more is done about it */
    SEGMENT_DELETED,   /* unlinked, kept open for a reader */
};

/* How many marks of a segment are needed for as long as the segment `sequence` exists. */
struct mark_target {
    uint32_t sequence;
    uint32_t count;
};

struct segment {
    /* fixed while the file exists */
    int fd;
    uint32_t slot;
    uint32_t file_number;
    uint64_t size;

    /* of this use of the file; written by the writer under the lock */
    enum segment_state state;
    uint32_t sequence;
    uint64_t generation;

    /* owned by the writer; before recovery, what the headers say of an old segment */
    uint64_t end;    /* where the next frame goes; all before it is synced */
    uint64_t filled; /* up to here the blocks were written at least once: syncing over them is cheap */
    uint64_t limit;

    /* shared, under lock */
    uint32_t pins; /* readers: the bytes must stay */
    uint32_t live_parts;
    uint64_t live_bytes;
    uint64_t mark_count;
    struct mark_target *targets;
    size_t target_count, target_capacity;
    uint32_t *mark_frames_8; /* where its REMOVE frames are, / 8 */
    size_t mark_frame_count, mark_frame_capacity;
    bool unread;       /* from before open, and recovery has not read all there is, or could not */
    bool uncertain;    /* read back after a crash, with frames that may not be on disk yet */
    bool stale_copies; /* holds copies of messages that the index knows elsewhere */
    bool unmovable;    /* holds something that cannot be read: compaction passes by */
    bool damaged;      /* what was lost in it may interest a person: put aside, never overwritten nor unlinked */
};

/* A new file in state FREE, durable in the directory. */
int segment_make(struct spool *spool, uint64_t size, struct segment **segment_out, struct error *error)
    __attribute__((warn_unused_result));
struct segment *segment_add(struct spool *spool, int fd, uint32_t file_number, uint64_t size);
/* Makes a free segment the current one: a fresh generation, the next sequence. */
int segment_begin(struct spool *spool, struct segment *segment, struct error *error)
    __attribute__((warn_unused_result));
/* Nothing in it counts any more: says so durably, then keeps it as free or unlinks it; what is damaged is put aside.
 * -1: not possible now. */
int segment_release(struct spool *spool, struct segment *segment);
void segment_unlink_free(struct spool *spool, size_t keep);
size_t segment_count_free(struct spool *spool, struct segment **one_out);
void segment_unpin(struct spool *spool, uint32_t slot);     /* under lock */
int segment_descriptor(struct spool *spool, uint32_t slot); /* takes the lock; of one that is pinned */
void segment_destroy(struct segment *segment);

/* Damage that a reader met. Takes the lock. */
void segment_note_damage(struct spool *spool, uint32_t slot);

/* ---- files put aside (aside.c) ---- */

/* A file of the directory gets the name of one put aside. Its caller syncs the directory. */
int aside_put(struct spool *spool, const char *name, struct error *error) __attribute__((warn_unused_result));
uint64_t aside_count(const struct spool *spool);
void aside_tell(const struct spool *spool);

/* What is live where: all under lock. */
void ledger_add(struct spool *spool, const struct entry *entry);
void ledger_drop(struct spool *spool, const struct entry *entry);
void ledger_drop_record(struct spool *spool, const struct entry *entry);
void ledger_add_record(struct spool *spool, const struct entry *entry);
void ledger_add_mark_frame(struct segment *segment, uint64_t frame_at);
void ledger_add_mark(struct spool *spool, struct segment *segment, const struct frame_mark *mark);
void ledger_clear_marks(struct segment *segment);
void ledger_insert_sequence(struct spool *spool, struct segment *segment);
void ledger_forget_sequence(struct spool *spool, struct segment *segment); /* it is gone from the disk */
struct segment *ledger_find_sequence(const struct spool *spool, uint32_t sequence);
bool ledger_is_held_elsewhere(const struct spool *spool, const struct segment *segment);
bool ledger_needs_mark(const struct spool *spool, const struct segment *segment, const struct frame_mark *mark);
bool ledger_is_dead(const struct spool *spool, const struct segment *segment);

/* ---- the batch (batch.c, commit.c): owned by the writer ---- */

struct batch_item {
    uint64_t ref;
    struct span record;
    struct span body;
    const void *body_key;      /* equal keys: the same body */
    struct spool_item *origin; /* NULL for copies */
    uint64_t body_at;          /* filled in */
    uint32_t body_crc;
};

enum change_kind { CHANGE_STORE, CHANGE_COPY, CHANGE_RECORD, CHANGE_COPY_RECORD, CHANGE_REMOVE, CHANGE_COPY_MARK };

/* What becomes true once the batch is synced. */
struct change {
    enum change_kind kind;
    struct entry entry;
    struct frame_mark mark;
    struct spool_item *origin;
};

struct answer {
    struct loop *to;
    struct mail *mail;
    struct error *error; /* the asker's: filled when the batch fails */
};

struct batch {
    struct arena arena; /* headers, tables, copies */
    struct iovec *parts;
    size_t part_count, part_capacity;
    uint64_t bytes;
    struct change *changes;
    size_t change_count, change_capacity;
    uint64_t *frames; /* offsets, to be voided if the batch fails */
    size_t frame_count, frame_capacity;
    uint64_t *removes; /* refs: one frame of marks at the end */
    size_t remove_count, remove_capacity;
    struct answer *answers;
    size_t answer_count, answer_capacity;
    uint64_t asked; /* answers over all batches */
};

#define BATCH_LIMIT_BYTES (8u << 20)

/* Room for `bytes` more in the current segment; commits and goes on to another segment
 * when needed. */
int batch_make_room(struct spool *spool, uint64_t bytes, bool for_store, struct error *error)
    __attribute__((warn_unused_result));
/* `type` STORE or UPDATE; there must be room. The items are kept until the commit. */
void batch_add_items(struct spool *spool, enum frame_type type, struct batch_item *items, size_t count,
                     enum change_kind kind);
uint64_t batch_items_bytes(enum frame_type type, const struct batch_item *items, size_t count);
void batch_add_marks(struct spool *spool, const struct frame_mark *marks, size_t count, enum change_kind kind);
/* Says how far the segment is synced. */
void batch_add_end(struct spool *spool);
void batch_add_answer(struct spool *spool, struct loop *to, struct mail *mail, struct error *error);
void *batch_grow(void *array, size_t count, size_t *capacity, size_t element_bytes);

/* Writes, syncs, makes the changes true and answers. -1: the segment was abandoned. */
int batch_commit(struct spool *spool);
void batch_done(struct batch *batch);

/* The arrivals on the writer's thread (requests.c). */
void requests_retry_removes(struct spool *spool);

/* ---- compaction (compact.c): owned by the writer ---- */

struct move {
    uint64_t ref;
    uint64_t order; /* by place of the body, so that sharers stand together */
};

struct compaction {
    struct arena arena;     /* what is being copied, until the slice is committed */
    struct segment *victim; /* NULL: none under way */
    struct move *moves;
    size_t move_count, move_next;
};

/* True while there is more to do at once. */
bool compact_step(struct spool *spool);
void compact_abort(struct spool *spool);

/* ---- the spool ---- */

struct recovery;

struct spool {
    /* fixed after open */
    char *name, *path;
    int directory;
    bool flush;
    uint64_t segment_bytes;
    struct spool_floor min_free_space, min_free_inodes;
    uint64_t first_new_ref; /* what was there at open is below */
    struct jobs *readers;
    pthread_t writer;
    bool writer_runs;

    /* the inbox */
    _Atomic(struct mail *) inbox; /* newest first */
    atomic_bool ending;
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;

    /* owned by the writer */
    struct segment *current; /* NULL: none could be had */
    uint32_t last_sequence, last_file_number;
    uint32_t prior_sequence;
    uint64_t prior_end;
    uint64_t next_ref;
    struct batch batch;
    struct compaction compaction;
    uint64_t *late_removes; /* marks that a failed batch took with it */
    size_t late_count, late_capacity;
    uint64_t retry_at_ms;   /* 0: nothing to try again */
    size_t regulars;        /* so many shared a batch when nobody else came, */
    unsigned regulars_for;  /* and no more are waited for, in so many more batches, */
    unsigned regulars_span; /* of so many at first */
    unsigned failures;      /* batches that failed in a row */
    struct error stuck_error;
    bool end_is_marked;

    /* shared, under lock */
    pthread_mutex_t lock;
    struct index index;
    struct segment **segments; /* by slot; NULL in between */
    size_t segment_count, segment_capacity;
    struct segment **by_sequence; /* those that are in use on disk, in order */
    size_t sequence_count, sequence_capacity;
    struct spool_stats stats;
    bool may_be_dead; /* some segment's last live part went */
    bool recovered;

    /* shared */
    atomic_bool stuck; /* no segment can be had, or none that works */
    atomic_bool below_floor;
    atomic_uint_fast64_t floor_checked_ms;
    atomic_uint_fast64_t damaged; /* also counted off the writer's thread */

    struct mail recovered_mail; /* wakes the writer when all is read */
    struct recovery *recovery;  /* owned by whoever called spool_enumerate; ended by spool_close */
};

void *writer_main(void *spool);
void writer_wake(struct spool *spool);
void writer_retry_later(struct spool *spool);
void writer_post(struct spool *spool, struct mail *mail);
/* Goes on in another segment with room for `bytes`. */
int writer_rotate(struct spool *spool, uint64_t bytes, bool for_store, struct error *error)
    __attribute__((warn_unused_result));

/* 0 or -1 with errno; nothing is synced when the spool is not to. */
int spool_sync_data(const struct spool *spool, int fd) __attribute__((warn_unused_result));
int spool_sync_directory(const struct spool *spool) __attribute__((warn_unused_result));

bool floor_is_reached(struct spool *spool, struct error *error); /* any thread */

void recovery_end(struct spool *spool);

#endif
