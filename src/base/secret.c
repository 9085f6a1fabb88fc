/* SPDX-License-Identifier: Apache-2.0
 *
 * See secret.h.
 */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

void secret_wipe(void *data, size_t len)
{
    if (data && len)
        explicit_bzero(data, len);
}

void secret_free(char *text)
{
    if (text)
        secret_wipe(text, strlen(text));
    free(text);
}

bool secret_equal(struct span given, struct span expected)
{
    volatile unsigned char differs = given.len != expected.len;

    for (size_t i = 0; i < given.len; i++) {
        unsigned char other = expected.len ? (unsigned char)expected.data[i % expected.len] : 0;

        differs = (unsigned char)(differs | ((unsigned char)given.data[i] ^ other));
    }
    return differs == 0;
}
