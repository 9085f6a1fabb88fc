/* SPDX-License-Identifier: Apache-2.0
 *
 * What looks like an attack although no limit is reached, and who hears of it: the log, a metric, the web hook, and
 * the policy (auth_suspect, by whoever asked). The awkward truth: each of these can be innocent. Many users may share
 * a bad password, a user may travel with an old one, and whoever mistypes for a while at a new place gets in at last.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "gate/audit.h"
#include "gate/guess_private.h"
#include "log/audit.h"
#include "log/diag.h"
#include "metrics/metrics.h"

static const struct {
    const char *kind;
    const char *number; /* the name of its number */
    enum metric metric;
} suspicions[GUESS_SUSPICION_COUNT] = {
    [GUESS_ONE_PASSWORD] = {"one_password_many_users", "users", METRIC_SUSPECTS_ONE_PASSWORD},
    [GUESS_ONE_USER] = {"one_user_many_prefixes", "prefixes", METRIC_SUSPECTS_ONE_USER},
    [GUESS_SUCCESS] = {"success_after_failures", "failures", METRIC_SUSPECTS_SUCCESS},
};

static void add_text(json_t *facts, const char *name, const char *text)
{
    if (text)
        json_object_set_new(facts, name, json_string(text));
}

/* A name that nobody has may be a password, typed one field too early: shown as records show it. */
static const char *user_of(const struct gate_rules *rules, const struct gate_attempt *attempt,
                           const struct guess_subject *subject, char out[GATE_AUDIT_NAME_BYTES])
{
    const char *shown = subject->user ? gate_audit_name(rules, attempt, attempt->user, out) : NULL;

    return shown == attempt->user ? subject->user : shown;
}

/* Without the secret, and without anything made from it. */
json_t *guess_facts(const struct gate_rules *rules, const struct gate_attempt *attempt,
                    const struct guess_subject *subject)
{
    char address[INET6_ADDRSTRLEN], hidden[GATE_AUDIT_NAME_BYTES];
    json_t *facts = json_object();

    ip_format(&attempt->peer, address);
    add_text(facts, "address", address);
    add_text(facts, "prefix", subject->prefix);
    add_text(facts, "user", user_of(rules, attempt, subject, hidden));
    add_text(facts, "mechanism", attempt->mechanism);
    add_text(facts, "listener", attempt->listener);
    add_text(facts, "session_id", attempt->session_id);
    add_text(facts, "ehlo_domain", attempt->ehlo_domain);
    return facts;
}

static void post(const struct gate_guessing *guessing, const json_t *info)
{
    char *text = guessing->webhook ? json_dumps(info, JSON_COMPACT) : NULL;

    if (text)
        guess_webhook_send(guessing->webhook, span_of(text));
    free(text);
}

json_t *guess_suspect(const struct gate_guessing *guessing, enum guess_suspicion kind, const json_t *facts,
                      double number, bool is_held)
{
    json_t *info = json_copy((json_t *)(uintptr_t)facts);
    char user[AUDIT_WORD_BYTES];

    json_object_set_new(info, "kind", json_string(suspicions[kind].kind));
    json_object_set_new(info, suspicions[kind].number, json_integer((json_int_t)(number + 0.5)));
    json_object_set_new(info, "is_held", json_boolean(is_held));
    json_object_set_new(info, "time", json_real((double)clock_wall_ms() / 1000));
    metrics_count(suspicions[kind].metric);
    diag(DIAG_WARN, NULL, "login: suspicion %s address=%s user=%s %s=%.0f%s", suspicions[kind].kind,
         json_string_value(json_object_get(info, "address")),
         audit_word(json_string_value(json_object_get(info, "user")), user), suspicions[kind].number, number,
         is_held ? ": the user is held" : "");
    post(guessing, info);
    return info;
}

bool guess_is_success_suspect(const struct gate_guessing *guessing, const struct guess_subject *subject,
                              const struct guess_numbers *numbers)
{
    if (!subject->user || subject->is_trusted || numbers->known_ms)
        return false;
    /* a prefix that many share fails now and then for others */
    return numbers->pair >= guessing->suspect_failures || guess_is_over(numbers->address, guessing->address_limit / 2);
}
