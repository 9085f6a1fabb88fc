/* SPDX-License-Identifier: Apache-2.0
 *
 * A disposition record as one line of JSON, with the field names of KumoMTA's log record
 * page. It is formatted on the thread where it happened, so that the log thread only
 * compresses and writes.
 */
#include "log/record.h"

#include <string.h>
#include <time.h>

#include "base/must.h"
#include "log/log_private.h"

static const char *const type_names[RECORD_TYPE_COUNT] = {
    [RECORD_RECEPTION] = "Reception",
    [RECORD_DELIVERY] = "Delivery",
    [RECORD_BOUNCE] = "Bounce",
    [RECORD_TRANSIENT_FAILURE] = "TransientFailure",
    [RECORD_EXPIRATION] = "Expiration",
    [RECORD_ADMIN_BOUNCE] = "AdminBounce",
    [RECORD_OOB] = "OOB",
    [RECORD_FEEDBACK] = "Feedback",
    [RECORD_REJECTION] = "Rejection",
    [RECORD_ADMIN_REBIND] = "AdminRebind",
    [RECORD_DELAYED] = "Delayed",
};

const char *record_type_name(enum record_type type)
{
    MUST((int)type >= 0 && type < RECORD_TYPE_COUNT);
    return type_names[type];
}

/* ---- writing JSON ---- */

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

    /* A string that is not UTF-8 cannot be dumped: better a null than no record. */
    if (json_dump_callback(value, append_dump, writer, JSON_COMPACT | JSON_ENCODE_ANY) < 0) {
        buf_truncate(writer->out, before);
        json_raw(writer, "null");
    }
}

/* ---- members of a record ---- */

static void member_text(struct json_writer *writer, const char *name, const char *value)
{
    json_key(writer, span_of(name));
    json_text(writer, span_of(value ? value : ""));
}

static void member_text_or_null(struct json_writer *writer, const char *name, const char *value)
{
    json_key(writer, span_of(name));
    if (value && *value)
        json_text(writer, span_of(value));
    else
        json_raw(writer, "null");
}

/* Right-aligned before `end`; a record has a dozen numbers, and printf would be a tenth of its cost. */
static char *digits_before(char *end, uint64_t value, int least)
{
    for (; value > 0 || least > 0; value /= 10, least--)
        *--end = (char)('0' + value % 10);
    return end;
}

static void member_number(struct json_writer *writer, const char *name, int64_t value)
{
    char text[32];
    char *end = text + sizeof text;
    char *start = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);

    if (value < 0)
        *--start = '-';
    json_key(writer, span_of(name));
    append(writer, start, (size_t)(end - start));
}

/* RFC 3339, microseconds, UTC. */
static void member_time(struct json_writer *writer, const char *name, int64_t wall_us)
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
    member_text(writer, name, text);
}

static void write_recipient(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("recipient"));
    if (record->recipient_count == 1) {
        json_text(writer, span_of(record->recipients[0]));
        return;
    }
    if (record->recipient_count == 0) {
        json_text(writer, span_of(""));
        return;
    }
    json_raw(writer, "[");
    for (size_t i = 0; i < record->recipient_count; i++) {
        if (i > 0)
            json_raw(writer, ",");
        json_text(writer, span_of(record->recipients[i]));
    }
    json_raw(writer, "]");
}

static void write_response(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("response"));
    json_open_object(writer);
    member_number(writer, "code", record->response_code);
    json_key(writer, SPAN_LIT("enhanced_code"));
    if (record->response_enhanced[0] == 0) {
        json_raw(writer, "null");
    } else {
        json_open_object(writer);
        member_number(writer, "class", record->response_enhanced[0]);
        member_number(writer, "subject", record->response_enhanced[1]);
        member_number(writer, "detail", record->response_enhanced[2]);
        json_close_object(writer);
    }
    member_text(writer, "content", record->response_content);
    member_text_or_null(writer, "command", record->response_command);
    json_close_object(writer);
}

static void write_peer(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("peer_address"));
    if (!record->peer_name && !record->peer_addr) {
        json_raw(writer, "null");
        return;
    }
    json_open_object(writer);
    member_text(writer, "name", record->peer_name);
    member_text(writer, "addr", record->peer_addr);
    json_close_object(writer);
}

static void write_source_address(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("source_address"));
    if (!record->source_address || !*record->source_address) {
        json_raw(writer, "null");
        return;
    }
    json_open_object(writer);
    member_text(writer, "address", record->source_address);
    member_text_or_null(writer, "protocol", NULL);
    member_text_or_null(writer, "server", NULL);
    json_close_object(writer);
}

static void write_times(struct json_writer *writer, const struct record *record, int64_t now_us)
{
    int64_t created_us = record->created_ms ? record->created_ms * 1000 : now_us;

    member_number(writer, "timestamp", now_us / 1000000);
    member_time(writer, "event_time", now_us);
    member_number(writer, "created", created_us / 1000000);
    member_time(writer, "created_time", created_us);
}

static void write_tls(struct json_writer *writer, const struct record *record)
{
    member_text_or_null(writer, "tls_cipher", record->tls_cipher);
    member_text_or_null(writer, "tls_protocol_version", record->tls_protocol_version);
    json_key(writer, SPAN_LIT("tls_peer_subject_name"));
    if (record->tls_peer_subject_name && *record->tls_peer_subject_name) {
        json_raw(writer, "[");
        json_text(writer, span_of(record->tls_peer_subject_name));
        json_raw(writer, "]");
    } else {
        json_raw(writer, "null");
    }
}

int record_format(const struct record *record, const struct log_fields *fields, const char *node_id, int64_t now_us,
                  struct buf *out)
{
    struct json_writer writer = {.out = out};

    json_open_object(&writer);
    member_text(&writer, "type", record_type_name(record->type));
    member_text(&writer, "id", record->id);
    member_text(&writer, "sender", record->sender);
    write_recipient(&writer, record);
    member_text(&writer, "queue", record->queue);
    member_text(&writer, "site", record->site);
    member_number(&writer, "size", (int64_t)record->size);
    write_response(&writer, record);
    write_peer(&writer, record);
    write_times(&writer, record, now_us);
    member_number(&writer, "num_attempts", record->num_attempts);
    member_text(&writer, "bounce_classification",
                record->bounce_classification ? record->bounce_classification : "Uncategorized");
    member_text_or_null(&writer, "egress_pool", record->egress_pool);
    member_text_or_null(&writer, "egress_source", record->egress_source);
    write_source_address(&writer, record);
    member_text_or_null(&writer, "feedback_report", NULL);
    fields_write_meta(&writer, record->meta, fields->meta);
    fields_write_headers(&writer, record->header_block, fields->headers);
    member_text_or_null(&writer, "delivery_protocol", record->delivery_protocol);
    member_text_or_null(&writer, "reception_protocol", record->reception_protocol);
    member_text(&writer, "nodeid", node_id);
    write_tls(&writer, record);
    member_text_or_null(&writer, "provider_name", record->provider_name);
    member_text_or_null(&writer, "session_id", record->session_id);
    json_raw(&writer, "}\n");
    return writer.failed ? -1 : 0;
}
