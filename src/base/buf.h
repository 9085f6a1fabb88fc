/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing run of bytes that always has a ceiling, given at buf_init. Appending
 * past the ceiling fails and changes nothing. So does growth beyond 64 KiB for which there is no memory;
 * a smaller one that cannot be had dies, as mem_alloc does.
 */
#ifndef GATEPOST_BASE_BUF_H
#define GATEPOST_BASE_BUF_H

#include <stddef.h>
#include <string.h>

#include "base/span.h"

struct buf {
    char *data;   /* NULL while empty */
    size_t start; /* bytes already consumed at the front */
    size_t end;   /* end of the valid bytes */
    size_t capacity;
    size_t limit_bytes;
    size_t front; /* bytes kept free before the first, not counted in the limit; see buf_keep_front */
};

void buf_init(struct buf *buf, size_t limit_bytes);
void buf_done(struct buf *buf);

/* Before anything is in it: `room` bytes stay free in front, for whoever takes the block and has something to put
 * there. */
void buf_keep_front(struct buf *buf, size_t room);

static inline size_t buf_len(const struct buf *buf) { return buf->end - buf->start; }

static inline struct span buf_span(const struct buf *buf)
{
    return span_make(buf->data ? buf->data + buf->start : "", buf->end - buf->start);
}

int buf_append_growing(struct buf *buf, const void *data, size_t len) __attribute__((warn_unused_result));

/* 0, or -1 when the ceiling or the memory does not allow it. Headers and records are made of hundreds of small pieces,
 * so what fits is put there without a call. */
__attribute__((warn_unused_result)) static inline int buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0 || buf->end + len > buf->capacity || buf_len(buf) + len > buf->limit_bytes)
        return buf_append_growing(buf, data, len);
    memcpy(buf->data + buf->end, data, len);
    buf->end += len;
    return 0;
}

__attribute__((warn_unused_result)) static inline int buf_append_span(struct buf *buf, struct span s)
{
    return buf_append(buf, s.data, s.len);
}
int buf_appendf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3), warn_unused_result));

/* For text that the compiler knows: its length is then no call either. */
__attribute__((warn_unused_result)) static inline int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

/* Room for `len` more bytes at the end, or NULL; write there, then buf_commit. */
char *buf_reserve(struct buf *buf, size_t len) __attribute__((warn_unused_result));
void buf_commit(struct buf *buf, size_t len);

void buf_consume(struct buf *buf, size_t len);  /* drops bytes at the front */
void buf_truncate(struct buf *buf, size_t len); /* keeps the first `len` bytes */
void buf_clear(struct buf *buf);                /* keeps the memory */
void buf_release(struct buf *buf);              /* empty: gives the memory back */

/* The bytes as a C string (a NUL behind the end, not counted), or NULL. */
const char *buf_cstr(struct buf *buf);

/* Hands the bytes to the caller, who frees them; the buffer is empty after. The
 * bytes start at the pointer returned. NULL when the buffer is empty. */
char *buf_take(struct buf *buf, size_t *len_out);

/* The same, and the bytes start behind what was kept in front (`*room_out`). */
char *buf_take_block(struct buf *buf, size_t *room_out, size_t *len_out);

#endif
