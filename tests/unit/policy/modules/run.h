/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the body of a handler from a string in a VM with the modules under test, and holds
 * its result or its error against what is expected.
 */
#ifndef GATEPOST_TESTS_POLICY_MODULES_RUN_H
#define GATEPOST_TESTS_POLICY_MODULES_RUN_H

#include "../harness.h"

#include "base/mem.h"

/* A handler can wait only when its loop runs: so it is called from there. */
struct later {
    struct deferred deferred;
    struct world *world;
    struct asked *asked;
    bool started;
};

static void start_later(struct deferred *deferred)
{
    struct later *later = CONTAINER_OF(deferred, struct later, deferred);

    later->started = true;
    ask_named(later->world, "t", later->asked);
}

static inline void ask_on_loop(struct world *world, struct asked *asked)
{
    struct later later = {.deferred.run = start_later, .world = world, .asked = asked};

    loop_defer(world->loop, &later.deferred);
    while (!later.started)
        loop_turn(world->loop, true);
}

static struct asked run_in(struct world *world, const char *body, const char *argument)
{
    char *text = mem_printf("kumo.on('t', function(arg, _)\n%s\nend)", body);
    struct asked asked = {.argument = argument};

    world_open(world, text);
    free(text);
    ask_on_loop(world, &asked);
    wait_for(world, &asked);
    return asked;
}

static inline struct asked run_body(policy_modules_fn *add_modules, const char *body, const char *argument)
{
    struct world world = {.options = {.add_modules = add_modules}};
    struct asked asked = run_in(&world, body, argument);

    world_close(&world);
    return asked;
}

static inline void expect_result(policy_modules_fn *add_modules, const char *body, const char *argument,
                                 const char *expected)
{
    struct asked asked = run_body(add_modules, body, argument);

    if (asked.outcome != POLICY_RETURNED)
        fail_msg("%s\nended with: %s", body, asked.error.sentence);
    assert_string_equal(asked.first, expected);
}

static inline void expect_error(policy_modules_fn *add_modules, const char *body, const char *argument,
                                const char *expected)
{
    struct asked asked = run_body(add_modules, body, argument);

    if (asked.outcome != POLICY_FAILED)
        fail_msg("%s\ngave: %s", body, asked.first);
    if (!strstr(asked.error.sentence, expected))
        fail_msg("%s\nsaid \"%s\", not \"%s\"", body, asked.error.sentence, expected);
}

#endif
