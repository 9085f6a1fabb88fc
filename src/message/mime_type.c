/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading what a MIME part says of itself.
 */
#include "message/mime_type.h"

#include <stdio.h>

/* "name=value" or name="value" at the front of `*rest`, behind its ';'. The value goes to
 * `value`, cut where it does not fit. False at the end or where it cannot be read. */
static bool take_parameter(struct span *rest, struct span *name_out, char *value, size_t value_bytes)
{
    size_t equals = span_find(*rest, '=');
    size_t len = 0;
    bool quoted;

    if (equals == rest->len)
        return false;
    *name_out = span_trim(span_head(*rest, equals));
    *rest = span_trim(span_from(*rest, equals + 1));
    quoted = rest->len > 0 && rest->data[0] == '"';
    if (quoted)
        *rest = span_from(*rest, 1);
    while (rest->len > 0 && rest->data[0] != (quoted ? '"' : ';')) {
        if (quoted && rest->data[0] == '\\' && rest->len > 1)
            *rest = span_from(*rest, 1);
        if (len + 1 < value_bytes)
            value[len++] = rest->data[0];
        *rest = span_from(*rest, 1);
    }
    value[len] = '\0';
    if (quoted && rest->len == 0)
        return false;
    *rest = span_from(*rest, span_find(*rest, ';') + 1);
    return true;
}

static void read_parameters(struct span rest, struct mime_type *type)
{
    char value[72];
    struct span name;

    rest = span_trim(rest);
    while (rest.len > 0) {
        if (!take_parameter(&rest, &name, value, sizeof value)) {
            type->is_broken = true;
            return;
        }
        if (span_ieq(name, SPAN_LIT("boundary")))
            snprintf(type->boundary, sizeof type->boundary, "%s", value);
        if (span_ieq(name, SPAN_LIT("charset"))) {
            struct span charset = span_trim(span_of(value));

            type->has_charset = !span_ieq(charset, SPAN_LIT("us-ascii"));
            type->is_latin1 = span_ieq(charset, SPAN_LIT("iso-8859-1"));
        }
        rest = span_trim(rest);
    }
}

static void read_content_type(struct span value, struct mime_type *type)
{
    size_t semicolon = span_find(value, ';');
    struct span media = span_trim(span_head(value, semicolon));
    size_t slash = span_find(media, '/');

    if (slash == 0 || slash + 1 >= media.len || media.len >= sizeof type->type || !span_is_ascii(media)) {
        type->is_broken = true;
        return;
    }
    snprintf(type->type, sizeof type->type, "%.*s", SPAN_ARG(media));
    read_parameters(span_from(value, semicolon + 1), type);
    type->is_text = span_istarts_with(media, SPAN_LIT("text/"));
    type->is_message = span_ieq(media, SPAN_LIT("message/rfc822"));
    type->is_multipart = span_istarts_with(media, SPAN_LIT("multipart/")) && type->boundary[0];
}

static enum mime_encoding read_encoding(struct span value)
{
    value = span_trim(value);
    if (span_ieq(value, SPAN_LIT("7bit")) || span_ieq(value, SPAN_LIT("8bit")) || span_ieq(value, SPAN_LIT("binary")))
        return MIME_IDENTITY;
    if (span_ieq(value, SPAN_LIT("quoted-printable")))
        return MIME_QUOTED_PRINTABLE;
    return span_ieq(value, SPAN_LIT("base64")) ? MIME_BASE64 : MIME_UNKNOWN;
}

void mime_type_read(const struct headers *headers, struct mime_type *type_out)
{
    const struct header *content = headers_find(headers, SPAN_LIT("Content-Type"), NULL);
    const struct header *encoding = headers_find(headers, SPAN_LIT("Content-Transfer-Encoding"), NULL);
    struct mime_type type = {.is_text = true};
    struct buf flat;

    snprintf(type.type, sizeof type.type, "text/plain");
    buf_init(&flat, HEADER_TEXT_LIMIT);
    if (content && header_unfold(content->value, &flat) == 0)
        read_content_type(buf_span(&flat), &type);
    buf_done(&flat);
    if (encoding)
        type.encoding = read_encoding(encoding->value);
    *type_out = type;
}
