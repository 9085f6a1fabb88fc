/* SPDX-License-Identifier: Apache-2.0
 *
 * A message's record in the spool: a version byte, then fields of tag, length and bytes
 * (numbers little-endian). A record that says anything we do not understand is damaged: a
 * message must not be delivered on half of what was known about it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "message/message_private.h"

#define VERSION 1
#define USUAL_RECORD_BYTES 1000
#define JSON_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

enum tag {
    TAG_ID = 1,
    TAG_SENDER,
    TAG_RECIPIENT, /* once for each */
    TAG_SMTPUTF8,
    TAG_ATTEMPTS,
    TAG_DUE_MS,
    TAG_BODY_BYTES,
    TAG_SCHEDULE, /* JSON */
    TAG_META,     /* JSON */
};

/* ---- writing ---- */

static void put_le(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static int put_head(struct buf *out, enum tag tag, size_t len)
{
    unsigned char head[5] = {(unsigned char)tag};

    if (len > UINT32_MAX)
        return -1;
    put_le(head + 1, len, 4);
    return buf_append(out, head, sizeof head);
}

static int put_field(struct buf *out, enum tag tag, struct span value)
{
    return put_head(out, tag, value.len) || buf_append_span(out, value) ? -1 : 0;
}

static int put_number(struct buf *out, enum tag tag, uint64_t value)
{
    unsigned char bytes[8];

    put_le(bytes, value, sizeof bytes);
    return put_field(out, tag, span_make((const char *)bytes, sizeof bytes));
}

static int append_json(const char *data, size_t len, void *ctx) { return buf_append(ctx, data, len); }

/* The length is known only afterwards: it is put into the head that was left for it at `before`. */
static int put_length(struct buf *out, size_t before)
{
    size_t len = buf_len(out) - before - 5;

    if (len > UINT32_MAX)
        return -1;
    put_le((unsigned char *)out->data + out->start + before + 1, len, 4);
    return 0;
}

static int put_json(struct buf *out, enum tag tag, const json_t *value)
{
    size_t before = buf_len(out);

    if (put_head(out, tag, 0) || json_dump_callback(value, append_json, out, JSON_COMPACT))
        return -1;
    return put_length(out, before);
}

/* In quotes, with what comes before and after, where nothing has to be escaped. */
static bool put_plain(struct buf *out, const char *before, struct span text, const char *after)
{
    return span_plain_run(text) == text.len && !buf_append_span(out, span_of(before)) && !buf_append_span(out, text) &&
           !buf_append_span(out, span_of(after));
}

static int put_member(struct buf *out, const char *separator, const char *key, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t before = buf_len(out);
    json_t *name;
    int failed;

    if (buf_append_span(out, span_of(separator)))
        return -1;
    if (text && put_plain(out, "\"", span_of(key), "\":") &&
        put_plain(out, "\"", span_make(text, json_string_length(value)), "\""))
        return 0;
    buf_truncate(out, before + strlen(separator));
    name = json_string(key);
    failed = !name || json_dump_callback(name, append_json, out, JSON_ENCODE_ANY) || buf_append(out, ":", 1) ||
             json_dump_callback(value, append_json, out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(name);
    return failed ? -1 : 0;
}

/* Metadata is a handful of short strings, written for each message: jansson's writer, made for any tree, takes
 * four times as long. */
static int put_meta(struct buf *out, json_t *meta)
{
    size_t before = buf_len(out);
    const char *separator = "{";
    const char *key;
    json_t *value;

    if (put_head(out, TAG_META, 0))
        return -1;
    json_object_foreach(meta, key, value)
    {
        if (put_member(out, separator, key, value))
            return -1;
        separator = ",";
    }
    if (*separator == '{' && buf_append(out, "{", 1))
        return -1;
    return buf_append(out, "}", 1) || put_length(out, before) ? -1 : 0;
}

static int put_schedule(struct buf *out, const struct message_schedule *schedule)
{
    json_t *value = message_schedule_to_json(schedule);
    int result = put_json(out, TAG_SCHEDULE, value);

    json_decref(value);
    return result;
}

static int encode(const struct message *message, struct buf *out)
{
    unsigned char version = VERSION;

    if (buf_append(out, &version, 1) || put_field(out, TAG_ID, span_make(message->id, MESSAGE_ID_CHARS)) ||
        put_field(out, TAG_SENDER, span_of(message_sender(message))))
        return -1;
    for (size_t i = 0; i < message->recipient_count; i++)
        if (put_field(out, TAG_RECIPIENT, span_of(message_recipient(message, i))))
            return -1;
    if ((message->smtputf8 && put_field(out, TAG_SMTPUTF8, SPAN_LIT(""))) ||
        put_number(out, TAG_ATTEMPTS, message->attempts) || put_number(out, TAG_DUE_MS, (uint64_t)message->due_ms) ||
        put_number(out, TAG_BODY_BYTES, message->body_bytes))
        return -1;
    if (message->schedule && put_schedule(out, message->schedule))
        return -1;
    return put_meta(out, message->meta);
}

int message_encode(const struct message *message, struct buf *out)
{
    size_t before = buf_len(out);

    MUST(message->meta);
    if (!buf_reserve(out, USUAL_RECORD_BYTES)) /* most need no more */
        return -1;
    if (encode(message, out) == 0)
        return 0;
    buf_truncate(out, before);
    return -1;
}

/* ---- reading ---- */

struct field {
    unsigned char tag;
    struct span value;
};

struct reading {
    struct message *message;
    bool for_waiting; /* of the metadata only what names the queue is wanted */
    bool has_meta;
};

static uint64_t get_le(struct span bytes)
{
    uint64_t value = 0;

    for (size_t i = bytes.len; i > 0; i--)
        value = value << 8 | (unsigned char)bytes.data[i - 1];
    return value;
}

static bool take_field(struct span *rest, struct field *field_out)
{
    size_t len;

    if (rest->len < 5)
        return false;
    len = (size_t)get_le(span_make(rest->data + 1, 4));
    if (len > rest->len - 5)
        return false;
    field_out->tag = (unsigned char)rest->data[0];
    field_out->value = span_make(rest->data + 5, len);
    *rest = span_from(*rest, 5 + len);
    return true;
}

static int read_id(struct message *message, struct span value)
{
    if (value.len != MESSAGE_ID_CHARS || message->id[0])
        return -1;
    for (size_t i = 0; i < value.len; i++)
        if (!((value.data[i] >= '0' && value.data[i] <= '9') || (value.data[i] >= 'a' && value.data[i] <= 'f')))
            return -1;
    memcpy(message->id, value.data, value.len);
    return 0;
}

static int read_schedule(struct message *message, struct span value)
{
    json_t *json = json_loadb(value.data, value.len, JSON_FLAGS, NULL);
    struct message_schedule *schedule = json ? message_schedule_from_json(json, NULL) : NULL;

    json_decref(json);
    if (!schedule)
        return -1;
    message_schedule_free(message->schedule);
    message->schedule = schedule;
    return 0;
}

static int read_meta(struct reading *reading, struct span value)
{
    json_t *meta;

    if (reading->has_meta)
        return -1;
    reading->has_meta = true;
    if (reading->for_waiting && message_keys_read(value, &reading->message->keys))
        return 0;
    meta = json_loadb(value.data, value.len, JSON_FLAGS, NULL);
    if (!json_is_object(meta)) {
        json_decref(meta);
        return -1;
    }
    reading->message->meta = meta;
    return 0;
}

static int read_mailbox(struct span value) { return memchr(value.data, '\0', value.len) ? -1 : 0; }

static int read_field(struct reading *reading, const struct field *field)
{
    struct message *message = reading->message;
    bool is_number = field->value.len == 8;

    switch ((enum tag)field->tag) {
    case TAG_ID:
        return read_id(message, field->value);
    case TAG_SENDER:
        message_set_sender(message, field->value);
        return read_mailbox(field->value);
    case TAG_RECIPIENT:
        message_add_recipient(message, field->value);
        return read_mailbox(field->value);
    case TAG_SMTPUTF8:
        message->smtputf8 = true;
        return field->value.len == 0 ? 0 : -1;
    case TAG_ATTEMPTS:
        message->attempts = (uint32_t)get_le(span_head(field->value, 4));
        return is_number ? 0 : -1;
    case TAG_DUE_MS:
        message->due_ms = (int64_t)get_le(span_head(field->value, 8));
        return is_number ? 0 : -1;
    case TAG_BODY_BYTES:
        message->body_bytes = (size_t)get_le(span_head(field->value, 8));
        return is_number ? 0 : -1;
    case TAG_SCHEDULE:
        return read_schedule(message, field->value);
    case TAG_META:
        return read_meta(reading, field->value);
    }
    return -1;
}

static int decode(struct reading *reading, struct span record, struct error *error)
{
    struct span rest = span_from(record, 1);
    struct field field;

    if (record.len == 0)
        return error_set(error, ERROR_PERM, "message record is empty");
    if (record.data[0] != VERSION)
        return error_set(error, ERROR_PERM, "message record has format %d, this program reads %d",
                         (unsigned char)record.data[0], VERSION);
    while (take_field(&rest, &field))
        if (read_field(reading, &field))
            return error_set(error, ERROR_PERM, "message record has a damaged field %d", field.tag);
    if (rest.len > 0 || !reading->message->id[0] || !reading->has_meta)
        return error_set(error, ERROR_PERM, "message record is not complete");
    return 0;
}

static struct message *make(struct span record, bool for_waiting, struct error *error)
{
    struct reading reading = {.message = message_blank(), .for_waiting = for_waiting};

    if (decode(&reading, record, error)) {
        message_free(reading.message);
        return NULL;
    }
    message_mark_clean(reading.message);
    return reading.message;
}

struct message *message_decode(struct span record, struct error *error) { return make(record, false, error); }

struct message *message_decode_waiting(struct span record, uint64_t spool_ref, struct error *error)
{
    struct message *message = make(record, true, error);

    if (!message)
        return NULL;
    message_set_spool_ref(message, spool_ref);
    message_mark_clean(message);
    message_shrink(message);
    return message;
}

int message_restore(struct message *message, struct span record, struct bytes *body, struct error *error)
{
    struct message *stored = message_decode(record, error);
    int result = 0;

    if (!stored) {
        bytes_unref(&body);
        return -1;
    }
    if (strcmp(stored->id, message->id) != 0) {
        result = error_set(error, ERROR_PERM, "the spool gave message %s for %s", stored->id, message->id);
    } else {
        if (!message->meta) {
            message->meta = json_incref(stored->meta);
            message_keys_put(message->keys, message->meta);
            message_keys_unref(&message->keys);
        }
        if (!message->body && body) {
            message->body = bytes_ref(body);
            message->body_bytes = bytes_span(body).len;
        }
    }
    message_free(stored);
    bytes_unref(&body);
    return result;
}
