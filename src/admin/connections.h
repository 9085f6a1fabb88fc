/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to this room: the places of the HTTP listener's clients, so that slow ones cannot
 * keep others out. From any thread.
 */
#ifndef GATEPOST_ADMIN_CONNECTIONS_H
#define GATEPOST_ADMIN_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct connections;
struct place;

/* From `spare_after` clients on, each new one cuts off the one that waits longest. */
struct connections *connections_new(size_t spare_after);
void connections_free(struct connections *connections);

/* `fd` stays open at least until connections_remove. */
struct place *connections_add(struct connections *connections, int fd);
void connections_remove(struct connections *connections, struct place *place);

/* Around an answer: a busy one is not cut, and after it the place counts as fresh. */
void connections_set_busy(struct connections *connections, struct place *place, bool is_busy);

#endif
