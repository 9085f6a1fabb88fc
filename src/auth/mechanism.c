/* SPDX-License-Identifier: Apache-2.0
 *
 * The table. The order is the order of the EHLO keyword: the first is what careless clients
 * choose.
 */
#include "auth/mechanism.h"

#include "auth/auth_private.h"

static const struct auth_mechanism *const mechanisms[] = {&auth_sasl_plain, &auth_sasl_login};

#define MECHANISM_COUNT (sizeof mechanisms / sizeof mechanisms[0])

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

const char *auth_mechanism_name(const struct auth_mechanism *mechanism) { return mechanism->name; }

bool auth_mechanism_needs_tls(const struct auth_mechanism *mechanism) { return mechanism->needs_tls; }
