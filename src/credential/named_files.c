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

static bool names_file(const char *key)
{
    static const char *const looked_at_anew[] = {"token_file", "jwt_file"};

    for (size_t i = 0; i < sizeof looked_at_anew / sizeof *looked_at_anew; i++)
        if (strcmp(key, looked_at_anew[i]) == 0)
            return false;
    return span_ends_with(span_of(key), SPAN_LIT("_file"));
}

static void tell(const char *path, const char *settings_path, named_file_fn *on_file, void *ctx)
{
    const char *slash = strrchr(settings_path, '/');
    char *whole = *path == '/' || !slash ? mem_strdup(path)
                                         : mem_printf("%.*s/%s", (int)(slash - settings_path), settings_path, path);

    on_file(ctx, whole);
    free(whole);
}

void named_files_of(const char *key, const json_t *value, const char *settings_path, named_file_fn *on_file, void *ctx)
{
    if (json_is_string(value) && names_file(key))
        tell(json_string_value(value), settings_path, on_file, ctx);
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
