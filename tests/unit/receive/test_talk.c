/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversations: the verbs, their order, the end of data, relaying, limits, and what must
 * never become mail.
 */
#include "receive/receive_private.h"
#include "talk.h"

#define OPEN                                                                                                           \
    "S: 220 mx.test *\nC: EHLO a.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE *\nS: 250-ENHANCED*\n"           \
    "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250 STARTTLS\n"
#define MAIL "C: MAIL FROM:<a@a.test>\nS: 250 2.1.0 *\nC: RCPT TO:<b@b.test>\nS: 250 2.1.5 *\n"
#define DATA "C: DATA\nS: 354 *\n"
#define PLAIN_PARAMS "{\"junk_command_delay\": 0, \"auth_failure_delay\": 0}"
#define NO_RELAY "{\"junk_command_delay\": 0, \"relay_hosts\": []}"

static void once(const char *lua, const char *params, const char *script, size_t messages)
{
    struct talk talk;

    talk_open(&talk, lua, params);
    talk_run(&talk, script);
    talk_hang_up(&talk);
    talk_settle(&talk);
    assert_int_equal(talk.stored_count, messages);
    talk_close(&talk);
}

static void a_message_comes_in(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", PLAIN_PARAMS);
    talk_run(&talk, OPEN MAIL DATA "C: Subject: x\nC: \nC: ..dot\nC: .\nS: 250 OK ids=*\nC: QUIT\nS: 221 2.0.0 *\nEOF");
    assert_int_equal(talk.stored_count, 1);
    assert_string_equal(message_sender(talk.stored[0]), "a@a.test");
    assert_string_equal(message_recipient(talk.stored[0], 0), "b@b.test");
    assert_true(span_ends_with(talk_body(&talk, 0), SPAN_LIT("Subject: x\r\n\r\n.dot\r\n")));
    assert_non_null(memmem(talk_body(&talk, 0).data, talk_body(&talk, 0).len, "Received: from a.test", 21));
    assert_string_equal(json_string_value(message_meta_get(talk.stored[0], "reception_protocol")), "ESMTP");
    assert_string_equal(json_string_value(message_meta_get(talk.stored[0], "ehlo_domain")), "a.test");
    talk_close(&talk);
}

static void commands_have_an_order(void **state)
{
    (void)state;
    once("", PLAIN_PARAMS,
         "S: 220 *\nC: MAIL FROM:<>\nS: 503 5.5.1 *\nC: RCPT TO:<a@b>\nS: 503 5.5.1 *\nC: DATA\nS: 503 5.5.1 *\n"
         "C: HELO a\nS: 250 mx.test\nC: MAIL FROM:<>\nS: 250 2.1.0 *\nC: MAIL FROM:<>\nS: 503 5.5.1 *\n"
         "C: DATA\nS: 554 5.5.1 *\nC: RSET\nS: 250 *\nC: RCPT TO:<a@b>\nS: 503 *\nC: NOOP x\nS: 250 *\n"
         "C: VRFY a\nS: 252 *\nC: EXPN a\nS: 502 5.5.1 *\nC: HELP\nS: 502 5.5.1 *\nC: FOO\nS: 502 5.5.1 *\n"
         "C: EHLO\nS: 501 5.5.4 *\nC: QUIT now\nS: 501 5.5.4 *\nC: QUIT\nS: 221 *\nEOF",
         0);
}

static void pipelined_commands_are_answered_in_order(void **state)
{
    (void)state;
    once("kumo.on('smtp_server_mail_from', function() kumo.sleep(1) end)\n"
         "kumo.on('smtp_server_rcpt_to', function(to) kumo.sleep(1) if to.user == 'no' then kumo.reject(550, '5.1.1 "
         "no') end end)",
         PLAIN_PARAMS,
         OPEN "C: MAIL FROM:<a@a.test>\nC: RCPT TO:<no@b.test>\nC: RCPT TO:<b@b.test>\nC: DATA\n"
              "S: 250 2.1.0 *\nS: 550 5.1.1 no\nS: 250 2.1.5 *\nS: 354 *\n"
              "C: x\nC: .\nC: MAIL FROM:<c@c.test>\nC: QUIT\nS: 250 OK ids=*\nS: 250 *\nS: 221 *\nEOF",
         1);
}

static void no_look_alike_ends_the_data(void **state)
{
    static const char *const look_alikes[] = {
        "\\n.\\n",          "\\n.\\r\\n",          "\\r.\\r\\n", "\\r\\n.\\n",      "\\r\\n.\\r",
        "\\r\\n\\0.\\r\\n", "\\r\\r\\n.\\r\\r\\n", "\\r.\\r",    "\\n\\r.\\n\\r\\n"};

    (void)state;
    for (size_t i = 0; i < sizeof look_alikes / sizeof look_alikes[0]; i++)
        for (int allow = 0; allow < 2; allow++) {
            char *script =
                mem_printf(OPEN MAIL DATA "C> x%sMAIL FROM:<evil@a.test>\\r\\nRCPT TO:<b@b.test>\\r\\nDATA\\r\\nevil\n"
                                          "C> \\r\\n.\\r\\n\nS: %s\nC: QUIT\nS: 221 *\nEOF",
                           look_alikes[i], allow ? "250 OK*" : "552 5.6.0 *");

            once("", allow ? "{\"invalid_line_endings\": \"Allow\"}" : PLAIN_PARAMS, script, (size_t)allow);
            free(script);
        }
}

static void the_transaction_is_empty_after_every_answer(void **state)
{
    static const char lua[] = "kumo.on('smtp_server_message_received', function(msg)\n"
                              "  if msg:sender().user == 'reject' then kumo.reject(550, '5.7.1 no') end\n"
                              "  if msg:sender().user == 'error' then error('boom') end\n"
                              "end)";

    (void)state;
    once(lua, PLAIN_PARAMS,
         OPEN "C: MAIL FROM:<reject@a>\nS: 250 *\nC: RCPT TO:<b@b>\nS: 250 *\n" DATA "C: .\nS: 550 5.7.1 no\n"
              "C: RCPT TO:<b@b>\nS: 503 *\nC: DATA\nS: 503 *\n"
              "C: MAIL FROM:<error@a>\nS: 250 *\nC: RCPT TO:<b@b>\nS: 250 *\n" DATA "C: .\nS: 451 4.3.0 *\n"
              "C: RCPT TO:<b@b>\nS: 503 *\n" MAIL DATA "C: .\nS: 250 OK*\nC: RCPT TO:<b@b>\nS: 503 *\n" MAIL
              "C> BDAT 4 LAST\\r\\nab\\r\\n\nS: 250 OK*\nC: RCPT TO:<b@b>\nS: 503 *",
         2);
}

static void chunks_make_a_message(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", PLAIN_PARAMS);
    talk_run(&talk,
             OPEN MAIL "C> BDAT 6\\r\\na: b\\r\\n\nS: 250 2.0.0 *\nC: DATA\nS: 503 *\nC> BDAT 5\\r\\n\\r\\n.\\r\\n\n"
                       "S: 250 *\nC: BDAT 0 LAST\nS: 250 OK*\n");
    assert_true(span_ends_with(talk_body(&talk, 0), SPAN_LIT("a: b\r\n\r\n.\r\n")));
    talk_go_on(&talk, "C> BDAT 6 LAST\\r\\nQUIT\\r\\n\nS: 503 *\nC: MAIL FROM:<>\nS: 250 *\n"
                      "C> BDAT 6 LAST\\r\\nQUIT\\r\\n\nS: 554 5.5.1 *\nC: RCPT TO:<a@b>\nS: 503 *\n");
    talk_hang_up(&talk);
    talk_settle(&talk);
    talk_run(&talk, OPEN MAIL "C> BDAT 2 LAST\\r\\na\\n\nS: 552 5.6.0 *\nC: BDAT x\nS: 501 *\nEOF");
    assert_int_equal(talk.stored_count, 1);
    talk_close(&talk);
}

static void junk_is_slowed_then_sent_away(void **state)
{
    (void)state;
    once("", "{\"junk_command_limit\": 4, \"junk_command_delay\": 0.002}",
         "S: 220 *\nC: A\nC: B\nC: C\nC: D\nC: E\nC: QUIT\nS: 502 *\nS: 502 *\nS: 502 *\nS: 502 *\nS: 421 4.7.0 *\nEOF",
         0);
    once("", "{\"junk_command_limit\": 1}",
         "S: 220 *\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\n"
         "S: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 250 *\nS: 421 "
         "*\nEOF",
         0);
}

static void other_protocols_are_hung_up_on(void **state)
{
    (void)state;
    once("", PLAIN_PARAMS, "S: 220 *\nC: GET / HTTP/1.1\nC: EHLO a\nEOF", 0);
    once("", PLAIN_PARAMS, "S: 220 *\nC: post /x HTTP/1.0\nEOF", 0);
    once("", PLAIN_PARAMS, "S: 220 *\nC: NOOP\nC> GE\nS: 250 *\nC> T / HTTP/1.1\\r\\nEHLO a\\r\\n\nEOF", 0);
    once("", PLAIN_PARAMS, "S: 220 *\nC> \x16\x03\x01\\0\x05\nEOF", 0);
}

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* However the stream is cut: nothing that matters is run from there, and the next line is a command again. */
static void what_stands_behind_a_bare_lf_is_not_run(void **state)
{
    (void)state;
    once("", PLAIN_PARAMS,
         OPEN "C> MAIL FROM:<a@a>\\n\nS: 500 5.5.2 lines end with CRLF, and only with it\n"
              "C: MAIL FROM:<a@a>\nS: 500 5.5.2 *\nC: MAIL FROM:<a@a>\nS: 250 *\nC: RSET\nS: 250 *",
         0);
    once("", PLAIN_PARAMS, OPEN "C> NOOP\\nMAIL FROM:<a@a>\\r\\n\nS: 500 *\nC: RCPT TO:<a@b>\nS: 503 *", 0);
    once("", PLAIN_PARAMS, OPEN "C> NOOP\\nQUIT\\r\\n\nS: 500 *\nC: NOOP\nS: 250 *", 0);
    once("", PLAIN_PARAMS, OPEN "C> \\n\nS: 500 *\nC: RSETX\nS: 500 5.5.2 *\nC: NOOP\nS: 250 *", 0);
    once("", PLAIN_PARAMS, OPEN "C> \\n\nS: 500 *\nC: NOOP\nS: 250 *\nC: MAIL FROM:<a@a>\nS: 250 *", 0);
    once("", PLAIN_PARAMS, OPEN "C> BDAT 4\\nRSET\nS: 501 *\nEOF", 0);
    once("", PLAIN_PARAMS, OPEN "C> NOOP\\n\nS: 500 *\nC> BDAT 4\\r\\nRSET\nS: 501 *\nEOF", 0);
    once("", "{\"line_length_hard_limit\": 78}",
         OPEN "C> NOOP " HUNDRED "\\nMAIL FROM:<a@a>\\r\\n\nS: 500 5.5.2 *\nC: RCPT TO:<a@b>\nS: 503 *", 0);
    once("", "{\"line_length_hard_limit\": 78}", OPEN "C> NOOP " HUNDRED "\\r\\nNOOP\\r\\n\nS: 500 5.2.3 *\nS: 250 *",
         0);
}

static void bad_bytes_in_commands_change_nothing(void **state)
{
    (void)state;
    once("", PLAIN_PARAMS,
         OPEN "C> MAIL FROM:<a\\rb@a>\\r\\n\nS: 500 *\nC> MAIL FROM:<a\\0b@a>\\r\\n\nS: 500 *\n"
              "C> MAIL FROM:<\xc3\xa4@a>\\r\\n\nS: 553 5.6.7 *\nC> N\xc3\xa4OP\\r\\n\nS: 5*\n"
              "C> MAIL FROM:<\xff@a> SMTPUTF8\\r\\n\nS: 501 *\nC: RCPT TO:<a@b>\nS: 503 *",
         0);
}

static void long_lines_are_bounded(void **state)
{
    struct talk talk;
    char *line = mem_alloc(300001);

    (void)state;
    memset(line, 'x', 300000);
    line[300000] = '\0';
    talk_open(&talk, "", PLAIN_PARAMS);
    talk_run(&talk, "S: 220 *");
    MUST(buf_appendf(&talk.to_server, "NOOP %s\r\n", line) == 0);
    talk_go_on(&talk, "S: 500 5.2.3 *\nC: NOOP\nS: 250 *");
    MUST(buf_appendf(&talk.to_server, "AUTH PLAIN %s\r\n", line) == 0);
    talk_go_on(
        &talk,
        "S: 500 *\nC: EHLO a\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 *\n" MAIL
            DATA);
    MUST(buf_appendf(&talk.to_server, "%s\r\n", line) == 0);
    talk_go_on(&talk, "C: .\nS: 500 5.2.3 line too long\nC: QUIT\nS: 221 *\nEOF");
    assert_int_equal(talk.stored_count, 0);
    talk_close(&talk);
    free(line);
}

static void sizes_are_enforced(void **state)
{
    (void)state;
    once("", "{\"max_message_size\": 10}",
         OPEN "C: MAIL FROM:<a@a> SIZE=11\nS: 552 5.3.4 *\nC: MAIL FROM:<a@a> SIZE=10\nS: 250 *\nC: RCPT TO:<b@b>\nS: "
              "250 *\n" DATA "C: 123456789012345\nC: .\nS: 552 5.3.4 *\nC: NOOP\nS: 250 *\n" MAIL
              "C> BDAT 11 LAST\\r\\n01234567890\nS: 552 5.3.4 *\nC: RCPT TO:<b@b>\nS: 503 *",
         0);
    once("", "{\"max_recipients_per_message\": 1, \"max_messages_per_connection\": 1}",
         OPEN MAIL "C: RCPT TO:<c@b>\nS: 452 4.5.3 *\nC: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 452 4.5.3 *", 0);
}

static void strangers_cannot_relay(void **state)
{
    static const char lua[] =
        "kumo.on('get_listener_domain', function(domain, listener, conn_meta)\n"
        "  if domain == 'to.test' then return kumo.make_listener_domain{relay_to = true} end\n"
        "  if domain == 'from.test' then return kumo.make_listener_domain{relay_from = {'127.0.0.0/8'}} end\n"
        "  if domain == 'far.test' then return kumo.make_listener_domain{relay_from = {'10.0.0.0/8'}} end\n"
        "  if domain == 'log.test' then return {log_oob = true} end\n"
        "  if domain == 'bad.test' then return {relay = 1} end\n"
        "  if domain == 'err.test' then error('x') end\n"
        "end)";

    (void)state;
    once("", NO_RELAY,
         OPEN "C: MAIL FROM:<a@a>\nS: 250 *\nC: RCPT TO:<b@b>\nS: 550 5.7.1 relaying not permitted for 127.0.0.1:*", 0);
    once(lua, NO_RELAY,
         OPEN
         "C: MAIL FROM:<a@a.test>\nS: 250 *\nC: RCPT TO:<b@b.test>\nS: 550 5.7.1 *\nC: RCPT TO:<b@TO.test>\nS: 250 *\n"
         "C: RCPT TO:<b@bad.test>\nS: 451 4.3.0 *\nC: RCPT TO:<b@err.test>\nS: 451 4.3.0 *\n"
         "C: RCPT TO:<b@from.test>\nS: 550 *\nC: RSET\nS: 250 *\n"
         "C: MAIL FROM:<a@from.test>\nS: 250 *\nC: RCPT TO:<b@b.test>\nS: 250 *\n" DATA "C: .\nS: 250 OK*\n"
         "C: MAIL FROM:<a@far.test>\nS: 250 *\nC: RCPT TO:<b@b.test>\nS: 550 *\nC: RSET\nS: 250 *\n"
         "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<b@log.test>\nS: 250 *\n" DATA "C: .\nS: 250 OK*",
         1);
    /* the second look: what policy made of the envelope may not go where it would */
    once("kumo.on('get_listener_domain', function(d) return kumo.make_listener_domain{relay_to = d == 'to.test'} end)\n"
         "kumo.on('smtp_server_message_received', function(msg) msg:set_recipient('x@elsewhere.test') end)",
         NO_RELAY, OPEN "C: MAIL FROM:<a@a>\nS: 250 *\nC: RCPT TO:<b@to.test>\nS: 250 *\n" DATA "C: .\nS: 250 OK*", 0);
}

static void events_decide(void **state)
{
    (void)state;
    once("kumo.on('smtp_server_connection_accepted', function(c) kumo.reject(421, '4.7.0 go away') end)", PLAIN_PARAMS,
         "S: 421 4.7.0 go away\nEOF", 0);
    once("kumo.on('smtp_server_ehlo', function(d, c, ext) kumo.sleep(1) if d == 'bad' then kumo.reject(550, 'no') end\n"
         "return {ext[1], 'X-OURS'} end)",
         PLAIN_PARAMS,
         "S: 220 *\nC: EHLO bad\nS: 550 no\nC: MAIL FROM:<>\nS: 503 *\nC: EHLO ok\nS: 250-mx.test\nS: "
         "250-PIPELINING\nS: 250 X-OURS",
         0);
    once("kumo.on('smtp_server_get_dynamic_parameters', function(l, c) assert(c:get_meta('received_via') == l)\n"
         "return {hostname = 'dyn.test', banner = 'hi', max_message_size = 5} end)",
         PLAIN_PARAMS, "S: 220 dyn.test hi\nC: EHLO a\nS: 250-dyn.test\nS: 250-PIPELINING\nS: 250-SIZE 5\n", 0);
    once("kumo.on('smtp_server_get_dynamic_parameters', function() return {listen = 'x'} end)", PLAIN_PARAMS,
         "S: 421 4.3.0 *\nEOF", 0);
    once("kumo.on('smtp_server_rewrite_response', function(s, t, cmd, c) if s == 502 then return 599, '5.9.9 ' .. cmd "
         "end\n"
         "if s == 503 then return 421, 'bye' end end)",
         PLAIN_PARAMS, "S: 220 *\nC: FOO bar\nC: DATA\nC: NOOP\nS: 599 5.9.9 FOO bar\nS: 421 bye\nEOF", 0);
    once("kumo.on('smtp_server_mail_from', function(s) assert(s.domain == 'a') kumo.reject(450, 'later') end)",
         PLAIN_PARAMS, OPEN "C: MAIL FROM:<a@a>\nS: 450 later\nC: RCPT TO:<a@b>\nS: 503 *", 0);
}

static void a_policy_may_hang_up(void **state)
{
    (void)state;
    once("kumo.on('smtp_server_mail_from', function() kumo.reject(550, '5.7.1 no', 1) end)", PLAIN_PARAMS,
         OPEN "C: MAIL FROM:<a@a>\nC: NOOP\nS: 550 5.7.1 no\nEOF", 0);
    once("kumo.on('smtp_server_mail_from', function() kumo.reject(550, '5.7.1 no', 2) end)", PLAIN_PARAMS,
         OPEN "C: MAIL FROM:<a@a>\nC: NOOP\nS: 550 5.7.1 no\nS: 421 *\nEOF", 0);
    once("kumo.on('get_listener_domain', function() kumo.reject(550, '5.7.1 no', 1) end)", NO_RELAY,
         OPEN "C: MAIL FROM:<a@a>\nC: RCPT TO:<b@b>\nC: NOOP\nS: 250 *\nS: 550 5.7.1 no\nEOF", 0);
    once("kumo.on('smtp_server_data', function() kumo.reject(550, '5.7.1 no', 1) end)", PLAIN_PARAMS,
         OPEN MAIL DATA "C: .\nC: NOOP\nS: 550 5.7.1 no\nEOF", 0);
    once("kumo.on('smtp_server_message_received', function() kumo.reject(421, '4.7.0 no', 2) end)", PLAIN_PARAMS,
         OPEN MAIL DATA "C: .\nC: NOOP\nS: 421 4.7.0 no\nEOF", 0);
}

/* Other words for a 421 are no reason to go on. */
static void a_421_closes_whatever_policy_makes_of_it(void **state)
{
    static const struct {
        const char *lua, *script;
    } cases[] = {
        {"smtp_server_ehlo", "S: 220 *\nC: EHLO a\nC: NOOP\nS: 451 *\nEOF"},
        {"smtp_server_mail_from", OPEN "C: MAIL FROM:<a@a>\nC: NOOP\nS: 451 *\nEOF"},
        {"smtp_server_rcpt_to", OPEN "C: MAIL FROM:<a@a>\nC: RCPT TO:<b@b>\nC: NOOP\nS: 250 *\nS: 451 *\nEOF"},
        {"smtp_server_data", OPEN MAIL DATA "C: .\nC: NOOP\nS: 451 *\nEOF"},
        {"smtp_server_message_received", OPEN MAIL "C: BDAT 0 LAST\nC: NOOP\nS: 451 *\nEOF"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int nap = 0; nap < 2; nap++) {
            char *lua = mem_printf("kumo.on('%s', function() kumo.reject(421, '4.7.0 go') end)\n"
                                   "kumo.on('smtp_server_rewrite_response', function(code, text) %s\n"
                                   "if code == 421 then return 451, text end end)",
                                   cases[i].lua, nap ? "kumo.sleep(1)" : "");

            once(lua, PLAIN_PARAMS, cases[i].script, 0);
            free(lua);
        }
    once("kumo.on('get_listener_domain', function() kumo.reject(421, '4.7.0 go') end)\n"
         "kumo.on('smtp_server_rewrite_response', function(code, text) if code == 421 then return 451, text end end)",
         NO_RELAY, OPEN "C: MAIL FROM:<a@a>\nC: RCPT TO:<b@b>\nC: NOOP\nS: 250 *\nS: 451 *\nEOF", 0);
}

/* The second look at whether it may be relayed has its own answers, too: nothing of the transaction is taken. */
static void the_second_look_may_refuse_all(void **state)
{
    (void)state;
    once("kumo.on('get_listener_domain', function(d) if d == 'odd.test' then kumo.reject(450, '4.7.1 later') end\n"
         "return kumo.make_listener_domain{relay_to = d == 'to.test'} end)\n"
         "local n = 0 kumo.on('smtp_server_message_received', function(msg) n = n + 1\n"
         "if n == 2 then msg:set_recipient('x@odd.test') end end)",
         NO_RELAY,
         OPEN "C: MAIL FROM:<a@a>\nS: 250 *\nC: RCPT TO:<b@to.test>\nS: 250 *\nC: RCPT TO:<c@to.test>\nS: 250 *\n" DATA
              "C: .\nS: 450 4.7.1 later\nC: RCPT TO:<b@to.test>\nS: 503 *",
         0);
    once("kumo.on('smtp_server_data', function(msg) msg:set_recipient_list{} end)", PLAIN_PARAMS,
         OPEN MAIL DATA "C: .\nS: 451 4.3.0 *\nC: RCPT TO:<b@b>\nS: 503 *", 0);
}

static void chunks_are_mended_as_data_is(void **state)
{
    static const char fix[] = "{\"junk_command_delay\": 0, \"invalid_line_endings\": \"Fix\"}";
    struct talk talk;

    (void)state;
    talk_open(&talk, "", fix);
    talk_run(&talk,
             OPEN MAIL "C> BDAT 9\\r\\na: b\\n\\nx\\r.\nS: 250 *\nC> BDAT 5 LAST\\r\\n\\n\\0\\r\\ry\nS: 250 OK*");
    assert_non_null(memmem(talk_body(&talk, 0).data, talk_body(&talk, 0).len, "a: b\r\n\r\nx\r\n.\r\n\0\r\n\r\ny", 19));
    talk_close(&talk);
    once("", PLAIN_PARAMS, OPEN MAIL "C> BDAT 3 LAST\\r\\na\\rb\nS: 552 5.6.0 lines *", 0);
    once("", PLAIN_PARAMS, OPEN MAIL "C> BDAT 3 LAST\\r\\na\\0b\nS: 552 5.6.0 a message must not hold NUL", 0);
}

/* The kernel keeps what we do not; nothing of it is lost, and each is answered in its turn. */
static void what_is_pipelined_while_we_wait_is_kept_in_bounds(void **state)
{
    static const size_t most = 30000; /* 180 kB, and twice as much to say */
    struct talk talk;
    size_t answers = 0;
    char line[4096];

    (void)state;
    talk_open(&talk, "kumo.on('smtp_server_mail_from', function() kumo.sleep(50) end)",
              "{\"junk_command_limit\": 100000, \"junk_command_delay\": 0}");
    talk_run(&talk, OPEN "C: MAIL FROM:<a@a.test>\n");
    for (size_t i = 0; i < most; i++)
        MUST(buf_append(&talk.to_server, "NOOP\r\n", 6) == 0);
    MUST(buf_append(&talk.to_server, "QUIT\r\n", 6) == 0);
    talk_flush(&talk);
    while (!talk.ended) {
        loop_turn(talk.loop, true);
        while (talk_take_line(&talk, line, sizeof line))
            answers += line[0] == '2';
    }
    assert_int_equal(answers, 1 + most + 1);
    talk_close(&talk);
}

static void a_transaction_is_split(void **state)
{
    static const char tail[] =
        "C: RCPT TO:<c@b.test>\nS: 250 *\nC: RCPT TO:<d@d.test>\nS: 250 *\n" DATA "C: .\nS: 250 OK ids=*";
    char script[2048];

    (void)state;
    snprintf(script, sizeof script, "%s%s%s", OPEN, MAIL, tail);
    once("", PLAIN_PARAMS, script, 3);
    once("", "{\"batch_handling\": \"BatchByDomain\"}", script, 2);
    once("kumo.on('smtp_server_split_transaction', function(msg) return {all = msg:recipient_list()} end)",
         PLAIN_PARAMS, script, 1);
    once("kumo.on('smtp_server_split_transaction', function(msg) return {{'x@y.test'}, {'z@y.test', 'q@y.test'}} end)",
         PLAIN_PARAMS, script, 2);
    snprintf(script, sizeof script, "%s%s%sC: .\nS: 451 4.3.0 *", OPEN, MAIL, DATA);
    once("kumo.on('smtp_server_split_transaction', function(msg) return {{1}} end)", PLAIN_PARAMS, script, 0);
    once("kumo.on('smtp_server_split_transaction', function(msg) return {} end)", PLAIN_PARAMS, script, 0);
}

static void many_recipients_do_not_nest(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk,
              "kumo.on('smtp_server_split_transaction', function(m) local all = {} for i = 1, 60 do all[i] = {'r' .. i "
              ".. '@b.test'} end return all end)\n"
              "kumo.on('smtp_server_message_received', function(msg) msg:set_meta('x_seen', 1) end)",
              PLAIN_PARAMS);
    talk_run(&talk, OPEN MAIL DATA "C: .\nS: 250-OK ids=*\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 *\nC: NOOP\nS: 250 *");
    assert_int_equal(talk.stored_count, 60);
    talk_close(&talk);
}

static void forged_headers_are_removed(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", "{\"trace_headers\": {\"received_header\": false, \"supplemental_header\": false}}");
    talk_run(&talk, OPEN MAIL DATA
             "C: return-PATH: <x@y>\nC: Authentication-Results: other.test; spf=pass\n"
             "C: Authentication-Results :\nC: \t(c) MX.test; spf=pass\nC: A: b\nC: \nC: x\nC: .\nS: 250 OK*");
    assert_true(
        span_eq(talk_body(&talk, 0), SPAN_LIT("Authentication-Results: other.test; spf=pass\r\nA: b\r\n\r\nx\r\n")));
    talk_close(&talk);
}

/* Or "X-Authenticated-Id: ann" would end in a line of ann's own. */
static void our_headers_are_not_continued_by_the_text(void **state)
{
    static const struct {
        const char *text;
        bool lenient, is_taken;
    } cases[] = {
        {"\\tadmin@corp.test\\r\\nFrom: a@a.test\\r\\n\\r\\nx", false, false},
        {" admin\\r\\n", false, false},
        {" \\r\\nFrom: a@a.test\\r\\n\\r\\nx", false, false},
        {"\v\\tadmin\\r\\n", false, false},
        {"\\r\\tadmin\\r\\n", true, false},
        {"\\0 admin\\r\\n", true, false},
        /* at the top only when what stood there has been removed */
        {"Return-Path: <x>\\r\\n\\0\\tadmin\\r\\n\\r\\nx", true, false},
        {"Return-Path: <x>\\r\\n\\r\\tadmin\\r\\n", true, false},
        {"X-Bad: x\\r\\n\v\\tadmin\\r\\n\\r\\nx", false, false},
        /* these stand in nobody's header, or in the client's own */
        {"Return-Path: <x>\\r\\n\\tfolded\\r\\nA: b\\r\\n\\r\\nx", false, true},
        {"X-Bad: x\\r\\n\\tfolded\\r\\nA: b\\r\\n\\r\\nx", false, true},
        {"A: b\\r\\n\\tfolded\\r\\n\\r\\n indented", false, true},
        {"\\r\\n\\tindented\\r\\n", false, true},
        {"\\n\\tindented\\n", true, true},
        {"no header\\r\\n indented\\r\\n", false, true},
        {"", false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int chunked = 0; chunked < 2; chunked++) {
            const char *end = chunked ? "\nS: 250 2.0.0 *\nC: BDAT 0 LAST" : "\\r\\n.\\r\\n";
            size_t escapes = 0, len = strlen(cases[i].text);
            char *script;

            for (const char *c = cases[i].text; *c; c++)
                escapes += *c == '\\';
            script = chunked ? mem_printf(OPEN MAIL "C> BDAT %zu\\r\\n%s%s\nS: %s\nC: NOOP\nS: 250 *", len - escapes,
                                          cases[i].text, end, cases[i].is_taken ? "250 OK*" : "554 5.6.0 *")
                             : mem_printf(OPEN MAIL DATA "C> %s%s\nS: %s\nC: NOOP\nS: 250 *", cases[i].text, end,
                                          cases[i].is_taken ? "250 OK*" : "554 5.6.0 *");
            once("kumo.on('smtp_server_data', function(msg) msg:remove_x_headers { 'X-Bad' } end)",
                 cases[i].lenient ? "{\"invalid_line_endings\": \"Allow\"}" : PLAIN_PARAMS, script,
                 cases[i].is_taken ? 1 : 0);
            free(script);
        }
    once("kumo.on('smtp_server_data', function(msg) msg:set_data('\\tadmin') end)", PLAIN_PARAMS,
         OPEN MAIL DATA "C: .\nS: 554 5.6.0 *", 0);
    once("kumo.on('smtp_server_message_received', function(msg) msg:set_data('\\tx') msg:prepend_header('A', 'b') end)",
         PLAIN_PARAMS, OPEN MAIL DATA "C: .\nS: 451 4.3.0 *", 0);
}

static void loops_end(void **state)
{
    (void)state;
    once("", "{\"max_received_headers\": 2}",
         OPEN MAIL DATA "C: Received: 1\nC: Received: 2\nC: received: 3\nC: \nC: .\nS: 554 5.4.6 *", 0);
}

static void a_cut_connection_leaves_no_message(void **state)
{
    (void)state;
    once("", PLAIN_PARAMS, OPEN MAIL DATA "C: half a message\nHALF\nEOF", 0);
    once("", PLAIN_PARAMS, OPEN MAIL "C> BDAT 10 LAST\\r\\nabc\nHALF\nEOF", 0);
}

static void a_client_that_goes_away_frees_everything(void **state)
{
    static const char lua[] = "kumo.on('smtp_server_mail_from', function() kumo.sleep(3600000) end)";
    struct talk talk;

    (void)state;
    talk_open(&talk, lua, PLAIN_PARAMS);
    talk_run(&talk, OPEN "C: MAIL FROM:<a@a>\n");
    for (int i = 0; i < 10; i++)
        loop_turn(talk.loop, false);
    talk_hang_up(&talk);
    talk_settle(&talk);
    talk_close(&talk);
}

/* Of a client that only ended its side: the one timer that may still be waited for. */
static bool ends_within_a_second(struct talk *talk)
{
    struct session *session = CONTAINER_OF(list_first(&talk->listener->sessions), struct session, node);

    if (!session->is_at_eof || !timer_is_running(&session->timeout))
        return false;
    assert_true(session->timeout.node.key < loop_now_ms(talk->loop) + 1000);
    return true;
}

static void settle_or_end_within_a_second(struct talk *talk)
{
    while (receive_listener_sessions(talk->listener) > 0 && !ends_within_a_second(talk))
        loop_turn(talk->loop, true);
}

enum departure { CLOSES, RESETS, ENDS_ITS_SIDE, DEPARTURES };

static void depart(struct talk *talk, enum departure how)
{
    struct linger linger = {.l_onoff = 1};

    for (int i = 0; i < 10; i++) /* what was said is heard */
        loop_turn(talk->loop, false);
    if (how == RESETS)
        setsockopt(socket_fd(talk->client), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (how == ENDS_ITS_SIDE)
        shutdown(socket_fd(talk->client), SHUT_WR);
    else
        talk_hang_up(talk);
}

/* Every limit is an hour: what ends the session is that the client is gone, or the test never ends. */
static void a_client_that_goes_away_in_any_state_is_gone_within_a_second(void **state)
{
    static const char lua[] = "kumo.on('smtp_server_mail_from', function(m) if tostring(m) == 'wait@a' then\n"
                              "  kumo.sleep(3600000) end end)\n"
                              "kumo.on('smtp_server_auth_plain', function() kumo.sleep(3600000) end)";
#define AN_HOUR                                                                                                        \
    "\"client_timeout\": 3600, \"handshake_timeout\": 3600, \"auth_timeout\": 3600, \"request_deadline\": 3600,"       \
    "\"auth_failure_delay\": 3600, \"junk_command_limit\": 2, \"junk_command_delay\": 3600"
    static const char secure[] = OPEN "C: STARTTLS\nS: 220 *\nTLS\nC: HELO a\nS: 250 *\n";
    static const char *const states[] = {
        "",
        "S: 220 *\n",
        "S: 220 *\nC> EHLO a",
        OPEN,
        OPEN "C: FOO\nS: 502 *\nC: FOO\n",
        OPEN "C: MAIL FROM:<wait@a>\n",
        OPEN MAIL,
        OPEN MAIL DATA,
        OPEN MAIL DATA "C: Subject: x\nC> hel",
        OPEN MAIL "C> BDAT 500 LAST\\r\\nhello\n",
        OPEN "C: STARTTLS\nS: 220 *\n",
        OPEN "C: STARTTLS\nS: 220 *\nC> \\x16",
        secure,
    };
    struct talk talk;

    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        for (enum departure how = CLOSES; how < DEPARTURES; how++) {
            talk_open(&talk, lua, "{" AN_HOUR "}");
            talk_run(&talk, states[i]);
            depart(&talk, how);
            settle_or_end_within_a_second(&talk);
            assert_int_equal(talk.stored_count, 0);
            talk_close(&talk);
        }
    talk_open(&talk, lua, "{\"require_proxy_protocol\": true, " AN_HOUR "}");
    talk_run(&talk, "C> PROXY TCP4 192.0.2.1 ");
    depart(&talk, RESETS);
    settle_or_end_within_a_second(&talk);
    talk_close(&talk);
    talk_open(&talk, lua, "{" AN_HOUR "}");
    talk_run(&talk, OPEN MAIL DATA);
    depart(&talk, ENDS_ITS_SIDE);
    talk_settle(&talk); /* as that timer says */
    assert_int_equal(atomic_load(&talk.share->connections), 0);
    talk_close(&talk);
}

static void only_what_is_stored_is_promised(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", PLAIN_PARAMS);
    talk.store_failure = "4.3.0 no disk";
    talk_run(&talk, OPEN MAIL DATA "C: .\nS: 451 4.3.0 no disk\nC: RCPT TO:<b@b>\nS: 503 *\n");
    talk.store_failure = NULL;
    talk.not_accepting = "4.3.1 no room";
    talk_go_on(&talk, "C: MAIL FROM:<>\nS: 452 4.3.1 no room\n");
    talk.not_accepting = NULL;
    talk.hold = true;
    talk_go_on(&talk, MAIL DATA "C: .\nC: QUIT\n");
    while (!talk.held)
        loop_turn(talk.loop, true);
    assert_int_equal(buf_len(&talk.from_server), 0);
    receive_stored(talk.held, NULL);
    talk_go_on(&talk, "S: 250 OK*\nS: 221 *\nEOF");
    /* gone meanwhile: nobody is told, nothing is leaked */
    talk.held = NULL;
    talk_run(&talk, OPEN MAIL DATA "C: .\n");
    while (!talk.held)
        loop_turn(talk.loop, true);
    talk_hang_up(&talk);
    talk_settle(&talk);
    receive_stored(talk.held, NULL);
    talk_close(&talk);
}

static void processing_takes_only_so_long(void **state)
{
    (void)state;
    once("kumo.on('smtp_server_message_received', function() kumo.sleep(3600000) end)",
         "{\"data_processing_timeout\": 0.005}",
         OPEN MAIL DATA "C: .\nS: 451 4.4.5 data_processing_timeout exceeded\nC: RCPT TO:<a@b>\nS: 503 *", 0);
}

/* The limit is short only from the end of `before` on: until there the machine may be as slow as it likes. */
static void let_go(const char *params, const char *before, size_t limit, const char *after)
{
    struct talk talk;

    talk_open(&talk, "", params);
    talk_run(&talk, before);
    *(uint64_t *)((char *)talk.params + limit) = 20;
    talk_go_on(&talk, after);
    talk_hang_up(&talk);
    talk_settle(&talk);
    assert_int_equal(talk.stored_count, 0);
    talk_close(&talk);
}

#define CLIENT_TIMEOUT offsetof(struct receive_params, client_timeout_ms)
#define REQUEST_DEADLINE offsetof(struct receive_params, transaction_deadline_ms)

static void slow_clients_are_let_go(void **state)
{
    (void)state;
    once("", "{\"client_timeout\": 0.02}", "S: 220 *\nS: 421 4.4.2 *\nEOF", 0);
    let_go("{}", OPEN MAIL DATA, CLIENT_TIMEOUT, "C: x\nS: 421 4.4.2 *\nEOF");
    let_go("{}", OPEN MAIL DATA, REQUEST_DEADLINE, "C: x\nS: 421 4.4.2 *\nEOF");
}

#define RATE_GRACE offsetof(struct receive_params, data_rate_grace_ms)

static void a_trickle_of_data_is_ended(void **state)
{
    static const char fast[] = "{\"min_data_rate\": 1000000, \"client_timeout\": 3600}";

    (void)state;
    let_go(fast, OPEN MAIL DATA "C: x\n", RATE_GRACE, "C: y\nS: 421 4.4.2 *\nEOF");
    let_go(fast, OPEN MAIL "C> BDAT 100\\r\\nhello\n", RATE_GRACE, "C> hello\nS: 421 4.4.2 *\nEOF");
    let_go(fast, OPEN MAIL "C> BDAT 5\\r\\nhello\nS: 250 *\n", RATE_GRACE, "C> BDAT 5\\r\\nh\nS: 421 4.4.2 *\nEOF");
}

static void let_checks_pass(struct talk *talk)
{
    uint64_t until_ms = loop_now_ms(talk->loop) + 5 * talk->params->data_rate_grace_ms;

    while (loop_now_ms(talk->loop) < until_ms) /* the session's own timer wakes us */
        loop_turn(talk->loop, true);
}

/* The rate is an average: who was fast may rest. Who has no rate to keep may take his time. */
static void whoever_keeps_the_rate_is_left_alone(void **state)
{
    static const char *const rates[] = {"{\"min_data_rate\": 1}", "{\"min_data_rate\": 0}"};
    struct talk talk;

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        talk_open(&talk, "", rates[i]);
        talk.params->data_rate_grace_ms = 20;
        talk_run(&talk, OPEN MAIL DATA);
        assert_int_equal(buf_appendf(&talk.to_server, "%0*d\r\n", i == 0 ? 900 : 1, 0), 0);
        talk_flush(&talk);
        let_checks_pass(&talk);
        talk_go_on(&talk, "C: .\nS: 250 OK*\n");
        talk_close(&talk);
    }
}

/* It once looked for the rate of a transaction that was not there. */
static void a_chunk_without_a_transaction_outlives_the_timer(void **state)
{
    static const char slowed[] = "{\"junk_command_limit\": 1, \"junk_command_delay\": 0.02}";

    (void)state;
    let_go(slowed, OPEN "C: FOO\nS: 502 *\n", CLIENT_TIMEOUT, "C> BDAT 100\\r\\nhello\nS: 421 4.4.2 *\nEOF");
    let_go(slowed, OPEN "C: FOO\nS: 502 *\n" MAIL, CLIENT_TIMEOUT, "C> BDAT 100\\r\\nhello\nS: 421 4.4.2 *\nEOF");
    let_go("{}", OPEN, REQUEST_DEADLINE, "C> BDAT 100\\r\\nhello\nS: 421 4.4.2 *\nEOF");
}

struct bystander {
    struct deferred turn;
    struct loop *loop;
    int turns;
};

static void take_a_turn(struct deferred *deferred)
{
    struct bystander *bystander = CONTAINER_OF(deferred, struct bystander, turn);

    bystander->turns++;
    loop_defer(bystander->loop, &bystander->turn);
}

/* It once had the loop to itself as long as it sent faster than its text was read. */
static void a_fast_client_leaves_turns_to_others(void **state)
{
    enum { LINES = 80000, LINE = 102 };
    struct bystander bystander = {.turn.run = take_a_turn};
    struct talk talk;

    (void)state;
    talk_open(&talk, "", PLAIN_PARAMS);
    talk_run(&talk, OPEN MAIL DATA);
    assert_int_equal(buf_append_span(&talk.to_server, SPAN_LIT("\r\n")), 0);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(buf_appendf(&talk.to_server, "%0100d\r\n", i), 0);
    list_node_init(&bystander.turn.node);
    bystander.loop = talk.loop;
    loop_defer(talk.loop, &bystander.turn);
    talk_go_on(&talk, "C: .\nS: 250 OK*\n");
    loop_undefer(talk.loop, &bystander.turn);
    assert_true(bystander.turns >= LINES * LINE / (256 << 10));
    talk_close(&talk);
}

static void budgets_hold(void **state)
{
    (void)state;
    receive_set_memory_limit(60000); /* less than the least that a body is charged */
    once("", PLAIN_PARAMS, OPEN MAIL DATA "C: x\nC: .\nS: 452 4.3.1 *\nC: RCPT TO:<b@b>\nS: 503 *", 0);
    receive_set_memory_limit(1 << 30);
}

static void one_too_many_is_told(void **state)
{
    struct talk talk;
    struct sockaddr_storage address;
    char line[256];
    ssize_t got;
    int fd;

    (void)state;
    talk_open(&talk, "", "{\"max_connections\": 1}");
    talk_run(&talk, "S: 220 *");
    address = talk.address;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sockaddr_length((struct sockaddr *)&address)), 0);
    while ((got = recv(fd, line, sizeof line - 1, MSG_DONTWAIT)) < 0)
        loop_turn(talk.loop, false);
    line[got] = '\0';
    assert_string_equal(line, "421 4.3.2 mx.test too many concurrent sessions. Try later\r\n");
    close(fd);
    talk_go_on(&talk, "C: NOOP\nS: 250 *");
    talk_close(&talk);
}

static void proxies_speak_for_clients(void **state)
{
    static const char lua[] = "kumo.on('smtp_server_connection_accepted', function(c)\n"
                              "kumo.reject(450, c:get_meta('received_from') .. ' ' .. c:get_meta('received_via')) end)";

    (void)state;
    once(lua, "{\"require_proxy_protocol\": true}",
         "C: PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\nS: 450 192.0.2.1:1000 192.0.2.2:25\nEOF", 0);
    once("", "{\"require_proxy_protocol\": true}", "C: EHLO this is no proxy header\nEOF", 0);
    once("", "{\"require_proxy_protocol\": true, \"peer\": {\"192.0.2.1\": {\"hostname\": \"other\"}}}",
         "C: PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\nC: NOOP\nS: 220 other *\nS: 250 *", 0);
    once("", PLAIN_PARAMS, "S: 220 *\nC: XCLIENT ADDR=192.0.2.1\nS: 550 *\nEOF", 0);
    once("", "{\"allow_xclient\": true}",
         "S: 220 *\nC: XCLIENT ADDR=192.0.2.1 PORT=77\nS: 220 *\nC: EHLO a\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-*\nS: "
         "250-*\nS: 250-*\nS: 250-*\nS: 250-STARTTLS\nS: 250 XCLIENT *\n"
         "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<a@b>\nS: 550 5.7.1 relaying not permitted for 192.0.2.1:77\n"
         "C: RSET\nS: 250 *\nC: MAIL FROM:<>\nS: 250 *\nC: XCLIENT ADDR=192.0.2.2\nS: 503 *\nC: RSET\nS: 250 *\n"
         "C: XCLIENT DESTADDR=192.0.2.3 DESTPORT=26\nS: 220 *\nC: XCLIENT ADDR=x\nS: 501 *\nEOF",
         0);
}

static void draining_ends_sessions_at_their_next_command(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", PLAIN_PARAMS);
    talk_run(&talk, OPEN MAIL);
    receive_listener_stop(talk.listener, NULL, NULL);
    talk_go_on(&talk, DATA "C: .\nS: 250 OK*\nC: MAIL FROM:<>\nS: 421 4.3.2 *\nEOF");
    talk_settle(&talk);
    talk_close(&talk);
}

static void refusals_are_put_on_record(void **state)
{
    struct talk talk;

    (void)state;
    talk_open(&talk, "", NO_RELAY);
    talk_run(&talk, OPEN "C: MAIL FROM:<a@a>\nS: 250 *\nC: RCPT TO:<b@b>\nS: 550 *\n");
    assert_int_equal(talk.rejections, 1);
    assert_non_null(strstr(talk.last_rejected, "550 relaying not permitted"));
    assert_non_null(strstr(talk.last_rejected, "|RCPT TO:<b@b>"));
    talk_close(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_in),
        cmocka_unit_test(commands_have_an_order),
        cmocka_unit_test(pipelined_commands_are_answered_in_order),
        cmocka_unit_test(no_look_alike_ends_the_data),
        cmocka_unit_test(the_transaction_is_empty_after_every_answer),
        cmocka_unit_test(chunks_make_a_message),
        cmocka_unit_test(junk_is_slowed_then_sent_away),
        cmocka_unit_test(other_protocols_are_hung_up_on),
        cmocka_unit_test(what_stands_behind_a_bare_lf_is_not_run),
        cmocka_unit_test(bad_bytes_in_commands_change_nothing),
        cmocka_unit_test(long_lines_are_bounded),
        cmocka_unit_test(sizes_are_enforced),
        cmocka_unit_test(strangers_cannot_relay),
        cmocka_unit_test(events_decide),
        cmocka_unit_test(a_policy_may_hang_up),
        cmocka_unit_test(a_421_closes_whatever_policy_makes_of_it),
        cmocka_unit_test(the_second_look_may_refuse_all),
        cmocka_unit_test(chunks_are_mended_as_data_is),
        cmocka_unit_test(what_is_pipelined_while_we_wait_is_kept_in_bounds),
        cmocka_unit_test(a_transaction_is_split),
        cmocka_unit_test(many_recipients_do_not_nest),
        cmocka_unit_test(forged_headers_are_removed),
        cmocka_unit_test(our_headers_are_not_continued_by_the_text),
        cmocka_unit_test(loops_end),
        cmocka_unit_test(a_cut_connection_leaves_no_message),
        cmocka_unit_test(a_client_that_goes_away_frees_everything),
        cmocka_unit_test(a_client_that_goes_away_in_any_state_is_gone_within_a_second),
        cmocka_unit_test(only_what_is_stored_is_promised),
        cmocka_unit_test(processing_takes_only_so_long),
        cmocka_unit_test(slow_clients_are_let_go),
        cmocka_unit_test(a_trickle_of_data_is_ended),
        cmocka_unit_test(whoever_keeps_the_rate_is_left_alone),
        cmocka_unit_test(a_chunk_without_a_transaction_outlives_the_timer),
        cmocka_unit_test(a_fast_client_leaves_turns_to_others),
        cmocka_unit_test(budgets_hold),
        cmocka_unit_test(one_too_many_is_told),
        cmocka_unit_test(proxies_speak_for_clients),
        cmocka_unit_test(draining_ends_sessions_at_their_next_command),
        cmocka_unit_test(refusals_are_put_on_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
