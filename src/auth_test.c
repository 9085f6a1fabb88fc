/* SPDX-License-Identifier: Apache-2.0
 *
 * See auth_test.h. The same desk as in a running relay answers; what it counts by is in this process's memory, and so
 * empty, unless the rules name a Redis.
 */
#include "auth_test.h"

#include <stdio.h>

#include "desk/desk.h"
#include "gate/gate.h"
#include "setup.h"

static json_t *read_question(struct error *error)
{
    json_error_t fault;
    json_t *question = json_loadf(stdin, JSON_REJECT_DUPLICATES, &fault);

    if (json_is_object(question))
        return question;
    json_decref(question);
    error_set(error, ERROR_PERM, "--auth-test: a JSON object is wanted on stdin");
    return NULL;
}

static struct receive_params *listener_at(void *ctx, size_t i, const struct sockaddr **bound_out)
{
    return setup_listener_at(ctx, i, bound_out);
}

/* `setup` may be NULL: nothing is known of listeners. */
static int ask(const json_t *question, struct setup *setup, struct error *error)
{
    static const struct desk_ops ops = {.listener_at = listener_at};
    struct desk *desk = desk_start(setup ? &ops : NULL, setup, error);
    json_t *answer;

    if (!desk)
        return -1;
    answer = desk_ask(desk, "test", question, error);
    desk_stop(desk);
    if (!answer)
        return -1;
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
    return 0;
}

/* Which listeners there are is known when init has asked for them. */
static int ask_policy(const json_t *question, struct policy_vm *vm, struct error *error)
{
    struct setup *setup = NULL;
    int status = 0;

    if (json_object_get(question, "listener")) {
        setup = setup_new(1, SETUP_TO_LOOK);
        status = setup_run_init(setup, vm, error);
    }
    if (!status)
        status = ask(question, setup, error);
    setup_free(setup);
    return status;
}

static int ask_rules(const char *path, const json_t *question, struct error *error)
{
    struct gate_rules *rules = gate_rules_load(&path, 1, NULL, NULL, error);
    int status;

    if (!rules)
        return -1;
    if (json_object_get(question, "listener"))
        status = error_set(error, ERROR_PERM, "--auth-test: an auth.toml has no listeners, a policy has");
    else
        status = ask(question, NULL, error);
    gate_rules_unref(&rules);
    return status;
}

int auth_test_run(const char *rules, struct policy_vm *vm, struct error *error)
{
    json_t *question = read_question(error);
    int status;

    if (!question)
        return -1;
    status = rules ? ask_rules(rules, question, error) : ask_policy(question, vm, error);
    json_decref(question);
    return status;
}
