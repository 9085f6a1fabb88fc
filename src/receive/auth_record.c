/* SPDX-License-Identifier: Apache-2.0
 *
 * What is written down about an attempt to log in, once, at its end: however it ends, and whether or not anybody got
 * as far as to ask about it. The secret is in reach here and goes no further.
 */
#include "base/must.h"
#include "gate/audit.h"
#include "log/audit.h"
#include "receive/auth_attempt.h"

struct page {
    struct gate_attempt attempt;
    struct audit audit;
    char peer[INET6_ADDRSTRLEN], proxy[INET6_ADDRSTRLEN];
    char authcid[GATE_AUDIT_NAME_BYTES], authzid[GATE_AUDIT_NAME_BYTES], user[GATE_AUDIT_NAME_BYTES];
    json_t *info; /* of who came in */
};

static const char *context_of(const struct session *session)
{
    switch (auth_mechanism_asks(auth_exchange_mechanism(session->attempt->exchange))) {
    case AUTH_ASK_TOKEN:
        return auth_context_name(AUTH_CONTEXT_BEARER_TOKEN);
    case AUTH_ASK_EXTERNAL:
        return auth_context_name(AUTH_CONTEXT_GENERIC);
    case AUTH_ASK_PASSWORD:
    case AUTH_ASK_SCRAM_KEYS:
    case AUTH_ASK_PROVED:
    case AUTH_QUESTION_KIND_COUNT:
        break;
    }
    return auth_context_name(AUTH_CONTEXT_SMTP_AUTHENTICATION);
}

static void add_origin(struct page *page)
{
    const struct gate_attempt *attempt = &page->attempt;
    struct audit *audit = &page->audit;

    ip_format(&attempt->peer, page->peer);
    if (attempt->proxy.family)
        ip_format(&attempt->proxy, page->proxy);
    audit->session_id = attempt->session_id;
    audit->listener = attempt->listener;
    audit->peer = page->peer;
    audit->proxy = attempt->proxy.family ? page->proxy : NULL;
    audit->is_proxys_own = attempt->is_proxys_own;
    audit->ehlo_domain = attempt->ehlo_domain;
    audit->tls_protocol = attempt->tls_protocol;
    audit->tls_cipher = attempt->tls_cipher;
    audit->certificate_subject = attempt->certificate_subject;
}

static void add_names(struct page *page, const struct session *session)
{
    const struct gate_rules *rules = session->attempt->rules;
    const struct gate_attempt *attempt = &page->attempt;
    struct audit *audit = &page->audit;

    audit->mechanism = attempt->mechanism;
    audit->context = context_of(session);
    audit->authcid = gate_audit_name(rules, attempt, attempt->authcid, page->authcid);
    audit->authzid = gate_audit_name(rules, attempt, attempt->authzid, page->authzid);
    audit->user = gate_audit_name(rules, attempt, attempt->user, page->user);
}

static void add_end(struct page *page, const struct receive_connection *connection)
{
    const struct gate_attempt *attempt = &page->attempt;
    struct audit *audit = &page->audit;

    audit->is_ok = attempt->reason == AUTH_REASON_OK;
    audit->outcome = auth_outcome_word(attempt->reason);
    audit->reason = auth_reason_name(attempt->reason);
    audit->store = attempt->store;
    audit->secret_label = audit->is_ok && connection->login ? connection->login->label : attempt->label;
    audit->is_cached = attempt->is_cached;
    audit->took_us = attempt->took_us;
    page->info = audit->is_ok ? auth_info_to_json(connection->auth) : NULL;
    audit->identities = json_object_get(page->info, "identities");
    audit->groups = json_object_get(page->info, "groups");
}

void auth_record(struct session *session, enum auth_reason reason)
{
    struct page page = {.info = NULL};
    struct error error;

    auth_describe(session, reason, &page.attempt);
    add_origin(&page);
    add_names(&page, session);
    add_end(&page, session->connection);
    auth_count(auth_exchange_mechanism(session->attempt->exchange), reason, page.attempt.took_us);
    audit_tell(&page.audit, &session->scope);
    if (audit_submit(&page.audit, &error))
        diag_error(&session->scope, &error, "the record of a login was not written");
    json_decref(page.info);
}
