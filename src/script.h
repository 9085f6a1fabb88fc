/* SPDX-License-Identifier: Apache-2.0
 *
 * --script: a policy file as a program: its `main` event is called with the arguments.
 */
#ifndef GATEPOST_SCRIPT_H
#define GATEPOST_SCRIPT_H

#include "base/error.h"
#include "policy/policy.h"

/* Waits for the handler, its waits included. -1 when there is no `main`, or it raised. */
int script_run(struct policy_vm *vm, char **args, int arg_count, struct error *error)
    __attribute__((warn_unused_result));

#endif
