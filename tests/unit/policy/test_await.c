/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting: at once, later, in sequence, where Lua cannot yield, in coroutines of the
 * policy's own; limits, cancelling, and the end of the VM while something waits.
 */
#include "harness.h"

#include "base/mem.h"

/* A wait that the test ends when it likes. */
struct gate {
    struct await await;
    struct gate *next;
    char name[32];
};

static struct gate *gates; /* those that wait */
static int gates_alive;
static int gates_cancelled;
static int gates_blocked;
static bool gate_is_stubborn; /* cancel does not end it */

static void gate_start(struct await *await, struct loop *loop)
{
    struct gate *gate = CONTAINER_OF(await, struct gate, await);

    (void)loop;
    if (!strcmp(gate->name, "now")) {
        await_finish(await);
        return;
    }
    gate->next = gates;
    gates = gate;
}

static void gate_run(struct await *await)
{
    (void)await;
    gates_blocked++;
}

static int gate_finish(struct await *await, lua_State *L)
{
    struct gate *gate = CONTAINER_OF(await, struct gate, await);

    if (!strcmp(gate->name, "broken"))
        return luaL_error(L, "the gate is broken");
    lua_pushfstring(L, "<%s>", gate->name);
    return 1;
}

static void gate_cancel(struct await *await)
{
    gates_cancelled++;
    if (gate_is_stubborn)
        return;
    gates = CONTAINER_OF(await, struct gate, await)->next;
    await_finish(await);
}

static void gate_free(struct await *await)
{
    gates_alive--;
    free(CONTAINER_OF(await, struct gate, await));
}

static const struct await_ops gate_ops = {
    .start = gate_start, .run = gate_run, .finish = gate_finish, .cancel = gate_cancel, .free = gate_free};

static int l_gate(lua_State *L)
{
    struct gate *gate;
    const char *name = luaL_checkstring(L, 1);

    gate = mem_zalloc(sizeof *gate);
    gates_alive++;
    gate->await.ops = &gate_ops;
    snprintf(gate->name, sizeof gate->name, "%s", name);
    return await(L, &gate->await);
}

struct slow {
    struct await_job job;
    int input;
    int output;
};

static void slow_work(struct await_job *job)
{
    struct slow *slow = CONTAINER_OF(job, struct slow, job);

    if (slow->input < 0)
        error_set(&job->error, ERROR_PERM, "negative");
    slow->output = slow->input * 2;
}

static int slow_push(struct await_job *job, lua_State *L)
{
    lua_pushinteger(L, CONTAINER_OF(job, struct slow, job)->output);
    return 1;
}

static void slow_free(struct await_job *job)
{
    gates_alive--;
    free(CONTAINER_OF(job, struct slow, job));
}

static int l_double(lua_State *L)
{
    int input = (int)luaL_checkinteger(L, 1);
    struct slow *slow = mem_zalloc(sizeof *slow);

    gates_alive++;
    slow->input = input;
    slow->job = (struct await_job){.work = slow_work, .push = slow_push, .free = slow_free};
    return await_job(L, &slow->job);
}

static int l_spawn(lua_State *L)
{
    lua_pushboolean(L, policy_spawn(L, "a test", lua_gettop(L) - 1));
    return 1;
}

static int detached;
static int l_detached(lua_State *L)
{
    if (!policy_test_object(L, 1, "thing"))
        detached++;
    return 0;
}

static void add_gates(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"gate", l_gate}, {"double", l_double}, {"spawn", l_spawn}, {"detached", l_detached}, {NULL, NULL}};

    add_test_functions(L);
    luaL_newmetatable(L, "thing");
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

static void open_one(struct gate **gate_out)
{
    struct gate *gate = gates;

    assert_non_null(gate);
    gates = gate->next;
    if (gate_out)
        *gate_out = gate;
    await_finish(&gate->await);
}

static void world_with_gates(struct world *world, const char *text)
{
    gates = NULL;
    gates_alive = gates_cancelled = gates_blocked = detached = 0;
    gate_is_stubborn = false;
    if (!world->loop)
        world->loop = loop_new("test", NULL);
    world->options.add_modules = add_gates;
    world_open(world, text);
}

/* A handler can wait only when its loop runs: the first turn starts it. */
struct starter {
    struct deferred deferred;
    struct world *world;
    enum policy_event event;
    struct asked *asked;
};

static void on_start(struct deferred *deferred)
{
    struct starter *starter = CONTAINER_OF(deferred, struct starter, deferred);

    ask(starter->world, starter->event, starter->asked);
}

static void ask_in_loop(struct world *world, enum policy_event event, struct asked *asked)
{
    struct starter starter = {.deferred = {.run = on_start}, .world = world, .event = event, .asked = asked};

    loop_defer(world->loop, &starter.deferred);
    loop_turn(world->loop, false);
}

static void waits_in_sequence(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, other = {0};

    (void)state;
    world_with_gates(&world, "kumo.on('smtp_server_data', function() return gate 'now' .. gate 'a' .. gate 'b' end)\n"
                             "kumo.on('smtp_server_ehlo', function() return 'meanwhile' end)");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_non_null(asked.call);
    ask_in_loop(&world, POLICY_EVENT_SMTP_EHLO, &other);
    assert_string_equal(other.first, "meanwhile");
    open_one(NULL);
    while (!gates)
        loop_turn(world.loop, true);
    assert_int_equal(asked.done, 0);
    open_one(NULL);
    wait_for(&world, &asked);
    assert_string_equal(asked.first, "<now><a><b>");
    assert_int_equal(gates_alive, 0);
    world_close(&world);
}

static void errors_of_a_wait_are_lua_errors(void **state)
{
    struct world world = {0};
    struct asked caught = {0}, uncaught = {0};

    (void)state;
    world_with_gates(&world, "kumo.on('smtp_server_data', function()\n"
                             "  local ok, e = pcall(gate, 'broken')\n"
                             "  local ok2, e2 = pcall(function() gate 'broken' end)\n"
                             "  return tostring(ok) .. tostring(ok2) .. e2 end)\n"
                             "kumo.on('smtp_server_ehlo', function()\n  gate 'broken'\nend)");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &caught);
    for (int i = 0; i < 2; i++) {
        while (!gates)
            loop_turn(world.loop, true);
        open_one(NULL);
    }
    wait_for(&world, &caught);
    assert_string_equal(caught.first, "falsefalse(built-in policy):3: the gate is broken");
    assert_int_equal(gates_alive, 0);
    ask_in_loop(&world, POLICY_EVENT_SMTP_EHLO, &uncaught);
    open_one(NULL);
    wait_for(&world, &uncaught);
    assert_int_equal(uncaught.outcome, POLICY_FAILED);
    assert_non_null(strstr(uncaught.error.sentence, ":6: the gate is broken"));
    assert_int_equal(gates_alive, 0);
    world_close(&world);
}

static void blocks_where_lua_cannot_yield(void **state)
{
    struct world world = {0};
    struct asked sort = {0}, inner = {0}, no_loop = {0};

    (void)state;
    world_with_gates(&world, "top = gate 'top'\n"
                             "kumo.on('smtp_server_data', function()\n"
                             "  table.sort({2, 1}, function(a, b) gate 'sort' return a < b end) return top end)\n"
                             "kumo.on('smtp_server_ehlo', function()\n"
                             "  local co = coroutine.wrap(function() local g = gate 'inner' coroutine.yield(g)\n"
                             "    return gate 'inner2' end)\n"
                             "  return co() .. co() end)\n"
                             "kumo.on('smtp_server_rcpt_to', function() return gate 'x' end)\n");
    assert_int_equal(gates_blocked, 1);
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &sort);
    assert_string_equal(sort.first, "<top>");
    assert_true(gates_blocked > 1);
    ask_in_loop(&world, POLICY_EVENT_SMTP_EHLO, &inner);
    assert_string_equal(inner.first, "<inner><inner2>");
    ask(&world, POLICY_EVENT_SMTP_RCPT_TO, &no_loop);
    assert_string_equal(no_loop.first, "<x>");
    assert_null(gates);
    assert_int_equal(gates_alive, 0);
    world_close(&world);
}

static void waits_below_pcall_and_close_and_metamethods(void **state)
{
    struct world world = {0};
    struct asked asked = {0};

    (void)state;
    world_with_gates(&world,
                     "kumo.on('smtp_server_data', function()\n"
                     "  local r = ''\n"
                     "  do local x <close> = setmetatable({}, {__close = function() r = r .. gate 'close' end}) end\n"
                     "  local ok, v = xpcall(function() return gate 'xpcall' end, print)\n"
                     "  return r .. v .. select(2, pcall(gate, 'pcall')) end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    while (!asked.done) {
        if (gates)
            open_one(NULL);
        loop_turn(world.loop, false);
    }
    assert_string_equal(asked.first, "<close><xpcall><pcall>");
    world_close(&world);
}

static void cancelled_calls_say_nothing_more(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, stubborn = {0}, ready = {0};

    (void)state;
    world_with_gates(&world, "kumo.on('smtp_server_data', function(o)\n"
                             "  local x <close> = setmetatable({}, {__close = function() detached(o) end})\n"
                             "  gate 'a' return 1 end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    policy_call_cancel(asked.call);
    assert_int_equal(gates_cancelled, 1);
    assert_int_equal(gates_alive, 0);
    assert_int_equal(detached, 1); /* the <close> ran */

    gate_is_stubborn = true; /* ends only after its call is gone */
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &stubborn);
    policy_call_cancel(stubborn.call);
    assert_int_equal(gates_alive, 1);
    open_one(NULL);
    assert_int_equal(gates_alive, 0);

    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &ready); /* its wait is over, it did not go on yet */
    open_one(NULL);
    policy_call_cancel(ready.call);
    loop_turn(world.loop, false);
    assert_int_equal(asked.done + stubborn.done + ready.done, 0);
    assert_int_equal(gates_alive, 0);

    policy_call_cancel(NULL);
    world_close(&world);
}

static struct asked *self_cancelled;

static int l_cancel_myself(lua_State *L)
{
    (void)L;
    policy_call_cancel(self_cancelled->call);
    return 0;
}

static void add_cancel(lua_State *L)
{
    add_gates(L);
    lua_pushcfunction(L, l_cancel_myself);
    lua_setglobal(L, "cancel");
}

static void a_handler_may_lead_to_its_own_cancelling(void **state)
{
    struct world world = {.options = {.add_modules = add_cancel}};
    struct asked asked = {0};

    (void)state;
    world.loop = loop_new("test", NULL);
    gates = NULL;
    gates_alive = gates_cancelled = 0;
    gate_is_stubborn = false;
    world_open(&world, "kumo.on('smtp_server_data', function() gate 'a' cancel() gate 'b' return 1 end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    self_cancelled = &asked;
    open_one(NULL);
    loop_turn(world.loop, false);
    loop_turn(world.loop, false);
    assert_int_equal(asked.done, 0);
    assert_int_equal(gates_alive, 0);
    assert_int_equal(gates_cancelled, 0); /* the second wait did not begin */
    world_close(&world);
}

static void waits_have_a_limit(void **state)
{
    struct world world = {.options = {.wait_limit_ms = 20}};
    struct asked asked = {0};

    (void)state;
    world_with_gates(&world, "kumo.on('smtp_server_data', function() gate 'a' end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    wait_for(&world, &asked);
    assert_int_equal(asked.outcome, POLICY_FAILED);
    assert_int_equal(asked.error.kind, ERROR_TEMP);
    assert_non_null(strstr(asked.error.sentence, "smtp_server_data waited longer than 20 ms"));
    assert_int_equal(gates_alive, 0);
    world_close(&world);
}

static void the_end_of_the_vm_ends_its_calls(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, old = {0};

    (void)state;
    world_with_gates(&world, "kumo.on('smtp_server_data', function() return gate 'a' end)\n");
    gate_is_stubborn = true;
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &old);
    policy_bump_epoch(world.policy);
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    policy_vm_free(world.vm);
    world.vm = NULL;
    assert_int_equal(asked.outcome, POLICY_FAILED);
    assert_int_equal(asked.error.kind, ERROR_CANCELLED);
    assert_int_equal(old.error.kind, ERROR_CANCELLED);
    open_one(NULL);
    open_one(NULL);
    assert_int_equal(gates_alive, 0);
    world_close(&world);
}

static void an_old_state_serves_its_last_calls(void **state)
{
    char path[] = "/tmp/gatepost-policy-XXXXXX";
    struct world world = {.options = {.path = path}};
    struct asked old = {0}, fresh = {0};
    FILE *file;

    (void)state;
    close(mkstemp(path));
    file = fopen(path, "w");
    fputs("version = 'old' kumo.on('smtp_server_data', function() gate 'a' return version end)", file);
    fclose(file);
    world_with_gates(&world, NULL);
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &old);
    file = fopen(path, "w");
    fputs("kumo.on('smtp_server_data', function() return 'new' end)", file);
    fclose(file);
    policy_bump_epoch(world.policy);
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &fresh);
    assert_string_equal(fresh.first, "new");
    open_one(NULL);
    wait_for(&world, &old);
    assert_string_equal(old.first, "old");
    unlink(path);
    world_close(&world);
}

static void jobs_run_in_the_pool(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, failed = {0};
    struct jobs *jobs = jobs_new("test", 2, 100, NULL);

    (void)state;
    await_set_jobs(jobs);
    world_with_gates(&world, "local top = double(4)\n"
                             "kumo.on('smtp_server_data', function() return double(double(5)) + top end)\n"
                             "kumo.on('smtp_server_ehlo', function() return double(-1) end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    wait_for(&world, &asked);
    assert_string_equal(asked.first, "28");
    ask_in_loop(&world, POLICY_EVENT_SMTP_EHLO, &failed);
    wait_for(&world, &failed);
    assert_non_null(strstr(failed.error.sentence, ":3: negative"));
    assert_int_equal(gates_alive, 0);
    world_close(&world);
    jobs_free(jobs);
    await_set_jobs(NULL);
}

static void a_full_pool_is_an_error(void **state)
{
    struct world world = {0};
    struct asked asked = {0};
    struct jobs *jobs = jobs_new("tiny", 1, 0, NULL);

    (void)state;
    await_set_jobs(jobs);
    world_with_gates(&world, "kumo.on('smtp_server_data', function() return double(5) end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    wait_for(&world, &asked);
    assert_non_null(strstr(asked.error.sentence, "the tiny pool is full"));
    assert_int_equal(gates_alive, 0);
    world_close(&world);
    jobs_free(jobs);
    await_set_jobs(NULL);
}

static void functions_can_be_run_on_their_own(void **state)
{
    struct world world = {0};
    struct asked asked = {0}, seen = {0};

    (void)state;
    world_with_gates(&world,
                     "result = ''\n"
                     "kumo.on('smtp_server_data', function()\n"
                     "  return spawn(function(a, b, c) result = a .. gate 'g' .. tostring(b) .. c end, 1, nil, 3)\n"
                     "end)\n"
                     "kumo.on('smtp_server_ehlo', function() return result end)\n");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked);
    assert_string_equal(asked.first, "true");
    while (!gates)
        loop_turn(world.loop, false);
    open_one(NULL);
    loop_turn(world.loop, false);
    ask_in_loop(&world, POLICY_EVENT_SMTP_EHLO, &seen);
    assert_string_equal(seen.first, "1<g>nil3");
    ask_in_loop(&world, POLICY_EVENT_SMTP_DATA, &asked); /* left alone at the end */
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_in_sequence),
        cmocka_unit_test(errors_of_a_wait_are_lua_errors),
        cmocka_unit_test(blocks_where_lua_cannot_yield),
        cmocka_unit_test(waits_below_pcall_and_close_and_metamethods),
        cmocka_unit_test(cancelled_calls_say_nothing_more),
        cmocka_unit_test(a_handler_may_lead_to_its_own_cancelling),
        cmocka_unit_test(waits_have_a_limit),
        cmocka_unit_test(the_end_of_the_vm_ends_its_calls),
        cmocka_unit_test(an_old_state_serves_its_last_calls),
        cmocka_unit_test(jobs_run_in_the_pool),
        cmocka_unit_test(a_full_pool_is_an_error),
        cmocka_unit_test(functions_can_be_run_on_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
