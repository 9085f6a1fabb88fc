/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of the gate: a loop, rules read from a text, and rules over a store that the test plays itself.
 */
#ifndef GATEPOST_TESTS_GATE_HARNESS_H
#define GATEPOST_TESTS_GATE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "credential/credential_private.h"
#include "gate/gate_private.h"
#include "password/pool.h"

static struct loop *test_loop;
static char test_path[64];

static inline int start_all(void **state)
{
    struct error error = {0};

    (void)state;
    snprintf(test_path, sizeof test_path, "/tmp/gatepost-gate-%d.toml", (int)getpid());
    test_loop = loop_new("test", &error);
    loop_adopt(test_loop);
    return password_pool_start(&error) || gate_start(&error) ? -1 : 0;
}

static inline int stop_all(void **state)
{
    (void)state;
    while (gate_is_working())
        loop_turn(test_loop, true);
    gate_stop();
    password_pool_stop();
    loop_free(test_loop);
    unlink(test_path);
    return 0;
}

static inline struct gate_rules *try_rules(const char *toml, struct error *error)
{
    FILE *file = fopen(test_path, "we");

    assert_non_null(file);
    fputs(toml, file);
    fclose(file);
    return gate_rules_load((const char *const[]){test_path}, 1, NULL, NULL, error);
}

static inline struct gate_rules *rules_of(const char *toml)
{
    struct error error = {0};
    struct gate_rules *rules = try_rules(toml, &error);

    if (!rules)
        fail_msg("%s", error.sentence);
    return rules;
}

/* ---- attempts ---- */

struct attempt {
    struct gate_facts facts;
    struct auth_question question;
    struct gate_check *check;
    int calls;
    enum auth_reason reason;
    struct auth_info *info;
    struct gate_login *login;
    bool has_keys, was_immediate;
    struct scram_set keys;
};

static inline void on_verdict(void *ctx, const struct gate_verdict *verdict)
{
    struct attempt *attempt = ctx;

    assert_int_equal(attempt->calls++, 0);
    attempt->reason = verdict->reason;
    attempt->info = auth_info_ref(verdict->info);
    attempt->login = gate_login_ref(verdict->login);
    attempt->has_keys = verdict->keys != NULL;
    if (verdict->keys)
        attempt->keys = *verdict->keys;
}

static inline struct ip ip_of(const char *text)
{
    struct ip ip;

    assert_int_equal(ip_parse(span_of(text), &ip), 0);
    return ip;
}

static inline void attempt_begin(struct attempt *attempt, struct gate_rules *rules, const char *peer)
{
    attempt->facts.peer = ip_of(peer);
    attempt->facts.listener = "127.0.0.1:25";
    attempt->facts.mechanism = "PLAIN";
    attempt->check = gate_check(rules, test_loop, &attempt->facts, &attempt->question, on_verdict, attempt);
    attempt->was_immediate = !attempt->check;
    assert_int_equal(attempt->calls, attempt->was_immediate ? 1 : 0);
}

static inline void attempt_wait(struct attempt *attempt)
{
    while (!attempt->calls)
        loop_turn(test_loop, true);
}

static inline void attempt_forget(struct attempt *attempt)
{
    auth_info_unref(&attempt->info);
    gate_login_unref(&attempt->login);
}

static inline struct auth_question password_question(const char *user, const char *password)
{
    return (struct auth_question){
        .kind = AUTH_ASK_PASSWORD, .authcid = (char *)user, .authzid = (char *)user, .password = (char *)password};
}

static inline enum auth_reason log_in_from(struct gate_rules *rules, const char *user, const char *password,
                                           const char *peer)
{
    struct attempt attempt = {.question = password_question(user, password)};

    attempt_begin(&attempt, rules, peer);
    attempt_wait(&attempt);
    attempt_forget(&attempt);
    return attempt.reason;
}

static inline enum auth_reason log_in(struct gate_rules *rules, const char *user, const char *password)
{
    return log_in_from(rules, user, password, "192.0.2.1");
}

#define assert_reason(reason, expected)                                                                                \
    assert_string_equal(auth_reason_name(reason), auth_reason_name(AUTH_REASON_##expected))

static inline char *hash_of(enum password_scheme scheme, const char *password)
{
    struct password_cost cost = {.memory_kib = scheme == PASSWORD_ARGON2ID ? 1024 : 0,
                                 .rounds = scheme == PASSWORD_ARGON2ID ? 1
                                           : scheme == PASSWORD_BCRYPT ? 6
                                                                       : 0};
    struct error error = {0};
    struct buf stored;
    char *text;

    buf_init(&stored, PASSWORD_STORED_LIMIT);
    if (password_hash(scheme, &cost, span_of(password), &stored, &error))
        fail_msg("%s", error.sentence);
    text = mem_strdup(buf_cstr(&stored));
    buf_done(&stored);
    return text;
}

#endif
