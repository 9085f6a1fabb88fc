/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store knows about one user: secrets to verify against, and what the user may be and do. Immutable once
 * made, counted, free to pass between threads; its secrets are wiped with the last reference. Every store gives the
 * same fields (docs/authentication.md, "The record"):
 *
 *   password   a stored form, or a list of them        disabled    bool
 *   secrets    [{label, password, not_before, not_after, networks, scopes}]
 *   groups, tenant or tenants, senders, may_act_as     lists of strings (one string is a list of one; in a
 *              text-only store also separated by commas)
 *   not_before, not_after   RFC 3339, or seconds since 1970
 *   networks   where the user may log in from          limits      a table; the budgets (gate/)
 */
#ifndef GATEPOST_CREDENTIAL_CREDENTIAL_H
#define GATEPOST_CREDENTIAL_CREDENTIAL_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/error.h"

#define CREDENTIAL_SECRETS_MOST 32
#define CREDENTIAL_LIST_MOST 1024

enum credential_scope {
    CREDENTIAL_RELAY = 1,  /* SMTP submission: what listeners ask for */
    CREDENTIAL_INJECT = 2, /* HTTP injection */
    CREDENTIAL_ADMIN = 4,
};

struct credential_texts {
    char **texts;
    size_t count;
};

struct credential_networks { /* none: from anywhere */
    struct cidr *blocks;
    size_t count;
};

struct credential_secret {
    char *label;  /* "" for the plain `password` field; names it in audit and last-used records */
    char *stored; /* a stored form; wiped when freed */
    int64_t not_before_ms, not_after_ms; /* wall clock; 0: no such bound */
    struct credential_networks networks;
    unsigned scopes; /* of enum credential_scope; all when none was named */
};

struct credential {
    atomic_uint refs;
    char *name; /* the canonical name: identities, tenants and counters go by it */
    bool disabled;
    int64_t not_before_ms, not_after_ms;
    struct credential_networks networks;
    struct credential_secret *secrets;
    size_t secret_count;
    struct credential_texts groups, tenants, senders, may_act_as;
    json_t *limits; /* an object or NULL; never written to */
};

/* NULL with an error that names the field and no value. `fields` may have a "name"; otherwise `user` is it.
 * Unknown fields are ignored where `is_lenient` (a row of a table may have more columns), else refused. */
struct credential *credential_from_json(const char *user, const json_t *fields, bool is_lenient, struct error *error);
struct credential *credential_ref(struct credential *credential);
void credential_unref(struct credential **credential);

bool credential_networks_allow(const struct credential_networks *networks, const struct ip *ip);

/* Of a user's name whatever its case: who purges may not know how the store spells it. */
uint64_t credential_name_hash(const char *user);

#endif
