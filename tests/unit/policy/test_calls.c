/* SPDX-License-Identifier: Apache-2.0
 *
 * Calling handlers: every outcome, chains of handlers, budgets, objects, secrets, and
 * reloading.
 */
#include "harness.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "metrics/metrics.h"
#include "base/base64.h"

/* ---- loading ---- */

static void expect_load_error(const char *text, const char *part)
{
    struct policy_options options = {.text = text, .add_modules = add_test_functions};
    struct loop *loop = loop_new("test", NULL);
    struct error error = {0};
    struct policy *policy = policy_new(&options, &error);

    assert_null(policy_vm_new(policy, loop, &error));
    if (!strstr(error.sentence, part))
        fail_msg("'%s' is not in '%s'", part, error.sentence);
    policy_free(policy);
    loop_free(loop);
}

static void load_errors_name_their_place(void **state)
{
    (void)state;
    expect_load_error("local x = = 1", "(built-in policy):1:");
    expect_load_error("\n\nerror('nope')", "(built-in policy):3: nope");
    expect_load_error("error({})", "table");
    expect_load_error("error(setmetatable({}, {__tostring = function() return 'an object' end}))", "an object");
    expect_load_error("error(setmetatable({}, {__tostring = function() while true do end end}))", "does not convert");
    expect_load_error("require 'no_such_module'", "no_such_module");
    expect_load_error("kumo.on('init', function() end)\nkumo.on('init', function() end)",
                      ":2: kumo.on: event 'init' takes one handler and has one already, from (built-in policy):1");
    expect_load_error("kumo.on('init', 5)", "function expected");
}

static void the_policy_runs_in_a_fenced_place(void **state)
{
    struct world world = {0};

    (void)state;
    world_open(&world, "assert(os.exit == nil and os.execute == nil and io.popen == nil and string.dump == nil)\n"
                       "assert(package.loadlib == nil and #package.searchers == 2 and debug == nil)\n"
                       "assert(require 'kumo' == kumo)\n"
                       "assert(not pcall(setmetatable, {}, {__gc = function() end}))\n"
                       "assert(getmetatable(setmetatable({}, {__index = {}})))\n"
                       "assert(not pcall(load, '\\27Lua', 'x', 'b'))\n"
                       "assert(not load('\\27Lua'))\n"
                       "assert(load('return 5')() == 5)\n"
                       "assert(load('return x', 'c', 't', {x = 7})() == 7)\n"
                       "assert(string.rep('', 1 << 60) == '' and ('ab'):rep(2, '-') == 'ab-ab')\n"
                       "assert(not pcall(table.move, {}, 1, 1 << 60, 2))\n"
                       "assert(table.move({1, 2}, 1, 2, 2)[3] == 2)\n"
                       "assert(select(2, coroutine.running()) == true)\n"
                       "assert(not pcall(coroutine.yield))\n"
                       "local co = coroutine.wrap(function() assert(coroutine.isyieldable()) coroutine.yield(1) "
                       "assert(select(2, coroutine.running()) == false) return 2 end)\n"
                       "assert(co() == 1 and co() == 2)\n");
    world_close(&world);
}

/* ---- outcomes ---- */

static void every_outcome(void **state)
{
    struct world world = {0};
    struct asked none = {0}, value = {.argument = "x"}, nothing = {0}, reject = {0}, disconnect = {0}, error = {0};

    (void)state;
    world_open(&world, "kumo.on('smtp_server_ehlo', function(domain) return 'hello ' .. domain, 2 end)\n"
                       "kumo.on('smtp_server_data', function() end)\n"
                       "kumo.on('smtp_server_rcpt_to', function() kumo.reject(550, '5.7.1 go away') end)\n"
                       "kumo.on('smtp_server_mail_from', function() kumo.reject(421, 'bye', 2) end)\n"
                       "kumo.on('smtp_server_connection_accepted', function()\n local x = nil\n return x.y\nend)\n");
    assert_false(policy_handles(world.vm, POLICY_EVENT_INIT));
    assert_true(policy_handles(world.vm, POLICY_EVENT_SMTP_EHLO));
    ask(&world, POLICY_EVENT_INIT, &none);
    assert_int_equal(none.outcome, POLICY_UNHANDLED);
    ask(&world, POLICY_EVENT_SMTP_EHLO, &value);
    assert_null(value.call);
    assert_int_equal(value.outcome, POLICY_RETURNED);
    assert_string_equal(value.first, "hello x");
    assert_int_equal(value.count, 2);
    ask(&world, POLICY_EVENT_SMTP_DATA, &nothing);
    assert_int_equal(nothing.outcome, POLICY_RETURNED);
    assert_int_equal(nothing.count, 0);
    assert_string_equal(nothing.first, "nil");
    ask(&world, POLICY_EVENT_SMTP_RCPT_TO, &reject);
    assert_int_equal(reject.outcome, POLICY_REJECTED);
    assert_int_equal(reject.reply.code, 550);
    assert_int_equal(reject.reply.enhanced_subject, 7);
    assert_string_equal(reject.reply.text, "go away");
    ask(&world, POLICY_EVENT_SMTP_MAIL_FROM, &disconnect);
    assert_int_equal(disconnect.outcome, POLICY_DISCONNECT);
    assert_true(disconnect.follow_with_421);
    ask(&world, POLICY_EVENT_SMTP_CONNECTION_ACCEPTED, &error);
    assert_int_equal(error.outcome, POLICY_FAILED);
    assert_int_equal(error.error.kind, ERROR_TEMP);
    assert_non_null(strstr(error.error.sentence, "(built-in policy):7: attempt to index a nil value"));
    world_close(&world);
}

static void a_rejection_passes_through_pcall(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, swallowed = {0};

    (void)state;
    world_open(&world, "kumo.on('smtp_server_data', function()\n"
                       "  local ok, e = pcall(kumo.reject, 451, 'later')\n"
                       "  assert(not ok and tostring(e) == '451 later' and e.code == 451 and e.message == 'later')\n"
                       "  assert(type(getmetatable(e)) == 'string')\n"
                       "  error(e)\n"
                       "end)\n"
                       "kumo.on('smtp_server_ehlo', function() pcall(kumo.reject, 451, 'later') return 'fine' end)\n");
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_int_equal(asked.outcome, POLICY_REJECTED);
    assert_int_equal(asked.reply.code, 451);
    ask(&world, POLICY_EVENT_SMTP_EHLO, &swallowed);
    assert_string_equal(swallowed.first, "fine");
    world_close(&world);
}

static void chains_of_handlers(void **state)
{
    struct world world = {0};
    struct asked first = {.argument = "b"}, nobody = {.argument = "c"}, every = {0}, stopped = {0}, latest = {0};

    (void)state;
    world_open(&world, "seen = ''\n"
                       "kumo.on('get_queue_config', function(d) if d == 'a' then return 'A' end end)\n"
                       "kumo.on('get_queue_config', function(d) if d == 'b' then return 'B' end return nil end)\n"
                       "kumo.on('get_queue_config', function(d) if d == 'b' then return 'too late' end end)\n"
                       "kumo.on('pre_init', function() seen = seen .. '1' end)\n"
                       "kumo.on('pre_init', function() seen = seen .. '2' end)\n"
                       "kumo.on('requeue_message', function() seen = seen .. '3' return nil end)\n"
                       "kumo.on('requeue_message', function() seen = seen .. '4' end)\n"
                       "kumo.on('my.event', function() return 'old' end)\n"
                       "kumo.on('my.event', function() return seen end)\n");
    ask(&world, POLICY_EVENT_GET_QUEUE_CONFIG, &first);
    assert_string_equal(first.first, "B");
    ask(&world, POLICY_EVENT_GET_QUEUE_CONFIG, &nobody);
    assert_int_equal(nobody.outcome, POLICY_UNHANDLED);
    ask(&world, POLICY_EVENT_PRE_INIT, &every);
    ask(&world, POLICY_EVENT_REQUEUE_MESSAGE, &stopped);
    ask_named(&world, "my.event", &latest);
    assert_string_equal(latest.first, "123");
    latest.done = 0;
    ask_named(&world, "no.such.event", &latest);
    assert_int_equal(latest.outcome, POLICY_UNHANDLED);
    world_close(&world);
}

/* ---- budgets ---- */

static void expect_stopped(const char *body)
{
    struct world world = {.options = {.call_limit_ms = 200, .memory_limit_bytes = 8 << 20}};
    struct asked asked = {0}, after = {0};
    char text[1000];

    snprintf(text, sizeof text,
             "kumo.on('smtp_server_data', function() %s end)\nkumo.on('smtp_server_ehlo', function() return 'ok' end)",
             body);
    world_open(&world, text);
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_int_equal(asked.outcome, POLICY_FAILED);
    for (int i = 0; i < 3; i++) {
        ask(&world, POLICY_EVENT_SMTP_EHLO, &after);
        assert_int_equal(after.outcome, POLICY_RETURNED);
        assert_string_equal(after.first, "ok");
    }
    world_close(&world);
}

static void runaway_handlers_are_stopped(void **state)
{
    (void)state;
    expect_stopped("while true do end");
    expect_stopped("while true do pcall(function() while true do end end) end");
    expect_stopped("while true do xpcall(function() while true do end end, function() while true do end end) end");
    expect_stopped("local function f() pcall(f) f() end while true do pcall(f) end");
    expect_stopped("local co = coroutine.wrap(function() while true do end end) co()");
    expect_stopped("while true do coroutine.resume(coroutine.create(function() while true do end end)) end");
    expect_stopped("local f f = function() while true do pcall(f) end end coroutine.wrap(f)()");
    expect_stopped("table.sort({1,2,3,4}, function() while true do end end)");
    expect_stopped(
        "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end");
    expect_stopped("local x <close> = setmetatable({}, {__close = function() while true do end end}) error('x')");
    expect_stopped(
        "coroutine.wrap(function() local x <close> = setmetatable({}, {__close = function() while true do end "
        "end}) while true do end end)()");
    expect_stopped("xpcall(error, function() while true do end end)");
    expect_stopped("pcall(table.sort, {1,2,3,4}, function() while true do end end) while true do end");
    expect_stopped("error(setmetatable({}, {__tostring = function() while true do end end}))");
    expect_stopped("string.gsub(string.rep('x', 100), 'x', function() while true do end end)");
}

static void hungry_handlers_are_stopped(void **state)
{
    (void)state;
    expect_stopped("local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end");
    expect_stopped("local s = 'x' while true do s = s .. s end");
    expect_stopped("return ('x'):rep(1 << 40)");
    expect_stopped("local function f() return f() + 1 end f()");
    expect_stopped("local function f(...) return f(1, ...) + 1 end f()");
    expect_stopped("t = {} while true do local ok = pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) "
                   "if not ok then error('full') end end");
    expect_stopped("local t = {} while true do t[#t + 1] = coroutine.create(function() end) end");
}

static void instructions_are_limited(void **state)
{
    struct world world = {.options = {.instruction_limit = 50000, .call_limit_ms = 60000}};
    struct asked asked = {0};

    (void)state;
    world_open(&world, "kumo.on('smtp_server_data', function() while true do end end)\n");
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_int_equal(asked.outcome, POLICY_FAILED);
    assert_non_null(strstr(asked.error.sentence, "instructions"));
    world_close(&world);
}

/* ---- secrets ---- */

static void ask_auth(void *ctx)
{
    struct world *world = ((void **)ctx)[0];

    ask(world, POLICY_EVENT_SMTP_AUTH_PLAIN, ((void **)ctx)[1]);
}

static void expect_hidden(const char *body, const char *secret)
{
    struct world world = {0};
    struct asked asked = {.secret = secret};
    void *both[] = {&world, &asked};
    char text[1000];
    char *log;

    snprintf(text, sizeof text, "kumo.on('smtp_server_auth_plain', function(_, password) %s end)", body);
    world_open(&world, text);
    log = stderr_of(ask_auth, both);
    if (strstr(log, secret) || strstr(asked.error.sentence, secret) || strstr(asked.reply.text, secret))
        fail_msg("'%s' shows the secret: %s", body, log);
    free(log);
    world_close(&world);
}

static void secrets_are_kept_out_of_texts(void **state)
{
    struct world world = {0};
    struct asked asked = {.secret = "correct horse"};
    void *both[] = {&world, &asked};
    struct buf encoded;
    char *log;

    (void)state;
    expect_hidden("error('wrong: ' .. password)", "tiger-tiger");
    expect_hidden("error(password .. password)", "tiger-tiger");
    expect_hidden("error({password})", "tiger-tiger");
    expect_hidden("error(setmetatable({}, {__tostring = function() return password end}))", "tiger-tiger");
    expect_hidden("kumo.reject(535, 'no ' .. password)", "tiger-tiger");
    expect_hidden("local function f() error('x' .. password) end f()", "q1w");
    expect_hidden("load('error(1) --' .. password)()", "tiger-tiger");
    world_open(&world, "local hex = function(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) "
                       "end)) end\n"
                       "kumo.on('smtp_server_auth_plain', function(_, p)\n error('at ' .. p .. ' ' .. hex(p)) end)");
    log = stderr_of(ask_auth, both);
    assert_non_null(strstr(log, "(built-in policy):3: at *** ***"));
    assert_non_null(strstr(log, "stack traceback"));
    assert_null(strchr(strchr(log, '\n') + 1, '\n'));
    free(log);
    world_close(&world);
    for (int offset = 0; offset < 3; offset++) {
        char plain[64], text[300];

        snprintf(plain, sizeof plain, "%.*scorrect horse%s", offset, "\1\1\1", offset ? "tail" : "");
        buf_init(&encoded, 1000);
        assert_int_equal(base64_encode(span_of(plain), &encoded), 0);
        snprintf(text, sizeof text, "kumo.on('smtp_server_auth_plain', function() error('%s') end)",
                 buf_cstr(&encoded));
        world_open(&world, text);
        asked = (struct asked){.secret = "correct horse"};
        ask_auth(both);
        assert_non_null(strstr(asked.error.sentence, "***"));
        buf_done(&encoded);
        world_close(&world);
    }
}

/* ---- objects ---- */

static int push_thing(lua_State *L, void *ctx)
{
    luaL_newmetatable(L, "thing");
    lua_pop(L, 1);
    policy_push_object(L, "thing", ((struct asked *)ctx)->call);
    return 1;
}

static int l_use(lua_State *L)
{
    policy_check_object(L, 1, "thing");
    return 0;
}

static void add_use(lua_State *L)
{
    add_test_functions(L);
    lua_pushcfunction(L, l_use);
    lua_setglobal(L, "use");
}

static void borrowed_objects_are_detached(void **state)
{
    struct world world = {.options = {.add_modules = add_use}};
    struct asked asked = {0};
    int object;

    (void)state;
    world_open(&world, "kumo.on('smtp_server_data', function(o) kept = o use(o) return 'used' end)\n"
                       "kumo.on('smtp_server_ehlo', function(o) use(kept) end)\n"
                       "kumo.on('smtp_server_rcpt_to', function() kept = nil collectgarbage() end)\n"
                       "kumo.on('smtp_server_mail_from', function() use({}) end)\n");
    asked.call = (void *)&object;
    policy_call(world.vm, POLICY_EVENT_SMTP_DATA, push_thing, on_asked, &asked);
    assert_string_equal(asked.first, "used");
    ask(&world, POLICY_EVENT_SMTP_EHLO, &asked);
    assert_int_equal(asked.outcome, POLICY_FAILED);
    assert_non_null(strstr(asked.error.sentence, "thing is no longer there"));
    ask(&world, POLICY_EVENT_SMTP_RCPT_TO, &asked);
    assert_int_equal(asked.outcome, POLICY_RETURNED);
    ask(&world, POLICY_EVENT_SMTP_MAIL_FROM, &asked);
    assert_non_null(strstr(asked.error.sentence, "thing expected"));
    world_close(&world);
}

static int freed;

static void count_free(void *object)
{
    freed++;
    free(object);
}

static int push_own(lua_State *L, void *ctx)
{
    (void)ctx;
    luaL_newmetatable(L, "thing");
    lua_pop(L, 1);
    policy_push_owned(L, "thing", calloc(1, 8), count_free);
    return 1;
}

static void owned_objects_are_freed(void **state)
{
    struct world world = {.options = {.add_modules = add_use}};
    struct asked asked = {0};

    (void)state;
    freed = 0;
    world_open(&world, "kumo.on('smtp_server_data', function(o) kept = o end)\n");
    policy_call(world.vm, POLICY_EVENT_SMTP_DATA, push_own, on_asked, &asked);
    assert_int_equal(freed, 0);
    world_close(&world);
    assert_int_equal(freed, 1);
}

/* ---- plain data ---- */

static int push_round_trip(lua_State *L, void *ctx)
{
    json_t *value = json_loads(((struct asked *)ctx)->argument, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    policy_push_json(L, value);
    json_decref(value);
    return 1;
}

static int l_encode(lua_State *L)
{
    json_t *value = policy_to_json(L, 1);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

    json_decref(value);
    lua_pushstring(L, text);
    free(text);
    return 1;
}

static void add_encode(lua_State *L)
{
    add_test_functions(L);
    lua_pushcfunction(L, l_encode);
    lua_setglobal(L, "encode");
}

static void data_crosses_the_bridge(void **state)
{
    static const char *const texts[] = {"{\"a\":[1,2.5,\"x\",true,false,[],{}],\"b\":{\"c\":{}}}",
                                        "[]",
                                        "{}",
                                        "[null,1,null,2]",
                                        "[[[]]]",
                                        "\"\\u0001x\"",
                                        "-9223372036854775808",
                                        "0.0",
                                        "null"};
    struct world world = {.options = {.add_modules = add_encode}};

    (void)state;
    world_open(&world, "kumo.on('smtp_server_data', function(v) return encode(v) end)\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct asked asked = {.argument = texts[i]};

        policy_call(world.vm, POLICY_EVENT_SMTP_DATA, push_round_trip, on_asked, &asked);
        assert_string_equal(asked.first, texts[i]);
    }
    world_close(&world);
}

static void what_is_not_data_is_named(void **state)
{
    static const struct {
        const char *lua;
        const char *part;
    } cases[] = {
        {"{a = {b = {print}}}", "the value.a.b[1] is a function"},
        {"{x = 0/0}", "the value.x is not a finite number"},
        {"{1, 2, nil, 4}", "is an array with holes"},
        {"{1, a = 2}", "has keys that are neither"},
        {"{[2.5] = 1}", "has keys that are neither"},
        {"{['\\xff'] = 1}", "has a key that is not UTF-8"},
        {"{'\\xff'}", "the value[1] is not UTF-8"},
        {"(function() local t = {} t.me = t return t end)()", "the value.me contains itself"},
        {"(function() local t = {} for i = 1, 100 do t = {t} end return t end)()", "is nested too deeply"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world = {.options = {.add_modules = add_encode}};
        struct asked asked = {0};
        char text[300];

        snprintf(text, sizeof text, "kumo.on('smtp_server_data', function() return encode(%s) end)", cases[i].lua);
        world_open(&world, text);
        ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
        assert_int_equal(asked.outcome, POLICY_FAILED);
        if (!strstr(asked.error.sentence, cases[i].part))
            fail_msg("'%s' is not in '%s'", cases[i].part, asked.error.sentence);
        world_close(&world);
    }
}

/* ---- reload ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    MUST(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void a_new_epoch_loads_the_policy_afresh(void **state)
{
    char path[] = "/tmp/gatepost-policy-XXXXXX";
    struct world world = {.options = {.path = path}};
    struct asked asked = {0};
    int64_t failed = metrics_get(METRIC_POLICY_RELOADS_FAILED);

    (void)state;
    close(mkstemp(path));
    write_file(path, "kumo.on('smtp_server_data', function() return 'one' end)");
    world_open(&world, NULL);
    write_file(path, "kumo.on('smtp_server_data', function() return 'two' end)");
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_string_equal(asked.first, "one");
    policy_bump_epoch(world.policy);
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_string_equal(asked.first, "two");
    write_file(path, "kumo.on(");
    policy_bump_epoch(world.policy);
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    ask(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_string_equal(asked.first, "two");
    assert_int_equal(metrics_get(METRIC_POLICY_RELOADS_FAILED), failed + 1);
    write_file(path, "-- nothing");
    policy_bump_epoch(world.policy);
    assert_false(policy_handles(world.vm, POLICY_EVENT_SMTP_DATA));
    unlink(path);
    world_close(&world);
}

static int attachments; /* how many are alive */

static void drop_attachment(void *object)
{
    free(object);
    attachments--;
}

static int test_attach(lua_State *L)
{
    policy_vm_attach(L, "test", strdup(luaL_checkstring(L, 1)), drop_attachment);
    attachments++;
    return 0;
}

static void add_attach(lua_State *L)
{
    add_test_functions(L);
    lua_register(L, "attach", test_attach);
}

static void what_is_attached_lives_as_long_as_its_policy(void **state)
{
    char path[] = "/tmp/gatepost-policy-XXXXXX";
    struct world world = {.options = {.path = path, .add_modules = add_attach}};

    (void)state;
    close(mkstemp(path));
    write_file(path, "attach 'first' attach 'second'");
    world_open(&world, NULL);
    assert_int_equal(attachments, 1);
    assert_string_equal(policy_vm_attached(world.vm, "test"), "second");
    assert_null(policy_vm_attached(world.vm, "other"));
    write_file(path, "-- nothing");
    policy_bump_epoch(world.policy);
    assert_false(policy_handles(world.vm, POLICY_EVENT_SMTP_DATA));
    assert_null(policy_vm_attached(world.vm, "test"));
    assert_int_equal(attachments, 0);
    unlink(path);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_errors_name_their_place),
        cmocka_unit_test(the_policy_runs_in_a_fenced_place),
        cmocka_unit_test(every_outcome),
        cmocka_unit_test(a_rejection_passes_through_pcall),
        cmocka_unit_test(chains_of_handlers),
        cmocka_unit_test(runaway_handlers_are_stopped),
        cmocka_unit_test(hungry_handlers_are_stopped),
        cmocka_unit_test(instructions_are_limited),
        cmocka_unit_test(secrets_are_kept_out_of_texts),
        cmocka_unit_test(borrowed_objects_are_detached),
        cmocka_unit_test(owned_objects_are_freed),
        cmocka_unit_test(data_crosses_the_bridge),
        cmocka_unit_test(what_is_not_data_is_named),
        cmocka_unit_test(a_new_epoch_loads_the_policy_afresh),
        cmocka_unit_test(what_is_attached_lives_as_long_as_its_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
