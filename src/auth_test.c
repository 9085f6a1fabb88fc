/* SPDX-License-Identifier: Apache-2.0
 *
 * See auth_test.h. The same desk as in a running relay answers; what it counts by is in this process's memory, and so
 * empty, unless the rules name a Redis.
 */
#include "auth_test.h"

#include <stdio.h>

#include "desk/desk.h"
#include "gate/gate.h"

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

static int ask(const json_t *question, struct error *error)
{
    struct desk *desk = desk_start(NULL, NULL, error);
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

int auth_test_run(const char *rules_path, struct error *error)
{
    struct gate_rules *rules = rules_path ? gate_rules_load(&rules_path, 1, error) : NULL;
    json_t *question = !rules_path || rules ? read_question(error) : NULL;
    int status = question ? ask(question, error) : -1;

    json_decref(question);
    gate_rules_unref(&rules);
    return status;
}
