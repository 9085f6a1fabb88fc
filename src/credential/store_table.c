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

/* The table that a sentence is about ("secrets[1].label: is ..."), and the key in it; NULL: none that is written. */
static struct settings *table_of(struct settings *user, struct span *key)
{
    struct span rest = *key, index;
    uint64_t at;

    if (!span_starts_with(rest, SPAN_LIT("secrets[")))
        return user;
    rest = span_from(rest, strlen("secrets["));
    if (!span_split(&rest, ']', &index) || !rest.data || span_to_u64(index, &at))
        return NULL;
    *key = span_from(rest, 1);
    return settings_table_at(user, "secrets", (size_t)at);
}

/* With the line of the field where it has one, else with that of the user. */
static void tell_fault(struct settings *users, const char *name, const char *sentence)
{
    struct span rest = span_of(sentence), key = SPAN_LIT("");
    struct settings *table = NULL;
    char *text;

    if (json_is_object(settings_peek(users, name)) && span_split(&rest, ':', &key) && rest.data)
        table = table_of(settings_table(users, name), &key);
    text = span_dup(key);
    if (table && settings_has(table, text))
        settings_fault(table, text, "%.*s", SPAN_ARG(span_trim(rest)));
    else
        settings_fault(users, name, "%s", sentence);
    free(text);
}

static void add_user(struct store *store, struct settings *users, const char *name)
{
    struct error error = {0};
    struct credential *credential = credential_from_json(name, settings_value(users, name), false, &error);

    if (!credential_text_is_sound(span_of(name)))
        settings_fault(users, name, "is no name for a user: it is empty, too long or has control characters");
    if (credential)
        map_put(&store->users, span_of(name), credential);
    else
        tell_fault(users, name, error.sentence);
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
