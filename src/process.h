/* SPDX-License-Identifier: Apache-2.0
 *
 * What the process is allowed to be: its user, its one capability, no core dumps, no new
 * privileges, as many descriptors as the system lets it have.
 */
#ifndef GATEPOST_PROCESS_H
#define GATEPOST_PROCESS_H

#include "base/error.h"

/* Before anything else: no core files and no ptrace by others (a core would hold
 * credentials), no new privileges for what we execute, broken pipes as errors, and the hard
 * limit of descriptors. */
void process_harden(void);

/* The allocator's habits: message bodies come and go with every transaction, and giving their
 * memory back each time costs page faults; a few MiB are kept. */
void process_keep_memory(void);

/* Started as root: becomes `user` (a name) and keeps CAP_NET_BIND_SERVICE only. Without
 * `user`, root is an error. Started as anybody else: `user` must be that one, or NULL. */
int process_become(const char *user, struct error *error) __attribute__((warn_unused_result));

#endif
