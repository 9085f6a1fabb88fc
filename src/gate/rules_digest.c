/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of rules say, as a digest: the same text, and the same files that it names, are the same rules.
 */
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"
#include "credential/named_files.h"
#include "data/data.h"
#include "gate/gate_private.h"

#define RULES_TEXT_LIMIT (2 * DATA_FILE_LIMIT_BYTES)

struct digesting {
    struct buf text;
    bool is_full;
    gate_file_fn *on_file; /* or NULL */
    void *ctx;
};

static void add_named_file(void *ctx, const char *path)
{
    struct digesting *digesting = ctx;

    if (digesting->on_file) /* first: a change after the next line is one to be told of */
        digesting->on_file(digesting->ctx, path);
    digesting->is_full = named_file_write(path, &digesting->text) || digesting->is_full;
}

/* Each path and text with its end, so that moving bytes from one file to the next makes a difference. */
static int add_file(struct digesting *digesting, const char *path, struct error *error)
{
    struct buf *text = &digesting->text;
    struct span parsed;
    json_t *value;
    size_t begin;

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
    digesting->is_full = buf_appendf(text, "\n%zu\n", parsed.len);
    named_files_each(value, path, add_named_file, digesting);
    json_decref(value);
    return digesting->is_full ? error_set(error, ERROR_PERM, "%s: the files of rules are too large", path) : 0;
}

int gate_rules_digest(const char *const *paths, size_t count, gate_file_fn *on_file, void *ctx,
                      unsigned char out[CRYPTO_SHA256_BYTES], struct error *error)
{
    struct digesting digesting = {.on_file = on_file, .ctx = ctx};
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    struct buf *text = &digesting.text;
    int result = 0;

    buf_init(text, RULES_TEXT_LIMIT);
    for (size_t i = 0; i < count && !result; i++)
        result = add_file(&digesting, paths[i], error);
    if (!result)
        memcpy(out, digest, crypto_digest(CRYPTO_SHA256, buf_span(text), digest));
    if (text->data)
        secret_wipe(text->data, text->capacity);
    buf_done(text);
    return result;
}
