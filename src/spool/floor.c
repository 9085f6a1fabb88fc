/* SPDX-License-Identifier: Apache-2.0
 *
 * The floors for free space and inodes. The file system is asked at most once a second,
 * by whichever thread comes first; the others go by its answer.
 */
#include "base/clock.h"
#include "spool/spool_private.h"

#define CHECK_EVERY_MS 1000

static bool is_below(const struct spool_floor *floor, uint64_t available, uint64_t total, uint64_t unit)
{
    if (total == 0)
        return false; /* a file system that does not count these */
    if (floor->percent)
        return available < total / 100 * floor->percent;
    return available < floor->bytes_or_inodes / unit;
}

static void check(struct spool *spool)
{
    struct statvfs found;

    if (spool_io()->free_space(spool->directory, &found))
        return;
    atomic_store(&spool->below_floor, is_below(&spool->min_free_space, found.f_bavail, found.f_blocks,
                                               found.f_frsize ? found.f_frsize : 1) ||
                                          is_below(&spool->min_free_inodes, found.f_favail, found.f_files, 1));
}

bool floor_is_reached(struct spool *spool, struct error *error)
{
    uint64_t now = clock_mono_ms();
    uint64_t checked = atomic_load_explicit(&spool->floor_checked_ms, memory_order_relaxed);

    if (now >= checked + CHECK_EVERY_MS && atomic_compare_exchange_strong(&spool->floor_checked_ms, &checked, now))
        check(spool);
    if (!atomic_load(&spool->below_floor))
        return false;
    error_set(error, ERROR_AGAIN, "spool %s: the disk has less free space or inodes than the configured minimum",
              spool->name);
    return true;
}
