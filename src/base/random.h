/* SPDX-License-Identifier: Apache-2.0
 *
 * Random bytes from the kernel. Dies if the kernel has none: nothing that needs
 * them can be done without.
 */
#ifndef GATEPOST_BASE_RANDOM_H
#define GATEPOST_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t len);

/* Uniform below `bound` (> 0). Good enough for jitter and choice, and not
 * predictable from outside. */
uint64_t random_below(uint64_t bound);

#endif
