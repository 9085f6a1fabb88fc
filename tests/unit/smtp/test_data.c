/* SPDX-License-Identifier: Apache-2.0
 *
 * The text after DATA, in and out: every case at every place where it may be cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smtp/data.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct decoded {
    struct smtp_data_decoder decoder;
    struct buf out;
    enum smtp_data_progress progress;
    size_t used;
};

/* In two pieces, the first `cut` bytes long. */
static struct decoded decode_cut(struct span input, size_t cut, enum smtp_line_endings endings)
{
    struct decoded result = {.progress = SMTP_DATA_MORE};
    struct span pieces[2] = {span_head(input, cut), span_from(input, cut)};

    smtp_data_decoder_init(&result.decoder, endings, 20);
    buf_init(&result.out, 1000);
    for (int i = 0; i < 2 && result.progress == SMTP_DATA_MORE; i++) {
        size_t used;

        result.progress = smtp_data_decode(&result.decoder, pieces[i], &result.out, &used);
        result.used += used;
    }
    return result;
}

static const struct {
    struct span input;
    struct span kept;
    struct span fixed;
    size_t used; /* 0: no end */
    const char *flags;
} cases[] = {
#define CASE(input, kept, fixed, used, flags)                                                                          \
    {                                                                                                                  \
        {input, sizeof input - 1}, {kept, sizeof kept - 1}, {fixed, sizeof fixed - 1}, used, flags                     \
    }
    CASE(".\r\n", "", "", 3, ""),
    CASE("a\r\n.\r\nQUIT\r\n", "a\r\n", "a\r\n", 6, ""),
    CASE("\r\n.\r\n", "\r\n", "\r\n", 5, ""),
    CASE("..\r\n..a\r\n.b\r\n.\r\n", ".\r\n.a\r\nb\r\n", ".\r\n.a\r\nb\r\n", 16, ""),
    CASE("a.\r\n.\r\n", "a.\r\n", "a.\r\n", 7, ""),
    /* what only looks like an end */
    CASE("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n", 11, "l"),
    CASE("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", "a\r\n.\r\nb\r\n", 10, "l"),
    CASE("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "a\r\n\r\nb\r\n", 11, "l"),
    CASE("a\r.\rb\r\n.\r\n", "a\r.\rb\r\n", "a\r\n.\r\nb\r\n", 10, "c"),
    CASE("a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "a\r\n.\r\nb\r\n", 11, "c"),
    CASE("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "a\r\n\r\nb\r\n", 11, "c"),
    CASE("a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", "a\r\n\r\n\r\nb\r\n", 13, "c"),
    CASE("a\r\r\n.\r\n", "a\r\r\n", "a\r\n\r\n", 7, "c"),
    CASE("a\r\n\0.\r\nb\r\n.\r\n", "a\r\n\0.\r\nb\r\n", "a\r\n\0.\r\nb\r\n", 13, "0"),
    CASE("a\r\n.\0\r\nb\r\n.\r\n", "a\r\n\0\r\nb\r\n", "a\r\n\0\r\nb\r\n", 13, "0"),
    CASE("\n.\n", "\n.\n", "\r\n.\r\n", 0, "l"),
    CASE("\xc3\xbc\r\n.\r\n", "\xc3\xbc\r\n", "\xc3\xbc\r\n", 7, "8"),
    CASE("12345678901234567890\r\n.\r\n", "12345678901234567890\r\n", "12345678901234567890\r\n", 25, ""),
    CASE("123456789012345678901\r\n.\r\n", "123456789012345678901\r\n", "123456789012345678901\r\n", 26, "L"),
    CASE(".12345678901234567890\r\n.\r\n", "12345678901234567890\r\n", "12345678901234567890\r\n", 26, ""),
#undef CASE
};

static void check(size_t i, size_t cut, enum smtp_line_endings endings)
{
    struct decoded result = decode_cut(cases[i].input, cut, endings);
    struct span expected = endings == SMTP_LINE_ENDINGS_FIX ? cases[i].fixed : cases[i].kept;

    assert_int_equal(result.progress, cases[i].used ? SMTP_DATA_DONE : SMTP_DATA_MORE);
    assert_int_equal(result.used, cases[i].used ? cases[i].used : cases[i].input.len);
    if (!span_eq(buf_span(&result.out), expected))
        fail_msg("case %zu cut at %zu: %s", i, cut, buf_cstr(&result.out));
    assert_int_equal(result.decoder.has_bare_lf, strchr(cases[i].flags, 'l') != NULL);
    assert_int_equal(result.decoder.has_bare_cr, strchr(cases[i].flags, 'c') != NULL);
    assert_int_equal(result.decoder.has_nul, strchr(cases[i].flags, '0') != NULL);
    assert_int_equal(result.decoder.has_8bit, strchr(cases[i].flags, '8') != NULL);
    assert_int_equal(result.decoder.has_long_line, strchr(cases[i].flags, 'L') != NULL);
    assert_false(result.decoder.is_too_big || result.decoder.has_no_memory);
    buf_done(&result.out);
}

static void the_end_is_found_wherever_the_stream_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t cut = 0; cut <= cases[i].input.len; cut++) {
            check(i, cut, SMTP_LINE_ENDINGS_DENY);
            check(i, cut, SMTP_LINE_ENDINGS_ALLOW);
            check(i, cut, SMTP_LINE_ENDINGS_FIX);
        }
}

static void a_message_too_big_is_read_to_its_end(void **state)
{
    struct smtp_data_decoder decoder;
    struct buf out;
    size_t used;

    (void)state;
    buf_init(&out, 10);
    smtp_data_decoder_init(&decoder, SMTP_LINE_ENDINGS_DENY, 0);
    assert_int_equal(smtp_data_decode(&decoder, SPAN_LIT("1234567\r\n"), &out, &used), SMTP_DATA_MORE);
    assert_int_equal(smtp_data_decode(&decoder, SPAN_LIT("123\r\n.\r\nRSET"), &out, &used), SMTP_DATA_DONE);
    assert_int_equal(used, 8);
    assert_true(decoder.is_too_big);
    assert_int_equal(buf_len(&out), 9);
    buf_done(&out);
}

static void encode_check(struct span input, struct span expected)
{
    for (size_t cut = 0; cut <= input.len; cut++) {
        struct smtp_data_encoder encoder = {0};
        struct buf out;

        buf_init(&out, 1000);
        assert_int_equal(smtp_data_encode(&encoder, span_head(input, cut), &out), 0);
        assert_int_equal(smtp_data_encode(&encoder, span_from(input, cut), &out), 0);
        assert_int_equal(smtp_data_encode_end(&encoder, &out), 0);
        if (!span_eq(buf_span(&out), expected))
            fail_msg("cut at %zu: %s", cut, buf_cstr(&out));
        buf_done(&out);
    }
}

static void what_is_sent_has_one_end_and_clean_lines(void **state)
{
    (void)state;
    encode_check(SPAN_LIT(""), SPAN_LIT(".\r\n"));
    encode_check(SPAN_LIT("a\r\n"), SPAN_LIT("a\r\n.\r\n"));
    encode_check(SPAN_LIT("a"), SPAN_LIT("a\r\n.\r\n"));
    encode_check(SPAN_LIT(".\r\n..\r\n.a"), SPAN_LIT("..\r\n...\r\n..a\r\n.\r\n"));
    encode_check(SPAN_LIT("a\n.\nb"), SPAN_LIT("a\r\n..\r\nb\r\n.\r\n"));
    encode_check(SPAN_LIT("a\r.\rb\r"), SPAN_LIT("a\r\n..\r\nb\r\n.\r\n"));
    encode_check(SPAN_LIT("a\r\r\n.\r\n"), SPAN_LIT("a\r\n\r\n..\r\n.\r\n"));
    encode_check(SPAN_LIT("a\n\r\n\n"), SPAN_LIT("a\r\n\r\n\r\n.\r\n"));
    encode_check(SPAN_LIT("a\0.b\r\n"), SPAN_LIT("a\0.b\r\n.\r\n"));
}

static void what_does_not_fit_changes_nothing(void **state)
{
    struct smtp_data_encoder encoder = {0};
    struct buf out;

    (void)state;
    buf_init(&out, 20);
    assert_int_equal(smtp_data_encode(&encoder, SPAN_LIT("1234567\r\n"), &out), 0);
    assert_int_equal(smtp_data_encode(&encoder, SPAN_LIT("......"), &out), -1);
    assert_int_equal(buf_len(&out), 9);
    assert_false(encoder.in_line);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_found_wherever_the_stream_is_cut),
        cmocka_unit_test(a_message_too_big_is_read_to_its_end),
        cmocka_unit_test(what_is_sent_has_one_end_and_clean_lines),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
