/* SPDX-License-Identifier: Apache-2.0
 *
 * See bytes.h.
 */
#include "base/bytes.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct bytes {
    atomic_uint refs;
    size_t room; /* free, in front of the bytes */
    size_t len;
    char *block;
};

struct bytes *bytes_take_after(char *block, size_t room, size_t len)
{
    struct bytes *bytes = mem_alloc(sizeof *bytes);

    atomic_init(&bytes->refs, 1);
    bytes->block = block;
    bytes->room = room;
    bytes->len = len;
    return bytes;
}

struct bytes *bytes_take(char *data, size_t len) { return bytes_take_after(data, 0, len); }

bool bytes_prepend(struct bytes *bytes, struct span s)
{
    if (atomic_load_explicit(&bytes->refs, memory_order_acquire) != 1 || bytes->room < s.len)
        return false;
    bytes->room -= s.len;
    bytes->len += s.len;
    memcpy(bytes->block + bytes->room, s.data, s.len);
    return true;
}

struct bytes *bytes_copy(struct span s)
{
    char *data = mem_try_realloc(NULL, s.len);

    if (!data)
        return NULL;
    if (s.len)
        memcpy(data, s.data, s.len);
    return bytes_take(data, s.len);
}

struct bytes *bytes_ref(struct bytes *bytes)
{
    if (bytes)
        atomic_fetch_add_explicit(&bytes->refs, 1, memory_order_relaxed);
    return bytes;
}

void bytes_unref(struct bytes **bytes)
{
    struct bytes *gone = *bytes;

    *bytes = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(gone->block);
    free(gone);
}

struct span bytes_span(const struct bytes *bytes)
{
    return bytes && bytes->block ? span_make(bytes->block + bytes->room, bytes->len) : span_make("", 0);
}
