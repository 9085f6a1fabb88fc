/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions and orders about logins: what the gate remembers, and why somebody would get in. One function per verb; it
 * reads the question, calls the gate, and the answer comes now or later.
 */
#include <string.h>

#include "auth/identity.h"
#include "desk/desk_private.h"
#include "gate/explain.h"
#include "gate/guess.h"
#include "log/diag.h"
#include "receive/receive.h"

#define BLOCK_MOST_S (365 * 86400)

/* The member as a name or address. NULL where it is not there; *is_sound_out tells whether it could be one. */
static const char *name_in(const struct question *question, const char *key, bool *is_sound_out)
{
    const json_t *value = json_object_get(question->asked, key);
    const char *text = json_string_value(value);

    *is_sound_out = !value || json_is_null(value) ||
                    (text && *text && json_string_length(value) <= AUTH_IDENTITY_LIMIT &&
                     auth_identity_is_sound(span_make(text, json_string_length(value))));
    return *is_sound_out ? text : NULL;
}

const char *desk_needed_name(struct question *question, const char *key)
{
    bool is_sound;
    const char *name = name_in(question, key, &is_sound);

    if (!name)
        desk_refuse(question, is_sound ? "'%s' is missing" : "'%s' is neither a user nor an address", key);
    return name;
}

/* A user, or an address as it is counted by. NULL: refused already. */
static const char *needed_who(struct question *question)
{
    const char *who = desk_needed_name(question, "who");

    if (!who || gate_guess_can_be_about(question->rules, who))
        return who;
    desk_refuse(question, "'who' is a network of another size than failures are counted by: name an address in it");
    return NULL;
}

/* ---- show ---- */

static json_t *text_or_null(const char *text)
{
    json_t *value = text ? json_string(text) : NULL;

    return value ? value : json_null();
}

static json_t *entry_json(const struct gate_guess_entry *entry)
{
    return json_pack("{s:s, s:o, s:o, s:f, s:I}", "what", entry->what, "user", text_or_null(entry->user), "address",
                     text_or_null(entry->prefix), "value", entry->value, "left_seconds",
                     (json_int_t)((entry->left_ms + 999) / 1000));
}

static void on_shown(void *ctx, const struct gate_guess_list *list)
{
    json_t *entries = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(entries, entry_json(&list->entries[i]));
    desk_finish(ctx, json_pack("{s:o, s:b, s:b}", "entries", entries, "is_complete", list->is_complete, "is_local",
                               list->is_local));
}

void desk_show(struct question *question)
{
    bool is_sound;
    const char *who = name_in(question, "who", &is_sound);

    if (is_sound)
        gate_guess_show(question->rules, question->desk->thread.loop, who, on_shown, question);
    else
        desk_refuse(question, "'who' is neither a user nor an address");
}

/* ---- unlock and block ---- */

/* What an operator changes is in the log, whoever it was. */
static void on_changed(void *ctx, const struct gate_guess_change *change)
{
    struct question *question = ctx;

    desk_finish(question, json_pack("{s:I, s:b, s:b}", "changed", (json_int_t)change->changed, "is_complete",
                                    change->is_complete, "is_local", change->is_local));
}

void desk_unlock(struct question *question)
{
    const char *who = needed_who(question);

    if (!who)
        return;
    diag(DIAG_INFO, NULL, "an operator unlocks %s", who);
    gate_guess_unlock(question->rules, question->desk->thread.loop, who, on_changed, question);
}

void desk_block(struct question *question)
{
    const json_t *seconds = json_object_get(question->asked, "seconds");
    const char *who = needed_who(question);

    if (!who)
        return;
    if (seconds &&
        (!json_is_integer(seconds) || json_integer_value(seconds) < 1 || json_integer_value(seconds) > BLOCK_MOST_S)) {
        desk_refuse(question, "'seconds' must be between 1 and %d", BLOCK_MOST_S);
        return;
    }
    diag(DIAG_INFO, NULL, "an operator blocks %s", who);
    gate_guess_block(question->rules, question->desk->thread.loop, who, (uint64_t)json_integer_value(seconds) * 1000,
                     on_changed, question);
}

/* ---- purge ---- */

void desk_purge(struct question *question)
{
    bool is_all = json_is_true(json_object_get(question->asked, "all"));
    bool closes = json_is_true(json_object_get(question->asked, "sessions"));
    const char *user = is_all ? NULL : desk_needed_name(question, "user");
    size_t records, sessions;

    if (!user && !is_all)
        return;
    if (closes && is_all) {
        desk_refuse(question, "'sessions' is for one user");
        return;
    }
    diag(DIAG_INFO, NULL, "an operator purges %s%s", user ? user : "all users", closes ? " and closes sessions" : "");
    records = gate_purge(question->rules, user);
    sessions = closes ? receive_sessions_close(user, NULL) : 0;
    desk_finish(question, json_pack("{s:I, s:I}", "records", (json_int_t)records, "sessions", (json_int_t)sessions));
}

/* ---- test ---- */

static void on_explained(void *ctx, json_t *explanation)
{
    struct question *question = ctx;

    if (explanation)
        desk_tell_listener(question->desk, question->asked, explanation);
    desk_finish(question, explanation);
}

static const char *text_in(const struct question *question, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(question->asked, key));

    return text ? text : otherwise;
}

void desk_test(struct question *question)
{
    const char *mechanism = text_in(question, "mechanism", "PLAIN"), *from = text_in(question, "from", "");
    bool is_user_sound, is_authzid_sound;
    struct gate_explain_ask ask = {
        .user = name_in(question, "user", &is_user_sound),
        .authzid = name_in(question, "authzid", &is_authzid_sound),
        .secret = text_in(question, "secret", NULL),
        .mechanism = auth_mechanism_find(span_of(mechanism)),
        .listener = text_in(question, "listener", ""),
        .mail_from = text_in(question, "mail_from", NULL),
    };

    if (!ask.mechanism)
        desk_refuse(question, "there is no mechanism '%.40s'", mechanism);
    else if (ip_parse(span_of(from), &ask.peer))
        desk_refuse(question, "'from' must be an IP address");
    else if (!is_user_sound || !is_authzid_sound)
        desk_refuse(question, "that is no user's name");
    else if (!ask.user && !(ask.secret && auth_mechanism_asks(ask.mechanism) == AUTH_ASK_TOKEN))
        desk_refuse(question, "'user' is missing");
    else
        gate_explain(question->rules, question->desk->thread.loop, &ask, on_explained, question);
}
