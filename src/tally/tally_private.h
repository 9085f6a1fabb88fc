/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share. A call is made once (tally.c) and answered by one of two backends: memory
 * (memory*.c) at once, or Redis (redis*.c, script.c) later, which leans on memory when it fails. The arithmetic is
 * rules.c, and once more, word for word, the script in script.c, because Redis must do it in one step; a test holds the
 * two against each other.
 */
#ifndef GATEPOST_TALLY_TALLY_PRIVATE_H
#define GATEPOST_TALLY_TALLY_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "tally/tally.h"

#define TALLY_DIGEST_BYTES 16

/* ---- key.c ---- */

void tally_hex(const unsigned char digest[TALLY_DIGEST_BYTES], char out[2 * TALLY_DIGEST_BYTES]);
/* In tally.c: keyed by the secret of the options. */
void tally_digest(struct tally *tally, struct span bytes, unsigned char out[TALLY_DIGEST_BYTES]);

/* ---- one operation, copied ---- */

struct tally_item {
    enum tally_kind kind;
    bool keep;
    uint8_t if_new;
    uint32_t most;
    double amount;
    double limit;
    uint64_t time_ms;
    struct span key; /* in the batch's own text */
    unsigned char member[TALLY_DIGEST_BYTES];
};

struct tally_batch {
    size_t count;
    bool is_forced; /* limits do not refuse: what happened elsewhere is written down */
    int refused_by;
    struct tally_result results[TALLY_OPS_MOST];
    struct tally_item items[TALLY_OPS_MOST];
    size_t text_len, text_capacity;
    char *text;
};

struct tally_batch *tally_batch_new(void);
void tally_batch_free(struct tally_batch *batch);
/* Copies `item` with its key. False when the batch is full. */
bool tally_batch_add(struct tally_batch *batch, const struct tally_item *item);

/* ---- rules.c: what each operation does to what is kept. Pure ---- */

struct tally_counter {
    double value;
    uint64_t at_ms;
    uint64_t half_life_ms;
};

struct tally_budget {
    double former, present;
    uint64_t start_ms; /* of the present window */
    uint64_t window_ms;
};

struct tally_mark {
    double value;
    uint64_t until_ms;
};

struct tally_member {
    unsigned char id[TALLY_DIGEST_BYTES];
    uint64_t until_ms;
};

struct tally_members {
    struct tally_member *list;
    uint32_t count, capacity;
    uint64_t until_ms; /* no member stays longer */
};

double rules_counter_now(const struct tally_counter *counter, uint64_t now_ms);
double rules_budget_now(const struct tally_budget *budget, uint64_t now_ms);
/* How long until nothing is left of it; 0: nothing is. */
uint64_t rules_counter_left_ms(const struct tally_counter *counter, uint64_t now_ms);
uint64_t rules_budget_left_ms(const struct tally_budget *budget, uint64_t now_ms);

void rules_count(struct tally_counter *counter, const struct tally_item *item, uint64_t now_ms,
                 struct tally_result *result);
bool rules_take(struct tally_budget *budget, const struct tally_item *item, bool is_forced, uint64_t now_ms,
                struct tally_result *result); /* false: refused, as below */
void rules_mark(struct tally_mark *mark, const struct tally_item *item, uint64_t now_ms, struct tally_result *result);
void rules_is_marked(const struct tally_mark *mark, uint64_t now_ms, struct tally_result *result);
bool rules_join(struct tally_members *members, const struct tally_item *item, bool is_forced, uint64_t now_ms,
                struct tally_result *result);
void rules_leave(struct tally_members *members, const struct tally_item *item, uint64_t now_ms,
                 struct tally_result *result);
void rules_members(struct tally_members *members, const struct tally_item *item, uint64_t now_ms,
                   struct tally_result *result);

uint32_t rules_most_members(const struct tally_item *item);
struct tally_member *rules_member_find(struct tally_members *members, const unsigned char *id); /* or NULL */
void rules_member_put(struct tally_members *members, const struct tally_member *member);        /* new, or moved */
void rules_member_remove(struct tally_members *members, struct tally_member *member);
void rules_members_expire(struct tally_members *members, uint64_t now_ms);

/* ---- memory*.c: this node's own; from any thread ---- */

struct memory;

struct memory *memory_new(size_t entries);
void memory_free(struct memory *memory);
size_t memory_count(struct memory *memory);
/* Fills results and refused_by. `is_apart`: Redis is not there to be told; it will be later (memory_export). */
void memory_run(struct memory *memory, struct tally_batch *batch, bool is_apart);
/* Does here what Redis has done and answered in `batch`, and believes Redis where it knows of less: what another node
 * has forgotten on purpose is forgotten here too. */
void memory_follow(struct memory *memory, const struct tally_batch *batch);

/* Appends what is wanted until its limit; or forgets it and counts. Walks everything: for operators. */
struct tally_found;
struct tally_wanted;
bool memory_list(struct memory *memory, const struct tally_wanted *wanted, struct tally_found *found);

typedef void memory_emit_fn(void *ctx, const struct tally_item *item);
size_t memory_shards(const struct memory *memory);
/* Tells one shard as operations that build it again: everything, or the marks and members touched while apart. The
 * items are borrowed. */
void memory_export(struct memory *memory, size_t shard, bool everything, memory_emit_fn *emit, void *ctx);

/* ---- list.c: what a listing looks for, and finds ---- */

struct tally_wanted {
    struct tally_key begin, end; /* of the text; `end` with the slash before it, or empty */
    size_t limit;
    bool remove;
};

void tally_wanted_init(struct tally_wanted *wanted, const struct tally_filter *filter);
bool tally_is_wanted(const struct tally_wanted *wanted, struct span key);

struct tally_found {
    struct tally_entry *entries; /* keys are copies */
    size_t count, capacity;
    size_t removed;
};

void tally_found_add(struct tally_found *found, const struct tally_entry *entry);
void tally_found_clear(struct tally_found *found);  /* gives the memory back */
void tally_found_settle(struct tally_found *found); /* in order of keys, each once */

/* ---- a call under way ---- */

struct tally_call {
    struct mail mail;
    struct list_node node; /* of the instance's calls, under its lock */
    struct tally *tally;
    struct loop *loop; /* under the lock; NULL: nobody waits */
    struct redis *redis;
    bool is_done; /* under the lock: answered and on its way home */
    /* a batch, or a listing when NULL */
    struct tally_batch *batch;
    bool is_local;
    bool is_complete;
    struct tally_wanted wanted;
    struct tally_found found;
    uint64_t give_up_at_ms; /* of the backend's loop */
    char cursor[24];
    /* of the caller's thread */
    tally_done_fn *on_done;
    tally_list_fn *on_listed;
    void *ctx;
};

/* By a backend, on any thread: the answer is there (is_local tells whose). The call is gone for the backend after. */
void tally_call_done(struct tally_call *call);
/* The same when the backend could not: answers from memory. */
void tally_call_fall_back(struct tally_call *call);
struct memory *tally_memory(struct tally *tally);
/* The epoch whose data has all that this instance knew; it outlives the connection, so that after a reload nothing is
 * told twice. */
#define TALLY_EPOCH_BYTES 33
bool tally_knows_epoch(struct tally *tally, const char *epoch);
void tally_note_epoch(struct tally *tally, const char *epoch);

/* ---- redis.c: the other backend; its thread, its connection ---- */

struct redis;

/* Starts to connect. `own_clock`: for tests, Redis is told our time instead of asked for its own. */
struct redis *redis_new(struct tally *tally, const struct tally_options *options, bool own_clock, struct error *error);
/* Ends the thread; calls it still had are left as they are. */
void redis_stop(struct redis *redis);
void redis_free(struct redis *redis);
/* Takes the call over unless too many are out. From any thread that holds the instance's lock. */
bool redis_take(struct redis *redis, struct tally_call *call);
void redis_status(struct redis *redis, struct tally_status *status_out);

/* For tests: as tally_configure, but time is this process's clock. */
int tally_configure_own_clock(struct tally *tally, const struct tally_options *options, struct error *error)
    __attribute__((warn_unused_result));

/* ---- script.c: the operations as Redis does them ---- */

struct redisReply;

struct script_frame {
    const char *prefix;
    const char *epoch;
    uint64_t now_ms; /* 0: ask Redis */
};

extern const char script_run_text[];
extern const char script_show_text[];

/* One Redis command; append arguments, then script_finish. */
struct script_command {
    size_t argc;
    size_t capacity;
    size_t *lens;
    struct buf text; /* the arguments, one behind the other */
};

void script_begin(struct script_command *command);
void script_add(struct script_command *command, struct span argument);
void script_addf(struct script_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The command on the wire; the caller frees with free(). */
char *script_finish(struct script_command *command, size_t *len_out);

/* EVALSHA <sha>, or EVAL <text> when sha is NULL. */
void script_write_run(struct script_command *command, const char *sha, const struct script_frame *frame,
                      const struct tally_batch *batch);
int script_read_run(const struct redisReply *reply, struct tally_batch *batch) __attribute__((warn_unused_result));
void script_write_show(struct script_command *command, const struct script_frame *frame, const struct tally_call *call);
/* Takes a page in; `*is_last_out`. */
int script_read_show(const struct redisReply *reply, const char *prefix, struct tally_call *call, bool *is_last_out)
    __attribute__((warn_unused_result));

#endif
