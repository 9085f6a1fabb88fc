/* SPDX-License-Identifier: Apache-2.0
 *
 * Those who send just now: live sessions are listed and closed; a user's mail that has not left is held and released.
 */
#include <string.h>

#include "auth/identity.h"
#include "desk/desk_private.h"
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

json_t *desk_list_sessions(struct desk *desk, const json_t *question, struct error *error)
{
    const char *user;

    (void)desk;
    if (read_name(question, "user", &user, error))
        return NULL;
    return json_pack("{s:o}", "sessions", receive_sessions_list(user, SESSIONS_MOST));
}

json_t *desk_close_sessions(struct desk *desk, const json_t *question, struct error *error)
{
    const char *user, *id;

    (void)desk;
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

json_t *desk_list_held(struct desk *desk, const json_t *question, struct error *error)
{
    (void)desk;
    (void)question;
    (void)error;
    return json_pack("{s:o}", "held", held_list());
}

json_t *desk_hold(struct desk *desk, const json_t *question, struct error *error)
{
    const char *user;

    (void)desk;
    if (need_user(question, &user, error) || held_add(user, error))
        return NULL;
    diag(DIAG_INFO, NULL, "an operator holds the mail of %s", user);
    return json_pack("{s:s}", "held", user);
}

json_t *desk_release(struct desk *desk, const json_t *question, struct error *error)
{
    const char *user;
    uint64_t messages = 0;

    if (need_user(question, &user, error) || held_remove(user, error))
        return NULL;
    diag(DIAG_INFO, NULL, "an operator releases the mail of %s", user);
    if (desk->ops->let_go && desk->ops->let_go(desk->ctx, &messages, error))
        return NULL;
    return json_pack("{s:s, s:I}", "released", user, "messages", (json_int_t)messages);
}
