/* SPDX-License-Identifier: Apache-2.0
 *
 * Small allocations that the program cannot go on without: these die when memory
 * is gone. A size that a peer chose is asked for with try_malloc, and a refusal
 * becomes an error.
 */
#ifndef GATEPOST_BASE_MEM_H
#define GATEPOST_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_zalloc(size_t bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_realloc(void *ptr, size_t bytes) __attribute__((alloc_size(2), returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));

/* printf into a new string; the caller frees it. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For libraries that take an allocator and whose failures look like answers: dies when a small size cannot be had, and
 * returns NULL for a large one, which a peer may have chosen. */
void *mem_alloc_for_library(size_t bytes) __attribute__((malloc, alloc_size(1)));

/* NULL when memory is gone: for sizes that a peer chose. */
void *mem_try_realloc(void *ptr, size_t bytes) __attribute__((warn_unused_result, alloc_size(2)));

#endif
