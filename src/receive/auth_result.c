/* SPDX-License-Identifier: Apache-2.0
 *
 * What a handler's result says about who this is. The rule behind all of it: a user is who the policy says, never who
 * the client says. A bare `true` therefore suffices where a password was right for a name; for a token or a certificate
 * it would make the client's wish come true, so there the handler has to name the user.
 */
#include <string.h>

#include "receive/auth_attempt.h"

static void bad_result(struct session *session, const struct error *error)
{
    diag_error(&session->scope, error, "%s", auth_handler_name(session));
    auth_no_verdict(session, AUTH_REASON_BAD_RESULT);
}

/* Whom the gate found, if he is whom the handler lets in. */
static struct gate_login *login_for(const struct session *session, const char *authcid, const struct auth_info *given)
{
    struct gate_login *login = session->attempt->login;

    if (auth_exchange_question(session->attempt->exchange)->kind == AUTH_ASK_PASSWORD)
        return auth_checked_login(session, given);
    return login && strcmp(login->authcid, authcid) == 0 ? login : NULL;
}

/* What the gate knows of whom it found, when it was asked by the handler; else the names are all that is known. */
static struct auth_info *info_of(const struct session *session, const struct gate_login *login, const char *authzid,
                                 const char *authcid)
{
    const struct receive_checked *checked = &session->connection->checked;

    return login && login == checked->login ? auth_info_ref(checked->info) : auth_info_of_user(authzid, authcid);
}

/* Grants it if the user may act as whom the client asked for. `given` is taken. */
static void grant_if_allowed(struct session *session, struct auth_info *given, const char *authcid)
{
    const struct auth_question *question = auth_exchange_question(session->attempt->exchange);
    const char *authzid = question->authzid ? question->authzid : authcid;
    struct gate_login *login = login_for(session, authcid, given);

    if (!auth_may_act_as(authzid, authcid, given)) {
        auth_info_unref(&given);
        auth_refuse(session, AUTH_REASON_AUTHZID_REFUSED);
        return;
    }
    if (!given)
        given = info_of(session, login, authzid, authcid);
    if (question->kind == AUTH_ASK_PASSWORD && !login)
        auth_checked_set_aside(session);
    auth_grant(session, given, login, login ? login->authcid : authcid);
}

/* Whose it is, according to an AuthInfo: the name with which he authenticated, else the first. */
static const char *name_in(const struct auth_info *info)
{
    const char *name = auth_info_identity(info, AUTH_CONTEXT_SMTP_AUTHENTICATION);

    return name ? name : auth_info_first_identity(info);
}

static void take_auth_info(struct session *session, const json_t *value, bool is_named)
{
    const struct auth_question *question = auth_exchange_question(session->attempt->exchange);
    struct error error;
    struct auth_info *given = auth_info_from_json(value, &error);
    const char *authcid;

    if (!given) {
        bad_result(session, &error);
        return;
    }
    authcid = is_named ? question->authcid : name_in(given);
    if (!auth_identity_is_sound(span_of(authcid))) {
        error_set(&error, ERROR_PERM, "the name of a user is too long or has control characters");
        auth_info_unref(&given);
        bad_result(session, &error);
        return;
    }
    grant_if_allowed(session, given, authcid);
}

/* A bare name: whose the token or the certificate is. */
static void take_name(struct session *session, const char *name)
{
    struct error error;

    if (name[0] == '\0' || !auth_identity_is_sound(span_of(name))) {
        error_set(&error, ERROR_PERM, "the name of a user is empty, too long or has control characters");
        bad_result(session, &error);
        return;
    }
    grant_if_allowed(session, NULL, name);
}

static void take_true(struct session *session, bool is_named)
{
    struct auth_attempt *attempt = session->attempt;
    struct auth_info *info = attempt->info;
    struct error error;

    if (is_named) {
        grant_if_allowed(session, NULL, auth_exchange_question(attempt->exchange)->authcid);
    } else if (info) {
        attempt->info = NULL; /* the gate knows whose token it is */
        auth_grant(session, info, attempt->login, attempt->login->authcid);
    } else {
        error_set(&error, ERROR_PERM, "true does not say whose it is: return the user's name or an AuthInfo");
        bad_result(session, &error);
    }
}

void auth_take_result(struct session *session, const json_t *value)
{
    bool is_named = auth_exchange_question(session->attempt->exchange)->kind == AUTH_ASK_PASSWORD;

    if (json_is_false(value))
        auth_refuse(session, AUTH_REASON_REFUSED);
    else if (json_is_true(value))
        take_true(session, is_named);
    else if (json_is_string(value) && !is_named)
        take_name(session, json_string_value(value));
    else
        take_auth_info(session, value, is_named);
}
