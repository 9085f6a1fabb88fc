/* SPDX-License-Identifier: Apache-2.0
 *
 * Trace headers. What the client said goes in only as far as it cannot break out of its
 * place.
 */
#include "message/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "log/json_writer.h"
#include "message/headers.h"
#include "message/message_text.h"
#include "message/timestamp.h"

#define JSON_LIMIT_BYTES 65536

const char *trace_protocol(const struct trace_reception *reception, bool smtputf8)
{
    static const char *const plain[4] = {"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"};
    static const char *const utf8[4] = {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"};
    int kind = (reception->is_tls ? 2 : 0) + (reception->is_authenticated ? 1 : 0);

    if (!reception->is_esmtp)
        return "SMTP";
    return smtputf8 ? utf8[kind] : plain[kind];
}

static bool ends_a_word(char c)
{
    switch (c) {
    case '(':
    case ')':
    case '\\':
    case '"':
    case ';':
    case ',':
    case '<':
    case '>':
    case 0x7f:
        return true;
    default:
        return (unsigned char)c <= ' ';
    }
}

/* A word that cannot end a comment, a line or the field: everything else becomes '?'. */
static int append_word(struct buf *out, const char *text)
{
    size_t len = strlen(text);
    char *room = buf_reserve(out, len);

    if (!room)
        return -1;
    for (size_t i = 0; i < len; i++)
        room[i] = ends_a_word(text[i]) ? '?' : text[i];
    buf_commit(out, len);
    return 0;
}

static bool is_set(const char *text) { return text && *text; }

/* The name that a client gives itself is often its address, or its owner's. */
static int append_disguised(const struct trace_reception *reception, struct buf *out)
{
    if (buf_append_text(out, "from unknown"))
        return -1;
    if (!*reception->disguise)
        return 0;
    return buf_append(out, " (", 2) || append_word(out, reception->disguise) || buf_append(out, ")", 1) ? -1 : 0;
}

static int append_from(const struct trace_reception *reception, struct buf *out)
{
    bool is_v6 = reception->peer && strchr(reception->peer, ':');

    if (reception->disguise)
        return append_disguised(reception, out);
    if (buf_append_text(out, "from ") || append_word(out, is_set(reception->helo) ? reception->helo : "unknown"))
        return -1;
    if (!is_set(reception->peer))
        return 0;
    return buf_append_text(out, is_v6 ? " ([IPv6:" : " ([") || append_word(out, reception->peer) ||
                   buf_append(out, "])", 2)
               ? -1
               : 0;
}

static int append_tls(const struct trace_reception *reception, struct buf *out)
{
    if (!reception->is_tls || !is_set(reception->tls_cipher) || !is_set(reception->tls_protocol))
        return 0;
    return buf_append(out, " (", 2) || append_word(out, reception->tls_protocol) || buf_append(out, " ", 1) ||
                   append_word(out, reception->tls_cipher) || buf_append(out, ")", 1)
               ? -1
               : 0;
}

static int append_for(const struct message *message, bool show_recipient, struct buf *out)
{
    if (!show_recipient || message_recipient_count(message) != 1)
        return 0;
    return buf_append_text(out, "\r\n\tfor <") || buf_append_text(out, message_recipient(message, 0)) ||
                   buf_append_text(out, ">")
               ? -1
               : 0;
}

int trace_received(const struct message *message, const struct trace_reception *reception, bool show_recipient,
                   int64_t when_ms, struct buf *out)
{
    char date[TIMESTAMP_RFC5322_BYTES];
    size_t before = buf_len(out);

    timestamp_format_rfc5322(when_ms, date);
    if (buf_append_text(out, "Received: ") || append_from(reception, out) || buf_append_text(out, "\r\n\tby ") ||
        append_word(out, reception->hostname) || buf_append_text(out, " (Gatepost) with ") ||
        buf_append_text(out, trace_protocol(reception, message_is_smtputf8(message))) || append_tls(reception, out) ||
        buf_append_text(out, "\r\n\tid ") || buf_append_text(out, message_id(message)) ||
        append_for(message, show_recipient, out) || buf_append_text(out, ";\r\n\t") || buf_append_text(out, date) ||
        buf_append_text(out, "\r\n")) {
        buf_truncate(out, before);
        return -1;
    }
    return 0;
}

/* ---- the supplemental header ---- */

static void write_recipients(struct json_writer *writer, const struct message *message)
{
    size_t count = message_recipient_count(message);

    json_key(writer, SPAN_LIT("recipient"));
    if (count != 1)
        json_raw(writer, "[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            json_raw(writer, ",");
        json_text(writer, span_of(message_recipient(message, i)));
    }
    if (count != 1)
        json_raw(writer, "]");
}

static int write_supplement(const struct message *message, const char *const *meta_names, size_t meta_count,
                            struct buf *out)
{
    struct json_writer writer = {.out = out};

    json_open_object(&writer);
    json_member_text(&writer, "_@_", "\\_/"); /* the mark such headers are known by */
    write_recipients(&writer, message);
    for (size_t i = 0; i < meta_count; i++) {
        const json_t *value = message_meta_get(message, meta_names[i]);

        if (!value)
            continue;
        json_key(&writer, span_of(meta_names[i]));
        json_value(&writer, value);
    }
    json_close_object(&writer);
    return writer.failed ? -1 : 0;
}

/* In lines of 75 columns: base64 has no blanks of its own to fold at. */
static int append_wrapped(struct span text, size_t column, struct buf *out)
{
    while (text.len > 0) {
        size_t room = column < 60 ? 75 - column : 15;
        struct span piece = span_head(text, room);

        text = span_from(text, piece.len);
        if (buf_append_span(out, piece) || (text.len > 0 && buf_append(out, "\r\n\t", 3)))
            return -1;
        column = 8;
    }
    return 0;
}

int trace_supplemental(const struct message *message, const char *header_name, const char *const *meta_names,
                       size_t meta_count, struct buf *out, struct error *error)
{
    struct buf json;
    struct buf base64;
    size_t before = buf_len(out);
    int failed;

    if (header_check_name(span_of(header_name), error))
        return -1;
    buf_init(&json, JSON_LIMIT_BYTES);
    buf_init(&base64, 2 * JSON_LIMIT_BYTES);
    failed = write_supplement(message, meta_names, meta_count, &json) || base64_encode(buf_span(&json), &base64) ||
             buf_appendf(out, "%s: ", header_name) || append_wrapped(buf_span(&base64), strlen(header_name) + 2, out) ||
             buf_append(out, "\r\n", 2);
    buf_done(&json);
    buf_done(&base64);
    if (!failed)
        return 0;
    buf_truncate(out, before);
    return error_set(error, ERROR_PERM, "metadata for the header %s is too large", header_name);
}

/* ---- the authenticated user ---- */

#define PLAIN_ID_BYTES 200 /* what is longer would be folded, and a fold is a blank */

/* Can it stand for itself, and be read as nothing else? */
static bool is_plain_id(const char *id)
{
    size_t len = 0;

    for (; id[len]; len++)
        if (id[len] <= ' ' || id[len] > '~')
            return false;
    return len > 0 && len <= PLAIN_ID_BYTES && !strstr(id, "=?");
}

int trace_authenticated_id(const char *header_name, const char *id, struct buf *out, struct error *error)
{
    size_t before = buf_len(out);

    if (is_plain_id(id))
        return header_write(span_of(header_name), span_of(id), false, out, error);
    if (header_check_name(span_of(header_name), error) || header_check_value(span_of(id), error))
        return -1;
    if (!buf_appendf(out, "%s: ", header_name) && !header_write_words(span_of(id), strlen(header_name) + 2, out) &&
        !buf_append(out, "\r\n", 2))
        return 0;
    buf_truncate(out, before);
    return error_set(error, ERROR_PERM, "the header %s would grow too large", header_name);
}
