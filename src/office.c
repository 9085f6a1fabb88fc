/* SPDX-License-Identifier: Apache-2.0
 *
 * See office.h. One function per verb, in the table at the end.
 */
#include "office.h"

#include <string.h>

#include "auth/identity.h"
#include "log/diag.h"
#include "queue/held.h"
#include "receive/receive.h"

#define SESSIONS_MOST 100000

/* NULL where it is not there; -1 when it could be no name. */
static int read_name(const json_t *question, const char *key, const char **name_out, struct error *error)
{
    const json_t *value = json_object_get(question, key);
    const char *name = json_string_value(value);

    *name_out = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!name || !*name || json_string_length(value) != strlen(name) || !auth_identity_is_sound(span_of(name)))
        return error_set(error, ERROR_PERM, "'%s' is no name", key);
    *name_out = name;
    return 0;
}

static int need_user(const json_t *question, const char **user_out, struct error *error)
{
    if (read_name(question, "user", user_out, error))
        return -1;
    return *user_out ? 0 : error_set(error, ERROR_PERM, "'user' is missing");
}

/* ---- live sessions ---- */

static json_t *list_sessions(struct relay *relay, const json_t *question, struct error *error)
{
    const char *user;

    (void)relay;
    if (read_name(question, "user", &user, error))
        return NULL;
    return json_pack("{s:o}", "sessions", receive_sessions_list(user, SESSIONS_MOST));
}

static json_t *close_sessions(struct relay *relay, const json_t *question, struct error *error)
{
    const char *user, *id;

    (void)relay;
    if (read_name(question, "user", &user, error) || read_name(question, "id", &id, error))
        return NULL;
    if (!user && !id) {
        error_set(error, ERROR_PERM, "whose sessions? 'user' or 'id' says it");
        return NULL;
    }
    diag(DIAG_INFO, NULL, "an operator closes the sessions of %s", user ? user : id);
    return json_pack("{s:I}", "closed", (json_int_t)receive_sessions_close(user, id));
}

/* ---- mail on hold ---- */

static json_t *list_held(struct relay *relay, const json_t *question, struct error *error)
{
    (void)relay;
    (void)question;
    (void)error;
    return json_pack("{s:o}", "held", held_list());
}

static json_t *hold(struct relay *relay, const json_t *question, struct error *error)
{
    const char *user;

    (void)relay;
    if (need_user(question, &user, error) || relay_hold(user, error))
        return NULL;
    return json_pack("{s:s}", "held", user);
}

static json_t *release(struct relay *relay, const json_t *question, struct error *error)
{
    const char *user;
    uint64_t messages;

    if (need_user(question, &user, error) || relay_release(relay, user, &messages, error))
        return NULL;
    return json_pack("{s:s, s:I}", "released", user, "messages", (json_int_t)messages);
}

/* ---- the table ---- */

static const struct {
    const char *verb;
    json_t *(*answer)(struct relay *relay, const json_t *question, struct error *error);
} verbs[] = {
    {"sessions", list_sessions}, {"close", close_sessions}, {"held", list_held}, {"hold", hold}, {"release", release},
};

#define VERBS (sizeof verbs / sizeof *verbs)

static size_t find(const char *verb)
{
    size_t i = 0;

    while (i < VERBS && strcmp(verbs[i].verb, verb) != 0)
        i++;
    return i;
}

bool office_knows(const char *verb) { return find(verb) < VERBS; }

json_t *office_ask(struct relay *relay, const char *verb, const json_t *question, struct error *error)
{
    size_t i = find(verb);

    if (i < VERBS)
        return verbs[i].answer(relay, question, error);
    error_set(error, ERROR_PERM, "there is nothing to %s", verb);
    return NULL;
}
