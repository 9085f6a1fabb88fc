/* SPDX-License-Identifier: Apache-2.0
 *
 * Ceilings over all workers together. Everything here is atomic and for any thread.
 */
#ifndef GATEPOST_RECEIVE_LIMITS_H
#define GATEPOST_RECEIVE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of messages that are coming in. False: nothing was taken. */
bool limits_take_bytes(uint64_t bytes);
void limits_give_bytes(uint64_t bytes);
/* True while a new transaction has a chance of fitting in. */
bool limits_have_bytes(void);

#endif
