/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of settings share: a node per table that was asked for, and the root with what the nodes borrow.
 */
#ifndef GATEPOST_DATA_SETTINGS_PRIVATE_H
#define GATEPOST_DATA_SETTINGS_PRIVATE_H

#include "base/buf.h"
#include "base/map.h"
#include "base/span.h"
#include "data/settings.h"

#define SETTINGS_FILES_MOST 64

struct settings_fault {
    unsigned turn; /* which fault of all was found first */
    struct error error;
};

struct settings_root {
    char *names[SETTINGS_FILES_MOST]; /* of the files */
    size_t name_count;
    json_t *table;  /* everything, merged */
    json_t *places; /* its shape again: see toml.h; the file's index stands above the line in "at" */
    json_t *kept;   /* arrays and texts that getters made and lent out */
    json_t *empty;  /* an array */
    unsigned faults;
};

struct settings {
    struct settings_root *root;
    struct settings *children, *next;
    char *key;           /* under the parent: "people", "secrets[0]" */
    char *path;          /* dotted, from the top; "" for the top itself */
    const json_t *table; /* borrowed from the root */
    const json_t *place; /* likewise; may be NULL */
    json_t *names;       /* of sub-tables, in order; made when asked for */
    struct map asked;    /* keys -> this */
    bool is_passed;      /* settings_pass */
    struct settings_fault *fault;
};

/* The value at `key`, which now counts as asked for; NULL when absent or when `settings` is NULL. */
const json_t *settings_ask(struct settings *settings, const char *key);
char *settings_path_of(const struct settings *settings, const char *key); /* the caller's */
const json_t *settings_place_of(const struct settings *settings, const char *key);
int64_t settings_order_of(const json_t *place);
const char *settings_keep(struct settings *settings, char *text); /* takes `text`, lends it out */

/* The first of a root. Takes both references. */
struct settings *settings_new(struct settings_root *root);

#define SETTINGS_FILE_SHIFT 48

#endif
