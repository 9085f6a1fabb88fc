/* SPDX-License-Identifier: Apache-2.0
 *
 * Trace headers that show less of a client than there is to show, and the one with who logged in: whatever the name
 * is, the header has it and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "message/headers.h"
#include "message/trace.h"

static void assert_received_from(const char *disguise, const char *expected)
{
    struct trace_reception reception = {.helo = "client.example",
                                        .peer = "192.0.2.7",
                                        .hostname = "mx.example",
                                        .is_esmtp = true,
                                        .disguise = disguise};
    struct message *message = message_new();
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(trace_received(message, &reception, false, 0, &out), 0);
    assert_memory_equal(buf_cstr(&out), expected, strlen(expected));
    buf_done(&out);
    message_free(message);
}

static void a_client_can_be_disguised(void **state)
{
    (void)state;
    assert_received_from(NULL, "Received: from client.example ([192.0.2.7])\r\n\tby mx.example ");
    assert_received_from("", "Received: from unknown\r\n\tby mx.example ");
    assert_received_from("2001:db8::/48", "Received: from unknown (2001:db8::/48)\r\n\tby mx.example ");
    assert_received_from("a) x\r\ny", "Received: from unknown (a??x??y)\r\n\tby mx.example ");
}

static void a_plain_name_stands_for_itself(void **state)
{
    static const char *const names[] = {"scott", "scott@tiger.example", "a+b.c-d_e", "\"a\"", "x;y,z:(", "="};
    char expected[256];
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error error;

        buf_clear(&out);
        assert_int_equal(trace_authenticated_id("X-Id", names[i], &out, &error), 0);
        snprintf(expected, sizeof expected, "X-Id: %s\r\n", names[i]);
        assert_string_equal(buf_cstr(&out), expected);
    }
    buf_done(&out);
}

/* Through the line of text that it becomes, and back. */
static void assert_survives(const char *name)
{
    struct headers headers;
    struct buf out, value;
    struct error error;

    buf_init(&out, 65536);
    buf_init(&value, 65536);
    if (trace_authenticated_id("X-Id", name, &out, &error))
        fail_msg("'%s': %s", name, error.sentence);
    assert_true(span_is_ascii(buf_span(&out)));
    assert_int_equal(headers_parse(buf_span(&out), &headers, &error), 0);
    assert_int_equal(headers.count, 1);
    assert_int_equal(header_decode(headers.items[0].value, &value), 0);
    assert_string_equal(buf_cstr(&value), name);
    headers_done(&headers);
    buf_done(&value);
    buf_done(&out);
}

static void any_name_is_read_as_itself(void **state)
{
    char long_name[1025];

    (void)state;
    assert_survives("scott");
    assert_survives("=?utf-8?q?admin?=");
    assert_survives("=?utf-8?b?YWRtaW4=?= =?utf-8?b?YWRtaW4=?=");
    assert_survives(" admin ");
    assert_survives("a  b");
    assert_survives("j\xc3\xbcrgen");
    assert_survives("\xe2\x80\xae"
                    "admin");
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_survives(long_name);
    memset(long_name, ' ', 500);
    assert_survives(long_name);
}

static void what_would_be_two_lines_is_refused(void **state)
{
    struct error error;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(trace_authenticated_id("X-Id", "a\r\nX-Id: admin", &out, &error), -1);
    assert_int_equal(trace_authenticated_id("X Id", "a", &out, &error), -1);
    assert_int_equal(buf_len(&out), 0);
    buf_done(&out);
    buf_init(&out, 10);
    assert_int_equal(trace_authenticated_id("X-Id", "a name too long for it", &out, &error), -1);
    assert_int_equal(buf_len(&out), 0);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_can_be_disguised),
        cmocka_unit_test(a_plain_name_stands_for_itself),
        cmocka_unit_test(any_name_is_read_as_itself),
        cmocka_unit_test(what_would_be_two_lines_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
