/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets of our own: a database's password, a token. They may stand in the file itself, or better where the service
 * manager or the operator keeps such things.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "data/data.h"
#include "data/settings_private.h"

#define SECRET_LIMIT_BYTES 65536

static char *read_secret(struct settings *settings, const char *key, const char *path)
{
    struct error error;
    struct buf text;
    char *secret = NULL;

    buf_init(&text, 2 * SECRET_LIMIT_BYTES);
    if (data_read_file(path, SECRET_LIMIT_BYTES, &text, &error)) {
        settings_fault(settings, key, "%s", error.sentence);
    } else {
        struct span bytes = buf_span(&text);

        bytes.len -= span_ends_with(bytes, SPAN_LIT("\n")) ? 1 : 0;
        bytes.len -= span_ends_with(bytes, SPAN_LIT("\r")) ? 1 : 0;
        if (!bytes.len || span_find(bytes, '\0') < bytes.len)
            settings_fault(settings, key, "%s holds no secret", path);
        else
            secret = span_dup(bytes);
    }
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_done(&text);
    return secret;
}

static char *from_text(struct settings *settings, const char *key)
{
    const char *text = settings_text(settings, key, NULL);

    return text && *text ? mem_strdup(text) : NULL;
}

static char *from_file(struct settings *settings, const char *key)
{
    const char *path = settings_path(settings, key, NULL);

    return path ? read_secret(settings, key, path) : NULL;
}

char *settings_credential_path(const char *name)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");

    return folder && *folder ? mem_printf("%s/%s", folder, name) : NULL;
}

static char *from_credential(struct settings *settings, const char *key)
{
    const char *name = settings_text(settings, key, NULL);
    char *path, *secret;

    if (!name)
        return NULL;
    if (!*name || strchr(name, '/') || *name == '.') {
        settings_fault(settings, key, "must be the name of a credential");
        return NULL;
    }
    path = settings_credential_path(name);
    if (!path) {
        settings_fault(settings, key, "the service manager has handed over no credentials (CREDENTIALS_DIRECTORY)");
        return NULL;
    }
    secret = read_secret(settings, key, path);
    free(path);
    return secret;
}

static char *from_env(struct settings *settings, const char *key)
{
    const char *name = settings_text(settings, key, NULL);
    const char *value = name ? getenv(name) : NULL;

    if (name && (!value || !*value))
        settings_fault(settings, key, "the environment has no such variable");
    return value && *value ? mem_strdup(value) : NULL;
}

static const struct {
    const char *suffix;
    char *(*read)(struct settings *settings, const char *key);
} sources[] = {{"", from_text}, {"_file", from_file}, {"_credential", from_credential}, {"_env", from_env}};

char *settings_secret(struct settings *settings, const char *key)
{
    char *secret = NULL;
    bool seen = false;

    for (size_t i = 0; settings && i < sizeof sources / sizeof sources[0]; i++) {
        char *name = mem_printf("%s%s", key, sources[i].suffix);

        if (settings_has(settings, name)) {
            char *found = sources[i].read(settings, name);

            if (seen)
                settings_fault(settings, name, "says where %s is a second time", key);
            seen = true;
            secret_free(secret);
            secret = found;
        }
        free(name);
    }
    return secret;
}
