/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose mail is held: messages that a user sent (by meta `authn_id`) and that have not left yet stay in the spool until
 * an operator releases them. Names that differ in case alone are one. The list is a file beside the spool, so that a
 * restart lets nothing go. From any thread.
 */
#ifndef GATEPOST_QUEUE_HELD_H
#define GATEPOST_QUEUE_HELD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "message/message.h"

#define HELD_MOST 10000

/* Reads the file "held" of `folder`, and writes it from now on. A file that cannot be understood is an error: without
 * it we would deliver what somebody wanted held. */
int held_open(const char *folder, struct error *error) __attribute__((warn_unused_result));
void held_close(void); /* harmless without held_open */

/* The change is on stable storage when they return 0. Adding who is held already, or the other way about, is fine. */
int held_add(const char *user, struct error *error) __attribute__((warn_unused_result));
int held_remove(const char *user, struct error *error) __attribute__((warn_unused_result));

bool held_has(const char *user);
json_t *held_list(void); /* ["ada"], as they were said first; a new reference */

/* Its sender if held, borrowed from the message, else NULL. The message has to be loaded. */
const char *held_sender(const struct message *message);

#endif
