/* SPDX-License-Identifier: Apache-2.0
 *
 * What a listing has found so far: copies, because what is listed goes on living.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "tally/tally_private.h"

/* As tally_key_add writes it, behind a kind of one letter that is then cut off. */
void tally_wanted_init(struct tally_wanted *wanted, const struct tally_filter *filter)
{
    *wanted = (struct tally_wanted){.begin = *filter->prefix, .limit = filter->limit, .remove = filter->remove};
    if (!filter->last.data)
        return;
    tally_key_init(&wanted->end, "x");
    tally_key_add(&wanted->end, filter->last);
    memmove(wanted->end.text, wanted->end.text + 1, --wanted->end.len);
}

bool tally_is_wanted(const struct tally_wanted *wanted, struct span key)
{
    return key.len >= (size_t)wanted->begin.len + wanted->end.len &&
           span_starts_with(key, span_make(wanted->begin.text, wanted->begin.len)) &&
           span_ends_with(key, span_make(wanted->end.text, wanted->end.len));
}

void tally_found_add(struct tally_found *found, const struct tally_entry *entry)
{
    struct tally_entry *added;

    if (found->count == found->capacity) {
        found->capacity = found->capacity ? found->capacity * 2 : 16;
        found->entries = mem_realloc(found->entries, found->capacity * sizeof *found->entries);
    }
    added = &found->entries[found->count++];
    *added = *entry;
    added->key = span_make(span_dup(entry->key), entry->key.len);
}

static int compare_entries(const void *a, const void *b)
{
    const struct tally_entry *x = a;
    const struct tally_entry *y = b;
    size_t common = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = memcmp(x->key.data, y->key.data, common);

    if (order || x->key.len != y->key.len)
        return order ? order : (x->key.len < y->key.len ? -1 : 1);
    return (int)x->type - (int)y->type;
}

/* SCAN may show a key twice while Redis grows its table. */
void tally_found_settle(struct tally_found *found)
{
    size_t kept = 0;

    if (found->count)
        qsort(found->entries, found->count, sizeof *found->entries, compare_entries);
    for (size_t i = 0; i < found->count; i++) {
        if (kept && !compare_entries(&found->entries[kept - 1], &found->entries[i]))
            free((char *)(uintptr_t)found->entries[i].key.data);
        else
            found->entries[kept++] = found->entries[i];
    }
    found->count = kept;
}

void tally_found_clear(struct tally_found *found)
{
    for (size_t i = 0; i < found->count; i++)
        free((char *)(uintptr_t)found->entries[i].key.data);
    free(found->entries);
    *found = (struct tally_found){0};
}
