/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo itself as a policy sees it: raising answers, logging, sleeping, watched files,
 * stand-ins, and kumo.memoize in one VM and in several.
 */
#include "../harness.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "policy/memoize.h"
#include "policy/modules/modules.h"
#include "policy/monitor.h"

struct starter {
    struct deferred deferred;
    struct world *world;
    struct asked *asked;
};

static void on_start(struct deferred *deferred)
{
    struct starter *starter = CONTAINER_OF(deferred, struct starter, deferred);

    ask(starter->world, POLICY_EVENT_SMTP_DATA, starter->asked);
}

/* Within the loop, as the program does, and without waiting for the end. */
static void ask_in_loop(struct world *world, struct asked *asked)
{
    struct starter starter = {.deferred = {.run = on_start}, .world = world, .asked = asked};

    asked->done = 0;
    loop_defer(world->loop, &starter.deferred);
    loop_turn(world->loop, false);
}

/* The same for several, in one turn: whoever comes later finds what the first has begun. */
static void ask_together(struct world *world, struct asked *const *asked, size_t count)
{
    struct starter starters[3];

    assert_true(count <= sizeof starters / sizeof starters[0]);
    for (size_t i = 0; i < count; i++) {
        starters[i] = (struct starter){.deferred = {.run = on_start}, .world = world, .asked = asked[i]};
        asked[i]->done = 0;
        loop_defer(world->loop, &starters[i].deferred);
    }
    loop_turn(world->loop, false);
}

/* What the smtp_server_data handler of `text` returns. */
static void run_policy(const char *text, struct asked *asked)
{
    struct world world = {.options = {.add_modules = modules_open}};

    world_open(&world, text);
    ask_in_loop(&world, asked);
    wait_for(&world, asked);
    world_close(&world);
}

static struct asked run_handler(const char *body)
{
    struct asked asked = {0};
    char text[2000];

    snprintf(text, sizeof text, "kumo.on('smtp_server_data', function(argument, secret) %s end)", body);
    run_policy(text, &asked);
    return asked;
}

static void expect(const char *body, const char *result)
{
    struct asked asked = run_handler(body);

    if (asked.outcome != POLICY_RETURNED)
        fail_msg("'%s': %s", body, asked.error.sentence);
    assert_string_equal(asked.first, result);
}

static void expect_error(const char *body, const char *part)
{
    struct asked asked = run_handler(body);

    assert_int_equal(asked.outcome, POLICY_FAILED);
    if (!strstr(asked.error.sentence, part))
        fail_msg("'%s' is not in '%s'", part, asked.error.sentence);
}

static void answers_can_be_raised(void **state)
{
    struct asked asked = run_handler("kumo.reject(550, '5.7.1 no')");

    (void)state;
    assert_int_equal(asked.outcome, POLICY_REJECTED);
    assert_int_equal(asked.reply.code, 550);
    asked = run_handler("kumo.disconnect(451, 'no thank you')");
    assert_int_equal(asked.outcome, POLICY_DISCONNECT);
    assert_false(asked.follow_with_421);
    asked = run_handler("kumo.disconnect(451, 'no thank you', 'FollowWith421')");
    assert_int_equal(asked.outcome, POLICY_DISCONNECT);
    assert_true(asked.follow_with_421);
    asked = run_handler("kumo.disconnect(451, 'no thank you', 'If421')");
    assert_int_equal(asked.outcome, POLICY_REJECTED);
    asked = run_handler("kumo.disconnect(421, 'bye', 'If421')");
    assert_int_equal(asked.outcome, POLICY_DISCONNECT);
    expect_error("kumo.reject(250, 'fine')", "not a reply code that can refuse");
    expect_error("kumo.disconnect(421, 'bye', 'Whatever')", "invalid option 'Whatever'");
}

static void what_is_missing_names_itself(void **state)
{
    (void)state;
    expect_error("kumo.inject_message({})", "kumo.inject_message is not available in Gatepost");
    expect_error("kumo.dkim.rsa_sha256_signer {}", "kumo.dkim.rsa_sha256_signer is not available in Gatepost");
    expect_error("kumo.no_such_thing()", "no_such_thing");
    expect("return tostring(kumo.no_such_thing)", "nil");
    expect("return type(kumo.version) .. tostring(kumo.available_parallelism() > 0)", "stringtrue");
    expect("local t = kumo.traceback(1) return t[1].curr_line", "1");
}

static void log_everything(void *ctx)
{
    struct asked asked = {.secret = "tiger-tiger"};

    (void)ctx;
    run_policy("kumo.on('smtp_server_data', function(_, password)\n"
               "kumo.log_error('one', 2, nil, 'pw=' .. password)\n"
               "kumo.log_debug('not shown')\n"
               "kumo.set_diagnostic_log_filter('kumod=info,lua=warn')\n"
               "assert(not pcall(kumo.set_diagnostic_log_filter, 'nonsense'))\nend)",
               &asked);
    assert_int_equal(asked.outcome, POLICY_RETURNED);
}

static void log_lines_name_their_place(void **state)
{
    char *log = stderr_of(log_everything, NULL);

    (void)state;
    assert_non_null(strstr(log, "(built-in policy):2: one"));
    assert_non_null(strstr(log, "pw=***"));
    assert_null(strstr(log, "not shown"));
    free(log);
}

static void sleeping_waits(void **state)
{
    (void)state;
    expect("kumo.sleep(0.01) kumo.time.sleep(0) return 'awake'", "awake");
    expect("table.sort({2, 1}, function(a, b) kumo.sleep(0.001) return a < b end) return 'blocked'", "blocked");
    expect_error("kumo.sleep(-1)", "not a time to sleep for");
    expect_error("kumo.sleep(0/0)", "not a time to sleep for");
}

/* ---- memoize ---- */

#define COUNTING                                                                                                       \
    "calls = 0\n"                                                                                                      \
    "local function f(...) calls = calls + 1 return select('#', ...) .. ':' .. calls, calls end\n"

static void results_are_remembered(void **state)
{
    struct asked asked = {0};

    (void)state;
    run_policy(COUNTING "m = kumo.memoize(f, {name = 'a', ttl = '5 minutes', capacity = 100})\n"
                        "kumo.on('smtp_server_data', function()\n"
                        "  local a, a2 = m('x', 'y') local b, b2 = m('x', 'y')\n"
                        "  assert(a == '2:1' and b == '2:1' and a2 == 1 and b2 == 1)\n"
                        "  local all = {m('xy'), m('x', 'y', nil), m({'x', 'y'}), m({x = 1, y = 2}), m(1), m(1.0),\n"
                        "    m('1'), m(true), m(), m(nil), m('x\\0y'), m('x', ''), m('', 'x')}\n"
                        "  assert(calls == 14, calls)\n"
                        "  assert(m({y = 2, x = 1}) == '1:5' and m({'x', 'y'}) == '1:4')\n"
                        "  assert(calls == 14, calls)\n"
                        "  return 'fine' end)",
               &asked);
    assert_string_equal(asked.first, "fine");
    memoize_close_all();
}

static void results_are_plain_data_or_shared_objects(void **state)
{
    struct asked asked = {0};

    (void)state;
    run_policy("local function make(x) return x() end\n"
               "local function keep(name, f)\n"
               "  local m = kumo.memoize(function() return f() end, {name = name, ttl = '1 minute', capacity = 1})\n"
               "  m() return m() end\n"
               "kumo.on('smtp_server_data', function()\n"
               "  local t = keep('t', function() return {1, 'a\\0b', {x = {}}, [10] = 2.5, [true] = false} end)\n"
               "  assert(t[1] == 1 and t[2] == 'a\\0b' and next(t[3].x) == nil and t[10] == 2.5 and t[true] == false)\n"
               "  t[1] = 'changed' assert(keep('t') [1] == 1)\n"
               "  local d = keep('d', function() return {map = kumo.domain_map.new {['*.example.com'] = 'yes'}} end)\n"
               "  assert(d.map['a.example.com'] == 'yes')\n"
               "  assert(select('#', keep('n', function() end)) == 0)\n"
               "  assert(keep('nil', function() return nil, 3 end) == nil)\n"
               "  local ok, e = pcall(keep, 'f', function() return {a = print} end)\n"
               "  assert(not ok and e:find(\"kumo.memoize 'f': a result cannot be kept: in field 'a': a function\", 1, "
               "true), e)\n"
               "  local ok, e = pcall(keep, 'c', function() local t = {} t.t = t return t end)\n"
               "  assert(not ok and e:find('contains itself'), e)\n"
               "  local m = kumo.memoize(print, {name = 'k', ttl = '1 minute', capacity = 1})\n"
               "  local ok, e = pcall(m, print)\n"
               "  assert(not ok and e:find('an argument cannot be part of a key: a function'), e)\n"
               "  return 'fine' end)",
               &asked);
    if (asked.outcome != POLICY_RETURNED)
        fail_msg("%s", asked.error.sentence);
    memoize_close_all();
}

static void errors_are_not_remembered(void **state)
{
    struct asked asked = {0};

    (void)state;
    run_policy("local n = 0\n"
               "local m = kumo.memoize(function() n = n + 1 if n < 3 then error('no ' .. n) end return n end,\n"
               "  {name = 'e', ttl = '1 minute', capacity = 5})\n"
               "kumo.on('smtp_server_data', function()\n"
               "  local _, e1 = pcall(m) local _, e2 = pcall(m)\n"
               "  assert(e1:find('no 1') and e2:find('no 2'))\n"
               "  assert(m() == 3 and m() == 3) return 'fine' end)",
               &asked);
    assert_string_equal(asked.first, "fine");
    memoize_close_all();
}

static void parameters_are_checked(void **state)
{
    (void)state;
    expect_error("kumo.memoize(print, {ttl = '1s', capacity = 1})", "name is missing");
    expect_error("kumo.memoize(print, {name = 'x', capacity = 1})", "ttl is missing");
    expect_error("kumo.memoize(print, {name = 'x', ttl = 'soon', capacity = 1})", "ttl:");
    expect_error("kumo.memoize(print, {name = 'x', ttl = '1s'})", "capacity is missing");
    expect_error("kumo.memoize(print, {name = 'x', ttl = '1s', capacity = 0})", "capacity must be");
    expect_error("kumo.memoize(print, {name = 'x', ttl = '1s', capacity = 1, typo = 1})", "unknown parameter 'typo'");
    expect_error("kumo.memoize(print, {name = 'x', ttl = '1s', capacity = 1, allow_stale_reads = 1})", "neither true");
    expect_error("kumo.memoize(print)", "table expected");
}

static void others_wait_for_the_one_that_populates(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked first = {0}, second = {0}, third = {0};

    (void)state;
    world_open(&world, "local n = 0\n"
                       "local m = kumo.memoize(function() n = n + 1 kumo.sleep(0.02) return n end,\n"
                       "  {name = 'w', ttl = '1 minute', capacity = 5})\n"
                       "kumo.on('smtp_server_data', function() return m('key') end)");
    ask_together(&world, (struct asked *const[]){&first, &second, &third}, 3);
    policy_call_cancel(third.call);
    wait_for(&world, &second);
    wait_for(&world, &first);
    assert_string_equal(first.first, "1");
    assert_string_equal(second.first, "1");
    assert_int_equal(third.done, 0);
    world_close(&world);
    memoize_close_all();
}

static void a_cancelled_population_is_taken_up_by_a_waiter(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked first = {0}, second = {0};

    (void)state;
    world_open(&world, "local n = 0\n"
                       "local m = kumo.memoize(function() n = n + 1 if n == 1 then kumo.sleep(3600) end return n end,\n"
                       "  {name = 'w', ttl = '1 minute', capacity = 5})\n"
                       "kumo.on('smtp_server_data', function() return m('key') end)");
    ask_in_loop(&world, &first);
    ask_in_loop(&world, &second);
    policy_call_cancel(first.call);
    wait_for(&world, &second);
    assert_string_equal(second.first, "2");
    world_close(&world);
    memoize_close_all();
}

/* A population's age goes by the clock, and the patience of who waits for it by the loop's timers: while the clock
 * stands nobody comes too late to wait. */
static uint64_t still_mono_us(void) { return 1000000; }
static int64_t still_wall_us(void) { return 1000000; }

static int stop_clock(void **state)
{
    static const struct clock_source still = {still_mono_us, still_wall_us};

    (void)state;
    clock_inject(&still);
    return 0;
}

static int release_clock(void **state)
{
    (void)state;
    clock_inject(NULL);
    return 0;
}

static void a_slow_population_is_given_up(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked first = {0}, second = {0};

    (void)state;
    world_open(&world, "local m = kumo.memoize(function() kumo.sleep(3600) end,\n"
                       "  {name = 'w', ttl = '1 minute', capacity = 5, populate_timeout = '20ms'})\n"
                       "kumo.on('smtp_server_data', function() return m('key') end)");
    ask_in_loop(&world, &first);
    ask_in_loop(&world, &second);
    wait_for(&world, &second);
    assert_non_null(strstr(second.error.sentence, "kumo.memoize 'w': populating took longer than 20 ms"));
    world_close(&world);
    memoize_close_all();
}

static void a_slow_population_is_tried_again(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked first = {0}, second = {0};

    (void)state;
    world_open(&world, "local n = 0\n"
                       "local m = kumo.memoize(function() n = n + 1 if n == 1 then kumo.sleep(3600) end return n end,\n"
                       "  {name = 'w', ttl = '1 minute', capacity = 5, populate_timeout = '20ms',\n"
                       "   retry_on_populate_timeout = true})\n"
                       "kumo.on('smtp_server_data', function() return m('key') end)");
    ask_in_loop(&world, &first);
    ask_in_loop(&world, &second);
    wait_for(&world, &second);
    assert_string_equal(second.first, "2");
    world_close(&world);
    memoize_close_all();
}

static void stale_answers_are_refreshed_behind_the_scenes(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked asked = {0};
    uint64_t began;

    (void)state;
    world_open(&world, "local n = 0\n"
                       "local m = kumo.memoize(function() n = n + 1 return n end,\n"
                       "  {name = 's', ttl = '30ms', capacity = 5, allow_stale_reads = true})\n"
                       "kumo.on('smtp_server_data', function() return m('key') end)");
    ask_in_loop(&world, &asked);
    assert_string_equal(asked.first, "1");
    began = clock_mono_ms();
    while (clock_mono_ms() < began + 31)
        loop_turn(world.loop, false);
    ask_in_loop(&world, &asked);
    assert_string_equal(asked.first, "1");
    for (int i = 0; i < 10; i++)
        loop_turn(world.loop, false);
    ask_in_loop(&world, &asked);
    assert_string_equal(asked.first, "2");
    world_close(&world);
    memoize_close_all();
}

static void a_new_epoch_forgets(void **state)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked asked = {0};

    (void)state;
    world_open(&world,
               "local m = kumo.memoize(function(x) return x .. tostring({}) end,\n"
               "  {name = 'epoch', ttl = '1 hour', capacity = 5, invalidate_with_epoch = true})\n"
               "kumo.on('smtp_server_data', function()\n"
               "  local a = m('x') assert(a == m('x')) kumo.bump_config_epoch() return tostring(a ~= m('x')) end)");
    ask_in_loop(&world, &asked);
    assert_string_equal(asked.first, "true");
    world_close(&world);
    memoize_close_all();
}

/* ---- memory ---- */

/* Refuses memory at ever later places: whatever raises there, nothing may be lost or left
 * waiting, and the VM must go on. */
static void memory_may_run_out_anywhere(void **state)
{
    static const char text[] =
        "local n = 0\n"
        "local function make(x) n = n + 1 kumo.sleep(0) return {x, ('y'):rep(100), map = kumo.domain_map.new {a = "
        "'b'}} end\n"
        "local m = kumo.memoize(make, {name = 'oom', ttl = '1 hour', capacity = 3})\n"
        "kumo.on('smtp_server_data', function(argument)\n"
        "  local kept = {}\n"
        "  for i = 1, 8 do\n"
        "    kept[i] = {m(tostring(i % 5)), kumo.glob('/no/such/*'), coroutine.wrap(function() return i end)()}\n"
        "    pcall(kumo.reject, 550, ('z'):rep(i)) kumo.log_debug(i)\n"
        "  end\n"
        "  error({'an object'}) end)\n"
        "kumo.on('smtp_server_ehlo', function() return 'ok' end)";
    int loaded = 0;
    int rounds = 0;

    (void)state;
    for (uint64_t limit = 30000; limit < 80000; limit += 97, rounds++) {
        struct world world = {.loop = loop_new("test", NULL)};
        struct asked asked = {0}, after = {0};

        world.options = (struct policy_options){.text = text, .add_modules = modules_open, .memory_limit_bytes = limit};
        world.policy = policy_new(&world.options, NULL);
        world.vm = policy_vm_new(world.policy, world.loop, NULL);
        if (world.vm) {
            loaded++;
            ask_in_loop(&world, &asked);
            wait_for(&world, &asked);
            assert_int_equal(asked.outcome, POLICY_FAILED);
            ask(&world, POLICY_EVENT_SMTP_EHLO, &after);
        }
        world_close(&world);
        memoize_close_all();
    }
    assert_true(loaded > 20 && loaded < rounds);
}

/* ---- several VMs ---- */

static atomic_int populated;

static int l_count(lua_State *L)
{
    lua_pushinteger(L, ++populated);
    return 1;
}

static void add_count(lua_State *L)
{
    modules_open(L);
    lua_pushcfunction(L, l_count);
    lua_setglobal(L, "count");
}

static const char shared_policy[] =
    "top = kumo.memoize(count, {name = 'top', ttl = '1 hour', capacity = 5})('load')\n"
    "local m = kumo.memoize(function(k) kumo.sleep(0.001) return {key = k, n = count()} end,\n"
    "  {name = 'shared', ttl = '1 hour', capacity = 1000})\n"
    "local i = 0\n"
    "kumo.on('smtp_server_data', function() i = i + 1\n"
    "  local k = tostring(i % 50) local t = m(k) assert(t.key == k) return k end)";

static void *use_shared(void *arg)
{
    struct policy *policy = arg;
    struct world world = {.loop = loop_new("worker", NULL), .policy = policy};

    world.vm = policy_vm_new(policy, world.loop, NULL);
    MUST(world.vm != NULL);
    for (int i = 0; i < 300; i++) {
        struct asked asked = {0};

        ask_in_loop(&world, &asked);
        wait_for(&world, &asked);
        MUST(asked.outcome == POLICY_RETURNED);
    }
    policy_vm_free(world.vm);
    loop_free(world.loop);
    return NULL;
}

static void vms_share_their_results(void **state)
{
    struct policy_options options = {.text = shared_policy, .add_modules = add_count};
    struct policy *policy = policy_new(&options, NULL);
    pthread_t threads[4];

    (void)state;
    populated = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_shared, policy), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(populated, 51); /* once per key, and once for the load of all four */
    policy_free(policy);
    memoize_close_all();
}

/* ---- watched files ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[300];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "w");
    MUST(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void remove_tree(const char *dir)
{
    static const char *const names[] = {"policy.lua", "a.toml", "sub/b.json", "sub/deep/c.lua", "sub/deep/no.txt"};
    char path[300];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sub/deep", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/sub", dir);
    rmdir(path);
    rmdir(dir);
}

static void changed_files_move_the_epoch(void **state)
{
    char dir[] = "/tmp/gatepost-monitor-XXXXXX";
    char path[300];
    struct world world = {.options = {.add_modules = modules_open, .path = path}};
    struct policy_monitor *monitor;
    struct asked asked = {.argument = dir};
    uint64_t epoch;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sub", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/sub/deep", dir);
    mkdir(path, 0700);
    write_file(dir, "a.toml", "");
    write_file(dir, "sub/b.json", "");
    write_file(dir, "sub/deep/c.lua", "");
    write_file(dir, "sub/deep/no.txt", "");
    write_file(dir, "policy.lua",
               "kumo.on('smtp_server_data', function(dir)\n"
               "local function names(t) local r = {} for _, p in ipairs(t) do r[#r + 1] = p:sub(#dir + 2) "
               "end return table.concat(r, ' ') end\n"
               "assert(names(kumo.eval_config_monitor_globs()) == "
               "'a.toml policy.lua sub/b.json sub/deep/c.lua')\n"
               "assert(names(kumo.glob('sub/*/?.lua', dir)) == 'sub/deep/c.lua')\n"
               "assert(names(kumo.glob('**/*.txt', dir)) == 'sub/deep/no.txt')\n"
               "assert(names(kumo.glob('{a,sub/b}.{toml,json}', dir)) == 'a.toml sub/b.json')\n"
               "assert(not pcall(kumo.glob, '{a'))\n"
               "kumo.set_config_monitor_globs { dir .. '/*.toml', dir .. '/a.*' }\n"
               "return names(kumo.eval_config_monitor_globs()) end)");
    snprintf(path, sizeof path, "%s/policy.lua", dir);
    world_open(&world, NULL);
    ask_in_loop(&world, &asked);
    if (asked.outcome != POLICY_RETURNED)
        fail_msg("%s", asked.error.sentence);
    assert_string_equal(asked.first, "a.toml");
    epoch = policy_epoch(world.policy);
    monitor = policy_monitor_new(world.policy, world.loop, 1);
    write_file(dir, "a.toml", "changed");
    while (policy_epoch(world.policy) == epoch)
        loop_turn(world.loop, true);
    policy_monitor_free(monitor);
    remove_tree(dir);
    world_close(&world);
}

static void turn(struct world *world, int turns)
{
    while (turns--)
        loop_turn(world->loop, true);
}

/* To watch a file is no change; that it appears, changes or goes is. */
static void a_file_may_be_watched_besides(void **state)
{
    char dir[] = "/tmp/gatepost-monitor-XXXXXX";
    char secret[300], later[300];
    struct world world = {.options = {.add_modules = modules_open}};
    struct policy_monitor *monitor;
    uint64_t epoch;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(secret, sizeof secret, "%s/secret", dir);
    snprintf(later, sizeof later, "%s/later", dir);
    write_file(dir, "secret", "one");
    world_open(&world, "");
    epoch = policy_epoch(world.policy);
    monitor = policy_monitor_new(world.policy, world.loop, 1);
    policy_watch_file(world.policy, secret);
    policy_watch_file(world.policy, secret);
    policy_watch_file(world.policy, later);
    turn(&world, 3);
    assert_int_equal(policy_epoch(world.policy), epoch);
    write_file(dir, "secret", "another");
    while (policy_epoch(world.policy) == epoch)
        turn(&world, 1);
    epoch = policy_epoch(world.policy);
    turn(&world, 3);
    assert_int_equal(policy_epoch(world.policy), epoch);
    write_file(dir, "later", "");
    while (policy_epoch(world.policy) == epoch)
        turn(&world, 1);
    policy_monitor_free(monitor);
    remove_tree(dir);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_can_be_raised),
        cmocka_unit_test(what_is_missing_names_itself),
        cmocka_unit_test(log_lines_name_their_place),
        cmocka_unit_test(sleeping_waits),
        cmocka_unit_test(results_are_remembered),
        cmocka_unit_test(results_are_plain_data_or_shared_objects),
        cmocka_unit_test(errors_are_not_remembered),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(others_wait_for_the_one_that_populates),
        cmocka_unit_test(a_cancelled_population_is_taken_up_by_a_waiter),
        cmocka_unit_test_setup_teardown(a_slow_population_is_given_up, stop_clock, release_clock),
        cmocka_unit_test(a_slow_population_is_tried_again),
        cmocka_unit_test(stale_answers_are_refreshed_behind_the_scenes),
        cmocka_unit_test(a_new_epoch_forgets),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(vms_share_their_results),
        cmocka_unit_test(changed_files_move_the_epoch),
        cmocka_unit_test(a_file_may_be_watched_besides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
