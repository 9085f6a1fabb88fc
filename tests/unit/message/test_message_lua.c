/* SPDX-License-Identifier: Apache-2.0
 *
 * The message and address classes as policies use them: handlers of a real policy, each
 * given the same sample message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <lauxlib.h>

#include "message/message.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"
#include "policy/policy.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int l_on(lua_State *L)
{
    policy_on(L, luaL_checkstring(L, 1), 2);
    return 0;
}

/* kumo.on and no more than what is tried here: the other modules have tests of their own. */
static void add_modules(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_on);
    lua_setfield(L, -2, "on");
    lua_pop(L, 1);
    mod_address_open(L);
    mod_headers_open(L);
    mod_message_open(L);
}

static struct message *sample(void)
{
    struct message *message = message_new();

    message_set_sender(message, SPAN_LIT("\"f\\oo\"@example.com"));
    message_add_recipient(message, SPAN_LIT("b@example.net"));
    message_set_body(message, bytes_copy(SPAN_LIT("Subject: =?utf-8?q?h=C3=BC?=\r\n"
                                                  "From: Some One <one@example.com>\r\n"
                                                  "To: a@b, \"C, D\" <c@d>\r\n"
                                                  "X-Tenant: t1\r\nX-Campaign-ID: 1\r\nx-campaign-id : 2\r\n"
                                                  "X-Schedule: {\"first_attempt\":\"2123-03-01T17:00:00-08:00\"}\r\n"
                                                  "\r\nbody\r\n")));
    return message;
}

static int push_message(lua_State *L, void *ctx)
{
    policy_push_object(L, "message", ctx);
    return 1;
}

struct outcome {
    enum policy_outcome outcome;
    char sentence[ERROR_SENTENCE_BYTES];
};

static void on_done(void *ctx, const struct policy_result *result)
{
    struct outcome *outcome = ctx;

    outcome->outcome = result->outcome;
    snprintf(outcome->sentence, sizeof outcome->sentence, "%s", result->error.sentence);
}

struct call {
    struct outcome outcome; /* first: on_done and push share one context */
    struct message *message;
};

static int push_from_call(lua_State *L, void *ctx)
{
    struct call *call = ctx;

    return push_message(L, call->message);
}

/* Runs `lua` as the body of a handler `function(msg)`. */
static struct outcome run(const char *lua, struct message *message)
{
    char text[8192];
    struct error error = {0};
    struct policy_options options = {.text = text, .add_modules = add_modules};
    struct call call = {.message = message};
    struct loop *loop = loop_new("test", &error);
    struct policy *policy;
    struct policy_vm *vm;

    snprintf(text, sizeof text, "kumo.on('smtp_server_message_received', function(msg)\n%s\nend)", lua);
    policy = policy_new(&options, &error);
    assert_non_null(policy);
    vm = policy_vm_new(policy, loop, &error);
    if (!vm)
        fail_msg("%s: %s", lua, error.sentence);
    assert_null(policy_call(vm, POLICY_EVENT_SMTP_MESSAGE_RECEIVED, push_from_call, on_done, &call));
    policy_vm_free(vm);
    policy_free(policy);
    loop_free(loop);
    return call.outcome;
}

static void what_the_manual_shows_works(void **state)
{
    static const char *const cases[] = {
        "assert(#msg:id() == 32 and not msg:id():find('[^0-9a-f]'))",
        "local s = msg:sender(); assert(s.user == 'foo' and s.domain == 'example.com')",
        "assert(tostring(msg:sender()) == '\"f\\\\oo\"@example.com' and msg:sender().email == tostring(msg:sender()))",
        "assert(msg:sender() == msg:sender() and msg:sender() ~= msg:recipient())",
        "msg:set_sender(''); assert(msg:sender().user == '' and msg:sender().domain == '')",
        "msg:set_sender(msg:recipient()); assert(tostring(msg:sender()) == 'b@example.net')",
        "assert(msg:recipient().user == 'b' and #msg:recipient_list() == 1)",
        "msg:set_recipient({'x@y', msg:sender()}); assert(#msg:recipient() == 2 and msg:recipient()[1].user == 'x')",
        "msg:set_recipient('x@y'); assert(tostring(msg:recipient()) == 'x@y')",
        "msg:set_meta('foo', {key = 'value'}); assert(msg:get_meta('foo').key == 'value')",
        "msg:set_meta('n', 123); assert(msg:get_meta 'n' == 123 and msg:get_meta 'absent' == nil)",
        "msg:set_meta('tenant', 't'); msg:set_meta('campaign', 'c'); assert(msg:queue_name() == 'c:t@example.net')",
        "assert(msg:get_first_named_header_value 'subject' == 'h\\u{fc}')",
        "assert(msg:get_first_named_header_value 'absent' == nil)",
        "local v = msg:get_all_named_header_values('x-campaign-id'); assert(#v == 2 and v[1] == '1' and v[2] == '2')",
        "local h = msg:get_all_headers(); assert(#h == 7 and h[1][1] == 'Subject' and h[1][2] == 'h\\u{fc}')",
        "msg:import_x_headers(); assert(msg:get_meta 'x_campaign_id' == '2' and msg:get_meta 'x_tenant' == 't1')",
        "msg:import_x_headers({'x-campaign-id'}, true); assert(msg:get_meta 'x_campaign_id' == '1')",
        "msg:import_x_headers { 'x-campaign-id', true }; assert(msg:get_meta 'x_campaign_id' == '1')",
        "msg:import_x_headers { 'subject' }; assert(msg:get_meta 'subject' and not msg:get_meta 'x_tenant')",
        "msg:import_headers { { name = 'X-Campaign-Id', target = 'c', match = 'all', remove = true }, { name = 'X-*', "
        "transform = 'pascal_case' } }; assert(#msg:get_meta 'c' == 2 and msg:get_meta 'XTenant' == 't1'); "
        "assert(not msg:get_first_named_header_value 'x-campaign-id')",
        "msg:remove_x_headers { 'x-tenant' }; assert(not msg:get_first_named_header_value 'X-Tenant'); "
        "assert(msg:get_first_named_header_value 'x-schedule')",
        "msg:remove_x_headers(); assert(#msg:get_all_headers() == 3)",
        "msg:remove_all_named_headers 'X-CAMPAIGN-ID'; assert(#msg:get_all_named_header_values 'x-campaign-id' == 0)",
        "msg:prepend_header('A', 'x'); assert(msg:get_data():sub(1, 6) == 'A: x\\r\\n')",
        "msg:append_header('A', 'h\\u{fc}', true); assert(msg:get_data():find('\\nA: =?UTF-8?q?h=C3=BC?=\\r\\n\\r\\n', "
        "1, true))",
        "local f = msg:from_header(); assert(f.user == 'one' and f.domain == 'example.com' and f.name == 'Some One')",
        "local l = msg:to_header().list; assert(#l == 2 and l[1].email == 'a@b' and l[1].name == nil)",
        "assert(tostring(msg:to_header().list[1]) == '{\"name\":null,\"address\":\"a@b\"}')",
        "assert(msg:get_address_header 'Cc' == nil and msg:get_address_header('from').email == 'one@example.com')",
        "msg:import_scheduling_header('X-Schedule', true); assert(msg:get_due():sub(1, 5) == '2123-'); "
        "assert(not msg:get_first_named_header_value 'X-Schedule')",
        "msg:set_scheduling { dow = 'Mon,Wed', tz = 'America/Phoenix', start = '09:00:00', ['end'] = '17:00:00' }",
        "msg:import_scheduling_header 'X-Schedule'; assert(msg:get_first_named_header_value 'X-Schedule')",
        "msg:set_scheduling(nil)",
        "msg:set_due('2024-03-08T17:51:42.481711Z'); assert(msg:get_due() == '2024-03-08T17:51:42.481Z'); "
        "msg:set_due(nil); assert(msg:get_due() == nil)",
        "msg:increment_num_attempts(); assert(msg:num_attempts() == 1)",
        "msg:set_data('A: b\\r\\n\\r\\n'); assert(msg:get_data() == 'A: b\\r\\n\\r\\n' and msg:size() == 8)",
        "assert(msg:check_fix_conformance('MISSING_DATE_HEADER', '') == "
        "'Message has conformance issues: MISSING_DATE_HEADER')",
        "assert(msg:check_fix_conformance('LINE_TOO_LONG', 'MISSING_DATE_HEADER|MISSING_MIME_VERSION') == nil); "
        "assert(msg:get_first_named_header_value 'date' and msg:get_first_named_header_value 'mime-version' == '1.0')",
        "msg:add_authentication_results('mx', {{method = 'spf', result = 'pass', props = {['smtp.mailfrom'] = "
        "'a@b'}}}); "
        "assert(msg:get_data():find('Authentication-Results: mx;\\r\\n\\tspf=pass\\r\\n\\tsmtp.mailfrom=a@b\\r\\n', 1, "
        "true) == 1)",
        "msg:save(); msg:shrink(); msg:shrink_data(); msg:set_force_sync(true)",
        "local m = kumo.make_message('', 'a@b', 'A: b\\r\\n\\r\\n'); assert(tostring(m:recipient()) == 'a@b' and "
        "m:id() ~= msg:id())",
        "local m = kumo.make_message(msg:sender(), {'a@b', 'c@d'}, ''); assert(#m:recipient() == 2)",
        "assert(tostring(msg):find(msg:id(), 1, true))",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct message *message = sample();
        struct outcome outcome = run(cases[i], message);

        if (outcome.outcome != POLICY_RETURNED && outcome.outcome != POLICY_UNHANDLED)
            fail_msg("%s: %s", cases[i], outcome.sentence);
        message_free(message);
    }
}

static void what_is_wrong_raises_and_says_why(void **state)
{
    static const struct {
        const char *lua, *sentence;
    } cases[] = {
        {"msg:no_such_method()", "no method 'no_such_method'"},
        {"msg:dkim_sign({})", "message:dkim_sign is not available"},
        {"msg:parse_rfc3464()", "message:parse_rfc3464 is not available"},
        {"return msg:sender().nope", "no field 'nope'"},
        {"msg:set_sender('nobody')", "local@domain"},
        {"msg:set_recipient('')", "cannot be empty"},
        {"msg:set_recipient({'a@b', 'c'})", "local@domain"},
        {"msg:set_recipient({})", "at least one recipient"},
        {"msg:set_meta('tenant', 5)", "'tenant' must be a string"},
        {"msg:set_meta('f', print)", "plain data"},
        {"msg:append_header('X', 'a\\r\\nY: b')", "line end"},
        {"msg:prepend_header('X', 'a\\0b')", "line end or a NUL"},
        {"msg:prepend_header('X:', 'a')", "header name"},
        {"return msg:to_header().user", "exactly one address"},
        {"msg:set_scheduling { dow = 'Mon' }", "together"},
        {"msg:set_scheduling { tz = 'PST', dow = 'Mon', start = '09:00:00', ['end'] = '17:00:00' }", "time zone"},
        {"msg:set_due('tomorrow')", "set_due takes"},
        {"msg:import_scheduling_header('Subject')", "does not hold JSON"},
        {"msg:check_fix_conformance('NO_SUCH')", "NO_SUCH"},
        {"msg:add_authentication_results('mx', {{method = 'spf', result = 'a\\r\\nX: y'}})", "control character"},
        {"msg:import_headers { { name = '*' } }", "'*' may only stand at the end"},
        {"kumo.make_message('a@b', 'c', '')", "local@domain"},
        {"getmetatable(msg).__index = nil", "attempt to"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct message *message = sample();
        struct outcome outcome = run(cases[i].lua, message);

        if (outcome.outcome != POLICY_FAILED || !strstr(outcome.sentence, cases[i].sentence))
            fail_msg("%s: %d %s", cases[i].lua, outcome.outcome, outcome.sentence);
        message_free(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_manual_shows_works),
        cmocka_unit_test(what_is_wrong_raises_and_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
