/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a table of an operator's file (TOML, or JSON with comments) key by key. Each getter
 * says which type and range it wants. The first fault is kept, with file, line and the dotted
 * key ("auth.toml:12: store.people.timeout: ..."), later getters go on harmlessly, and
 * settings_end tells it, or names a key that nobody asked for: so that a reader is a plain list
 * of getters with one check at its end.
 *
 * Everything that is returned and borrowed lives as long as the root. Not for several threads.
 */
#ifndef GATEPOST_DATA_SETTINGS_H
#define GATEPOST_DATA_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct settings;

/* Reads several files as one table: a key that two files define is an error, except that the
 * tables of both are merged. Blocks. NULL with `error` set. */
struct settings *settings_load(const char *const *paths, size_t count, struct error *error);
/* The same of a text in memory; `name` is what errors call it. For tests and for Lua tables. */
struct settings *settings_parse_toml(const char *text, const char *name, struct error *error);
struct settings *settings_of_json(const json_t *table, const char *name);
void settings_free(struct settings *root); /* NULL is fine */

/* Getters take NULL for a table that is not there, and give the fallback. */

/* A table below, or NULL when there is none. Freed with the root; the same key gives the same one. */
struct settings *settings_table(struct settings *settings, const char *key);
/* Its sub-tables in the order in which they were written: the name of the n-th, or NULL. */
const char *settings_name_at(struct settings *settings, size_t index);
/* The n-th of an array of tables, NULL past the end. */
struct settings *settings_table_at(struct settings *settings, const char *key, size_t index);

/* Neither counts as asking for it. */
bool settings_has(const struct settings *settings, const char *key);
const json_t *settings_peek(const struct settings *settings, const char *key); /* borrowed; NULL when absent */

/* With NULL as fallback the key may be absent and NULL is returned; `need` makes that a fault. */
const char *settings_text(struct settings *settings, const char *key, const char *fallback);
const char *settings_need_text(struct settings *settings, const char *key); /* "" after a fault */
/* A path: a relative one is taken from the folder of the file in which it stands. */
const char *settings_path(struct settings *settings, const char *key, const char *fallback);
bool settings_flag(struct settings *settings, const char *key, bool fallback);
uint64_t settings_count(struct settings *settings, const char *key, uint64_t fallback, uint64_t least, uint64_t most);
/* "5 minutes", "1h30m", or a number of seconds. */
uint64_t settings_duration_ms(struct settings *settings, const char *key, uint64_t fallback_ms, uint64_t least_ms,
                              uint64_t most_ms);
/* Index into `names` (NULL-terminated). */
size_t settings_choice(struct settings *settings, const char *key, const char *const *names, size_t fallback);
/* A string or an array of strings; always an array (borrowed), empty when absent (NULL, which has a size of 0 too,
 * when `settings` is). */
const json_t *settings_strings(struct settings *settings, const char *key);
/* Any value, borrowed; NULL when absent. */
const json_t *settings_value(struct settings *settings, const char *key);

/* A secret of ours, written as KEY, or better as KEY_file (a path, read now; one trailing line end is
 * dropped), KEY_credential (a name in $CREDENTIALS_DIRECTORY, see systemd.exec(5)) or KEY_env. More than
 * one is a fault. NULL when there is none; the caller's, secret_free. */
char *settings_secret(struct settings *settings, const char *key);
/* Where the credential of that name is; NULL when the service manager has handed over none. The caller's, free. */
char *settings_credential_path(const char *name);

/* For rules that getters cannot know: keeps a fault at `key` (NULL: the table itself). */
void settings_fault(struct settings *settings, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The name of the file in which the key stands (NULL: the table itself). */
const char *settings_file(const struct settings *settings, const char *key);

/* Its keys are known to somebody who does not read them now: none of them is one that nobody asked for. */
void settings_pass(struct settings *settings);

/* "auth.toml:12: store.people.url", for messages about it later. */
const char *settings_where(struct settings *settings, const char *key);

/* -1 with the first fault of this table and those below; or the first key nobody asked for. */
int settings_end(struct settings *settings, struct error *error) __attribute__((warn_unused_result));

#endif
