/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps credentials that a handler was given out of what is logged or answered on its
 * behalf. Lua's own error texts do not quote values, but `error('no such ' .. password)`
 * does. A secret is looked for as itself, in hexadecimal, and in base64 at any of the
 * three offsets it may have inside a longer encoded string.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/secret.h"
#include "policy/policy_private.h"

/* Shorter ones occur in any text by chance; replacing them would tell what they are. */
#define SHORT_SECRET_BYTES 4
#define LONGEST_SECRET_BYTES 65536
#define MASK "***"

struct secret {
    struct secret *next;
    size_t len;
    char data[];
};

static void remember(struct policy_call *call, struct span value)
{
    struct secret *secret = mem_alloc(sizeof *secret + value.len);

    secret->len = value.len;
    memcpy(secret->data, value.data, value.len);
    secret->next = call->secrets;
    call->secrets = secret;
}

void policy_push_secret(lua_State *L, struct span secret)
{
    struct policy_call *call = thread_of(L)->state->running;

    if (call && secret.len && secret.len <= LONGEST_SECRET_BYTES)
        remember(call, secret);
    lua_pushlstring(L, secret.len ? secret.data : "", secret.len);
}

void secrets_drop(struct policy_call *call)
{
    struct secret *secret;

    while ((secret = call->secrets)) {
        call->secrets = secret->next;
        secret_wipe(secret->data, secret->len);
        free(secret);
    }
}

/* ---- looking for one ---- */

static bool contains(const struct buf *text, struct span needle)
{
    struct span hay = buf_span(text);

    return needle.len && memmem(hay.data, hay.len, needle.data, needle.len) != NULL;
}

static void mask(struct buf *text, struct span needle)
{
    struct buf out;
    struct span rest = buf_span(text);
    const char *found;
    int failed = 0;

    if (!contains(text, needle))
        return;
    buf_init(&out, text->limit_bytes);
    while (!failed && (found = memmem(rest.data, rest.len, needle.data, needle.len))) {
        failed |= buf_append(&out, rest.data, (size_t)(found - rest.data));
        failed |= buf_append(&out, MASK, sizeof MASK - 1);
        rest = span_from(rest, (size_t)(found - rest.data) + needle.len);
    }
    failed |= buf_append_span(&out, rest);
    if (failed) /* masks longer than what they hide, at the ceiling: say nothing at all */
        buf_clear(&out);
    secret_wipe(text->data, text->capacity);
    buf_done(text);
    *text = out;
}

/* What of the base64 of `offset` unknown bytes, then the secret, then more unknown bytes
 * depends on the secret alone. */
static void mask_base64(struct buf *text, struct span secret, size_t offset)
{
    static const size_t unknown_at_start[] = {0, 2, 3};
    static const size_t unknown_at_end[] = {0, 3, 2};
    struct buf plain;
    struct buf encoded;

    buf_init(&plain, secret.len + 2);
    buf_init(&encoded, secret.len * 2 + 16);
    if (buf_append(&plain, "\0\0", offset) == 0 && buf_append_span(&plain, secret) == 0 &&
        base64_encode(buf_span(&plain), &encoded) == 0) {
        struct span core = span_from(buf_span(&encoded), unknown_at_start[offset]);

        core.len -= unknown_at_end[buf_len(&plain) % 3];
        if (core.len >= SHORT_SECRET_BYTES)
            mask(text, core);
    }
    secret_wipe(plain.data, plain.capacity);
    secret_wipe(encoded.data, encoded.capacity);
    buf_done(&plain);
    buf_done(&encoded);
}

static void mask_hex(struct buf *text, struct span secret)
{
    struct buf encoded;

    buf_init(&encoded, secret.len * 2 + 1);
    if (hex_encode(secret, &encoded) == 0)
        mask(text, buf_span(&encoded));
    secret_wipe(encoded.data, encoded.capacity);
    buf_done(&encoded);
}

void secrets_scrub(const struct policy_call *call, struct buf *text)
{
    for (const struct secret *secret = call ? call->secrets : NULL; secret; secret = secret->next) {
        struct span value = span_make(secret->data, secret->len);

        if (value.len < SHORT_SECRET_BYTES)
            continue;
        mask(text, value);
        for (size_t offset = 0; offset < 3; offset++)
            mask_base64(text, value, offset);
        mask_hex(text, value);
    }
}

bool secrets_hide_short(const struct policy_call *call, const struct buf *text)
{
    for (const struct secret *secret = call ? call->secrets : NULL; secret; secret = secret->next) {
        if (secret->len < SHORT_SECRET_BYTES && contains(text, span_make(secret->data, secret->len)))
            return true;
    }
    return false;
}

void policy_scrub(lua_State *L, struct buf *text) { secrets_scrub(thread_of(L)->state->running, text); }
