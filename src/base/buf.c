/* SPDX-License-Identifier: Apache-2.0
 *
 * Growth is by doubling up to the ceiling; consuming at the front moves bytes only
 * when room is needed at the end.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

#define SMALLEST_BYTES 128
/* -1 is what callers take for "more than the ceiling", and may answer for good; so a want of memory is
 * told that way only for sizes that a peer chose. */
#define SMALL_BYTES 65536

void buf_init(struct buf *buf, size_t limit_bytes) { *buf = (struct buf){.limit_bytes = limit_bytes}; }

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.limit_bytes = buf->limit_bytes};
}

void buf_keep_front(struct buf *buf, size_t room)
{
    MUST(!buf->data);
    buf->front = buf->start = buf->end = room;
}

static void move_to(struct buf *buf, size_t start)
{
    size_t len = buf_len(buf);

    if (buf->start == start)
        return;
    memmove(buf->data + start, buf->data + buf->start, len);
    buf->start = start;
    buf->end = start + len;
}

static int grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity ? buf->capacity : SMALLEST_BYTES;
    char *data;

    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    /* one byte more than the ceiling is kept for buf_cstr's NUL */
    if (capacity > buf->front + buf->limit_bytes + 1 && needed <= buf->front + buf->limit_bytes + 1)
        capacity = buf->front + buf->limit_bytes + 1;
    data = capacity <= SMALL_BYTES ? mem_realloc(buf->data, capacity) : mem_try_realloc(buf->data, capacity);
    if (!data)
        return -1;
    buf->data = data;
    buf->capacity = capacity;
    return 0;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    size_t used = buf_len(buf);

    if (len > buf->limit_bytes || used > buf->limit_bytes - len)
        return NULL;
    if (buf->data && buf->capacity - buf->end < len && buf->start > buf->front)
        move_to(buf, buf->front);
    if (!buf->data || buf->capacity - buf->end < len)
        if (grow(buf, buf->front + used + len))
            return NULL;
    return buf->data + buf->end;
}

void buf_commit(struct buf *buf, size_t len)
{
    MUST(len <= buf->capacity - buf->end);
    buf->end += len;
}

int buf_append_growing(struct buf *buf, const void *data, size_t len)
{
    char *room = buf_reserve(buf, len);

    if (!room)
        return -1;
    if (len > 0)
        memcpy(room, data, len);
    buf->end += len;
    return 0;
}

int buf_appendf(struct buf *buf, const char *format, ...)
{
    char small[256];
    char *large = NULL;
    va_list args;
    int len;
    int result;

    va_start(args, format);
    len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len < 0)
        return -1;
    if ((size_t)len < sizeof small)
        return buf_append(buf, small, (size_t)len);
    va_start(args, format);
    len = vasprintf(&large, format, args);
    va_end(args);
    if (len < 0)
        return -1;
    result = buf_append(buf, large, (size_t)len);
    free(large);
    return result;
}

void buf_consume(struct buf *buf, size_t len)
{
    MUST(len <= buf_len(buf));
    buf->start += len;
    if (buf->start == buf->end)
        buf->start = buf->end = buf->front;
}

void buf_truncate(struct buf *buf, size_t len)
{
    MUST(len <= buf_len(buf));
    buf->end = buf->start + len;
}

void buf_clear(struct buf *buf) { buf->start = buf->end = buf->front; }

void buf_release(struct buf *buf) { buf_done(buf); }

const char *buf_cstr(struct buf *buf)
{
    if (!buf->data)
        return "";
    if (buf->end == buf->capacity) {
        move_to(buf, buf->front);
        if (buf->end == buf->capacity && grow(buf, buf->end + 1))
            return NULL;
    }
    buf->data[buf->end] = '\0';
    return buf->data + buf->start;
}

char *buf_take_block(struct buf *buf, size_t *room_out, size_t *len_out)
{
    char *data = buf->data;

    *room_out = buf->start;
    *len_out = buf_len(buf);
    *buf = (struct buf){.limit_bytes = buf->limit_bytes};
    return data;
}

char *buf_take(struct buf *buf, size_t *len_out)
{
    size_t room;

    if (buf->data)
        move_to(buf, 0);
    return buf_take_block(buf, &room, len_out);
}
