/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a [store.NAME] table says what it said before: its keys and values, in whatever order and on whatever line;
 * the files in which they stand, from whose folders paths are taken; the secrets and keys in files that they name, as
 * these are now. What stands elsewhere (users, the order of stores, [cache]) is no part of it: a driver cannot see it.
 *
 * The named files are looked at before the driver reads them. One that changes in between therefore makes another
 * store at the next reload, and is never taken for what was read.
 */
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"
#include "credential/credential_private.h"
#include "credential/named_files.h"
#include "data/data.h"

#define TEXT_LIMIT (2 * DATA_FILE_LIMIT_BYTES)

struct writing {
    struct buf text;
    bool is_full;
};

static int write_part(const char *part, size_t len, void *ctx)
{
    struct writing *writing = ctx;

    writing->is_full = buf_append(&writing->text, part, len) || writing->is_full;
    return writing->is_full ? -1 : 0;
}

/* With its end, so that no two sequences are alike. */
static void write_text(struct writing *writing, const char *text) { write_part(text, strlen(text) + 1, writing); }

static void write_named_file(void *ctx, const char *path)
{
    struct writing *writing = ctx;

    writing->is_full = named_file_write(path, &writing->text) || writing->is_full;
}

/* Authorities are read again for each connection, and a package that brings new ones is no reason to begin afresh. */
static bool is_authorities(const char *key) { return strcmp(key, "ca_file") == 0; }

static void write_table(struct writing *writing, const struct settings *settings, const json_t *table)
{
    const char *key;
    json_t *value;

    if (json_dump_callback(table, write_part, writing, JSON_SORT_KEYS | JSON_COMPACT))
        writing->is_full = true;
    json_object_foreach((json_t *)(uintptr_t)table, key, value)
    {
        const char *file = settings_file(settings, key);

        write_text(writing, key);
        write_text(writing, file);
        if (!is_authorities(key))
            named_files_of(key, value, file, write_named_file, writing);
    }
}

struct store_identity store_identity_of(struct settings *all, const char *name)
{
    const struct settings *settings = settings_table(all, name);
    struct store_identity identity = {.is_known = false};
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    struct writing writing = {.is_full = !settings};

    buf_init(&writing.text, TEXT_LIMIT);
    write_text(&writing, name);
    if (settings)
        write_table(&writing, settings, settings_peek(all, name));
    identity.is_known = !writing.is_full;
    memcpy(identity.digest, digest, crypto_digest(CRYPTO_SHA256, buf_span(&writing.text), digest));
    if (writing.text.data)
        secret_wipe(writing.text.data, writing.text.capacity);
    buf_done(&writing.text);
    return identity;
}

bool store_identity_equal(const struct store_identity *a, const struct store_identity *b)
{
    return a->is_known && b->is_known && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}
