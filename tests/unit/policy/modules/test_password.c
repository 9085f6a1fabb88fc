/* SPDX-License-Identifier: Apache-2.0
 *
 * require 'gatepost.password' in handlers: that they wait for the pool and nobody else does, and that errors tell
 * nothing of passwords.
 */
#include "run.h"

#include <pthread.h>
#include <semaphore.h>

#include "password/pool.h"
#include "policy/modules/modules.h"

#define CHEAP "{scheme = 'argon2id', memory_kib = 64, rounds = 1}"

static void add(lua_State *L)
{
    add_test_functions(L);
    mod_password_open(L);
}

static void what_is_hashed_verifies(void **state)
{
    (void)state;
    expect_result(add,
                  "local password = require 'gatepost.password'\n"
                  "local stored = password.hash(arg, " CHEAP ")\n"
                  "assert(stored:find('$argon2id$v=19$m=64,t=1,p=1$', 1, true) == 1)\n"
                  "assert(stored ~= password.hash(arg, " CHEAP "))\n"
                  "assert(password.verify(arg, stored) == true)\n"
                  "assert(password.verify(arg .. 'x', stored) == false)\n"
                  "assert(password.verify('', stored) == false)\n"
                  "assert(not password.needs_rehash(stored, " CHEAP "))\n"
                  "assert(password.needs_rehash(stored) and password.needs_rehash(stored, {scheme = 'bcrypt'}))\n"
                  "assert(password.needs_rehash(stored, {memory_kib = 65, rounds = 1}))\n"
                  "assert(password.verify(arg, '{PLAIN}' .. arg) and not password.verify(arg, 'else'))\n"
                  "return 'fine'",
                  "tiger", "fine");
}

static void schemes_are_chosen_by_name(void **state)
{
    (void)state;
    expect_result(add,
                  "local password = require 'gatepost.password'\n"
                  "local one = password.hash(arg, {scheme = 'bcrypt', rounds = 4})\n"
                  "local other = password.hash(arg, {scheme = 'SCRAM-SHA-256', rounds = 4096})\n"
                  "assert(one:sub(1, 7) == '$2b$04$' and other:sub(1, 20) == '{SCRAM-SHA-256}4096,')\n"
                  "assert(password.verify(arg, one) and password.verify(arg, other))\n"
                  "return 'fine'",
                  "tiger", "fine");
}

/* pcall included: an error is a Lua error like any other. */
static void errors_tell_nothing_of_the_stored_form(void **state)
{
    (void)state;
    expect_result(add,
                  "local password = require 'gatepost.password'\n"
                  "for _, stored in ipairs { '{SMD5}c2VjcmV0', '$2b$05$secret', '$99$secret', '',\n"
                  "    '$argon2id$v=19$m=8,t=1,p=64$c2VjcmV0c2VjcmV0$c2VjcmV0c2VjcmV0c2VjcmV0' } do\n"
                  "  local fine, problem = pcall(password.verify, arg, stored)\n"
                  "  assert(not fine and problem:find 'stored password' and not problem:find 'c2V', problem)\n"
                  "  assert(not problem:find(arg, 1, true) and not problem:find 'secret', problem)\n"
                  "end\n"
                  "return 'fine'",
                  "tiger", "fine");
}

static void arguments_are_checked(void **state)
{
    static const struct {
        const char *body, *said;
    } wrong[] = {
        {"verify('x')", "#2"},
        {"verify('x', 'a\\0b')", "not a stored password"},
        {"verify({}, 'x')", "string expected"},
        {"hash()", "#1"},
        {"hash('')", "empty"},
        {"hash('x', 'bcrypt')", "table expected"},
        {"hash('x', {schema = 'bcrypt'})", "there is no option 'schema'"},
        {"hash('x', {scheme = 'rot13'})", "no such password scheme"},
        {"hash('x', {scheme = 12})", "no such password scheme"},
        {"hash('x', {scheme = 'ssha'})", "only verified, not made"},
        {"hash('x', {rounds = 0})", "not a positive number"},
        {"hash('x', {rounds = 1.5})", "not a positive number"},
        {"hash('x', {'bcrypt'})", "its keys are names"},
        {"hash('x', {scheme = 'bcrypt', rounds = 31})", "rounds of bcrypt is from 4 to 16"},
        {"hash(('x'):rep(5000), {rounds = 1, memory_kib = 64})", "at most 4096"},
        {"needs_rehash()", "#1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *body = mem_printf("return require 'gatepost.password'.%s", wrong[i].body);

        expect_error(add, body, NULL, wrong[i].said);
        free(body);
    }
}

static void a_module_may_hash_while_it_is_loaded(void **state)
{
    struct world world = {.options = {.add_modules = add}};
    struct asked asked = {.argument = "tiger"};

    (void)state;
    world_open(&world, "local password = require 'gatepost.password'\n"
                       "local stored = password.hash('tiger', " CHEAP ")\n"
                       "kumo.on('t', function(arg) return tostring(password.verify(arg, stored)) end)");
    ask_on_loop(&world, &asked);
    wait_for(&world, &asked);
    assert_string_equal(asked.first, "true");
    world_close(&world);
}

/* ---- a pool that is busy ---- */

struct blocker {
    struct job job;
    pthread_mutex_t gate;
    sem_t begun;
    bool done;
};

static void block(struct job *job)
{
    struct blocker *blocker = CONTAINER_OF(job, struct blocker, job);

    sem_post(&blocker->begun);
    pthread_mutex_lock(&blocker->gate);
    pthread_mutex_unlock(&blocker->gate);
}

static void unblocked(struct job *job) { CONTAINER_OF(job, struct blocker, job)->done = true; }

/* One job at work, and as many waiting as the queue takes: one. */
static void a_full_pool_is_an_error_at_once(void **state)
{
    struct world world = {.options = {.add_modules = add}};
    struct asked waits = {.argument = "tiger"}, refused = {.argument = "tiger"};
    struct blocker blocker = {.job = {.run = block, .done = unblocked}, .gate = PTHREAD_MUTEX_INITIALIZER};

    (void)state;
    world_open(&world, "kumo.on('t', function(arg)\n"
                       "  return (require 'gatepost.password'.hash(arg, " CHEAP "):sub(1, 9))\n"
                       "end)");
    password_pool_limit(1, 1, 0);
    assert_int_equal(sem_init(&blocker.begun, 0, 0), 0);
    pthread_mutex_lock(&blocker.gate);
    loop_adopt(world.loop);
    assert_int_equal(jobs_submit(password_pool(), &blocker.job, NULL), 0);
    sem_wait(&blocker.begun);
    ask_on_loop(&world, &waits);
    ask_on_loop(&world, &refused);
    assert_true(refused.done);
    assert_int_equal(refused.outcome, POLICY_FAILED);
    assert_non_null(strstr(refused.error.sentence, "the password pool is full"));
    assert_false(waits.done);
    pthread_mutex_unlock(&blocker.gate);
    wait_for(&world, &waits);
    assert_string_equal(waits.first, "$argon2id");
    assert_true(blocker.done);
    sem_destroy(&blocker.begun);
    password_pool_limit(0, 0, 0);
    world_close(&world);
}

static int start(void **state)
{
    (void)state;
    return password_pool_start(NULL);
}

static int stop(void **state)
{
    (void)state;
    password_pool_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hashed_verifies),
        cmocka_unit_test(schemes_are_chosen_by_name),
        cmocka_unit_test(errors_tell_nothing_of_the_stored_form),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(a_module_may_hash_while_it_is_loaded),
        cmocka_unit_test(a_full_pool_is_an_error_at_once),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
