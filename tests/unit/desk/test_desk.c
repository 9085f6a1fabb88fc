/* SPDX-License-Identifier: Apache-2.0
 *
 * The desk without a gate and without a house behind it: what it answers, and what it refuses. What it answers with a
 * gate is tested by asking a daemon (tests/tour/test_gatectl_auth.py, tests/talk/test_budgets.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "desk/desk.h"
#include "queue/held.h"

static struct desk *desk;
static char folder[] = "/tmp/gatepost-desk-XXXXXX";
static unsigned times_let_go;

static int let_go(void *ctx, uint64_t *messages_out, struct error *error)
{
    (void)error;
    assert_ptr_equal(ctx, &times_let_go);
    times_let_go++;
    *messages_out = 7;
    return 0;
}

static int begin(void **state)
{
    static const struct desk_ops ops = {.let_go = let_go};
    struct error error;

    (void)state;
    if (!mkdtemp(folder) || held_open(folder, &error))
        return -1;
    desk = desk_start(&ops, &times_let_go, &error);
    return desk ? 0 : -1;
}

static int end(void **state)
{
    char path[128];

    (void)state;
    desk_stop(desk);
    held_close();
    snprintf(path, sizeof path, "%s/held", folder);
    remove(path);
    return remove(folder);
}

/* The answer as text, or the error's sentence behind its kind. */
static char *ask(const char *verb, const char *question)
{
    static char text[1000];
    json_t *asked = json_loads(question, JSON_ALLOW_NUL, NULL), *answer;
    struct error error = {0};
    char *dumped;

    assert_non_null(asked);
    answer = desk_ask(desk, verb, asked, &error);
    dumped = answer ? json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (answer)
        snprintf(text, sizeof text, "%s", dumped);
    else
        snprintf(text, sizeof text, "%s: %s", error.kind == ERROR_PERM ? "perm" : "temp", error.sentence);
    free(dumped);
    json_decref(answer);
    json_decref(asked);
    return text;
}

static void what_needs_a_gate(void **state)
{
    static const char *const verbs[] = {"show", "unlock", "block", "purge", "test", "budget"};

    (void)state;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        assert_string_equal(ask(verbs[i], "{\"who\": \"ada\"}"),
                            "temp: there is no gate to ask: the policy sets up no auth.toml");
    assert_string_equal(ask("dance", "{}"), "perm: there is nothing to dance");
}

static void sessions(void **state)
{
    (void)state;
    assert_string_equal(ask("sessions", "{}"), "{\"sessions\":[]}");
    assert_string_equal(ask("sessions", "{\"user\": \"\"}"), "perm: 'user' is no name");
    assert_string_equal(ask("sessions", "{\"user\": \"a\\u0000b\"}"), "perm: 'user' is no name");
    assert_string_equal(ask("close", "{\"user\": \"ada\"}"), "{\"closed\":0}");
    assert_string_equal(ask("close", "{\"id\": 7}"), "perm: 'id' is no name");
    assert_string_equal(ask("close", "{}"), "perm: whose sessions? 'user' or 'id' says it");
}

static void mail_on_hold(void **state)
{
    (void)state;
    assert_string_equal(ask("held", "{}"), "{\"held\":[]}");
    assert_string_equal(ask("hold", "{}"), "perm: 'user' is missing");
    assert_string_equal(ask("hold", "{\"user\": \"a\\nb\"}"), "perm: 'user' is no name");
    assert_string_equal(ask("hold", "{\"user\": \"ada\"}"), "{\"held\":\"ada\"}");
    assert_string_equal(ask("held", "{}"), "{\"held\":[\"ada\"]}");
    assert_int_equal(times_let_go, 0);
    assert_string_equal(ask("release", "{\"user\": \"ada\"}"), "{\"messages\":7,\"released\":\"ada\"}");
    assert_int_equal(times_let_go, 1);
    assert_string_equal(ask("held", "{}"), "{\"held\":[]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_needs_a_gate),
        cmocka_unit_test(sessions),
        cmocka_unit_test(mail_on_hold),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
