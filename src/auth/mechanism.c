/* SPDX-License-Identifier: Apache-2.0
 *
 * The table. The order is the order of the EHLO keyword: the first is what careless clients
 * choose, so those that never show the password to us come before those that do, and those
 * that want something other than a password last.
 */
#include "auth/mechanism.h"

#include "auth/auth_private.h"
#include "base/must.h"

static const struct auth_mechanism *const mechanisms[] = {
    &auth_sasl_scram_sha_256_plus, &auth_sasl_scram_sha_256, &auth_sasl_scram_sha_1, &auth_sasl_plain, &auth_sasl_login,
    &auth_sasl_oauthbearer,        &auth_sasl_xoauth2,       &auth_sasl_external};

#define MECHANISM_COUNT (sizeof mechanisms / sizeof mechanisms[0])

_Static_assert(MECHANISM_COUNT <= AUTH_MECHANISMS_MOST, "a set of mechanisms fits an integer");

const struct auth_mechanism *auth_mechanism_find(struct span name)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++)
        if (span_ieq(name, span_of(mechanisms[i]->name)))
            return mechanisms[i];
    return NULL;
}

const struct auth_mechanism *auth_mechanism_at(size_t index)
{
    return index < MECHANISM_COUNT ? mechanisms[index] : NULL;
}

size_t auth_mechanism_index(const struct auth_mechanism *mechanism)
{
    for (size_t i = 0; i < MECHANISM_COUNT; i++)
        if (mechanisms[i] == mechanism)
            return i;
    MUST_NOT_REACH("every mechanism is in the table");
}

const char *auth_mechanism_name(const struct auth_mechanism *mechanism) { return mechanism->name; }

bool auth_mechanism_needs_tls(const struct auth_mechanism *mechanism) { return mechanism->needs_tls; }

enum auth_question_kind auth_mechanism_asks(const struct auth_mechanism *mechanism) { return mechanism->asks; }

bool auth_mechanism_is_legacy(const struct auth_mechanism *mechanism) { return mechanism->is_legacy; }

bool auth_mechanism_is_bound(const struct auth_mechanism *mechanism) { return mechanism->is_bound; }

const struct auth_mechanism *auth_mechanism_bound_twin(const struct auth_mechanism *mechanism)
{
    return mechanism->bound_twin;
}
