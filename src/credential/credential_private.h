/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: how a record is made, the drivers, a set of stores with its cache, and the way
 * of a question to the lookup thread and back.
 *
 *   asking thread (lookup.c)                         lookup thread (asks.c)
 *   walks the stores; cache (cache.c)
 *   question  ------------------ mail --------------> joins the ask for (store, user), or starts one
 *                                                     driver answers, or the time limit: the cache learns it
 *   goes on, or tells on_done <-- mail -------------- question, with its result
 */
#ifndef GATEPOST_CREDENTIAL_CREDENTIAL_PRIVATE_H
#define GATEPOST_CREDENTIAL_CREDENTIAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "credential/credential.h"
#include "credential/lookup.h"
#include "credential/store.h"
#include "crypto/digest.h"
#include "loop/loop.h"

/* ---- records: credential.c, record.c ---- */

#define CREDENTIAL_TEXT_LIMIT 1024 /* octets of a name, a group, a label */

struct credential *credential_new(const char *name)
    __attribute__((returns_nonnull)); /* may do nothing, is in nothing */
bool credential_text_is_sound(struct span text);
void credential_texts_free(struct credential_texts *texts);

/* ---- drivers ---- */

extern const struct store_driver store_table;
extern const struct store_driver store_passwd_file;
extern const struct store_driver store_sqlite;
extern const struct store_driver store_postgresql;
extern const struct store_driver store_pam;
extern const struct store_driver store_ldap;
extern const struct store_driver store_ldap_bind;
extern const struct store_driver store_http;
extern const struct store_driver store_http_record;
extern const struct store_driver store_http_record;
extern const struct store_driver store_vault;
extern const struct store_driver store_jwt;
extern const struct store_driver store_introspection;

/* Users written into the file itself. In memory and immutable, so it is asked on the asking thread, without cache.
 * `users` is the table of [user.NAME] tables, and may be NULL. */
struct store *store_table_open(struct settings *settings, struct settings *users, struct error *error);
struct credential *store_table_find(const struct store *store, const char *user); /* borrowed; may be NULL */

/* ---- the cache of sets of stores that follow one another: cache.c. From any thread ---- */

struct cache_limits {
    uint64_t positive_ttl_ms, negative_ttl_ms;
    uint64_t stale_for_ms; /* after expiry, while the store fails */
    uint64_t recheck_ms;   /* between two fresh looks at one user; also between two tries of a store that fails */
    size_t capacity;       /* entries */
};
#define CACHE_LIMITS_USUAL                                                                                             \
    ((struct cache_limits){.positive_ttl_ms = 300 * 1000,                                                              \
                           .negative_ttl_ms = 30 * 1000,                                                               \
                           .stale_for_ms = 3600 * 1000,                                                                \
                           .recheck_ms = 5 * 1000,                                                                     \
                           .capacity = 100000})

struct cache;

struct cache *cache_new(const struct cache_limits *limits) __attribute__((returns_nonnull));
struct cache *cache_ref(struct cache *cache);
void cache_unref(struct cache **cache);
/* Goes by these from now on, also with what it has. */
void cache_limit(struct cache *cache, const struct cache_limits *limits);

enum cache_answer {
    CACHE_MISS, /* ask the store */
    CACHE_FOUND,
    CACHE_NOT_FOUND,
    CACHE_STALE, /* a record past its time; the store failed a moment ago */
};

/* `store` is the slot's number. A reference in *credential_out with FOUND and STALE. */
enum cache_answer cache_get(struct cache *cache, uint32_t store, const char *user, enum lookup_mode mode,
                            struct credential **credential_out);

/* A moment in the cache's life: what was asked before a purge is not to be believed after it. */
struct cache_stamp {
    uint64_t purges, purges_of_user;
};
struct cache_stamp cache_stamp(const struct cache *cache, const char *user);
/* False when something that may concern `user`, or the record he was found to be (may be NULL), was purged since. */
bool cache_is_current(const struct cache *cache, struct cache_stamp stamp, const char *user,
                      const struct credential *credential);

/* The store's answer; NULL: no such user. Not kept when it is not current. */
void cache_put(struct cache *cache, uint32_t store, const char *user, struct cache_stamp stamp,
               struct credential *credential);
/* The store failed: a reference to what it said before, when that may still serve; else NULL. */
struct credential *cache_get_stale(struct cache *cache, uint32_t store, const char *user);
/* After a miss: the store was not asked after all, or nobody waited for what it says. */
void cache_not_asked(struct cache *cache, uint32_t store, const char *user);

size_t cache_purge(struct cache *cache, const char *user);    /* NULL: everybody */
void cache_forget_store(struct cache *cache, uint32_t store); /* nobody asks it any more */

struct cache_counts {
    uint64_t entries, evicted;
};
void cache_count(struct cache *cache, struct cache_counts *counts_out);

/* ---- one store: slot.c ---- */

#define STORES_MOST 32

struct store_setup {
    const char *name;
    const struct store_driver *driver;
    struct store *store; /* opened; the slot closes it */
    uint64_t timeout_ms;
    size_t waiting_limit; /* asks that wait or are out; beyond it they fail at once */
    size_t concurrency;   /* asks that are out */
    bool lower_case;      /* names are made lower case (ASCII) before the store is asked */
};
#define STORE_TIMEOUT_USUAL_MS 5000
#define STORE_WAITING_USUAL 1024
#define STORE_CONCURRENCY_USUAL 64

/* What a store is made of, as a digest: store_identity.c. */
struct store_identity {
    bool is_known; /* else it is like no other */
    unsigned char digest[CRYPTO_SHA256_BYTES];
};

/* A store, in all sets that have it: those of former rules and of the new ones, while its settings stay the same. */
struct slot {
    atomic_uint refs;

    /* fixed after making */
    struct store_setup setup;
    struct store_identity identity;
    uint32_t number;     /* no other slot has it, before or after: its entries in the cache are known by it */
    struct cache *cache; /* counted */

    /* owned by the lookup thread */
    struct list_node node; /* among those it has started */
    bool is_started, is_closed;
    struct map shared;  /* asks for a record that more may wait for, by user */
    struct list out;    /* asks that the driver has */
    struct list queued; /* asks that wait for their turn */
    bool is_dispatching;
    bool has_warned; /* of passwords that are as good as plain */
    struct mail close_mail;

    /* under the lock of service.c, until it is sent */
    bool is_start_sent;
    struct mail start_mail;

    /* shared */
    atomic_uint_fast64_t asks, failures, took_us;

    /* under the lock of slot.c */
    struct list_node alive;
};

/* Takes the opened store. `identity` may be NULL. One reference. */
struct slot *slot_new(const struct store_setup *setup, const struct store_identity *identity, struct cache *cache)
    __attribute__((returns_nonnull));
struct slot *slot_ref(struct slot *slot);
void slot_unref(struct slot **slot); /* closes it on the lookup thread when it was the last */
void slot_close(struct slot *slot);  /* the driver; asks must be over */
void slot_free(struct slot *slot);   /* after slot_close */

/* All that are not closed; between these two none is. From any thread. */
void slots_lock(void);
void slots_unlock(void);
struct slot *slots_next(const struct slot *slot); /* NULL: the first; NULL behind the last */

/* Of the table `name` of [store.*]. */
struct store_identity store_identity_of(struct settings *all, const char *name);
bool store_identity_equal(const struct store_identity *a, const struct store_identity *b);

void figures_collect(void *ctx, struct buf *out); /* for metrics: figures.c */

/* ---- a set of stores: stores.c, stores_open.c ---- */

struct stores {
    atomic_uint refs;

    /* fixed after opening */
    struct slot **slots; /* counted */
    size_t slot_count;
    struct cache *cache; /* counted */
    struct cache_limits limits;

    /* shared */
    atomic_uint_fast64_t hits, misses, negative_hits, stale;
};

/* Takes the references of `slots`, which have that cache, and starts those that are not. One reference. */
struct stores *stores_of_slots(struct slot *const *slots, size_t count, struct cache *cache,
                               const struct cache_limits *limits) __attribute__((returns_nonnull));
/* Takes the opened stores; with a cache of their own. */
struct stores *stores_make(const struct store_setup *setups, size_t count, const struct cache_limits *limits)
    __attribute__((returns_nonnull));

/* ---- questions: question.c, asks.c ---- */

struct ask;

enum question_fate {
    QUESTION_OUT,       /* with the lookup thread */
    QUESTION_HOME,      /* answered; in the inbox of its home, or further */
    QUESTION_CANCELLED, /* nobody wants the answer: it is not sent */
};

/* One lookup's wish to know from one store. Goes to the lookup thread by mail and comes back with the result. */
struct question {
    struct mail mail, cancel_mail;
    atomic_uint refs;  /* the round trip is one, a cancel on its way another */
    struct slot *slot; /* counted */
    struct loop *home;

    /* fixed: the question */
    char *user;   /* as that store spells it; may be NULL for tokens */
    char *secret; /* a password or a token, wiped when freed; NULL for records */
    size_t secret_len;
    struct ip peer;

    /* owned by home */
    struct lookup *lookup; /* NULL once cancelled */

    /* under lock: after a cancel nothing is posted to a home that may be gone */
    pthread_mutex_t lock;
    enum question_fate fate;

    /* owned by the lookup thread while it is out */
    struct ask *ask;
    struct list_node node; /* among those who wait for `ask` */

    /* the result: written before it is sent home */
    enum store_outcome outcome;
    struct credential *credential; /* counted */
    json_t *fields;                /* of its own */
    struct error error;
    struct cache_stamp stamp; /* from before the store was asked */
    bool is_stale;
};

/* Takes copies. `user` may be NULL, `secret` empty. */
struct question *question_new(struct slot *slot, struct loop *home, const char *user, struct span secret,
                              const struct ip *peer) __attribute__((returns_nonnull));
void question_unref(struct question **question);
/* On the lookup thread: the result is in it. */
void question_send_home(struct question *question);
void question_fail(struct question *question, enum error_kind kind, const char *sentence); /* and sends it home */
/* On its home. True when it was still out: then service_cancel is to be called, which takes the reference made here. */
bool question_give_up(struct question *question);

/* On the lookup thread. */
void asks_take(struct question *question);
void asks_drop(struct question *question); /* its asker has gone */
void asks_end(struct slot *slot);          /* all, as cancelled: the thread ends */

/* On its home loop, with the result: lookup.c. */
void lookup_on_question(struct question *question);

/* ---- the thread: service.c. From any thread ---- */

/* -1 when the thread does not run: the question is then still the caller's. */
int service_ask(struct question *question) __attribute__((warn_unused_result));
void service_cancel(struct question *question);
void service_start_slot(struct slot *slot); /* once; when it does not run: with the first question */
void service_close_slot(struct slot *slot); /* the last reference is gone */

#endif
