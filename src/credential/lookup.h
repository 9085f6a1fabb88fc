/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking stores from any thread. One thread of the process, `lookup`, owns all stores: it alone talks to them, so a
 * user is looked up once at a time whoever waits, and a store that hangs holds up nobody who does not need it. What
 * they answered is kept in a cache that all threads read: records and "no such user", never passwords or verdicts.
 */
#ifndef GATEPOST_CREDENTIAL_LOOKUP_H
#define GATEPOST_CREDENTIAL_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "credential/credential.h"
#include "credential/store.h"
#include "data/settings.h"
#include "loop/loop.h"

/* ---- the thread: one per process ---- */

int lookup_start(struct error *error); /* by main, before any VM */
void lookup_stop(void);                /* asks still out end as STORE_FAILED (cancelled) */

/* ---- a set of stores, in the order in which they are asked ---- */

struct stores; /* counted; immutable but for its cache */

/* Reads `stores` (the order), the [store.NAME] tables, [cache], and [user.NAME] for driver "table". Opens the stores;
 * the lookup thread starts them. NULL with an error that names file, line and key.
 *
 * `former` (may be NULL) are those of the rules of before. A store of theirs whose own table and files say the same is
 * not opened but shared, with all it has: records, keys, tokens, questions on their way. One that says something else
 * is new, and knows nothing of what the other was told. Users in [user.NAME] are always read anew. */
struct stores *stores_open(struct settings *root, struct stores *former, struct error *error);
struct stores *stores_ref(struct stores *stores);
void stores_unref(struct stores **stores); /* a store of no other set is closed, on the lookup thread */
/* Of all that have a cache in common, these say how long it keeps what, from now on. */
void stores_use(struct stores *stores);

bool stores_have(const struct stores *stores, enum store_kind kind);

/* ---- looking up; from any thread that has a loop ---- */

struct lookup;

struct lookup_result {
    enum store_outcome outcome;
    struct credential *credential; /* FOUND: borrowed for the call; NULL when a token store gave no user */
    const json_t *fields;          /* PASSWORDS and TOKENS: what the store told (claims); borrowed, may be NULL */
    const char *store;             /* NAME of the store that answered, or of the one that failed; "" for none */
    enum store_kind kind;          /* of that store */
    bool is_cached;                /* a part of the answer is from the cache: a look afresh may say otherwise */
    bool is_stale;                 /* the store fails; this is what it said before (cache.stale_for) */
    struct error error;            /* FAILED, or is_stale; also REFUSED, when the store said why. Else ERROR_NONE */
};

typedef void lookup_done_fn(void *ctx, const struct lookup_result *result);

enum lookup_mode {
    LOOKUP_CACHED, /* what the cache has will do */
    LOOKUP_AFRESH, /* asks the store even so, at most once per user and cache.recheck (5 s); sooner: the cached one */
};

/* Asks the stores in their order. For RECORDS a record decides; PASSWORDS stores are asked with `password` (an
 * empty span: they are skipped). Returns NULL when on_done has run already (a cache that answers is immediate), else
 * it will run once on `loop`, unless cancelled. */
struct lookup *lookup_user(struct stores *stores, struct loop *loop, const char *user, struct span password,
                           const struct ip *peer, enum lookup_mode mode, lookup_done_fn *on_done, void *ctx);
/* TOKENS stores only. `user` may be NULL. */
struct lookup *lookup_token(struct stores *stores, struct loop *loop, const char *user, struct span token,
                            const struct ip *peer, lookup_done_fn *on_done, void *ctx);
void lookup_cancel(struct lookup *lookup); /* NULL is fine */

/* Drops what the cache knows of `user` (NULL: of everybody), in all threads at once, and in the former and following
 * sets as well. Returns how many entries. */
size_t stores_purge(struct stores *stores, const char *user);

struct stores_counts {
    uint64_t hits, misses, negative_hits, stale, failures, entries, evicted;
};
void stores_count(struct stores *stores, struct stores_counts *counts_out);

#endif
