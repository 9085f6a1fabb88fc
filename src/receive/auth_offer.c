/* SPDX-License-Identifier: Apache-2.0
 *
 * Which mechanisms this session may use now. EHLO and AUTH ask the same function, so that what is announced is what is
 * taken: the listener allows it in this state of TLS, the connection can carry it, and somebody can answer what it
 * asks.
 */
#include "receive/auth_attempt.h"
#include "tls/tls.h"

struct gate_rules *auth_rules_of(const struct session *session)
{
    return policy_vm_attached(session->listener->vm, GATE_RULES_KEY);
}

/* ---- the connection ---- */

int auth_channel_binding(void *ctx, enum auth_binding binding, struct buf *out)
{
    struct session *session = ctx;

    return tls_channel_binding(
        session->socket, binding == AUTH_BINDING_TLS_EXPORTER ? TLS_BINDING_EXPORTER : TLS_BINDING_SERVER_END_POINT,
        out);
}

bool auth_certificate_of(struct session *session, struct auth_certificate *certificate_out)
{
    const struct tls_peer_names *names = tls_peer_names(session->socket);
    struct auth_certificate certificate = {.subject = tls_peer_subject(session->socket)};

    _Static_assert(TLS_PEER_NAMES_MOST <= AUTH_CERTIFICATE_NAMES_MOST, "all names find a place");
    if (!names || !certificate.subject)
        return false;
    for (size_t i = 0; i < names->email_count; i++)
        certificate.emails[certificate.email_count++] = names->emails[i];
    for (size_t i = 0; i < names->dns_name_count; i++)
        certificate.dns_names[certificate.dns_name_count++] = names->dns_names[i];
    *certificate_out = certificate;
    return true;
}

/* ---- the listener, and who answers ---- */

static bool is_allowed(struct session *session, const struct auth_mechanism *mechanism)
{
    const struct receive_params *params = session->connection->params;
    bool is_tls = tls_is_on(session->socket);
    uint32_t allowed = is_tls ? params->auth_mechanisms : params->auth_mechanisms_in_clear;

    return (allowed & (uint32_t)1 << auth_mechanism_index(mechanism)) &&
           (is_tls || !auth_mechanism_needs_tls(mechanism));
}

static bool can_carry(struct session *session, const struct auth_mechanism *mechanism)
{
    if (auth_mechanism_asks(mechanism) == AUTH_ASK_EXTERNAL)
        return tls_peer_subject(session->socket) != NULL;
    return !auth_mechanism_is_bound(mechanism) || tls_can_bind(session->socket);
}

enum policy_event auth_event_of(enum auth_question_kind kind)
{
    static const enum policy_event events[AUTH_QUESTION_KIND_COUNT] = {
        [AUTH_ASK_PASSWORD] = POLICY_EVENT_SMTP_AUTH_PLAIN,    [AUTH_ASK_SCRAM_KEYS] = POLICY_EVENT_SMTP_AUTH_SCRAM,
        [AUTH_ASK_PROVED] = POLICY_EVENT_SMTP_AUTH_SCRAM,      [AUTH_ASK_TOKEN] = POLICY_EVENT_SMTP_AUTH_BEARER,
        [AUTH_ASK_EXTERNAL] = POLICY_EVENT_SMTP_AUTH_EXTERNAL,
    };

    return events[kind];
}

const char *auth_handler_name(const struct session *session)
{
    enum auth_question_kind kind = auth_exchange_question(session->attempt->exchange)->kind;

    return policy_event_name(auth_event_of(kind));
}

enum session_offer session_offer_of(struct session *session, const struct auth_mechanism *mechanism)
{
    const struct gate_rules *rules;

    if (!is_allowed(session, mechanism))
        return tls_is_on(session->socket) ? OFFER_NONE : OFFER_UNDER_TLS;
    if (!can_carry(session, mechanism))
        return OFFER_NONE;
    /* this is where a changed policy is noticed: it comes before its rules are looked at */
    if (policy_handles(session->listener->vm, auth_event_of(auth_mechanism_asks(mechanism))))
        return OFFER_MADE;
    rules = auth_rules_of(session);
    if (!rules)
        return OFFER_VAIN;
    return gate_rules_offer(rules, mechanism) ? OFFER_MADE : OFFER_NONE;
}

bool session_offers(struct session *session, const struct auth_mechanism *mechanism)
{
    return session_offer_of(session, mechanism) == OFFER_MADE;
}
