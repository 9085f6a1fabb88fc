/* SPDX-License-Identifier: Apache-2.0
 *
 * Everyone earns their weight; the richest goes and pays the total.
 */
#include "queue/wrr.h"

static struct wrr_member *member_at(void *members, size_t stride, size_t i)
{
    return (struct wrr_member *)(void *)((char *)members + i * stride);
}

int wrr_pick(void *members, size_t count, size_t stride)
{
    int64_t total = 0;
    int best = -1;

    for (size_t i = 0; i < count; i++) {
        struct wrr_member *member = member_at(members, stride, i);

        if (member->weight == 0 || member->barred)
            continue;
        total += member->weight;
        member->credit += member->weight;
        if (best < 0 || member->credit > member_at(members, stride, (size_t)best)->credit)
            best = (int)i;
    }
    if (best >= 0)
        member_at(members, stride, (size_t)best)->credit -= total;
    return best;
}
