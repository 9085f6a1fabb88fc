/* SPDX-License-Identifier: Apache-2.0
 *
 * The budget that many slow and large messages share, so that together they cannot take the
 * machine's memory.
 */
#include "receive/limits.h"

#include <stdatomic.h>

#include "base/must.h"
#include "receive/receive.h"

#define DEFAULT_LIMIT_BYTES ((uint64_t)1 << 30)

static atomic_ullong limit_bytes = DEFAULT_LIMIT_BYTES;
static atomic_ullong used_bytes;

void receive_set_memory_limit(uint64_t bytes) { atomic_store_explicit(&limit_bytes, bytes, memory_order_relaxed); }

bool limits_take_bytes(uint64_t bytes)
{
    uint64_t limit = atomic_load_explicit(&limit_bytes, memory_order_relaxed);
    uint64_t before = atomic_fetch_add_explicit(&used_bytes, bytes, memory_order_relaxed);

    if (bytes <= limit && before <= limit - bytes)
        return true;
    atomic_fetch_sub_explicit(&used_bytes, bytes, memory_order_relaxed);
    return false;
}

void limits_give_bytes(uint64_t bytes)
{
    MUST(atomic_fetch_sub_explicit(&used_bytes, bytes, memory_order_relaxed) >= bytes);
}

/* The last sixteenth is for those who have begun. */
bool limits_have_bytes(void)
{
    uint64_t limit = atomic_load_explicit(&limit_bytes, memory_order_relaxed);

    return atomic_load_explicit(&used_bytes, memory_order_relaxed) < limit - limit / 16;
}
