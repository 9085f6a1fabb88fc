/* SPDX-License-Identifier: Apache-2.0
 *
 * See named_files.h.
 */
#include "credential/named_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/span.h"
#include "data/settings.h"

static bool is_looked_at_anew(const char *key)
{
    return strcmp(key, "token_file") == 0 || strcmp(key, "jwt_file") == 0;
}

static char *path_of(const char *name, const char *settings_path)
{
    const char *slash = strrchr(settings_path, '/');

    return *name == '/' || !slash ? mem_strdup(name)
                                  : mem_printf("%.*s/%s", (int)(slash - settings_path), settings_path, name);
}

/* NULL: the key names no file. */
static char *file_named(const char *key, const char *name, const char *settings_path)
{
    if (span_ends_with(span_of(key), SPAN_LIT("_file")) && !is_looked_at_anew(key))
        return path_of(name, settings_path);
    return span_ends_with(span_of(key), SPAN_LIT("_credential")) ? settings_credential_path(name) : NULL;
}

void named_files_of(const char *key, const json_t *value, const char *settings_path, named_file_fn *on_file, void *ctx)
{
    char *path = json_is_string(value) ? file_named(key, json_string_value(value), settings_path) : NULL;

    if (path)
        on_file(ctx, path);
    free(path);
    named_files_each(value, settings_path, on_file, ctx);
}

void named_files_each(const json_t *table, const char *settings_path, named_file_fn *on_file, void *ctx)
{
    const char *key;
    json_t *item;
    size_t i;

    json_array_foreach(table, i, item) named_files_each(item, settings_path, on_file, ctx);
    json_object_foreach((json_t *)table, key, item) named_files_of(key, item, settings_path, on_file, ctx);
}

int named_file_write(const char *path, struct buf *out)
{
    struct stat status = {0};

    if (stat(path, &status))
        status = (struct stat){0};
    return buf_appendf(out, "%lld %lld.%09ld %llu\n", (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec, (unsigned long long)status.st_ino);
}
