/* SPDX-License-Identifier: Apache-2.0
 *
 * [audit] of auth.toml: what a record shows of names that nobody knows. A password typed into the wrong field looks
 * just like one.
 */
#ifndef GATEPOST_GATE_AUDIT_H
#define GATEPOST_GATE_AUDIT_H

#include "gate/attempt.h"
#include "gate/gate.h"

#define GATE_AUDIT_NAME_BYTES 32

/* `name` (NULL is fine) as a record of this attempt may show it: itself, or a keyed hash in `out`, or NULL. `rules`
 * may be NULL: then itself. */
const char *gate_audit_name(const struct gate_rules *rules, const struct gate_attempt *attempt, const char *name,
                            char out[GATE_AUDIT_NAME_BYTES]);

#endif
