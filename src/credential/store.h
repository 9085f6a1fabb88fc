/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store driver is. A driver runs on the lookup thread's loop and never blocks it: it talks over the loop
 * (PostgreSQL, HTTP), or has a pool of its own (SQLite, LDAP, PAM), so that one store that hangs takes no thread of
 * another. One file each: store_NAME.c, one row in stores.c.
 *
 * Three kinds of store: those that give records (RECORDS), those that judge a password themselves (PASSWORDS: LDAP
 * bind, PAM, an HTTP call-out) and those that judge a token (TOKENS).
 */
#ifndef GATEPOST_CREDENTIAL_STORE_H
#define GATEPOST_CREDENTIAL_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/error.h"
#include "base/span.h"
#include "data/settings.h"
#include "loop/loop.h"

struct http_client;

enum store_kind { STORE_RECORDS, STORE_PASSWORDS, STORE_TOKENS };

enum store_outcome {
    STORE_FOUND,     /* RECORDS: `fields` is the record. PASSWORDS, TOKENS: right; `fields` has what is known, in a
                        record's fields (or NULL). TOKENS: "name" is the user, if there is one, "claims" what the token
                        says of itself */
    STORE_NOT_FOUND, /* the store works and does not know that user (or does not claim that token; `error`, or NULL,
                        says why, for the log): the next may */
    STORE_REFUSED,   /* PASSWORDS, TOKENS: known, and wrong (or expired; `error`, or NULL, says which, for the log): no
                        other store is asked. TOKENS: `fields` is {"reason": "expired"}, a word of token/verdict.h */
    STORE_FAILED,    /* no verdict: `error` says why, without secrets; the attempt is a temporary failure */
};

struct store_ask;
/* Once, on the lookup thread's loop, at once or later. `fields` is borrowed. */
typedef void store_done_fn(struct store_ask *ask, enum store_outcome outcome, const json_t *fields,
                           const struct error *error);

/* One question. The asker fills it and keeps it until on_done or until `cancel` has returned. */
struct store_ask {
    const char *user;     /* sound UTF-8 without controls (auth_identity_is_sound); NULL for TOKENS where unknown */
    struct span password; /* PASSWORDS only; a secret */
    struct span token;    /* TOKENS only; a secret */
    struct ip peer;       /* who asks: for PAM's rhost and call-outs */
    const char *service;  /* "smtp" */
    store_done_fn *on_done;
    void *driver; /* the driver's own, from `ask` to the end */
};

/* What all drivers may use; it outlives every store. */
struct store_house {
    struct loop *loop;        /* of the lookup thread */
    struct http_client *http; /* on that loop */
};

struct store; /* the driver's own struct, its first member nothing in particular */

struct store_driver {
    const char *name; /* "sqlite": the `driver` of a [store.NAME] table */
    enum store_kind kind;
    bool ignores_case; /* of names: they are asked for in lower case, unless the settings say otherwise */

    /* Reads the settings (and ends with settings_end): no I/O but reading files of ours. Any thread. A reload calls it
     * again when the table, or a file that it names in a key ending in "_file", has changed; else the store goes on. */
    struct store *(*open)(struct settings *settings, struct error *error);
    /* The first call on the lookup thread: connections, timers, refreshing. May be NULL. Failing to reach a server
     * is not an error here: it shows when somebody asks. */
    void (*start)(struct store *store, const struct store_house *house);
    void (*ask)(struct store *store, struct store_ask *ask);
    /* on_done will not be called; what the driver still needs of the ask (a password) it has copied or drops. The
     * time limit of an ask is the caller's: it cancels. */
    void (*cancel)(struct store *store, struct store_ask *ask);
    /* Somebody was purged: what the driver keeps of answers is not to be believed from now on. From any thread, also
     * before `start`. NULL where nothing is kept. */
    void (*purge)(struct store *store);
    /* The last call: no ask is out. On the lookup thread when it was started, else any thread. */
    void (*close)(struct store *store);
};

/* All drivers, by name; NULL when there is none of that name. stores.c. */
const struct store_driver *store_driver_find(const char *name);
const struct store_driver *store_driver_at(size_t index); /* NULL past the last */

#endif
