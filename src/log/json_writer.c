/* SPDX-License-Identifier: Apache-2.0
 *
 * See json_writer.h. A busy log spends most of its time here.
 */
#include "log/json_writer.h"

#include <string.h>
#include <time.h>

#include "base/digits.h"
#include "log/log_private.h"

static void append(struct json_writer *writer, const char *data, size_t len)
{
    if (!writer->failed && buf_append(writer->out, data, len) < 0)
        writer->failed = true;
}

void json_raw(struct json_writer *writer, const char *text) { append(writer, text, strlen(text)); }

static void put_string(struct json_writer *writer, struct span text)
{
    while (!writer->failed) {
        struct span part = span_head(text, 4096);
        char *room = buf_reserve(writer->out, part.len * ESCAPE_GROWTH + 2);

        if (!room) {
            writer->failed = true;
            return;
        }
        /* A piece must not end inside a character: what is cut off comes with the next. */
        while (part.len < text.len && part.len > 4090 && ((unsigned char)text.data[part.len] & 0xc0) == 0x80)
            part.len--;
        buf_commit(writer->out, escape_into(part, ESCAPE_JSON, room, part.len * ESCAPE_GROWTH));
        text = span_from(text, part.len);
        if (text.len == 0)
            return;
    }
}

/* `before`, the text in quotes, `after`, in one piece: nearly all text needs no escapes. */
static bool put_plain(struct json_writer *writer, const char *before, struct span text, const char *after)
{
    size_t before_len = strlen(before), after_len = strlen(after);
    char *room;

    if (writer->failed || span_plain_run(text) < text.len)
        return false;
    room = buf_reserve(writer->out, before_len + text.len + after_len);
    if (!room)
        return false;
    memcpy(room, before, before_len);
    memcpy(room + before_len, text.data, text.len);
    memcpy(room + before_len + text.len, after, after_len);
    buf_commit(writer->out, before_len + text.len + after_len);
    return true;
}

static void put_quoted(struct json_writer *writer, struct span text)
{
    if (put_plain(writer, "\"", text, "\""))
        return;
    json_raw(writer, "\"");
    put_string(writer, text);
    json_raw(writer, "\"");
}

void json_key(struct json_writer *writer, struct span name)
{
    if (!put_plain(writer, writer->comma ? ",\"" : "\"", name, "\":")) {
        if (writer->comma)
            json_raw(writer, ",");
        put_quoted(writer, name);
        json_raw(writer, ":");
    }
    writer->comma = true;
}

void json_text(struct json_writer *writer, struct span text)
{
    put_quoted(writer, text);
    writer->comma = true;
}

void json_open_object(struct json_writer *writer)
{
    json_raw(writer, "{");
    writer->comma = false;
}

void json_close_object(struct json_writer *writer)
{
    json_raw(writer, "}");
    writer->comma = true;
}

static int append_dump(const char *data, size_t len, void *ctx)
{
    append(ctx, data, len);
    return 0;
}

void json_value(struct json_writer *writer, const json_t *value)
{
    size_t before = buf_len(writer->out);

    if (json_is_string(value)) {
        json_text(writer, span_make(json_string_value(value), json_string_length(value)));
        return;
    }
    /* A string that is not UTF-8 cannot be dumped: better a null than no record. */
    if (json_dump_callback(value, append_dump, writer, JSON_COMPACT | JSON_ENCODE_ANY) < 0) {
        buf_truncate(writer->out, before);
        json_raw(writer, "null");
    }
}

/* ---- members ---- */

/* One of our own names: nothing in it has to be escaped. */
static void own_key(struct json_writer *writer, const char *name)
{
    size_t len = strlen(name);
    char *room = writer->failed ? NULL : buf_reserve(writer->out, len + 4);
    char *end = room;

    if (!room) {
        writer->failed = true;
        return;
    }
    if (writer->comma)
        *end++ = ',';
    *end++ = '"';
    memcpy(end, name, len);
    memcpy(end + len, "\":", 2);
    buf_commit(writer->out, (size_t)(end - room) + len + 2);
    writer->comma = true;
}

void json_member_text(struct json_writer *writer, const char *name, const char *value)
{
    own_key(writer, name);
    json_text(writer, span_of(value ? value : ""));
}

void json_member_text_or_null(struct json_writer *writer, const char *name, const char *value)
{
    own_key(writer, name);
    if (value && *value)
        json_text(writer, span_of(value));
    else
        json_raw(writer, "null");
}

void json_member_number(struct json_writer *writer, const char *name, int64_t value)
{
    char text[32];
    char *end = text + sizeof text;
    char *start = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);

    if (value < 0)
        *--start = '-';
    own_key(writer, name);
    append(writer, start, (size_t)(end - start));
}

/* RFC 3339, microseconds, UTC. */
void json_member_time(struct json_writer *writer, const char *name, int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    char text[] = "0000-00-00T00:00:00.000000Z";

    gmtime_r(&seconds, &parts);
    digits_before(text + 4, (uint64_t)(parts.tm_year + 1900), 4);
    digits_before(text + 7, (uint64_t)(parts.tm_mon + 1), 2);
    digits_before(text + 10, (uint64_t)parts.tm_mday, 2);
    digits_before(text + 13, (uint64_t)parts.tm_hour, 2);
    digits_before(text + 16, (uint64_t)parts.tm_min, 2);
    digits_before(text + 19, (uint64_t)parts.tm_sec, 2);
    digits_before(text + 26, (uint64_t)(wall_us % 1000000), 6);
    json_member_text(writer, name, text);
}

void json_member_flag(struct json_writer *writer, const char *name, bool value)
{
    own_key(writer, name);
    json_raw(writer, value ? "true" : "false");
}
