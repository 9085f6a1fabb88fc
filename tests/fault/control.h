/* SPDX-License-Identifier: Apache-2.0
 *
 * What a test and the libraries it preloads into the daemon share: one small file, mapped by
 * both (GATEPOST_FAULT_CONTROL names it), so that a test can count and arm while the daemon
 * runs. tests/crash/faults.py knows the same layout.
 */
#ifndef GATEPOST_TESTS_FAULT_CONTROL_H
#define GATEPOST_TESTS_FAULT_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* From the first to the last, as counted by `seen`; first 0 is never. */
struct fault_slot {
    _Atomic uint64_t seen;
    _Atomic uint64_t first;
    _Atomic uint64_t last;
    _Atomic uint64_t fired;
};

struct fault_control {
    struct fault_slot calls;
    struct fault_slot allocations;
    _Atomic uint64_t kinds;   /* of calls that count, bits of enum fault_kind */
    _Atomic int64_t outcome;  /* of a call that fires: an errno, or FAULT_KILL */
    _Atomic int64_t shift_us; /* the wall clock goes wrong by so much */
};

enum fault_kind {
    FAULT_OPEN = 1,
    FAULT_ALLOCATE = 2,
    FAULT_WRITE = 4,
    FAULT_SYNC = 8,
    FAULT_RENAME = 16,
    FAULT_UNLINK = 32,
    FAULT_TRUNCATE = 64,
    FAULT_READ = 128,
};

#define FAULT_KILL (-1)

/* NULL as long as there is none. */
struct fault_control *fault_control(void);

bool fault_fires(struct fault_slot *slot);

#endif
