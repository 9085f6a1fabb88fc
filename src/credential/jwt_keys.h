/* SPDX-License-Identifier: Apache-2.0
 *
 * The public keys of an issuer, kept fresh: from a file or from the address where it publishes them. They are fetched
 * when the store starts and then every `refresh`; and at once when a token is signed with a key that we do not have,
 * which is how an issuer's change of keys is noticed. Anybody can make up such a token, so that is done at most once
 * per JWT_KEYS_PAUSE_MS, and once for all who wait.
 *
 * Keys that cannot be had anew stay good for `keep_for`: an issuer that is away for an hour locks nobody out, and one
 * that is away for longer cannot have withdrawn a key without our noticing.
 */
#ifndef GATEPOST_CREDENTIAL_JWT_KEYS_H
#define GATEPOST_CREDENTIAL_JWT_KEYS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/list.h"
#include "credential/store.h"
#include "token/jwks.h"

#define JWT_KEYS_PAUSE_MS 10000
#define JWT_KEYS_RETRY_MS 30000 /* after a failure, unless `refresh` is shorter */
#define JWT_KEYS_WAITS_MOST 32  /* who wait for newer keys; without any keys all may wait */

struct jwt_keys_source {
    const char *file, *url; /* one of them */
    const char *ca_file;    /* may be NULL */
    const char *where;      /* the setting that names it, for the log */
    uint64_t refresh_ms, keep_for_ms, limit_ms;
};

struct jwt_keys;

struct jwt_keys *jwt_keys_new(const struct jwt_keys_source *source) __attribute__((returns_nonnull)); /* copies */
/* Reads a file now, so that a mistake is told when the settings are read; nothing to do for an address. */
int jwt_keys_load(struct jwt_keys *keys, struct error *error) __attribute__((warn_unused_result));
void jwt_keys_start(struct jwt_keys *keys, const struct store_house *house);
void jwt_keys_free(struct jwt_keys *keys); /* nobody waits any more; NULL is fine */

/* NULL when there are none that may still be used. Borrowed until the loop's next turn. */
const struct jwks *jwt_keys_now(const struct jwt_keys *keys);
/* Why they could not be had lately; NULL when they are as the issuer gives them. */
const struct error *jwt_keys_fault(const struct jwt_keys *keys);

struct jwt_wait {
    struct list_node node;
    void (*on_settled)(struct jwt_wait *wait); /* newer keys are there, or cannot be had */
};

enum jwt_prospect {
    JWT_KEYS_COMING,  /* on_settled will be called, later, unless jwt_keys_leave is before */
    JWT_KEYS_SETTLED, /* others have just been asked for: there are none, or jwt_keys_fault says why not */
    JWT_KEYS_CROWDED, /* they are being asked for, and too many wait for them already */
};
/* The keys of now will not do. */
enum jwt_prospect jwt_keys_wait(struct jwt_keys *keys, struct jwt_wait *wait);
void jwt_keys_leave(struct jwt_keys *keys, struct jwt_wait *wait); /* does nothing when it does not wait */

#endif
