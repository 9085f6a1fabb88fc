/* SPDX-License-Identifier: Apache-2.0
 *
 * Named points at which a test build dies or fails on demand: GATEPOST_FAULT in the
 * environment holds "<point>:<n>[:kill|error]", and at the n-th pass through that point
 * the process kills itself (as a crash would) or the point reports failure. Without
 * -Dfault_points=true there is nothing of it in the program.
 */
#ifndef GATEPOST_BASE_FAULT_H
#define GATEPOST_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef GATEPOST_FAULT_POINTS

/* True when the caller should behave as if the step had failed with EIO (errno is set). */
bool fault_point(const char *name);

/* A size that tests make small so that rare steps become frequent: the number in the environment
 * variable `name`, else `usual`. */
uint64_t fault_size(const char *name, uint64_t usual);

/* For tests, before threads start: replaces what the environment said; NULL is none. */
void fault_set(const char *setting);

#else

static inline bool fault_point(const char *name)
{
    (void)name;
    return false;
}

static inline uint64_t fault_size(const char *name, uint64_t usual)
{
    (void)name;
    return usual;
}

#endif
#endif
