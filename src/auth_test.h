/* SPDX-License-Identifier: Apache-2.0
 *
 * gatepostd --auth-test: one question to the desk, without a relay behind it.
 */
#ifndef GATEPOST_AUTH_TEST_H
#define GATEPOST_AUTH_TEST_H

#include "base/error.h"
#include "policy/policy.h"

/* The question is a JSON object on stdin, since it may have a password; the answer goes to stdout. `rules` is an
 * auth.toml, or NULL: those that the policy has set up, whose state is `vm`. Of that, init is run where the question
 * names a listener. */
int auth_test_run(const char *rules, struct policy_vm *vm, struct error *error) __attribute__((warn_unused_result));

#endif
