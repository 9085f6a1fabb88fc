/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines, addresses and parameters, as tables of cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smtp/address.h"
#include "smtp/command.h"
#include "smtp/params.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void lines_end_at_crlf_and_nowhere_else(void **state)
{
    static const struct {
        struct span input;
        enum smtp_line_progress progress;
        size_t used;
        const char *line;
    } cases[] = {
        {{"NOOP\r\nQUIT", 10}, SMTP_LINE_DONE, 6, "NOOP"},
        {{"\r\n", 2}, SMTP_LINE_DONE, 2, ""},
        {{"NOOP\n", 5}, SMTP_LINE_BAD_END, 5, NULL},
        {{"\n", 1}, SMTP_LINE_BAD_END, 1, NULL},
        {{"NO\rOP\r\n", 7}, SMTP_LINE_BAD_END, 7, NULL},
        {{"NOOP\r\r\n", 7}, SMTP_LINE_BAD_END, 7, NULL},
        {{"NO\0P\r\n", 6}, SMTP_LINE_BAD_BYTE, 6, NULL},
        {{"NO\033P\r\n", 6}, SMTP_LINE_BAD_BYTE, 6, NULL},
        {{"NOOP\r", 5}, SMTP_LINE_MORE, 0, NULL},
        {{"", 0}, SMTP_LINE_MORE, 0, NULL},
        {{"NOOP a\tb\r\n", 10}, SMTP_LINE_DONE, 10, "NOOP a\tb"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_line_reader reader = smtp_line_reader_make(64);
        struct span line;
        size_t used = 99;

        assert_int_equal(smtp_line_take(&reader, cases[i].input, &line, &used), cases[i].progress);
        assert_int_equal(used, cases[i].used);
        if (cases[i].line)
            assert_true(span_eq(line, span_of(cases[i].line)));
    }
}

static void a_line_too_long_is_dropped_and_reported_once(void **state)
{
    struct smtp_line_reader reader = smtp_line_reader_make(10);
    struct span line;
    size_t used;

    (void)state;
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("123456789"), &line, &used), SMTP_LINE_MORE);
    assert_int_equal(used, 0);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("1234567890"), &line, &used), SMTP_LINE_MORE);
    assert_int_equal(used, 10);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("more and more"), &line, &used), SMTP_LINE_MORE);
    assert_int_equal(used, 13);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("end\r\nNOOP\r\n"), &line, &used), SMTP_LINE_TOO_LONG);
    assert_int_equal(used, 5);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("NOOP\r\n"), &line, &used), SMTP_LINE_DONE);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("12345678\r\n"), &line, &used), SMTP_LINE_DONE);
    assert_int_equal(smtp_line_take(&reader, SPAN_LIT("123456789\r\n"), &line, &used), SMTP_LINE_TOO_LONG);
}

static void commands_split_into_verb_and_arguments(void **state)
{
    static const struct {
        const char *line;
        enum smtp_command_fault fault;
        enum smtp_verb verb;
        const char *args;
    } cases[] = {
        {"EHLO host", SMTP_COMMAND_FINE, SMTP_VERB_EHLO, "host"},
        {"ehlo  host ", SMTP_COMMAND_FINE, SMTP_VERB_EHLO, "host"},
        {"EHLO", SMTP_COMMAND_NO_ARGUMENTS, SMTP_VERB_EHLO, ""},
        {"DATA", SMTP_COMMAND_FINE, SMTP_VERB_DATA, ""},
        {"DATA ", SMTP_COMMAND_FINE, SMTP_VERB_DATA, ""},
        {"DATA now", SMTP_COMMAND_ARGUMENTS, SMTP_VERB_DATA, "now"},
        {"STARTTLS x", SMTP_COMMAND_ARGUMENTS, SMTP_VERB_STARTTLS, "x"},
        {"NOOP", SMTP_COMMAND_FINE, SMTP_VERB_NOOP, ""},
        {"NOOP anything", SMTP_COMMAND_FINE, SMTP_VERB_NOOP, "anything"},
        {"MAIL FROM:<\xc3\xbc@x>", SMTP_COMMAND_FINE, SMTP_VERB_MAIL, "FROM:<\xc3\xbc@x>"},
        {"EHLO \xc3\xbc", SMTP_COMMAND_8BIT, SMTP_VERB_EHLO, "\xc3\xbc"},
        {"", SMTP_COMMAND_UNKNOWN, SMTP_VERB_UNKNOWN, ""},
        {"GET / HTTP/1.1", SMTP_COMMAND_UNKNOWN, SMTP_VERB_UNKNOWN, "/ HTTP/1.1"},
        {"NOOPS", SMTP_COMMAND_UNKNOWN, SMTP_VERB_UNKNOWN, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_command command;

        assert_int_equal(smtp_command_parse(span_of(cases[i].line), &command), cases[i].fault);
        assert_int_equal(command.verb, cases[i].verb);
        assert_true(span_eq(command.args, span_of(cases[i].args)));
    }
    assert_string_equal(smtp_verb_name(SMTP_VERB_XCLIENT), "XCLIENT");
}

static void bdat_takes_a_size_and_perhaps_last(void **state)
{
    uint64_t size;
    bool last;

    (void)state;
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("100"), &size, &last), 0);
    assert_true(size == 100 && !last);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("0 last"), &size, &last), 0);
    assert_true(size == 0 && last);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("-1"), &size, &last), -1);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("1 FIRST"), &size, &last), -1);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("1 LAST x"), &size, &last), -1);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT("99999999999999999999"), &size, &last), -1);
    assert_int_equal(smtp_bdat_parse(SPAN_LIT(""), &size, &last), -1);
}

#define ALL (SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_UTF8 | SMTP_ADDRESS_ALLOW_POSTMASTER)
#define L64 "1234567890123456789012345678901234567890123456789012345678901234"
#define D63 "123456789012345678901234567890123456789012345678901234567890abc"

static void paths_are_read_as_rfc_5321_writes_them(void **state)
{
    static const struct {
        const char *text;
        unsigned allow;
        enum smtp_address_fault fault;
        const char *mailbox;
        const char *local;
        const char *domain;
    } cases[] = {
        {"<a@b.c>", 0, SMTP_ADDRESS_FINE, "a@b.c", "a", "b.c"},
        {"<a.b+c=d@b_c.example>", 0, SMTP_ADDRESS_FINE, "a.b+c=d@b_c.example", "a.b+c=d", "b_c.example"},
        {"<@one,@[IPv6:::1]:a@b>", 0, SMTP_ADDRESS_FINE, "a@b", "a", "b"},
        {"<@one:>", ALL, SMTP_ADDRESS_SYNTAX, NULL, NULL, NULL},
        {"<one,@two:a@b>", 0, SMTP_ADDRESS_LOCAL, NULL, NULL, NULL},
        {"<\"a b>@\\\"\"@c>", 0, SMTP_ADDRESS_FINE, "\"a b>@\\\"\"@c", "\"a b>@\\\"\"", "c"},
        {"<\"\"@c>", 0, SMTP_ADDRESS_FINE, "\"\"@c", "\"\"", "c"},
        {"<\"a@c>", 0, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"<a@[192.0.2.1]>", 0, SMTP_ADDRESS_FINE, "a@[192.0.2.1]", "a", "[192.0.2.1]"},
        {"<a@[IPv6:2001:db8::1]>", 0, SMTP_ADDRESS_FINE, "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"},
        {"<a@[2001:db8::1]>", 0, SMTP_ADDRESS_LITERAL, NULL, NULL, NULL},
        {"<a@[300.1.1.1]>", 0, SMTP_ADDRESS_LITERAL, NULL, NULL, NULL},
        {"<a@[tag:x]>", 0, SMTP_ADDRESS_LITERAL, NULL, NULL, NULL},
        {"<>", SMTP_ADDRESS_ALLOW_NULL, SMTP_ADDRESS_FINE, "", "", ""},
        {"<>", 0, SMTP_ADDRESS_NULL, NULL, NULL, NULL},
        {"<postMaster>", SMTP_ADDRESS_ALLOW_POSTMASTER, SMTP_ADDRESS_FINE, "postMaster", "postMaster", ""},
        {"<postmaster>", 0, SMTP_ADDRESS_SYNTAX, NULL, NULL, NULL},
        {"<user>", ALL, SMTP_ADDRESS_SYNTAX, NULL, NULL, NULL},
        {"<@b>", ALL, SMTP_ADDRESS_SYNTAX, NULL, NULL, NULL},
        {"<a@>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<a@b@c>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<a..b@c>", ALL, SMTP_ADDRESS_LOCAL, NULL, NULL, NULL},
        {"<.a@c>", ALL, SMTP_ADDRESS_LOCAL, NULL, NULL, NULL},
        {"<a.@c>", ALL, SMTP_ADDRESS_LOCAL, NULL, NULL, NULL},
        {"<a b@c>", ALL, SMTP_ADDRESS_LOCAL, NULL, NULL, NULL},
        {"<a@b..c>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<a@b.>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<a@-b>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<a@b c>", ALL, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"a@b", ALL, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"<a@b", ALL, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"<a@b>x", ALL, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"<<a@b>>", ALL, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"", ALL, SMTP_ADDRESS_NO_BRACKETS, NULL, NULL, NULL},
        {"<\xc3\xbc@\xc3\xbc.example>", ALL, SMTP_ADDRESS_FINE, "\xc3\xbc@\xc3\xbc.example", "\xc3\xbc",
         "\xc3\xbc.example"},
        {"<\xc3\xbc@x>", 0, SMTP_ADDRESS_8BIT, NULL, NULL, NULL},
        {"<\xff@x>", ALL, SMTP_ADDRESS_NOT_UTF8, NULL, NULL, NULL},
        {"<" L64 "@x>", 0, SMTP_ADDRESS_FINE, L64 "@x", L64, "x"},
        {"<1" L64 "@x>", 0, SMTP_ADDRESS_LOCAL_TOO_LONG, NULL, NULL, NULL},
        {"<a@" D63 ">", 0, SMTP_ADDRESS_FINE, "a@" D63, "a", D63},
        {"<a@1" D63 ">", 0, SMTP_ADDRESS_DOMAIN, NULL, NULL, NULL},
        {"<" L64 "@" D63 "." D63 "." D63 "." D63 ">", 0, SMTP_ADDRESS_PATH_TOO_LONG, NULL, NULL, NULL},
        {"<a@" D63 "." D63 "." D63 "." D63 ".x>", 0, SMTP_ADDRESS_DOMAIN_TOO_LONG, NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_mailbox mailbox;
        size_t used = 0;

        if (smtp_path_parse(span_of(cases[i].text), cases[i].allow, &mailbox, &used) != cases[i].fault)
            fail_msg("%s", cases[i].text);
        if (cases[i].fault)
            continue;
        assert_int_equal(used, strlen(cases[i].text));
        assert_true(span_eq(mailbox.text, span_of(cases[i].mailbox)));
        assert_true(span_eq(mailbox.local, span_of(cases[i].local)));
        assert_true(span_eq(mailbox.domain, span_of(cases[i].domain)));
    }
}

static void a_local_part_is_the_same_user_with_and_without_quotes(void **state)
{
    char out[80];

    (void)state;
    smtp_local_unquote(SPAN_LIT("\"f\\oo\""), out);
    assert_string_equal(out, "foo");
    smtp_local_unquote(SPAN_LIT("\"info@\""), out);
    assert_string_equal(out, "info@");
    smtp_local_unquote(SPAN_LIT("foo"), out);
    assert_string_equal(out, "foo");
    smtp_local_unquote(SPAN_LIT(""), out);
    assert_string_equal(out, "");
}

static void mail_parameters_are_read_or_refused(void **state)
{
    static const struct {
        const char *args;
        int code; /* 0: fine */
    } cases[] = {
        {"FROM:<a@b>", 0},
        {"from: <a@b>", 0},
        {"FROM:<>", 0},
        {"FROM:<a@b> SIZE=100 BODY=8BITMIME", 0},
        {"FROM:<a@b> SIZE=18446744073709551615", 0},
        {"FROM:<a@b> SIZE=18446744073709551616", 501},
        {"FROM:<a@b> SIZE=", 501},
        {"FROM:<a@b> SIZE", 501},
        {"FROM:<a@b> SIZE=1 size=2", 501},
        {"FROM:<a@b> SIZE=-1", 501},
        {"FROM:<a@b> BODY=9BIT", 501},
        {"FROM:<a@b> SMTPUTF8=1", 501},
        {"FROM:<a@b> COLOUR=red", 555},
        {"FROM:<a@b> XVERP", 555},
        {"FROM:<a@b> AUTH=<>", 0},
        {"FROM:<a@b> AUTH=e+3Dmc2@example.com", 0},
        {"FROM:<a@b> AUTH=a+0D+0Ab@c", 501},
        {"FROM:<a@b> AUTH=a+0b@c", 501},
        {"FROM:<a@b> RET=HDRS ENVID=QQ314159", 0},
        {"FROM:<a@b> RET=BODY", 501},
        {"FROM:<a@b> ENVID=+00", 501},
        {"FROM:a@b", 501},
        {"TO:<a@b>", 501},
        {"FROM:<a@b>SIZE=1", 501},
        {"FROM:<\xc3\xbc@b> SMTPUTF8", 0},
        {"FROM:<\xc3\xbc@b>", 553},
        {"FROM:<\xff@b> SMTPUTF8", 501},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_reply refusal = {0};
        struct smtp_mail mail;
        int result = smtp_mail_parse(span_of(cases[i].args), &mail, &refusal);

        if (result != (cases[i].code ? -1 : 0) || refusal.code != cases[i].code)
            fail_msg("%s: %d %s", cases[i].args, refusal.code, refusal.text);
    }
}

static void mail_parameters_land_in_their_fields(void **state)
{
    struct smtp_reply refusal;
    struct smtp_mail mail;

    (void)state;
    assert_int_equal(
        smtp_mail_parse(SPAN_LIT("FROM:<a@b> SIZE=7 BODY=BINARYMIME SMTPUTF8 AUTH=x+2By@z RET=FULL ENVID=i+21"), &mail,
                        &refusal),
        0);
    assert_true(mail.has_size && mail.size == 7 && mail.body == SMTP_BODY_BINARYMIME && mail.smtputf8);
    assert_true(mail.has_auth && mail.ret == SMTP_RET_FULL);
    assert_string_equal(mail.auth, "x+y@z");
    assert_string_equal(mail.envid, "i!");
}

static void rcpt_parameters_are_read_or_refused(void **state)
{
    static const struct {
        const char *args;
        bool smtputf8;
        int code;
        unsigned notify;
    } cases[] = {
        {"TO:<a@b>", false, 0, 0},
        {"TO:<Postmaster>", false, 0, 0},
        {"TO:<>", false, 501, 0},
        {"TO:<a@b> NOTIFY=NEVER", false, 0, SMTP_NOTIFY_NEVER},
        {"TO:<a@b> NOTIFY=SUCCESS,delay", false, 0, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY},
        {"TO:<a@b> NOTIFY=NEVER,DELAY", false, 501, 0},
        {"TO:<a@b> NOTIFY=DELAY,DELAY", false, 501, 0},
        {"TO:<a@b> NOTIFY=", false, 501, 0},
        {"TO:<a@b> ORCPT=rfc822;x+40y", false, 0, 0},
        {"TO:<a@b> ORCPT=x", false, 501, 0},
        {"TO:<a@b> ORCPT=;x", false, 501, 0},
        {"TO:<a@b> SIZE=1", false, 555, 0},
        {"TO:<\xc3\xbc@b>", false, 553, 0},
        {"TO:<\xc3\xbc@b>", true, 0, 0},
        {"TO:<a@b", false, 501, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_reply refusal = {0};
        struct smtp_rcpt rcpt;
        int result = smtp_rcpt_parse(span_of(cases[i].args), cases[i].smtputf8, &rcpt, &refusal);

        if (result != (cases[i].code ? -1 : 0) || refusal.code != cases[i].code)
            fail_msg("%s: %d %s", cases[i].args, refusal.code, refusal.text);
        if (!result)
            assert_int_equal(rcpt.notify, cases[i].notify);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_at_crlf_and_nowhere_else),
        cmocka_unit_test(a_line_too_long_is_dropped_and_reported_once),
        cmocka_unit_test(commands_split_into_verb_and_arguments),
        cmocka_unit_test(bdat_takes_a_size_and_perhaps_last),
        cmocka_unit_test(paths_are_read_as_rfc_5321_writes_them),
        cmocka_unit_test(a_local_part_is_the_same_user_with_and_without_quotes),
        cmocka_unit_test(mail_parameters_are_read_or_refused),
        cmocka_unit_test(mail_parameters_land_in_their_fields),
        cmocka_unit_test(rcpt_parameters_are_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
