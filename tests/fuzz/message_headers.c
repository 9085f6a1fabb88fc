/* SPDX-License-Identifier: Apache-2.0
 *
 * Header sections: fields cover the section exactly, removing a name leaves none of it,
 * what is put before it is continued by none of it, and what conformance fixes is fixed.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "message/address_list.h"
#include "message/conformance.h"
#include "message/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_values(const struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct address_list list;
        struct error error;
        struct buf text;

        buf_init(&text, 1 << 22);
        MUST(header_decode(headers->items[i].value, &text) == 0);
        MUST(span_is_utf8(buf_span(&text)));
        buf_done(&text);
        if (address_list_parse(headers->items[i].value, &list, &error) == 0)
            address_list_done(&list);
    }
}

static void try_remove(struct span text, struct span name)
{
    struct message *message = message_new();
    struct headers headers;
    struct error error;

    message_set_body(message, bytes_copy(text));
    MUST(message_remove_named(message, name, &error) == 0);
    MUST(headers_parse(bytes_span(message_body(message)), &headers, &error) == 0);
    MUST(headers_count(&headers, name) == 0);
    headers_done(&headers);
    message_free(message);
}

static void try_prepend(struct span text)
{
    struct message *message = message_new();
    struct headers headers;
    struct error error;

    message_set_body(message, bytes_copy(text));
    if (message_prepend_header(message, SPAN_LIT("Login"), SPAN_LIT("ann"), false, &error) == 0 &&
        headers_parse(bytes_span(message_body(message)), &headers, &error) == 0) {
        MUST(span_eq(headers.items[0].whole, SPAN_LIT("Login: ann\r\n")));
        headers_done(&headers);
    }
    message_free(message);
}

static void try_fix(struct span text)
{
    struct error error;
    struct buf out;
    unsigned issues;

    buf_init(&out, 1 << 22);
    MUST(conformance_check(text, &issues, &error) == 0);
    if (conformance_fix(text, issues, "id", "host", 0, &out, &error) == 0) {
        MUST(conformance_check(buf_span(&out), &issues, &error) == 0);
        MUST(!(issues & CONFORMANCE_MISSING_DATE_HEADER));
    }
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct headers headers;
    struct error error;
    size_t covered = 0;

    if (headers_parse(text, &headers, &error))
        return 0;
    for (size_t i = 0; i < headers.count; i++)
        covered += headers.items[i].whole.len;
    MUST(covered == headers.block.len && headers.body_at >= covered && headers.body_at <= size);
    try_values(&headers);
    if (headers.count > 0)
        try_remove(text, headers.items[size % headers.count].name);
    headers_done(&headers);
    try_prepend(text);
    try_fix(text);
    return 0;
}
