/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's login as those see it who count and record logins.
 */
#include "base/clock.h"
#include "receive/auth_attempt.h"

/* Whose it is, as well as anybody knows by now. */
static const char *authcid_of(const struct auth_attempt *attempt)
{
    const char *asked = auth_exchange_question(attempt->exchange)->authcid;

    if (attempt->login)
        return attempt->login->authcid;
    return attempt->authcid ? attempt->authcid : asked;
}

static const char *authzid_of(const struct session *session)
{
    const struct auth_attempt *attempt = session->attempt;

    if (attempt->login)
        return attempt->login->authzid;
    /* the last look comes when he is in already */
    return session->connection->authz_id ? session->connection->authz_id
                                         : auth_exchange_question(attempt->exchange)->authzid;
}

static struct span secret_of(const struct session *session)
{
    const struct auth_question *question = auth_exchange_question(session->attempt->exchange);

    if (question->kind == AUTH_ASK_TOKEN && question->token)
        return span_of(question->token);
    if (question->kind == AUTH_ASK_EXTERNAL && question->certificate)
        return span_of(question->certificate->subject);
    return question->kind == AUTH_ASK_PASSWORD && question->password ? span_of(question->password) : SPAN_LIT("");
}

static void add_connection(struct session *session, struct gate_attempt *out)
{
    struct receive_connection *connection = session->connection;
    const struct receive_params *params = connection->params;

    out->peer = connection->remote_ip;
    out->proxy = connection->proxy_ip;
    out->is_proxys_own = !connection->proxy_ip.family && (params->require_proxy_protocol || params->allow_xclient);
    out->session_id = receive_connection_session_id(connection);
    out->ehlo_domain = connection->ehlo_domain;
    out->tls_protocol = connection->tls_protocol;
    out->tls_cipher = connection->tls_cipher;
    out->certificate_subject = connection->tls_peer_subject;
}

void auth_describe(struct session *session, enum auth_reason reason, struct gate_attempt *attempt_out)
{
    struct auth_attempt *attempt = session->attempt;

    *attempt_out = (struct gate_attempt){
        .listener = attempt->listener_text,
        .mechanism = auth_mechanism_name(auth_exchange_mechanism(attempt->exchange)),
        .authcid = authcid_of(attempt),
        .authzid = authzid_of(session),
        .secret = secret_of(session),
        .reason = reason,
        .store = attempt->store ? attempt->store : "",
        .label = attempt->login ? attempt->login->label : "",
        .is_known = attempt->is_known || reason == AUTH_REASON_OK,
        .is_cached = attempt->is_cached,
        .took_us = attempt->took_us ? attempt->took_us : clock_mono_us() - attempt->began_us,
        .wall_ms = clock_wall_ms(),
    };
    attempt_out->user = attempt->user ? attempt->user : attempt_out->authcid;
    if (!attempt_out->user) /* a token that is no good: whose it is said to be */
        attempt_out->user = attempt_out->authzid;
    add_connection(session, attempt_out);
}
