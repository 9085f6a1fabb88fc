/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens that an introspection server has called good, for as long as the operator allows. A token is known by a keyed
 * hash of it and by nothing else: whoever reads this memory has no token, and whoever chooses tokens cannot choose
 * which of them meet. On one thread; the oldest entry makes room.
 */
#ifndef GATEPOST_CREDENTIAL_TOKEN_CACHE_H
#define GATEPOST_CREDENTIAL_TOKEN_CACHE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define TOKEN_CACHE_MOST 10000

struct token_cache;

struct token_cache *token_cache_new(size_t capacity) __attribute__((returns_nonnull));
void token_cache_free(struct token_cache *cache); /* NULL is fine */

/* The fields kept for it, a new reference; NULL when there are none, or they are too old. */
json_t *token_cache_get(struct token_cache *cache, struct span token);
void token_cache_put(struct token_cache *cache, struct span token, json_t *fields, uint64_t lifetime_ms);
size_t token_cache_count(const struct token_cache *cache);

#endif
