/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling in a struct error. Long sentences are cut, never overrun.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, enum error_kind kind, const char *format, ...)
{
    va_list args;

    if (!error)
        return -1;
    error->kind = kind;
    error->sys_errno = 0;
    va_start(args, format);
    vsnprintf(error->sentence, sizeof error->sentence, format, args);
    va_end(args);
    return -1;
}

int error_set_errno(struct error *error, enum error_kind kind, int sys_errno, const char *format, ...)
{
    va_list args;
    size_t used;
    char text[128];

    if (!error)
        return -1;
    error->kind = kind;
    error->sys_errno = sys_errno;
    va_start(args, format);
    vsnprintf(error->sentence, sizeof error->sentence, format, args);
    va_end(args);
    used = strlen(error->sentence);
    snprintf(error->sentence + used, sizeof error->sentence - used, ": %s", strerror_r(sys_errno, text, sizeof text));
    return -1;
}

int error_prefix(struct error *error, const char *format, ...)
{
    char sentence[ERROR_SENTENCE_BYTES];
    va_list args;
    size_t used;

    if (!error)
        return -1;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    used = strnlen(sentence, sizeof sentence - 3);
    memcpy(sentence + used, ": ", 3);
    used += 2;
    memccpy(sentence + used, error->sentence, '\0', sizeof sentence - used);
    sentence[sizeof sentence - 1] = '\0';
    memcpy(error->sentence, sentence, sizeof sentence);
    return -1;
}
