/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of rules say, as a digest: the same text, and the same files that it names, are the same rules.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "data/data.h"
#include "gate/gate_private.h"

#define RULES_TEXT_LIMIT (2 * DATA_FILE_LIMIT_BYTES)

/* Files of ours that the settings name (secrets, keys) are part of what they say: a new one is new content. */
static int add_named_file(const char *key, const json_t *value, const char *settings_path, struct buf *text)
{
    const char *path = json_string_value(value), *slash = strrchr(settings_path, '/');
    struct stat status = {0};
    char *whole;

    if (!path || !span_ends_with(span_of(key), SPAN_LIT("_file")))
        return 0;
    whole = *path == '/' || !slash ? mem_strdup(path)
                                   : mem_printf("%.*s/%s", (int)(slash - settings_path), settings_path, path);
    if (stat(whole, &status)) /* whoever reads it will say so */
        status = (struct stat){0};
    free(whole);
    return buf_appendf(text, "%lld %lld.%09ld %llu\n", (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec, (unsigned long long)status.st_ino);
}

static int add_named_files(const json_t *value, const char *settings_path, struct buf *text)
{
    const char *key;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item) if (add_named_files(item, settings_path, text)) return -1;
    json_object_foreach((json_t *)value, key, item)
    {
        if (add_named_file(key, item, settings_path, text) || add_named_files(item, settings_path, text))
            return -1;
    }
    return 0;
}

/* Each path and text with its end, so that moving bytes from one file to the next makes a difference. */
static int add_file(const char *path, struct buf *text, struct error *error)
{
    struct span parsed;
    json_t *value;
    size_t begin;
    int result;

    if (buf_append(text, path, strlen(path) + 1))
        return error_set(error, ERROR_PERM, "%s: the files of rules are too large", path);
    begin = buf_len(text);
    if (data_read_file(path, DATA_FILE_LIMIT_BYTES, text, error))
        return -1;
    parsed = span_from(buf_span(text), begin);
    value =
        data_format_of(path) == DATA_TOML ? data_parse_toml(parsed, path, error) : data_parse_json(parsed, path, error);
    if (!value)
        return -1;
    result = buf_appendf(text, "\n%zu\n", parsed.len) || add_named_files(value, path, text);
    json_decref(value);
    return result ? error_set(error, ERROR_PERM, "%s: the files of rules are too large", path) : 0;
}

int gate_rules_digest(const char *const *paths, size_t count, unsigned char out[CRYPTO_SHA256_BYTES],
                      struct error *error)
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    struct buf text;
    int result = 0;

    buf_init(&text, RULES_TEXT_LIMIT);
    for (size_t i = 0; i < count && !result; i++)
        result = add_file(paths[i], &text, error);
    if (!result)
        memcpy(out, digest, crypto_digest(CRYPTO_SHA256, buf_span(&text), digest));
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_done(&text);
    return result;
}
