/* SPDX-License-Identifier: Apache-2.0
 *
 * Who somebody is, as the policy says it: identities, each with the context in which it was
 * established, and groups. Immutable once made, counted, and free to pass between threads.
 * The JSON and Lua form is KumoMTA's AuthInfo, with a tenant and limits of ours where there are any:
 *   {identities = {{identity = 'a', context = 'SmtpAuthPlainAuthorization'}}, groups = {}}
 */
#ifndef GATEPOST_AUTH_IDENTITY_H
#define GATEPOST_AUTH_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/span.h"

#define AUTH_IDENTITIES_MAX 64
#define AUTH_GROUPS_MAX 4096

enum auth_context {
    AUTH_CONTEXT_SMTP_AUTHORIZATION,
    AUTH_CONTEXT_SMTP_AUTHENTICATION,
    AUTH_CONTEXT_HTTP_BASIC,
    AUTH_CONTEXT_BEARER_TOKEN,
    AUTH_CONTEXT_PROXY,
    AUTH_CONTEXT_LOCAL_SYSTEM,
    AUTH_CONTEXT_GENERIC,
    AUTH_CONTEXT_COUNT,
};

const char *auth_context_name(enum auth_context context);

struct auth_info;

/* What a bare `true` of the policy means: this authentication identity, acting as itself. */
struct auth_info *auth_info_of_user(const char *authzid, const char *authcid) __attribute__((returns_nonnull));

/* The same with groups. */
struct auth_info *auth_info_of_member(const char *authzid, const char *authcid, const char *const *groups,
                                      size_t group_count) __attribute__((returns_nonnull));

/* NULL, with `error` naming the member, when `value` is no AuthInfo or names nobody. */
struct auth_info *auth_info_from_json(const json_t *value, struct error *error);
json_t *auth_info_to_json(const struct auth_info *info); /* a new reference */

/* `info` with what `more` has: {identities =, groups =} are added, {tenant =, limits =} take the place of what was
 * there. A new one; NULL, with `error` naming the member, when `more` is not that. */
struct auth_info *auth_info_with(const struct auth_info *info, const json_t *more, struct error *error);

struct auth_info *auth_info_ref(struct auth_info *info); /* NULL is fine */
void auth_info_unref(struct auth_info **info);

bool auth_info_has_identity(const struct auth_info *info, const char *identity, enum auth_context context);

/* The first identity of that context, or NULL. */
const char *auth_info_identity(const struct auth_info *info, enum auth_context context);
const char *auth_info_first_identity(const struct auth_info *info);

const char *auth_info_group_at(const struct auth_info *info, size_t index); /* NULL past the last */
const char *auth_info_tenant(const struct auth_info *info);                 /* NULL when nobody said */
const json_t *auth_info_limits(const struct auth_info *info); /* an object that is never written to, or NULL */

/* An identity as we take it: UTF-8 without NUL or other controls, not too long. */
#define AUTH_IDENTITY_LIMIT 1024 /* octets */
bool auth_identity_is_sound(struct span text);

/* The rule against claiming to be somebody else. May the owner of `authcid` act as `authzid`?
 * He may as himself; as another only when the policy's `info` (NULL after a bare true) names
 * that authorization identity. */
bool auth_may_act_as(const char *authzid, const char *authcid, const struct auth_info *info);

#endif
