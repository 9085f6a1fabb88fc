/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversations about TLS and logins: every row of the table of replies, STARTTLS and what is
 * sent behind it, who may act as whom, and what a login does not allow.
 */
#include "talk.h"

#include "base/base64.h"
#include "tally/tally.h"

#define CLEAR                                                                                                          \
    "S: 220 mx.test *\nC: EHLO a.test\nS: 250-mx.test\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\n"             \
    "S: 250-CHUNKING\nS: 250 STARTTLS\n"
#define SECURE                                                                                                         \
    "C: STARTTLS\nS: 220 2.0.0 *\nTLS\nC: EHLO a.test\nS: 250-mx.test\nS: 250-*\nS: 250-*\nS: 250-*\n"                 \
    "S: 250-*\nS: 250-*\nS: 250-CHUNKING\nS: 250 AUTH PLAIN LOGIN\n"
#define MESSAGE_TO_B                                                                                                   \
    "C: MAIL FROM:<a@a.test>\nS: 250 *\nC: RCPT TO:<b@b.test>\nS: 250 *\nC: DATA\nS: 354 *\nC: Subject: s\nC: \nC: "   \
    "b\n"
#define PARAMS "{\"junk_command_delay\": 0, \"auth_failure_delay\": 0, \"relay_hosts\": [], \"auth_failure_limit\": 10}"

/* alice:secret; "both" may act as bob by AuthInfo */
static const char policy[] =
    "kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)\n"
    "  kumo.sleep(1)\n"
    "  if authc == 'err' then error('store is down: ' .. password) end\n"
    "  if authc == 'rej' then kumo.reject(535, '5.7.8 locked') end\n"
    "  if authc == 'odd' then return 'yes' end\n"
    "  if authc == 'none' then return {identities = {}} end\n"
    "  if authc == 'both' then return {identities = {{identity = 'bob', context = 'SmtpAuthPlainAuthorization'}}, "
    "groups = {'g'}} end\n"
    "  return authc == 'alice' and password == 'secret'\n"
    "end)\n"
    "kumo.on('smtp_server_mail_from', function(s, c)\n"
    "  local info = c:auth_info()\n"
    "  kumo.reject(450, (c:get_meta('authz_id') or '-') .. ' ' .. (c:get_meta('authn_id') or '-') .. ' ' ..\n"
    "    (info and info.identities[1].identity or '-') .. ' ' .. (c:get_meta('tls_protocol_version') or '-'))\n"
    "end)\n";

static void once(const char *lua, const char *params, const char *script)
{
    struct talk talk;

    talk_open(&talk, lua, params);
    talk_run(&talk, script);
    talk_hang_up(&talk);
    talk_settle(&talk);
    assert_int_equal(talk.stored_count, 0);
    talk_close(&talk);
}

static void odd_bytes_in_a_login_end_the_exchange(void **state)
{
    (void)state;
    once(policy, PARAMS, CLEAR SECURE "C: AUTH LOGIN\nS: 334 *\nC> YWxp\\0Y2U=\\r\\n\nS: 501 *\nC: NOOP\nS: 250 *");
    once(policy, PARAMS, CLEAR SECURE "C: AUTH LOGIN\nS: 334 *\nC> YWxp\\rY2U=\\r\\n\nS: 501 *\nC: NOOP\nS: 250 *");
    once(policy, PARAMS, CLEAR SECURE "C: AUTH LOGIN\nS: 334 *\nC> YWxpY2U=\\n\nS: 501 *\nC: NOOP\nS: 250 *");
    once(policy, PARAMS,
         CLEAR SECURE "C> AUTH PLAIN AGFsaWNlAHNlY3JldA==\\nNOOP\\r\\n\nS: 500 *\n"
                      "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 *");
}

static void logins_need_tls(void **state)
{
    (void)state;
    once(policy, PARAMS,
         CLEAR "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 538 5.7.11 *\nC: AUTH NTLM\nS: 504 5.5.4 *\nC: NOOP\nS: 250 *");
}

static void each_reply_of_the_table(void **state)
{
    (void)state;
    once(policy, PARAMS,
         CLEAR SECURE
         "C: AUTH X\nS: 504 5.5.4 *\nC: AUTH plain\nS: 334 \nC: *\nS: 501 5.7.0 *\n"
         "C: AUTH PLAIN !\nS: 501 5.5.2 *\nC: AUTH PLAIN YWxpY2U=\nS: 501 5.5.2 *\nC: AUTH PLAIN =\nS: 501 5.5.2 *\n"
         "C: AUTH PLAIN AGFsaWNlAHdyb25n\nS: 535 5.7.8 authentication failed\n"
         "C: AUTH PLAIN AGVycgB4\nS: 454 4.7.0 *\nC: AUTH PLAIN AG9kZAB4\nS: 454 4.7.0 *\n"
         "C: AUTH PLAIN AG5vbmUAeA==\nS: 454 4.7.0 *\n"
         "C: AUTH PLAIN AHJlagB4\nS: 535 5.7.8 locked\n"
         "C: AUTH PLAIN Ym9iAGFsaWNlAHNlY3JldA==\nS: 535 5.7.8 authentication failed\n"
         "C: AUTH PLAIN\nS: 334 \nC: AGFsaWNlAHNlY3JldA==\nS: 235 2.7.0 *\n"
         "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 503 5.5.1 *\n"
         "C: MAIL FROM:<x@y>\nS: 450 alice alice alice TLSv1.3");
}

static void login_is_plain_in_two_lines(void **state)
{
    (void)state;
    once(policy, PARAMS,
         CLEAR SECURE
         "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0 *\n"
         "C: MAIL FROM:<x@y>\nS: 450 alice alice alice TLSv1.3");
}

static void an_auth_info_may_name_another(void **state)
{
    (void)state;
    once(policy, PARAMS,
         CLEAR SECURE
         "C: AUTH PLAIN Y2Fyb2wAYm90aAB4\nS: 535 5.7.8 authentication failed\n"
         "C: AUTH PLAIN Ym9iAGJvdGgAeA==\nS: 235 2.7.0 *\nC: MAIL FROM:<x@y>\nS: 450 bob both bob TLSv1.3");
}

static void without_a_handler_nobody_gets_in(void **state)
{
    (void)state;
    once("", PARAMS,
         CLEAR "C: STARTTLS\nS: 220 *\nTLS\nC: EHLO a\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: "
               "250 CHUNKING\n"
               "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 535 5.7.8 authentication failed");
}

static void guessing_ends(void **state)
{
    (void)state;
    once(policy, "{\"auth_failure_limit\": 2, \"auth_failure_delay\": 0.002}",
         CLEAR SECURE
         "C: AUTH PLAIN AGFsaWNlAHdyb25n\nC: AUTH PLAIN AGFsaWNlAHdyb25n\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\n"
         "S: 535 5.7.8 *\nS: 535 5.7.8 *\nS: 421 4.7.0 *\nEOF");
}

/* 421 says that it is over, also where policy has said it and then finds other words. */
static void a_421_for_a_login_closes_whatever_policy_makes_of_it(void **state)
{
    (void)state;
    once("kumo.on('smtp_server_auth_plain', function() kumo.reject(421, '4.7.0 go') end)\n"
         "kumo.on('smtp_server_rewrite_response', function(code, text) if code == 421 then return 535, text end end)",
         PARAMS, CLEAR SECURE "C: AUTH PLAIN AGFsaWNlAHdyb25n\nC: AUTH PLAIN AGFsaWNlAHdyb25n\nS: 535 4.7.0 go\nEOF");
}

static void a_refusal_takes_its_time(void **state)
{
    struct talk talk;
    uint64_t began;

    (void)state;
    talk_open(&talk, policy, "{\"auth_failure_delay\": 0.05}");
    talk_run(&talk, CLEAR SECURE);
    began = loop_now_ms(talk.loop);
    talk_go_on(&talk, "C: AUTH PLAIN AGFsaWNlAHdyb25n\nS: 535 *");
    assert_true(loop_now_ms(talk.loop) - began >= 49);
    talk_close(&talk);
}

static void a_long_response_is_refused(void **state)
{
    struct talk talk;
    char *line = mem_alloc(20001);

    (void)state;
    memset(line, 'A', 20000);
    line[20000] = '\0';
    talk_open(&talk, policy, PARAMS);
    talk_run(&talk, CLEAR SECURE "C: AUTH PLAIN\nS: 334 ");
    MUST(buf_appendf(&talk.to_server, "%s\r\n", line) == 0);
    talk_go_on(&talk, "S: 500 5.5.6 *\n");
    MUST(buf_appendf(&talk.to_server, "AUTH PLAIN %s\r\n", line) == 0);
    talk_go_on(&talk, "S: 500 5.5.6 *\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 *");
    talk_close(&talk);
    free(line);
}

static void a_login_does_not_let_relay_by_itself(void **state)
{
    static const char lua[] = "kumo.on('smtp_server_auth_plain', function() return true end)\n"
                              "kumo.on('get_listener_domain', function(d, l, c)\n"
                              "  if d == 'a.test' and c:get_meta('authz_id') == 'alice' then\n"
                              "    return kumo.make_listener_domain{relay_from = {'0.0.0.0/0', '::/0'}} end end)";

    (void)state;
    /* and what was decided before the login is forgotten */
    once(lua, PARAMS,
         CLEAR SECURE
         "C: MAIL FROM:<x@a.test>\nS: 250 *\nC: RCPT TO:<y@b>\nS: 550 5.7.1 *\nC: AUTH PLAIN AGFsaWNlAHM=\nS: 503 *\n"
         "C: RSET\nS: 250 *\nC: AUTH PLAIN AGFsaWNlAHM=\nS: 235 *\n"
         "C: MAIL FROM:<x@a.test>\nS: 250 *\nC: RCPT TO:<y@b>\nS: 250 *\nC: RSET\nS: 250 *\n"
         "C: MAIL FROM:<x@other.test>\nS: 250 *\nC: RCPT TO:<y@b>\nS: 550 5.7.1 *");
}

static void text_behind_starttls_never_runs(void **state)
{
    static const char *const tails[] = {"NOOP\\r\\n", "x", "MAIL FROM:<a@b>\\r\\nRCPT TO:<c@d>\\r\\n", "\\r\\n"};

    (void)state;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        char *script = mem_printf(CLEAR "C> STARTTLS\\r\\n%s\nEOF", tails[i]);

        once("", PARAMS, script);
        free(script);
    }
}

static void tls_forgets_what_was_said_in_clear(void **state)
{
    (void)state;
    once(
        "kumo.on('smtp_server_ehlo', function(d, c) c:set_meta('x_' .. d:gsub('%.', '_'), 1) end)\n"
        "kumo.on('smtp_server_connection_accepted', function(c) c:set_meta('x_kept', 2) end)\n"
        "kumo.on('smtp_server_mail_from', function(s, c)\n"
        "  kumo.reject(450, tostring(c:get_meta('x_clear_test')) .. tostring(c:get_meta('x_kept'))) end)",
        PARAMS,
        "S: 220 *\nC: EHLO clear.test\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 *\n"
        "C: STARTTLS\nS: 220 *\nTLS\nC: MAIL FROM:<a@b>\nS: 503 *\nC: EHLO tls.test\nS: 250-*\nS: 250-*\nS: 250-*\nS: "
        "250-*\nS: 250-*\nS: 250-*\nS: 250 *\n"
        "C: MAIL FROM:<a@b>\nS: 450 nil2\nC: STARTTLS\nS: 503 5.5.1 *");
}

static void a_failed_handshake_closes(void **state)
{
    (void)state;
    once("", PARAMS, CLEAR "C: STARTTLS\nS: 220 *\nC: EHLO again in clear");
    once("", "{\"handshake_timeout\": 0.02}", CLEAR "C: STARTTLS\nS: 220 *\nEOF");
}

static void implicit_tls_comes_first(void **state)
{
    (void)state;
    once(policy, "{\"tls_mode\": \"implicit\", \"relay_hosts\": []}",
         "TLS\nS: 220 *\nC: EHLO a.test\nS: 250-mx.test\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\n"
         "S: 250-CHUNKING\nS: 250 AUTH PLAIN LOGIN\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 *");
}

/* What could not be stored was not sent: it is given back, and one message may still go. */
static void what_is_not_stored_uses_up_nothing(void **state)
{
    static const char limited[] =
        "kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)\n"
        "  local one = {identity = authc, context = 'SmtpAuthPlainAuthorization'}\n"
        "  return {identities = {one}, limits = {messages_per_hour = 1, recipients_per_hour = 1}}\n"
        "end)\n";
    struct talk talk;
    struct error error;

    (void)state;
    assert_int_equal(tally_start(&error), 0);
    talk_open(&talk, limited, "{\"junk_command_delay\": 0, \"auth_failure_delay\": 0}");
    talk.store_failure = "4.3.0 no disk";
    talk_run(&talk, CLEAR SECURE "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 2.7.0 *\n");
    for (int i = 0; i < 3; i++)
        talk_go_on(&talk, MESSAGE_TO_B "C: .\nS: 451 4.3.0 no disk\n");
    talk.store_failure = NULL;
    talk_go_on(&talk, MESSAGE_TO_B "C: .\nS: 250 *\nC: MAIL FROM:<a@a.test>\nS: 452 4.7.1 limit messages_per_hour *\n");
    talk_hang_up(&talk);
    talk_settle(&talk);
    talk_close(&talk);
    tally_stop();
}

static void records_carry_no_secret(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, policy, PARAMS);
    talk_run(&talk, CLEAR SECURE "C: AUTH PLAIN AGFsaWNlAHdyb25n\nS: 535 *\n");
    assert_string_equal(talk.last_rejected, "535 authentication failed|AUTH PLAIN");
    talk_go_on(&talk, "C: AUTH AGFsaWNlAHdyb25n\nS: 504 *\n");
    assert_non_null(strstr(talk.last_rejected, "|AUTH"));
    assert_null(strstr(talk.last_rejected, "AGFs"));
    talk_close(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_bytes_in_a_login_end_the_exchange),
        cmocka_unit_test(logins_need_tls),
        cmocka_unit_test(each_reply_of_the_table),
        cmocka_unit_test(login_is_plain_in_two_lines),
        cmocka_unit_test(an_auth_info_may_name_another),
        cmocka_unit_test(without_a_handler_nobody_gets_in),
        cmocka_unit_test(guessing_ends),
        cmocka_unit_test(a_421_for_a_login_closes_whatever_policy_makes_of_it),
        cmocka_unit_test(a_refusal_takes_its_time),
        cmocka_unit_test(a_long_response_is_refused),
        cmocka_unit_test(a_login_does_not_let_relay_by_itself),
        cmocka_unit_test(text_behind_starttls_never_runs),
        cmocka_unit_test(tls_forgets_what_was_said_in_clear),
        cmocka_unit_test(a_failed_handshake_closes),
        cmocka_unit_test(implicit_tls_comes_first),
        cmocka_unit_test(what_is_not_stored_uses_up_nothing),
        cmocka_unit_test(records_carry_no_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
