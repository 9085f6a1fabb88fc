/* SPDX-License-Identifier: Apache-2.0
 *
 * From a verified client certificate to a user: its subject, a name in it, or what the operator's table makes of it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "gate/gate_private.h"

static const char *const source_names[] = {"subject", "email", "dns", "map", NULL};
static const char *const user_names[] = {"records", "certificate", NULL};

static void read_map(struct gate_external *external, struct settings *table, const char *key)
{
    const json_t *users = settings_value(table, key);
    const char *name;
    json_t *user;

    if (!json_is_object(users) || !json_object_size(users)) {
        settings_fault(table, key, "must be a table of certificate names and users, for source = \"map\"");
        return;
    }
    json_object_foreach((json_t *)users, name, user)
    {
        if (!json_is_string(user) || !json_string_length(user))
            settings_fault(table, key, "must give each certificate a user's name");
        else
            free(map_put(&external->users, span_of(name), mem_strdup(json_string_value(user))));
    }
}

void gate_external_read(struct gate_external *external, struct settings *table)
{
    map_init(&external->users);
    if (!table)
        return;
    external->is_on = true;
    external->source = (enum gate_external_source)settings_choice(table, "source", source_names, GATE_EXTERNAL_SUBJECT);
    external->needs_record = settings_choice(table, "users", user_names, 0) == 0;
    if (external->source == GATE_EXTERNAL_MAP)
        read_map(external, table, "map");
}

void gate_external_done(struct gate_external *external) { map_done(&external->users, free); }

/* The one that is wanted, or the first. */
static const char *choose(const char *const *names, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count && wanted; i++)
        if (!strcmp(names[i], wanted))
            return names[i];
    return count ? names[0] : NULL;
}

static const char *find_first(const struct map *users, const char *const *names, size_t count)
{
    const char *user = NULL;

    for (size_t i = 0; i < count && !user; i++)
        user = map_find(users, span_of(names[i]));
    return user;
}

static const char *mapped(const struct map *users, const struct auth_certificate *certificate)
{
    const char *user = map_find(users, span_of(certificate->subject));

    if (!user)
        user = find_first(users, certificate->emails, certificate->email_count);
    return user ? user : find_first(users, certificate->dns_names, certificate->dns_name_count);
}

const char *gate_external_user(const struct gate_external *external, const struct auth_certificate *certificate,
                               const char *wanted)
{
    if (!certificate)
        return NULL;
    switch (external->source) {
    case GATE_EXTERNAL_SUBJECT:
        return *certificate->subject ? certificate->subject : NULL;
    case GATE_EXTERNAL_EMAIL:
        return choose(certificate->emails, certificate->email_count, wanted);
    case GATE_EXTERNAL_DNS:
        return choose(certificate->dns_names, certificate->dns_name_count, wanted);
    case GATE_EXTERNAL_MAP:
        break;
    }
    return mapped(&external->users, certificate);
}
