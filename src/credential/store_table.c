/* SPDX-License-Identifier: Apache-2.0
 *
 * Users written into the file itself: [user.NAME] tables. All records are made when the file is read, so a mistake in
 * one stops a start with its line, and a lookup is one step in a map that never changes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "credential/credential_private.h"

struct store {
    struct map users; /* -> struct credential */
};

static void add_user(struct store *store, struct settings *users, const char *name)
{
    struct error error = {0};
    struct credential *credential = credential_from_json(name, settings_value(users, name), false, &error);

    if (!credential_text_is_sound(span_of(name)))
        settings_fault(users, name, "is no name for a user: it is empty, too long or has control characters");
    if (credential)
        map_put(&store->users, span_of(name), credential);
    else
        settings_fault(users, name, "%s", error.sentence);
}

static void free_user(void *value)
{
    struct credential *credential = value;

    credential_unref(&credential);
}

static void close_table(struct store *store)
{
    map_done(&store->users, free_user);
    free(store);
}

struct store *store_table_open(struct settings *settings, struct settings *users, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);
    const char *name;

    map_init(&store->users);
    for (size_t i = 0; (name = settings_name_at(users, i)); i++)
        add_user(store, users, name);
    if ((settings && settings_end(settings, error)) || (users && settings_end(users, error))) {
        close_table(store);
        return NULL;
    }
    return store;
}

struct credential *store_table_find(const struct store *store, const char *user)
{
    return map_find(&store->users, span_of(user));
}

const struct store_driver store_table = {.name = "table", .kind = STORE_RECORDS, .close = close_table};
