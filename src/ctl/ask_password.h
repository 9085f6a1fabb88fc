/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking for a password: at a terminal without showing it, else as the first line of stdin.
 */
#ifndef GATEPOST_CTL_ASK_PASSWORD_H
#define GATEPOST_CTL_ASK_PASSWORD_H

#include <stdbool.h>

#include "base/error.h"

/* At a terminal `twice` asks again and compares. NULL with an error; the caller's, secret_free. */
char *ask_password(bool twice, struct error *error);

#endif
