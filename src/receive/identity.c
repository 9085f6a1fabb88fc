/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard at work. Its rules are the gate's; here is what follows: a refusal that names login and address, a line in
 * the log, or another address in the place of the one that may not be used. What comes from the client is shown as
 * printable ASCII, on one line, and no longer than a reply can hold.
 */
#include "receive/identity.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gate/identity.h"
#include "gate/identity_header.h"
#include "message/edit.h"
#include "metrics/metrics.h"
#include "receive/auth_attempt.h"
#include "receive/transaction.h"

#define SHOWN_BYTES 200
#define ORIGINAL_LIMIT_BYTES 8192

/* A younger policy's rules hold for sessions that began before it. */
static struct gate_who who_of(const struct session *session)
{
    const struct gate_rules *rules = auth_rules_of(session);
    const struct gate_login *login = session->connection->login;

    return (struct gate_who){.rules = rules   ? rules
                                      : login ? login->rules
                                              : NULL,
                             .login = login,
                             .info = session->connection->auth};
}

static void show(const char *text, char out[SHOWN_BYTES])
{
    size_t len = 0;

    for (; text[len] && len < SHOWN_BYTES - 1; len++)
        out[len] = (text[len] >= ' ' && text[len] <= '~') ? text[len] : '?';
    out[len] = '\0';
}

/* "ann may not send as bob@example.com (From)" */
static void describe(const struct gate_who *who, const char *field, const struct gate_finding *finding,
                     struct smtp_reply *reply_out)
{
    char login[SHOWN_BYTES], what[SHOWN_BYTES];

    show(who->login->authcid, login);
    show(finding->what, what);
    if (finding->shown == GATE_SHOWN_UNCLEAR)
        smtp_reply_setf(reply_out, 553, "5.7.1 %s: who the message is from cannot be read from its %s field: %s", login,
                        field, what);
    else if (*field)
        smtp_reply_setf(reply_out, 553, "5.7.1 %s may not send as %s (%s)", login, what, field);
    else
        smtp_reply_setf(reply_out, 553, "5.7.1 %s may not send as %s", login, *what ? what : "<>");
}

static void note(const struct session *session, enum metric metric, const char *done, const struct smtp_reply *reply)
{
    metrics_count(metric);
    diag(metric == METRIC_IDENTITY_LOGGED ? DIAG_WARN : DIAG_INFO, &session->scope, "identity: %s: %s", reply->text,
         done);
}

/* The address to put in the place of another: one that can stand in an envelope and in a header as it is. */
static int rewrite_to(const struct gate_who *who, struct gate_address *address_out)
{
    struct smtp_mailbox mailbox;

    return gate_identity_rewrite_to(who, address_out) ||
                   smtp_mailbox_parse(span_of(address_out->text), 0, &mailbox) != SMTP_ADDRESS_FINE
               ? -1
               : 0;
}

/* ---- MAIL and RCPT ---- */

static bool may_send_as(const struct gate_who *who, struct span sender)
{
    return gate_identity_mode(who) == GATE_IDENTITY_OFF || !(gate_identity_checks(who) & GATE_CHECK_MAIL_FROM) ||
           gate_identity_may_send_as(who, sender);
}

static void describe_sender(const struct gate_who *who, struct span sender, struct smtp_reply *reply_out)
{
    struct gate_finding finding = {.shown = GATE_SHOWN_FOREIGN};
    size_t len = sender.len < sizeof finding.what ? sender.len : sizeof finding.what - 1;

    memcpy(finding.what, sender.data, len);
    describe(who, "", &finding, reply_out);
}

bool identity_admits_sender(struct session *session, struct span sender, char **instead_out)
{
    struct gate_who who = who_of(session);
    struct gate_address address;
    struct smtp_reply reply;

    *instead_out = NULL;
    if (may_send_as(&who, sender))
        return true;
    describe_sender(&who, sender, &reply);
    if (gate_identity_mode(&who) == GATE_IDENTITY_LOG) {
        note(session, METRIC_IDENTITY_LOGGED, "only logged", &reply);
        return true;
    }
    if (gate_identity_mode(&who) == GATE_IDENTITY_REWRITE && !rewrite_to(&who, &address)) {
        note(session, METRIC_IDENTITY_REWRITTEN, "rewritten", &reply);
        *instead_out = mem_strdup(address.text);
        return true;
    }
    note(session, METRIC_IDENTITY_REFUSED, "refused", &reply);
    session_reply(session, &reply, SESSION_COMMAND);
    return false;
}

/* MAIL put it there itself; it may be one that the user's patterns do not cover. */
static bool is_put_there(const struct gate_who *who, struct span sender)
{
    struct gate_address address;

    return gate_identity_mode(who) == GATE_IDENTITY_REWRITE && !rewrite_to(who, &address) &&
           span_eq(span_of(address.text), sender);
}

/* Too late for another sender in its place: the next MAIL gets that. */
bool identity_still_admits(struct session *session)
{
    struct gate_who who = who_of(session);
    struct span sender = span_of(session->transaction->sender);
    struct smtp_reply reply;

    if (gate_identity_mode(&who) == GATE_IDENTITY_LOG || may_send_as(&who, sender) || is_put_there(&who, sender))
        return true;
    describe_sender(&who, sender, &reply);
    note(session, METRIC_IDENTITY_REFUSED, "refused", &reply);
    session_drop_transaction(session);
    session_reply(session, &reply, SESSION_COMMAND);
    return false;
}

/* ---- rewriting a header ---- */

/* What stood there, as one line of printable ASCII. */
static void keep_original(struct span value, struct buf *out)
{
    struct span head = span_head(span_trim(value), ORIGINAL_LIMIT_BYTES / 2);

    if (buf_len(out) > 0 && buf_append(out, " | ", 3))
        return;
    for (size_t i = 0; i < head.len; i++) {
        char c = head.data[i];
        bool is_fold = c == '\r' || c == '\n';

        if (!is_fold && buf_append(out, c == '\t' ? " " : c >= ' ' && c <= '~' ? &c : "?", 1))
            return;
    }
}

static int read_originals(const struct message *message, struct span name, struct buf *out)
{
    const struct header *header = NULL;
    struct headers headers;

    if (headers_parse(bytes_span(message_body(message)), &headers, NULL))
        return -1;
    while ((header = headers_find(&headers, name, header)))
        keep_original(header->value, out);
    headers_done(&headers);
    return 0;
}

static int replace_field(struct message *message, const char *name, const char *kept_as, const struct gate_address *to,
                         const struct buf *original)
{
    bool is_from = span_iends_with(span_of(name), SPAN_LIT("From"));

    if (message_remove_named(message, span_of(name), NULL) || message_remove_named(message, span_of(kept_as), NULL))
        return -1;
    if (message_prepend_header(message, span_of(kept_as), buf_span(original), true, NULL))
        return -1;
    /* a Sender says who sent it for the author: without it, that is the author */
    return is_from ? message_prepend_header(message, span_of(name), span_of(to->text), false, NULL) : 0;
}

static int rewrite_field(struct message *message, enum gate_field field, const struct gate_address *to)
{
    char *kept_as = mem_printf("X-Original-%s", gate_field_name(field));
    struct buf original;
    int result;

    buf_init(&original, ORIGINAL_LIMIT_BYTES);
    result = read_originals(message, span_of(gate_field_name(field)), &original);
    result = result ? result : replace_field(message, gate_field_name(field), kept_as, to, &original);
    buf_done(&original);
    free(kept_as);
    return result;
}

/* -1: it cannot be mended. */
static int rewrite(const struct gate_who *who, struct message *message, const struct gate_findings *findings)
{
    struct gate_address to;

    if (findings->is_broken || rewrite_to(who, &to))
        return -1;
    for (unsigned i = 0; i < GATE_FIELD_COUNT; i++)
        if (findings->refused & 1U << i && rewrite_field(message, (enum gate_field)i, &to))
            return -1;
    return 0;
}

/* ---- the end of data: the author ---- */

static bool covers(void *ctx, const struct gate_address *address) { return gate_identity_covers(ctx, address); }

static unsigned fields_of(const struct gate_who *who)
{
    unsigned checks = gate_identity_checks(who), fields = 0;

    if (checks & GATE_CHECK_FROM)
        fields |= 1U << GATE_FIELD_FROM | 1U << GATE_FIELD_RESENT_FROM;
    if (checks & GATE_CHECK_SENDER)
        fields |= 1U << GATE_FIELD_SENDER | 1U << GATE_FIELD_RESENT_SENDER;
    return fields;
}

static int judge_author(const struct session *session, struct gate_who *who, struct message *message,
                        struct smtp_reply *refusal_out)
{
    enum gate_identity_mode mode = gate_identity_mode(who);
    unsigned fields = fields_of(who);
    struct gate_findings findings;

    if (mode == GATE_IDENTITY_OFF || !fields)
        return 0;
    gate_header_judge(bytes_span(message_body(message)), fields, covers, who, &findings);
    if (findings.finding.shown == GATE_SHOWN_COVERED)
        return 0;
    describe(who, gate_field_name(findings.field), &findings.finding, refusal_out);
    if (mode == GATE_IDENTITY_LOG) {
        note(session, METRIC_IDENTITY_LOGGED, "only logged", refusal_out);
        return 0;
    }
    if (mode == GATE_IDENTITY_REWRITE && !rewrite(who, message, &findings)) {
        note(session, METRIC_IDENTITY_REWRITTEN, "rewritten", refusal_out);
        return 0;
    }
    note(session, METRIC_IDENTITY_REFUSED, "refused", refusal_out);
    return -1;
}

/* ---- the end of data: the tenant ---- */

/* The one value of the headers of that name; "" when there is none. -1: they differ. */
static int read_wanted(const struct message *message, struct span name, struct buf *out)
{
    const struct header *header = NULL;
    struct headers headers = {0};
    int result = headers_parse(bytes_span(message_body(message)), &headers, NULL);

    while (!result && (header = headers_find(&headers, name, header))) {
        struct buf value;

        buf_init(&value, HEADER_TEXT_LIMIT);
        result = header_unfold(header->value, &value);
        if (!result && buf_len(out) > 0 && !span_eq(buf_span(out), span_trim(buf_span(&value))))
            result = -1;
        if (!result && buf_len(out) == 0)
            result = buf_append_span(out, span_trim(buf_span(&value)));
        buf_done(&value);
    }
    headers_done(&headers);
    return result;
}

static bool is_among(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_array_get(list, i)), name))
            return true;
    return false;
}

static void refuse_tenant(const struct session *session, const struct gate_who *who, const char *wanted,
                          struct smtp_reply *refusal_out)
{
    char login[SHOWN_BYTES], tenant[SHOWN_BYTES];

    show(who->login ? who->login->authcid : session->connection->authn_id, login);
    show(wanted, tenant);
    smtp_reply_setf(refusal_out, 550, "5.7.1 %s may not send as tenant '%s'", login, tenant);
    note(session, METRIC_IDENTITY_REFUSED, "refused", refusal_out);
}

/* Tenants stay those of who proved who he is. Where the gate knows him, and he acts as another, whoever asks for the
 * tenants of a name (lua/gatepost/tenant.lua) is told his; whom a handler lets act as another, on its own word and
 * without a record, is taken for the other, as KumoMTA does. */
static void note_actor(const struct gate_login *login, struct message *message)
{
    if (login && (login->is_by_gate || login->credential) && strcmp(login->authcid, login->authzid))
        message_meta_set(message, "authz_actor", json_string(login->authcid));
}

static int settle_tenant(const struct session *session, const struct gate_who *who, struct message *message,
                         const char *wanted, struct smtp_reply *refusal_out)
{
    json_t *tenants = gate_identity_tenants(who);
    int result = 0;

    if (*wanted && !is_among(tenants, wanted)) {
        refuse_tenant(session, who, wanted, refusal_out);
        result = -1;
    } else if (json_array_size(tenants) > 0) {
        message_meta_set(message, "tenant", *wanted ? json_string(wanted) : json_incref(json_array_get(tenants, 0)));
        message_meta_set(message, "authz_tenants", json_incref(tenants));
    }
    json_decref(tenants);
    return result;
}

static int take_wanted(struct message *message, const char *name, struct buf *out, struct smtp_reply *refusal_out)
{
    if (read_wanted(message, span_of(name), out)) {
        smtp_reply_setf(refusal_out, 550, "5.7.1 more than one '%s' header, with different values", name);
        return -1;
    }
    if (message_remove_named(message, span_of(name), NULL)) {
        smtp_reply_setf(refusal_out, 452, "4.3.1 no memory for the message");
        return -1;
    }
    return 0;
}

static int judge_tenant(const struct session *session, const struct gate_who *who, struct message *message,
                        struct smtp_reply *refusal_out)
{
    const char *header = gate_identity_tenant_header(who->rules);
    struct buf wanted;
    const char *name;
    int result = 0;

    buf_init(&wanted, HEADER_TEXT_LIMIT);
    if (header)
        result = take_wanted(message, header, &wanted, refusal_out);
    name = buf_cstr(&wanted);
    note_actor(who->login, message);
    if (!result && who->info) /* whoever is not logged in is of no tenant, whatever a header says */
        result = settle_tenant(session, who, message, name ? name : "", refusal_out);
    buf_done(&wanted);
    return result;
}

int identity_judge_message(struct session *session, struct message *message, struct smtp_reply *refusal_out)
{
    struct gate_who who = who_of(session);

    if (judge_author(session, &who, message, refusal_out))
        return -1;
    return judge_tenant(session, &who, message, refusal_out);
}

/* ---- relaying ---- */

bool identity_may_relay(const struct session *session)
{
    struct gate_who who = who_of(session);

    if (!who.login || !who.login->is_by_gate)
        return false;
    switch (gate_identity_relay(who.rules)) {
    case GATE_RELAY_YES:
        return true;
    case GATE_RELAY_NO:
        return false;
    case GATE_RELAY_UNSAID:
        break;
    }
    return !policy_handles(session->listener->vm, POLICY_EVENT_GET_LISTENER_DOMAIN);
}
