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
    size_t len;
    char *data;
};

struct bytes *bytes_take(char *data, size_t len)
{
    struct bytes *bytes = mem_alloc(sizeof *bytes);

    atomic_init(&bytes->refs, 1);
    bytes->data = data;
    bytes->len = len;
    return bytes;
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
    free(gone->data);
    free(gone);
}

struct span bytes_span(const struct bytes *bytes)
{
    return bytes ? span_make(bytes->data ? bytes->data : "", bytes->len) : span_make("", 0);
}
