/* SPDX-License-Identifier: Apache-2.0
 *
 * Header sections: splitting, finding, decoding, editing, address lists, conformance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "message/address_list.h"
#include "message/conformance.h"
#include "message/edit.h"
#include "message/headers.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void fields_are_found_in_every_spelling(void **state)
{
    static const struct {
        struct span text;
        size_t count;  /* fields */
        size_t wanted; /* named X-Tenant */
        size_t body_at;
    } cases[] = {
#define CASE(text, count, wanted, body_at) {{text, sizeof text - 1}, count, wanted, body_at}
        CASE("X-Tenant: a\r\n\r\nbody", 1, 1, 15),
        CASE("x-tenant:a\r\nX-TENANT : b\r\nX-Tenant\t:c\r\n\r\n", 3, 3, 41),
        CASE("A: b\rX-Tenant: c\r\n\r\n", 2, 1, 20),
        CASE("A: b\nX-Tenant: c\n\nbody", 2, 1, 18),
        CASE("A: b\r\n X-Tenant: c\r\n\tX-Tenant: d\r\n\r\n", 1, 0, 36),
        CASE("X-Tenant\r\nA: b\r\n\r\n", 2, 1, 18),
        CASE("X-Tenant\r\n : a\r\n\r\n", 1, 1, 18),
        CASE("\r\nX-Tenant: in the body", 0, 0, 2),
        CASE("", 0, 0, 0),
        CASE("X-Tenant: a", 1, 1, 11),
        CASE("X-Tenant: a\r\r\nX-Tenant: b\r\n\r\n", 1, 1, 14),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct headers headers;
        struct error error;

        assert_int_equal(headers_parse(cases[i].text, &headers, &error), 0);
        if (headers.count != cases[i].count || headers.body_at != cases[i].body_at)
            fail_msg("case %zu: %zu fields, body at %zu", i, headers.count, headers.body_at);
        assert_int_equal(headers_count(&headers, SPAN_LIT("X-Tenant")), cases[i].wanted);
        headers_done(&headers);
    }
}

static void names_are_known_however_they_are_written(void **state)
{
    static const struct {
        struct span text;
        bool is_it;
    } cases[] = {
#define CASE(text, is_it) {{text, sizeof text - 1}, is_it}
        CASE("X-Tenant: a\r\n", true),
        CASE("x-TENANT \t: a\r\n", true),
        CASE(" X-Tenant: a\r\n", true), /* the first line of all, which cannot be a fold */
        CASE("X-Ten\x01"
             "ant: a\r\n",
             true),
        CASE("X-Tenant\xC2\xA0: a\r\n", true),
        CASE("\xEF\xBB\xBFX-Tenant: a\r\n", true),
        CASE("X-Ten\r\n ant: a\r\n", true),
        CASE("X-Tenant\r\n : a\r\n", true),
        CASE("X-Tenan: t\r\n", false),
        CASE("X-Tenants: a\r\n", false),
        CASE("X_Tenant: a\r\n", false),
        CASE("A: X-Tenant: a\r\n", false),
        CASE("\xC2\xA0: a\r\n", false),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct message *message = message_new();
        struct headers headers;
        struct error error;

        assert_int_equal(headers_parse(cases[i].text, &headers, &error), 0);
        assert_int_equal(headers.count, 1);
        if (header_is_named(&headers.items[0], SPAN_LIT("X-Tenant")) != cases[i].is_it)
            fail_msg("case %zu", i);
        headers_done(&headers);
        message_set_body(message, bytes_copy(cases[i].text));
        assert_int_equal(message_remove_named(message, SPAN_LIT("X-Tenant"), &error), 0);
        assert_int_equal(message_body_bytes(message) == 0, cases[i].is_it);
        message_free(message);
    }
}

static void too_many_fields_are_refused(void **state)
{
    struct headers headers;
    struct error error;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i <= HEADERS_LIMIT; i++)
        assert_int_equal(buf_append(&text, "a:\r\n", 4), 0);
    assert_int_equal(headers_parse(buf_span(&text), &headers, &error), -1);
    buf_done(&text);
}

static void values_are_unfolded_and_decoded(void **state)
{
    static const struct {
        const char *value, *text;
    } cases[] = {
        {" plain", "plain"},
        {" a\r\n b\r\n\tc ", "a b\tc"},
        {"=?utf-8?Q?J=C3=BCrgen_M?=", "J\xc3\xbcrgen M"},
        {"=?UTF-8?b?w7w=?= =?utf-8?q?x?=", "\xc3\xbcx"},
        {"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"},
        {"x =?iso-8859-1*de?Q?=FC?= y", "x \xc3\xbc y"},
        {"=?koi8-r?Q?=FC?=", "=?koi8-r?Q?=FC?="},
        {"=?utf-8?Q?=F?=", "=?utf-8?Q?=F?="},
        {"=?utf-8?X?a?=", "=?utf-8?X?a?="},
        {"=?utf-8?Q?a", "=?utf-8?Q?a"},
        {"=?utf-8?Q?=ff?=", "\xef\xbf\xbd"},
        {"\xff x", "\xef\xbf\xbd x"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out;

        buf_init(&out, 1000);
        assert_int_equal(header_decode(span_of(cases[i].value), &out), 0);
        assert_string_equal(buf_cstr(&out), cases[i].text);
        buf_done(&out);
    }
}

static void a_header_that_would_break_out_is_refused(void **state)
{
    static const struct {
        struct span name, value;
    } cases[] = {
        {{"X", 1}, {"a\r\nY: b", 7}}, {{"X", 1}, {"a\nY", 3}}, {{"X", 1}, {"a\rY", 3}}, {{"X", 1}, {"a\0b", 3}},
        {{"X:", 2}, {"a", 1}},        {{"X Y", 3}, {"a", 1}},  {{"", 0}, {"a", 1}},     {{"X\n", 2}, {"a", 1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error;
        struct buf out;

        buf_init(&out, 1000);
        assert_int_equal(header_write(cases[i].name, cases[i].value, i % 2, &out, &error), -1);
        assert_int_equal(buf_len(&out), 0);
        buf_done(&out);
    }
}

static void encoded_values_are_folded_and_come_back(void **state)
{
    static const char words[] = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
                                "fifteen sixteen seventeen eighteen nineteen twenty";
    static const char umlauts[] = "\xc3\xbc\xc3\xb6\xc3\xa4 und so weiter \xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                                  "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc";
    const char *texts[] = {words, umlauts};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct headers headers;
        struct error error;
        struct span rest;
        struct span line;
        struct buf out;
        struct buf back;

        buf_init(&out, 4000);
        buf_init(&back, 4000);
        assert_int_equal(header_write(SPAN_LIT("Subject"), span_of(texts[i]), true, &out, &error), 0);
        assert_true(span_is_ascii(buf_span(&out)));
        rest = buf_span(&out);
        while (span_split(&rest, '\n', &line))
            assert_true(line.len <= 78);
        assert_int_equal(headers_parse(buf_span(&out), &headers, &error), 0);
        assert_int_equal(headers.count, 1);
        assert_int_equal(header_decode(headers.items[0].value, &back), 0);
        for (char *c = back.data; c < back.data + back.end; c++)
            *c = *c == '\t' ? ' ' : *c;
        assert_string_equal(buf_cstr(&back), texts[i]);
        headers_done(&headers);
        buf_done(&out);
        buf_done(&back);
    }
}

static void edits(void **state)
{
    struct message *message = message_new();
    struct error error;

    (void)state;
    message_set_body(message, bytes_copy(SPAN_LIT("A: 1\r\nX-a : 2\r\nx-A:\r\n 3\r\n\r\nbody\r\n")));
    assert_int_equal(message_prepend_header(message, SPAN_LIT("P"), SPAN_LIT("0"), false, &error), 0);
    assert_int_equal(message_append_header(message, SPAN_LIT("Q"), SPAN_LIT("9"), false, &error), 0);
    assert_int_equal(message_remove_named(message, SPAN_LIT("X-A"), &error), 0);
    assert_true(span_eq(bytes_span(message_body(message)), SPAN_LIT("P: 0\r\nA: 1\r\nQ: 9\r\n\r\nbody\r\n")));
    message_set_body(message, bytes_copy(SPAN_LIT("A: 1")));
    assert_int_equal(message_append_header(message, SPAN_LIT("Q"), SPAN_LIT("9"), false, &error), 0);
    assert_true(span_eq(bytes_span(message_body(message)), SPAN_LIT("A: 1\r\nQ: 9\r\n\r\n")));
    /* a removal must not join a bare CR with the LF of the empty line */
    message_set_body(message, bytes_copy(SPAN_LIT("A: 1\rB: 2\n\nC: body\r\n")));
    assert_int_equal(message_remove_named(message, SPAN_LIT("B"), &error), 0);
    assert_true(span_eq(bytes_span(message_body(message)), SPAN_LIT("A: 1\r\n\nC: body\r\n")));
    /* what is appended ends in an empty line for everybody */
    message_set_body(message, bytes_copy(SPAN_LIT("A: 1\r\n\r\tbody\r\n")));
    assert_int_equal(message_append_header(message, SPAN_LIT("Q"), SPAN_LIT("9"), false, &error), 0);
    assert_true(span_eq(bytes_span(message_body(message)), SPAN_LIT("A: 1\r\nQ: 9\r\n\r\n\tbody\r\n")));
    message_set_body(message, NULL);
    assert_int_equal(message_append_header(message, SPAN_LIT("Q"), SPAN_LIT("9"), false, &error), -1);
    message_free(message);
}

static void nothing_is_put_before_a_folded_line(void **state)
{
    static const struct {
        struct span text;
        bool is_folded;
    } cases[] = {
#define CASE(text, is_folded) {{text, sizeof text - 1}, is_folded}
        CASE(" a", true),       CASE("\ta", true),    CASE(" \r\nA: b", true), CASE("\r\ta", true),
        CASE("\0\x7f a", true), CASE("\v\f\t", true), CASE(" ", true),         CASE("\r\r a", true),
        CASE("", false),        CASE("A: b", false),  CASE("\r\n a", false),   CASE("\n a", false),
        CASE("\0A: b", false),  CASE("\0", false),    CASE("A\r\n a", false),  CASE("\r\r\n a", false),
#undef CASE
    };
    struct message *message = message_new();
    unsigned flags = CONFORMANCE_MISSING_DATE_HEADER;
    struct error error;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int expected = cases[i].is_folded ? -1 : 0;
        struct buf out;

        if (headers_begin_folded(cases[i].text) != cases[i].is_folded)
            fail_msg("case %zu", i);
        message_set_body(message, bytes_copy(cases[i].text));
        assert_int_equal(message_prepend_header(message, SPAN_LIT("P"), SPAN_LIT("0"), false, &error), expected);
        assert_int_equal(message_body_bytes(message), cases[i].text.len + (expected ? 0 : 6));
        buf_init(&out, 1000);
        assert_int_equal(conformance_fix(cases[i].text, flags, "id", "host", 0, &out, &error), expected);
        buf_done(&out);
    }
    message_free(message);
}

static void address_lists(void **state)
{
    static const struct {
        const char *value;
        int count;                                 /* -1: refused */
        const char *name, *local, *domain, *email; /* of the first */
    } cases[] = {
        {"a@b.c", 1, NULL, "a", "b.c", "a@b.c"},
        {" Some One <a@b.c>", 1, "Some One", "a", "b.c", "a@b.c"},
        {"\"One, Some\" <a@b>, c@d", 2, "One, Some", "a", "b", "a@b"},
        {"=?utf-8?Q?J=C3=BC?= <a@b>", 1, "J\xc3\xbc", "a", "b", "a@b"},
        {"(x (y)) a@b (z)", 1, NULL, "a", "b", "a@b"},
        {"\"a b\"@c", 1, NULL, "a b", "c", "\"a b\"@c"},
        {"\"ab\"@c", 1, NULL, "ab", "c", "ab@c"},
        {"<@r,@s:a@[192.0.2.1]>", 1, NULL, "a", "[192.0.2.1]", "a@[192.0.2.1]"},
        {"group: a@b, c@d; , e@f", 3, NULL, "a", "b", "a@b"},
        {"undisclosed-recipients:;", 0, NULL, NULL, NULL, NULL},
        {",, a@b ,", 1, NULL, "a", "b", "a@b"},
        {"a@b\r\n\t, c@d", 2, NULL, "a", "b", "a@b"},
        {"", 0, NULL, NULL, NULL, NULL},
        {"a", -1, NULL, NULL, NULL, NULL},
        {"a b@c", -1, NULL, NULL, NULL, NULL},
        {"a@b c@d", -1, NULL, NULL, NULL, NULL},
        {"a@", -1, NULL, NULL, NULL, NULL},
        {"<a@b", -1, NULL, NULL, NULL, NULL},
        {"\"a", -1, NULL, NULL, NULL, NULL},
        {"(a", -1, NULL, NULL, NULL, NULL},
        {"g: a@b", -1, NULL, NULL, NULL, NULL},
        {"g: h: a@b;;", -1, NULL, NULL, NULL, NULL},
        {"<>", -1, NULL, NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct address_list list;
        struct error error;
        int result = address_list_parse(span_of(cases[i].value), &list, &error);

        if ((result == 0) != (cases[i].count >= 0))
            fail_msg("%s", cases[i].value);
        if (result)
            continue;
        assert_int_equal(list.count, cases[i].count);
        if (list.count > 0) {
            if (cases[i].name)
                assert_string_equal(list.items[0].name, cases[i].name);
            else
                assert_null(list.items[0].name);
            assert_string_equal(list.items[0].local, cases[i].local);
            assert_string_equal(list.items[0].domain, cases[i].domain);
            assert_string_equal(list.items[0].email, cases[i].email);
        }
        address_list_done(&list);
    }
}

#define LONG80 "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
#define GOOD "Date: x\r\nMessage-ID: <x@y>\r\nMIME-Version: 1.0\r\n"

static void conformance(void **state)
{
    static const struct {
        const char *text, *issues;
    } cases[] = {
        {GOOD "\r\nbody\r\n", ""},
        {"\r\nbody\r\n", "MISSING_DATE_HEADER|MISSING_MESSAGE_ID_HEADER|MISSING_MIME_VERSION"},
        {GOOD "Subject\r\n\r\n", "MISSING_COLON_VALUE"},
        {GOOD "Subject : x\r\n\r\n", "NAME_ENDS_WITH_SPACE"},
        {GOOD "\r\nbody\n", "NON_CANONICAL_LINE_ENDINGS"},
        {GOOD "\r\n" LONG80 "\r\n", "LINE_TOO_LONG"},
        {GOOD "\r\n\xc3\xbc\r\n", "NEEDS_TRANSFER_ENCODING"},
        {GOOD "Subject: \xc3\xbc\r\n\r\n", "NEEDS_TRANSFER_ENCODING"},
        {GOOD "Content-Type: text\r\n\r\n", "INVALID_MIME_HEADERS"},
        {GOOD "Content-Transfer-Encoding: rot13\r\n\r\n", "INVALID_MIME_HEADERS"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error;
        struct buf out;
        unsigned flags;
        unsigned again;

        buf_init(&out, 10000);
        assert_int_equal(conformance_check(span_of(cases[i].text), &flags, &error), 0);
        assert_int_equal(conformance_format(flags, &out), 0);
        assert_string_equal(buf_cstr(&out), cases[i].issues);
        assert_int_equal(conformance_parse(buf_span(&out), &again, &error), 0);
        assert_int_equal(again, flags);
        buf_clear(&out);
        assert_int_equal(conformance_fix(span_of(cases[i].text), flags, "id", "host", 0, &out, &error), 0);
        assert_int_equal(conformance_check(buf_span(&out), &again, &error), 0);
        if (again & ~(unsigned)CONFORMANCE_INVALID_MIME_HEADERS)
            fail_msg("case %zu is not fixed: %s", i, buf_cstr(&out));
        buf_done(&out);
    }
}

static void fixing_reaches_into_every_part(void **state)
{
    static const char text[] = "Subject: J\xc3\xbcrgen\nFrom: \"J\xc3\xbc\" <a@b>\n"
                               "Content-Type: multipart/mixed; boundary=\"x\"\n\n"
                               "preamble\n--x\n\n\xc3\xbc =\n--x\nContent-Type: image/png\n\n\x89PNG\n--x--\n";
    static const char fixed[] =
        "MIME-Version: 1.0\r\nSubject: =?UTF-8?q?J=C3=BCrgen?=\r\nFrom: =?UTF-8?q?J=C3=BC?= <a@b>\r\n"
        "Content-Type: multipart/mixed; boundary=\"x\"\r\n\r\n"
        "--x\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "=C3=BC =3D\r\n--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n"
        "--x--\r\n";
    struct error error;
    struct buf out;
    unsigned flags;

    (void)state;
    buf_init(&out, 10000);
    assert_int_equal(conformance_check(span_of(text), &flags, &error), 0);
    flags &= ~(unsigned)(CONFORMANCE_MISSING_DATE_HEADER | CONFORMANCE_MISSING_MESSAGE_ID_HEADER);
    assert_int_equal(conformance_fix(span_of(text), flags, "id", "host", 0, &out, &error), 0);
    assert_string_equal(buf_cstr(&out), fixed);
    assert_int_equal(conformance_parse(SPAN_LIT("LINE_TOO_LONG|WHAT"), &flags, &error), -1);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_found_in_every_spelling),
        cmocka_unit_test(names_are_known_however_they_are_written),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(values_are_unfolded_and_decoded),
        cmocka_unit_test(a_header_that_would_break_out_is_refused),
        cmocka_unit_test(encoded_values_are_folded_and_come_back),
        cmocka_unit_test(edits),
        cmocka_unit_test(nothing_is_put_before_a_folded_line),
        cmocka_unit_test(address_lists),
        cmocka_unit_test(conformance),
        cmocka_unit_test(fixing_reaches_into_every_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
