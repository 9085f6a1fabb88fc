/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a record: made once (record.c), counted while threads share it, wiped with the last reference. Its
 * stored passwords are the reason for the wiping: a hash in a core file is a hash that can be guessed at leisure.
 */
#include "credential/credential.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/credential_private.h"

struct credential *credential_new(const char *name)
{
    struct credential *credential = mem_zalloc(sizeof *credential);

    atomic_init(&credential->refs, 1);
    credential->name = mem_strdup(name);
    return credential;
}

static void free_secrets(struct credential *credential)
{
    for (size_t i = 0; i < credential->secret_count; i++) {
        free(credential->secrets[i].label);
        secret_free(credential->secrets[i].stored);
        free(credential->secrets[i].networks.blocks);
    }
    free(credential->secrets);
}

static void credential_free(struct credential *credential)
{
    free_secrets(credential);
    credential_texts_free(&credential->groups);
    credential_texts_free(&credential->tenants);
    credential_texts_free(&credential->senders);
    credential_texts_free(&credential->may_act_as);
    free(credential->networks.blocks);
    json_decref(credential->limits);
    free(credential->name);
    free(credential);
}

struct credential *credential_ref(struct credential *credential)
{
    if (credential)
        atomic_fetch_add_explicit(&credential->refs, 1, memory_order_relaxed);
    return credential;
}

void credential_unref(struct credential **credential)
{
    struct credential *gone = *credential;

    *credential = NULL;
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        credential_free(gone);
}

bool credential_networks_allow(const struct credential_networks *networks, const struct ip *ip)
{
    for (size_t i = 0; i < networks->count; i++)
        if (cidr_contains(&networks->blocks[i], ip))
            return true;
    return networks->count == 0;
}

uint64_t credential_name_hash(const char *user)
{
    char lower[CREDENTIAL_TEXT_LIMIT];
    size_t len = 0;

    for (; user[len] && len < sizeof lower; len++)
        lower[len] = ascii_lower(user[len]);
    return map_hash(span_make(lower, len));
}
