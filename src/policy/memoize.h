/* SPDX-License-Identifier: Apache-2.0
 *
 * The caches behind kumo.memoize: by name, one for the whole process, shared by all VMs.
 * Keys are kept as a keyed hash, because policies pass passwords; values are opaque here.
 * One caller at a time populates a key, the others wait for it.
 *
 * Admission: a new entry is on probation, and proves itself by being asked for again; only
 * then does it move to the protected four fifths of the cache. What goes first is the
 * eldest on probation, by last use. Answers that say "no" (a wrong password) never leave
 * probation, however often they are asked for. So a stream of guesses turns over the fifth
 * that is on probation, and evicts nobody who logged in twice.
 */
#ifndef GATEPOST_POLICY_MEMOIZE_H
#define GATEPOST_POLICY_MEMOIZE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "loop/loop.h"

struct memoize_cache;
struct memoize_ticket; /* the right, and the duty, to populate one key */

struct memoize_key {
    uint64_t words[2];
};

/* Equal bytes, equal keys; nothing about the bytes can be told from the key. */
struct memoize_key memoize_key_of(struct span bytes);

/* The first member of what is kept. */
struct memoize_value {
    atomic_size_t refs;
    void (*free)(struct memoize_value *value);
};

void memoize_value_unref(struct memoize_value **value); /* clears the pointer; NULL inside is fine */

struct memoize_options {
    const char *name;
    uint64_t ttl_ms;
    size_t capacity;              /* at least 1 */
    uint64_t populate_timeout_ms; /* after this the next to come takes over */
    bool invalidate_with_epoch;
    bool allow_stale_reads;
};

/* The cache of that name, made if need be; it lives as long as the process. The latest
 * options count. From any thread, as everything here. */
struct memoize_cache *memoize_open(const struct memoize_options *options);
void memoize_close_all(void); /* for the end of tests: nobody may use any of them */

/* ---- waiting for somebody else's population ---- */

struct memoize_waiter {
    struct loop *loop; /* on_ready is called there; NULL: the thread will use memoize_block */
    void (*on_ready)(struct memoize_waiter *waiter);
    /* private */
    struct mail mail;
    struct list_node node;
    struct memoize_cache *cache;
    struct memoize_ticket *ticket; /* NULL when not, or no longer, in a ticket's list */
};

/* True: taken back, on_ready will not be called. False: it is on its way. */
bool memoize_unwait(struct memoize_waiter *waiter);

/* For a waiter without a loop: true when it was woken, false (and taken back) when
 * `timeout_ms` have passed. */
bool memoize_block(struct memoize_waiter *waiter, uint64_t timeout_ms);

/* ---- asking ---- */

enum memoize_answer {
    MEMOIZE_HIT,      /* *value_out */
    MEMOIZE_STALE,    /* *value_out, which has expired; with *ticket_out, if that is not NULL, the
                         caller is to populate anew meanwhile */
    MEMOIZE_POPULATE, /* *ticket_out; NULL when another population is under way for which this
                         thread must not wait: then the result is the caller's alone */
    MEMOIZE_WAIT,     /* `waiter` is in line: ask again when it is called */
};

enum memoize_answer memoize_get(struct memoize_cache *cache, struct memoize_key key, uint64_t epoch,
                                struct memoize_waiter *waiter, struct memoize_value **value_out,
                                struct memoize_ticket **ticket_out);

/* Both end the ticket and wake who waits. memoize_put takes the value; `is_refusal` marks
 * one that must stay on probation. */
void memoize_put(struct memoize_ticket *ticket, struct memoize_value *value, bool is_refusal);
void memoize_fail(struct memoize_ticket *ticket);

size_t memoize_count(struct memoize_cache *cache);

#endif
