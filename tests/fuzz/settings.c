/* SPDX-License-Identifier: Apache-2.0
 *
 * A TOML text as settings, with every kind of getter put to its keys: whatever type a value has,
 * the getter gives something of its own type within its bounds, and the fault is told at the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "data/settings.h"

#define DEEPEST 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {"a", "b", "timeout", "url", "user", "password_threads"};

static void ask(struct settings *table, int depth)
{
    static const char *const choices[] = {"one", "two", NULL};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        (void)settings_text(table, keys[i], NULL);
        MUST(settings_need_text(table, keys[i]));
        (void)settings_flag(table, keys[i], true);
        MUST(settings_count(table, keys[i], 5, 1, 10) <= 10);
        MUST(settings_duration_ms(table, keys[i], 5, 1, 10000) <= 10000);
        MUST(settings_choice(table, keys[i], choices, 0) < 2);
        (void)json_array_size(settings_strings(table, keys[i]));
        (void)settings_value(table, keys[i]);
        (void)settings_path(table, keys[i], NULL);
        MUST(settings_where(table, keys[i]));
        if (depth < DEEPEST && settings_table(table, keys[i]))
            ask(settings_table(table, keys[i]), depth + 1);
        for (size_t n = 0; depth < DEEPEST && n < 3 && settings_table_at(table, keys[i], n); n++)
            ask(settings_table_at(table, keys[i], n), depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {0};
    struct settings *root;
    char *text;

    if (size > 8192)
        return 0;
    text = mem_strndup((const char *)data, size);
    root = settings_parse_toml(text, "fuzz.toml", &error);
    if (root) {
        ask(root, 0);
        if (settings_end(root, &error))
            MUST(error.sentence[0]);
    } else {
        MUST(error.sentence[0]);
    }
    settings_free(root);
    free(text);
    return 0;
}
