/* SPDX-License-Identifier: Apache-2.0
 *
 * Handling bytes that must not be learned: comparing without a timing tell, and
 * wiping so that the compiler cannot leave it out.
 */
#ifndef GATEPOST_BASE_SECRET_H
#define GATEPOST_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

void secret_wipe(void *data, size_t len);

/* Wipes and frees a NUL-terminated secret; NULL is fine. */
void secret_free(char *text);

/* Time depends on the length of `given` alone. */
bool secret_equal(struct span given, struct span expected);

#endif
