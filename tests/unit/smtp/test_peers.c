/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies, EHLO answers, PROXY headers and XCLIENT.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "smtp/ehlo.h"
#include "smtp/proxy.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void replies_are_written_as_whole_lines(void **state)
{
    static const struct {
        int code;
        struct span text;
        const char *wire;
    } cases[] = {
        {250, {"2.1.0 ok", 8}, "250 2.1.0 ok\r\n"},
        {250, {"2.1.0", 5}, "250 2.1.0\r\n"},
        {220, {"host banner", 11}, "220 host banner\r\n"},
        {250, {"host\nSIZE 1\nDSN\n", 16}, "250-host\r\n250-SIZE 1\r\n250 DSN\r\n"},
        {550, {"5.7.1 no\r\n250 yes", 17}, "550-5.7.1 no\r\n550 5.7.1 250 yes\r\n"},
        {550, {"5.7.1 no\r\0\x1bx", 12}, "550 5.7.1 no   x\r\n"},
        {250, {"5.7.1 odd", 9}, "250 5.7.1 odd\r\n"},
        {550, {"5.7.1x", 6}, "550 5.7.1x\r\n"},
        {550, {"\xff\xc3\xbc", 3}, "550 ?\xc3\xbc\r\n"},
        {250, {"", 0}, "250 \r\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_reply reply;
        struct buf out;

        buf_init(&out, 4096);
        smtp_reply_set(&reply, cases[i].code, cases[i].text);
        assert_int_equal(smtp_reply_write(&reply, &out), 0);
        assert_string_equal(buf_cstr(&out), cases[i].wire);
        buf_done(&out);
    }
}

static void long_lines_are_folded_and_long_texts_cut(void **state)
{
    char text[4000];
    struct smtp_reply reply;
    struct smtp_reply back;
    struct buf out;
    struct span rest;
    struct span line;
    size_t used;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, "5.7.1 ", 6);
    text[300] = ' ';
    smtp_reply_set(&reply, 550, span_make(text, sizeof text));
    assert_int_equal(strlen(reply.text), SMTP_REPLY_TEXT_BYTES - 1);
    buf_init(&out, 4096);
    assert_int_equal(smtp_reply_write(&reply, &out), 0);
    rest = buf_span(&out);
    while (span_split(&rest, '\n', &line))
        assert_true(line.len + 1 <= 512);
    assert_int_equal(smtp_reply_parse(buf_span(&out), &back, &used), SMTP_REPLY_DONE);
    assert_int_equal(back.enhanced_detail, 1);
    buf_done(&out);
}

static void replies_are_read_or_broken(void **state)
{
    static const struct {
        const char *wire;
        enum smtp_reply_progress progress;
        int code;
        int enhanced[3];
        const char *text;
        size_t used;
    } cases[] = {
        {"250 ok\r\n", SMTP_REPLY_DONE, 250, {0, 0, 0}, "ok", 8},
        {"250 ok\n250 next\r\n", SMTP_REPLY_DONE, 250, {0, 0, 0}, "ok", 7},
        {"250\r\n", SMTP_REPLY_DONE, 250, {0, 0, 0}, "", 5},
        {"550-5.7.1 a\r\n550 5.7.1 b\r\n", SMTP_REPLY_DONE, 550, {5, 7, 1}, "a\nb", 26},
        {"550-5.7.1 a\r\n550 5.2.1 b\r\n", SMTP_REPLY_DONE, 550, {5, 7, 1}, "a\n5.2.1 b", 26},
        {"250-a\r\n250-b\r\n", SMTP_REPLY_MORE, 0, {0, 0, 0}, NULL, 0},
        {"250 a", SMTP_REPLY_MORE, 0, {0, 0, 0}, NULL, 0},
        {"", SMTP_REPLY_MORE, 0, {0, 0, 0}, NULL, 0},
        {"250-a\r\n251 b\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"25 a\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"2500 a\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"600 a\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"100 a\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"HTTP/1.1 200 OK\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
        {"\r\n", SMTP_REPLY_BROKEN, 0, {0, 0, 0}, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_reply reply = {0};
        size_t used = 0;

        if (smtp_reply_parse(span_of(cases[i].wire), &reply, &used) != cases[i].progress)
            fail_msg("%s", cases[i].wire);
        if (cases[i].progress != SMTP_REPLY_DONE)
            continue;
        assert_int_equal(reply.code, cases[i].code);
        assert_int_equal(reply.enhanced_class, cases[i].enhanced[0]);
        assert_int_equal(reply.enhanced_subject, cases[i].enhanced[1]);
        assert_int_equal(reply.enhanced_detail, cases[i].enhanced[2]);
        assert_string_equal(reply.text, cases[i].text);
        assert_int_equal(used, cases[i].used);
    }
}

static void endless_replies_are_broken(void **state)
{
    struct smtp_reply reply;
    struct buf wire;
    size_t used;

    (void)state;
    buf_init(&wire, 100000);
    for (int i = 0; i < SMTP_REPLY_LINES_LIMIT; i++)
        assert_int_equal(buf_append(&wire, "250-x\r\n", 7), 0);
    assert_int_equal(smtp_reply_parse(buf_span(&wire), &reply, &used), SMTP_REPLY_BROKEN);
    buf_clear(&wire);
    for (int i = 0; i < SMTP_REPLY_LINE_LIMIT; i++)
        assert_int_equal(buf_append(&wire, "2", 1), 0);
    assert_int_equal(smtp_reply_parse(buf_span(&wire), &reply, &used), SMTP_REPLY_BROKEN);
    buf_done(&wire);
}

static void capabilities_are_read(void **state)
{
    struct smtp_capabilities caps;

    (void)state;
    smtp_capabilities_parse(SPAN_LIT("250-PIPELINING\r\n250-size 1000\r\n250-8BITMIME\r\n250-AUTH plain LOGIN\r\n"
                                     "250-AUTH=PLAIN X\r\n250-DSN\r\n250-UNKNOWN x\r\n250 SMTPUTF8\r\n"),
                            &caps);
    assert_false(caps.pipelining); /* the first line is the host's name, whatever it says */
    assert_true(caps.size && caps.size_limit == 1000 && caps.eightbitmime && caps.dsn && caps.smtputf8);
    assert_false(caps.starttls || caps.chunking || caps.enhancedstatuscodes);
    assert_string_equal(caps.auth, "PLAIN LOGIN X");
    assert_true(smtp_capabilities_has_auth(&caps, SPAN_LIT("LOGIN")));
    assert_false(smtp_capabilities_has_auth(&caps, SPAN_LIT("LOG")));
    smtp_capabilities_parse(SPAN_LIT("250-h\r\n250-SIZE\r\n250-SIZE x\r\n250 STARTTLS\r\n"), &caps);
    assert_true(caps.size && caps.size_limit == 0 && caps.starttls);
}

static void proxy_v1_headers(void **state)
{
    static const struct {
        const char *input;
        enum smtp_proxy_progress progress;
        bool is_local;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\nEHLO", SMTP_PROXY_DONE, false},
        {"PROXY TCP6 2001:db8::1 ::1 1000 25\r\n", SMTP_PROXY_DONE, false},
        {"PROXY UNKNOWN\r\n", SMTP_PROXY_DONE, true},
        {"PROXY UNKNOWN ffff:: x y z\r\n", SMTP_PROXY_DONE, true},
        {"PROXY UNKNOWNS\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1 ::1 1000 25\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1000 65536\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25 \r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4  192.0.2.1 192.0.2.2 1000 25\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY UDP4 192.0.2.1 192.0.2.2 1000 25\r\n", SMTP_PROXY_BROKEN, false},
        {"PROXY TCP4 192.0.2.1", SMTP_PROXY_MORE, false},
        {"PRO", SMTP_PROXY_MORE, false},
        {"", SMTP_PROXY_MORE, false},
        {"EHLO x\r\n", SMTP_PROXY_BROKEN, false},
        {"proxy tcp4", SMTP_PROXY_BROKEN, false},
        {"PROXY UNKNOWN 9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"
         "9999\r\n",
         SMTP_PROXY_BROKEN, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_proxy proxy;
        size_t used;

        if (smtp_proxy_parse(span_of(cases[i].input), &proxy, &used) != cases[i].progress)
            fail_msg("%s", cases[i].input);
        if (cases[i].progress == SMTP_PROXY_DONE)
            assert_int_equal(proxy.is_local, cases[i].is_local);
    }
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void proxy_v2_headers(void **state)
{
    static const struct {
        struct span input;
        enum smtp_proxy_progress progress;
        const char *source;
    } cases[] = {
#define CASE(text, progress, source) {{text, sizeof text - 1}, progress, source}
        CASE(V2 "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19"
                "EHLO",
             SMTP_PROXY_DONE, "192.0.2.1:1000"),
        CASE(V2 "\x21\x11\x00\x10\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19\x04\x00\x01x", SMTP_PROXY_DONE,
             "192.0.2.1:1000"),
        CASE(V2 "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x01\x00\x19",
             SMTP_PROXY_DONE, "[::1]:1"),
        CASE(V2 "\x20\x00\x00\x00", SMTP_PROXY_DONE, NULL),
        CASE(V2 "\x20\x11\x00\x02xy", SMTP_PROXY_DONE, NULL),
        CASE(V2 "\x21\x00\x00\x00", SMTP_PROXY_DONE, NULL),
        CASE(V2 "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x21\x31\x00\x00", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x22\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x19", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x11\x11\x00\x0c", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x21\x11\xff\xff", SMTP_PROXY_BROKEN, NULL),
        CASE(V2 "\x21\x11\x00\x0c\xc0", SMTP_PROXY_MORE, NULL),
        CASE("\r\n\r\n", SMTP_PROXY_MORE, NULL),
        CASE("\r\n\r\nx", SMTP_PROXY_BROKEN, NULL),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_proxy proxy;
        char text[SOCKADDR_TEXT_BYTES];
        size_t used;

        if (smtp_proxy_parse(cases[i].input, &proxy, &used) != cases[i].progress)
            fail_msg("case %zu", i);
        if (cases[i].progress != SMTP_PROXY_DONE)
            continue;
        assert_int_equal(proxy.is_local, cases[i].source == NULL);
        if (!cases[i].source)
            continue;
        sockaddr_format((const struct sockaddr *)&proxy.source, text);
        assert_string_equal(text, cases[i].source);
    }
}

static void xclient_attributes(void **state)
{
    static const struct {
        const char *args;
        int result;
    } cases[] = {
        {"ADDR=192.0.2.1 PORT=1000", 0},
        {"addr=IPV6:2001:db8::1 NAME=[UNAVAILABLE] LOGIN=[tempunavail]", 0},
        {"NAME=host.example PROTO=ESMTP HELO=x+2By LOGIN=a+40b DESTADDR=192.0.2.2 DESTPORT=25", 0},
        {"", -1},
        {"ADDR=", -1},
        {"ADDR", -1},
        {"ADDR=x", -1},
        {"ADDR=IPV6:192.0.2.1", -1},
        {"ADDR=192.0.2.1 ADDR=192.0.2.2", -1},
        {"PORT=65536", -1},
        {"COLOUR=red", -1},
        {"LOGIN=a+0Ab", -1},
        {"LOGIN=a+00b", -1},
        {"PROTO=HTTP", -1},
        {"NAME=a+20b", -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_xclient xclient;
        struct smtp_reply refusal = {0};

        if (smtp_xclient_parse(span_of(cases[i].args), &xclient, &refusal) != cases[i].result)
            fail_msg("%s", cases[i].args);
        if (cases[i].result)
            assert_int_equal(refusal.code, 501);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_written_as_whole_lines),
        cmocka_unit_test(long_lines_are_folded_and_long_texts_cut),
        cmocka_unit_test(replies_are_read_or_broken),
        cmocka_unit_test(endless_replies_are_broken),
        cmocka_unit_test(capabilities_are_read),
        cmocka_unit_test(proxy_v1_headers),
        cmocka_unit_test(proxy_v2_headers),
        cmocka_unit_test(xclient_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
