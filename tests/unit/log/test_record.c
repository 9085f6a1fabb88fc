/* SPDX-License-Identifier: Apache-2.0
 *
 * The members of a record: names, types, empty forms, and that hostile bytes leave it JSON.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "log/log_private.h"

#define NODE "6f1b6b0e-0000-4000-8000-000000000001"

static char *const no_names[] = {NULL};

static json_t *format(const struct record *record, char *const *headers, char *const *meta)
{
    struct log_fields fields = {headers, meta};
    struct buf out;
    json_error_t why;
    json_t *object;

    buf_init(&out, 1 << 20);
    assert_int_equal(record_format(record, &fields, NODE, INT64_C(1700000000123456), &out), 0);
    assert_int_equal(span_find(buf_span(&out), '\n'), buf_len(&out) - 1);
    object = json_loadb(buf_span(&out).data, buf_len(&out), JSON_REJECT_DUPLICATES, &why);
    if (!object)
        fail_msg("%s: %s", why.text, buf_cstr(&out));
    buf_done(&out);
    return object;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    if (!value)
        fail_msg("%s is no string", key);
    return value;
}

static void a_full_record(void **state)
{
    const char *recipient = "user@recipient.example";
    struct record record = {
        .type = RECORD_TRANSIENT_FAILURE,
        .id = "0123456789abcdef0123456789abcdef",
        .sender = "user@sender.example",
        .recipients = &recipient,
        .recipient_count = 1,
        .queue = "campaign:tenant@recipient.example",
        .site = "source2->mx.recipient.example",
        .size = 1047,
        .response_code = 451,
        .response_enhanced = {4, 7, 1},
        .response_content = "try later",
        .response_command = "MAIL FROM:<user@sender.example>",
        .peer_name = "mx.recipient.example",
        .peer_addr = "192.0.2.1",
        .created_ms = INT64_C(1699999990500),
        .num_attempts = 3,
        .egress_pool = "pool0",
        .egress_source = "source2",
        .source_address = "192.0.2.9:4242",
        .delivery_protocol = "ESMTP",
        .reception_protocol = "ESMTP",
        .provider_name = "provider",
        .tls_cipher = "TLS_AES_256_GCM_SHA384",
        .tls_protocol_version = "TLSv1.3",
        .tls_peer_subject_name = "CN=mx.recipient.example",
        .session_id = "a2b1c0de-0000-4000-8000-00000000000a",
    };
    json_t *object = format(&record, no_names, no_names), *part;

    (void)state;
    assert_string_equal(text(object, "type"), "TransientFailure");
    assert_string_equal(text(object, "id"), record.id);
    assert_string_equal(text(object, "sender"), "user@sender.example");
    assert_string_equal(text(object, "recipient"), recipient);
    assert_string_equal(text(object, "queue"), record.queue);
    assert_string_equal(text(object, "site"), record.site);
    assert_int_equal(json_integer_value(json_object_get(object, "size")), 1047);
    part = json_object_get(object, "response");
    assert_int_equal(json_integer_value(json_object_get(part, "code")), 451);
    assert_string_equal(text(part, "content"), "try later");
    assert_string_equal(text(part, "command"), record.response_command);
    part = json_object_get(part, "enhanced_code");
    assert_int_equal(json_integer_value(json_object_get(part, "class")), 4);
    assert_int_equal(json_integer_value(json_object_get(part, "subject")), 7);
    assert_int_equal(json_integer_value(json_object_get(part, "detail")), 1);
    part = json_object_get(object, "peer_address");
    assert_string_equal(text(part, "name"), "mx.recipient.example");
    assert_string_equal(text(part, "addr"), "192.0.2.1");
    assert_int_equal(json_integer_value(json_object_get(object, "timestamp")), 1700000000);
    assert_string_equal(text(object, "event_time"), "2023-11-14T22:13:20.123456Z");
    assert_int_equal(json_integer_value(json_object_get(object, "created")), 1699999990);
    assert_string_equal(text(object, "created_time"), "2023-11-14T22:13:10.500000Z");
    assert_int_equal(json_integer_value(json_object_get(object, "num_attempts")), 3);
    assert_string_equal(text(object, "bounce_classification"), "Uncategorized");
    assert_string_equal(text(object, "egress_pool"), "pool0");
    assert_string_equal(text(object, "egress_source"), "source2");
    assert_string_equal(text(json_object_get(object, "source_address"), "address"), "192.0.2.9:4242");
    assert_true(json_is_null(json_object_get(object, "feedback_report")));
    assert_string_equal(text(object, "delivery_protocol"), "ESMTP");
    assert_string_equal(text(object, "reception_protocol"), "ESMTP");
    assert_string_equal(text(object, "nodeid"), NODE);
    assert_string_equal(text(object, "tls_cipher"), "TLS_AES_256_GCM_SHA384");
    assert_string_equal(text(object, "tls_protocol_version"), "TLSv1.3");
    assert_string_equal(json_string_value(json_array_get(json_object_get(object, "tls_peer_subject_name"), 0)),
                        "CN=mx.recipient.example");
    assert_string_equal(text(object, "provider_name"), "provider");
    assert_string_equal(text(object, "session_id"), record.session_id);
    json_decref(object);
}

static void empty_forms(void **state)
{
    static const char *const nulls[] = {"peer_address",   "egress_pool",       "egress_source",
                                        "source_address", "delivery_protocol", "reception_protocol",
                                        "tls_cipher",     "session_id",        "tls_peer_subject_name"};
    static const char *const texts[] = {"id", "sender", "recipient", "queue", "site"};
    struct record record = {.type = RECORD_REJECTION, .response_code = 550};
    json_t *object = format(&record, no_names, no_names);

    (void)state;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        assert_true(json_is_null(json_object_get(object, nulls[i])));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(text(object, texts[i]), "");
    assert_true(json_is_null(json_object_get(json_object_get(object, "response"), "enhanced_code")));
    assert_true(json_is_null(json_object_get(json_object_get(object, "response"), "command")));
    assert_int_equal(json_object_size(json_object_get(object, "meta")), 0);
    assert_int_equal(json_object_size(json_object_get(object, "headers")), 0);
    json_decref(object);
}

static void several_recipients_are_a_list(void **state)
{
    const char *recipients[] = {"a@x.example", "b@x.example"};
    struct record record = {.type = RECORD_RECEPTION, .recipients = recipients, .recipient_count = 2};
    json_t *object = format(&record, no_names, no_names);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(object, "recipient")), 2);
    json_decref(object);
}

static void hostile_bytes_stay_inside(void **state)
{
    char sender[256], content[9001];
    struct record record = {
        .type = RECORD_REJECTION, .sender = sender, .response_content = content, .peer_name = "\",\"x\":\"\n"};
    json_t *object;

    (void)state;
    for (size_t i = 0; i < 255; i++)
        sender[i] = (char)(i + 1);
    sender[255] = '\0';
    for (size_t i = 0; i + 1 < sizeof content; i++)
        content[i] = "\xe2\x82\xac"[i % 3]; /* the euro sign, over every place a piece may end at */
    content[sizeof content - 1] = '\0';
    object = format(&record, no_names, no_names);
    assert_null(json_object_get(object, "x"));
    assert_non_null(strstr(text(object, "sender"), "\\xff"));
    assert_null(strstr(text(json_object_get(object, "response"), "content"), "\\x"));
    json_decref(object);
}

static void selected_meta_and_headers(void **state)
{
    char *headers[] = {"subject", "X-*", "received", NULL};
    char *meta[] = {"tenant", "my_*", NULL};
    struct record record = {
        .type = RECORD_RECEPTION,
        .header_block = SPAN_LIT("Received: from a\r\n\tby b\r\nRECEIVED: from c\r\nSubject: =?utf-8?q?x?=\r\n more\r\n"
                                 "x-Trace:1\r\nFrom: <a@b>\r\n\r\nX-Body: no"),
        .meta =
            json_pack("{s:s, s:{s:i}, s:s, s:s}", "tenant", "acme", "my_data", "n", 1, "Tenant", "no", "other", "no"),
    };
    json_t *object = format(&record, headers, meta), *part = json_object_get(object, "meta");

    (void)state;
    assert_int_equal(json_object_size(part), 2);
    assert_string_equal(text(part, "tenant"), "acme");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(part, "my_data"), "n")), 1);
    part = json_object_get(object, "headers");
    assert_int_equal(json_object_size(part), 3);
    assert_string_equal(text(part, "Subject"), "=?utf-8?q?x?= more");
    assert_string_equal(text(part, "x-Trace"), "1");
    assert_int_equal(json_array_size(json_object_get(part, "Received")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(part, "Received"), 0)), "from a\tby b");
    json_decref(object);
    json_decref(record.meta);
}

static void a_record_has_a_ceiling(void **state)
{
    static char long_text[4000];
    struct record record = {.type = RECORD_RECEPTION, .sender = long_text};
    struct log_fields fields = {no_names, no_names};
    struct buf out;

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    buf_init(&out, 2048);
    assert_int_equal(record_format(&record, &fields, NODE, 0, &out), -1);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_record),
        cmocka_unit_test(empty_forms),
        cmocka_unit_test(several_recipients_are_a_list),
        cmocka_unit_test(hostile_bytes_stay_inside),
        cmocka_unit_test(selected_meta_and_headers),
        cmocka_unit_test(a_record_has_a_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
