/* SPDX-License-Identifier: Apache-2.0
 *
 * A handler that asks the gate (auth:check_password) and answers what it said. The gate's word is then what is known of
 * this login, under whatever spelling of his name the user asked: his record, and the name by which he is counted,
 * locked and recorded.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "receive/auth_attempt.h"

void auth_checked_forget(struct receive_connection *connection)
{
    struct receive_checked *checked = &connection->checked;

    free(checked->asked);
    free(checked->user);
    free(checked->store);
    gate_login_unref(&checked->login);
    auth_info_unref(&checked->info);
    *checked = (struct receive_checked){0};
}

void auth_checked_note(struct receive_connection *connection, const char *asked, const struct gate_verdict *verdict)
{
    struct receive_checked *checked = &connection->checked;

    if (checked->is_known && !verdict->login) { /* so a guess counts for the user whom the right one would let in */
        gate_login_unref(&checked->login);
        auth_info_unref(&checked->info);
        return;
    }
    auth_checked_forget(connection);
    *checked = (struct receive_checked){
        .asked = mem_strdup(asked),
        .user = verdict->user ? mem_strdup(verdict->user) : NULL,
        .store = mem_strdup(verdict->store),
        .is_known = verdict->is_known,
        .is_cached = verdict->is_cached,
        .login = verdict->login ? gate_login_ref(verdict->login) : NULL,
        .info = auth_info_ref(verdict->info),
    };
}

void auth_checked_describe(struct session *session)
{
    const struct receive_checked *checked = &session->connection->checked;

    if (checked->asked)
        auth_note_words(session->attempt, &(struct gate_verdict){.user = checked->user,
                                                                 .store = checked->store,
                                                                 .is_known = checked->is_known,
                                                                 .is_cached = checked->is_cached});
}

static bool is_about_client(const struct session *session)
{
    const struct receive_checked *checked = &session->connection->checked;

    return checked->asked && strcmp(checked->asked, auth_exchange_question(session->attempt->exchange)->authcid) == 0;
}

void auth_checked_set_aside(struct session *session)
{
    const struct receive_checked *checked = &session->connection->checked;
    struct gate_verdict words = {0};

    if (is_about_client(session)) { /* then his guesses were counted by that name, and so is this */
        words.user = checked->user;
        words.is_known = checked->is_known;
    }
    auth_note_words(session->attempt, &words);
}

/* Asked about by the name that the client gave, or by another whose AuthInfo the handler hands on. */
static bool is_handed_on(const struct session *session, const struct auth_info *given)
{
    const char *named = given ? auth_info_identity(given, AUTH_CONTEXT_SMTP_AUTHENTICATION) : NULL;

    return is_about_client(session) || (named && strcmp(named, session->connection->checked.login->authcid) == 0);
}

struct gate_login *auth_checked_login(const struct session *session, const struct auth_info *given)
{
    struct gate_login *login = session->connection->checked.login;

    return login && is_handed_on(session, given) ? login : NULL;
}
