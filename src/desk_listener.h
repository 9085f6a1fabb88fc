/* SPDX-License-Identifier: Apache-2.0
 *
 * The explanation of a login, where a listener was named: what that listener says besides the rules.
 */
#ifndef GATEPOST_DESK_LISTENER_H
#define GATEPOST_DESK_LISTENER_H

#include <jansson.h>

#include "setup.h"

/* Adds to the answer of the desk's `test`. From any thread: what a listener was started with does not change. */
void desk_tell_listener(const struct setup *setup, const json_t *question, json_t *answer);

#endif
