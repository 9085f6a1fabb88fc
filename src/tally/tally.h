/* SPDX-License-Identifier: Apache-2.0
 *
 * What must be remembered about peers and users between sessions: how often somebody failed, what an identity has
 * used up, which address is known for whom. The gate makes the rules; here they become a handful of operations that
 * are the same in this process's memory and, for several nodes, in one Redis. When Redis cannot be used (away, slow,
 * full, read-only, loading), every call is answered from this node's own memory at once, says so (`is_local`), and
 * Redis is used again when it is back. Memory is kept up beside Redis all the time: a Redis that lost its data is
 * given back what this node knows before it is believed.
 *
 * Awkward truths. With Redis away each node counts alone, so n nodes let through up to n times a limit. A call that ran
 * into the time limit may still be carried out by Redis after it was counted here: a limit errs to the strict side.
 * What is counted while Redis is away goes to Redis for marks and members, not for counters and budgets: so what was
 * taken from a budget in Redis and is given back while it is away stays taken there, until its window has passed (told
 * later, and perhaps twice, it would be credit that nobody has). Redis 5 or later, one server (a cluster has no
 * operation over several keys); a policy that evicts keys forgets at random, so use noeviction.
 */
#ifndef GATEPOST_TALLY_TALLY_H
#define GATEPOST_TALLY_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"
#include "loop/loop.h"

struct tally;

/* Everything is copied. Zero and NULL stand for the default. */
struct tally_options {
    const char *redis;    /* "127.0.0.1:6379", "[::1]:6379", "name:6379", "/run/redis.sock"; NULL: this process alone */
    const char *user;     /* ACL user; NULL: the default one */
    const char *password; /* NULL: no AUTH */
    bool use_tls;         /* the server's certificate must name the host of `redis` */
    const char *ca_pem;   /* text; NULL: the system's authorities */
    unsigned db;          /* SELECT */
    const char *prefix;   /* of every key in Redis: "gatepost" */
    const char *secret;   /* keys the digests; all nodes that share a Redis need the same. NULL: random per process */
    uint64_t timeout_ms;  /* for the answer to one call: 200 */
    size_t in_flight_limit; /* calls on their way to Redis; those above are answered locally: 4096 */
    size_t entries;         /* kept in this process's memory, about 100 bytes each: 1,000,000. Fixed at tally_new */
};

struct tally *tally_new(const struct tally_options *options, struct error *error); /* options may be NULL */
/* After a reload: another Redis, another secret. What memory knows stays. Calls on their way to the former Redis are
 * answered from memory. Never waits for Redis. -1 when `redis` is not an address or no thread can be had; the former
 * options then stay. From any thread, one at a time. */
int tally_configure(struct tally *tally, const struct tally_options *options, struct error *error)
    __attribute__((warn_unused_result));
/* Nobody may call any more; calls that were not answered are forgotten. NULL is fine. */
void tally_free(struct tally *tally);

/* The process's own: started by main before the workers (memory only, until the gate configures it), stopped when no
 * worker's loop runs any more, and before the loops of calls that were not cancelled are freed. */
int tally_start(struct error *error) __attribute__((warn_unused_result));
void tally_stop(void);
struct tally *tally_get(void); /* NULL before tally_start and after tally_stop */

/* ---- keys ---- */

#define TALLY_KEY_BYTES 448
#define TALLY_KEY_PARTS 4

/* A kind and up to four parts, each with its length before it, so that no two keys are written alike: "fail.user" of
 * "ada" is "fail.user/3:ada/". A part longer than 96 bytes is replaced by its digest. Every key begins with the key of
 * its first parts: this is what listing by prefix goes by. */
struct tally_key {
    uint16_t len;
    uint8_t parts;
    char text[TALLY_KEY_BYTES];
};

/* `kind`: at most 24 of a-z 0-9 . _ -; it belongs to the program, not to peers. */
void tally_key_init(struct tally_key *key, const char *kind);
void tally_key_add(struct tally_key *key, struct span part);
/* For what must not be readable in a memory dump or in Redis (anything made from a password): an HMAC-SHA-256 under the
 * secret, cut to 128 bits. */
void tally_key_add_secret(struct tally *tally, struct tally_key *key, struct span part);
/* The n-th part (0 is the kind) of a key's text as tally_list gives it; -1 past the last. */
int tally_key_part(struct span text, size_t index, struct span *part_out) __attribute__((warn_unused_result));

/* ---- operations ---- */

enum tally_kind {
    /* A number that halves every `time_ms`: adds `amount` (0 only reads), but not beyond `limit` (0: none). value =
     * what it is after. */
    TALLY_COUNT,
    /* A budget: takes `amount` if no more than `limit` is used up per `time_ms`; limit 0 only counts. A negative amount
     * gives back, 0 reads. The window slides: what was used in the clock's present window of that length, and of the
     * former one the share that still lies within the last `time_ms` (taken as evenly used). value = used after;
     * refused: used before, and left_ms = when `amount` would fit (0: never, it is more than the limit). */
    TALLY_TAKE,
    /* Marks the key for `time_ms` with the number `amount`; `keep` leaves a mark that is there alone. value = the
     * number that stands after, was_there, left_ms. */
    TALLY_MARK,
    /* value, was_there and left_ms of the mark. */
    TALLY_IS_MARKED,
    /* Makes `member` (any bytes: only a keyed digest is kept) one of the key's members for `time_ms` from now; one that
     * is there stays for that long from now. Refused when it is new and `limit` (0: none) members are there; left_ms =
     * when the first of them goes. At `most` (0: 256; at most 4096) members a new one is not kept: is_capped, value
     * stays. value = members after, was_there. Distinct counting, and with the session's id as member and TALLY_JOIN
     * again before time_ms is over (limit 0), a count of sessions that a dead node cannot hold. */
    TALLY_JOIN,
    TALLY_LEAVE,   /* value = members after, was_there */
    TALLY_MEMBERS, /* value = members, was_there = `member` is one */
    /* Forgets all that is kept under exactly this key. value = how many of counter, budget, mark and members. */
    TALLY_FORGET,
};

#define TALLY_OPS_MOST 32
#define TALLY_TIME_MOST_MS (10ULL * 366 * 24 * 3600 * 1000)

struct tally_op {
    enum tally_kind kind;
    const struct tally_key *key; /* the same name may be counter, budget, mark and set of members at once */
    struct span member;          /* JOIN, LEAVE, MEMBERS */
    double amount;
    double limit;
    uint64_t time_ms; /* above zero for COUNT, TAKE, MARK, JOIN; one key is always used with the same */
    uint32_t most;
    bool keep;
    /* 1 + the index of an earlier MARK, IS_MARKED, JOIN or MEMBERS of this call: does nothing (COUNT and TAKE read;
     * others give zeroes) if that one's was_there. So "the same wrong password again counts once" is one call. 0:
     * always. */
    uint8_t if_new;
};

struct tally_result {
    double value;
    bool was_there; /* before this call */
    bool is_capped;
    uint64_t left_ms;
};

struct tally_answer {
    bool is_local;  /* from this node's memory although Redis is configured */
    int refused_by; /* index of the operation that refused, or -1. When one refuses, nothing of the call is done and
                       only its own result is meant */
    size_t count;
    const struct tally_result *results; /* in the order of the operations; borrowed for the call */
};

typedef void tally_done_fn(void *ctx, const struct tally_answer *answer);

struct tally_call;

/* Carries out `count` operations (1 to TALLY_OPS_MOST) in order, all or none, as one step that nobody sees half done:
 * one round trip. Everything is copied. From any thread that runs `loop`. Returns NULL when on_done has run already
 * (always without Redis, and while it is away); otherwise on_done runs once, on `loop`, after timeout_ms at the latest,
 * unless cancelled. on_done may be NULL (then so may `loop`): what is counted is counted. */
struct tally_call *tally_run(struct tally *tally, struct loop *loop, const struct tally_op *ops, size_t count,
                             tally_done_fn *on_done, void *ctx);
/* The same in this node's memory alone, and at once, whether Redis is there or not: for giving back what was taken
 * locally, which Redis has never heard of. A Redis that came back empty has been told of it, and does not hear of this:
 * once more a limit errs to the strict side. */
void tally_run_here(struct tally *tally, const struct tally_op *ops, size_t count);
/* on_done will not run; what was asked is still done. NULL is fine. On the loop's thread, and before the loop ends. */
void tally_cancel(struct tally *tally, struct tally_call *call);

/* ---- for the operator ---- */

enum tally_type { TALLY_COUNTER, TALLY_BUDGET, TALLY_MARKED, TALLY_SET };

struct tally_entry {
    struct span key; /* tally_key_part takes it apart */
    enum tally_type type;
    double value;     /* now */
    uint64_t left_ms; /* until nothing of it is left */
};

struct tally_list {
    bool is_local;
    bool is_complete; /* false: `limit` reached, or Redis took too long; there may be more of it */
    size_t count;
    const struct tally_entry *entries; /* borrowed for the call; none when removing */
    size_t removed;
};

typedef void tally_list_fn(void *ctx, const struct tally_list *list);

/* What is listed: all whose key begins with `prefix` (a key of fewer parts), and ends with the part `last` where that
 * is given; it has to be one whose place no text of a peer's can take. */
struct tally_filter {
    const struct tally_key *prefix;
    struct span last; /* data NULL: any */
    size_t limit;     /* so many entries at most */
    bool remove;      /* all of them are forgotten instead, here and in Redis */
};

/* In Redis by SCAN, within four seconds. As tally_run otherwise. */
struct tally_call *tally_list(struct tally *tally, struct loop *loop, const struct tally_filter *filter,
                              tally_list_fn *on_listed, void *ctx);

struct tally_status {
    bool has_redis, redis_is_used;
    size_t entries;   /* in memory */
    uint64_t changes; /* how often Redis was lost or came back */
    char reason[160]; /* why it is not used; "" when it is */
};
void tally_status(struct tally *tally, struct tally_status *status_out); /* from any thread */

#endif
