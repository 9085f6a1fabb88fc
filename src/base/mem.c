/* SPDX-License-Identifier: Apache-2.0
 *
 * malloc that dies instead of returning NULL, for allocations of our own choosing.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

#define SMALL_BYTES 65536
/* glibc's calloc does not look at what the thread keeps ready of this size and below; malloc does. */
#define CLEARED_BY_HAND_BYTES 1024

void *mem_alloc(size_t bytes)
{
    void *ptr = malloc(bytes ? bytes : 1);

    MUST(ptr != NULL);
    return ptr;
}

void *mem_alloc_for_library(size_t bytes)
{
    void *ptr = malloc(bytes ? bytes : 1);

    MUST(ptr != NULL || bytes > SMALL_BYTES);
    return ptr;
}

void *mem_zalloc(size_t bytes)
{
    void *ptr;

    if (bytes > 0 && bytes <= CLEARED_BY_HAND_BYTES)
        return memset(mem_alloc(bytes), 0, bytes);
    ptr = calloc(1, bytes ? bytes : 1);
    MUST(ptr != NULL);
    return ptr;
}

void *mem_realloc(void *ptr, size_t bytes)
{
    void *grown = realloc(ptr, bytes ? bytes : 1);

    MUST(grown != NULL);
    return grown;
}

void *mem_try_realloc(void *ptr, size_t bytes) { return realloc(ptr, bytes ? bytes : 1); }

char *mem_strdup(const char *text) { return mem_strndup(text, strlen(text)); }

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);

    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    MUST(len >= 0);
    return text;
}
