/* SPDX-License-Identifier: Apache-2.0
 *
 * May this client send mail from that domain to that other one? Allowed is who is among
 * relay_hosts, whom the gate let in (as identity_may_relay has it), who has an address that
 * get_listener_domain(sender's domain) lets relay_from, and what goes to a domain with relay_to.
 * Nothing else: not a login that a handler granted. Whoever is not allowed is refused; a policy
 * that cannot answer allows nothing.
 *
 * The awkward truth: policy's answers are remembered for the session, so that a thousand
 * recipients of one domain are one question; a login makes all of them worthless.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/identity.h"
#include "receive/receive_private.h"

#define REMEMBERED_MAX 256

struct relay_memory {
    struct map domains; /* lower case -> struct receive_domain, or &unknown */
    char *sender_domain;
    char *recipient_domain;
    const char *asking;
    relay_then_fn *then;
};

/* Policy has nothing to say about a domain: that is worth remembering too. */
static struct receive_domain unknown;

static void free_known(void *value)
{
    struct receive_domain *domain = value;

    if (domain != &unknown)
        receive_domain_unref(&domain);
}

void relay_memory_free(struct relay_memory *memory)
{
    if (!memory)
        return;
    map_done(&memory->domains, free_known);
    free(memory->sender_domain);
    free(memory->recipient_domain);
    free(memory);
}

void relay_forget(struct session *session)
{
    relay_memory_free(session->relay_memory);
    session->relay_memory = NULL;
}

static char *lower(struct span domain)
{
    char *copy = span_dup(domain);

    for (char *c = copy; *c; c++)
        *c = ascii_lower(*c);
    return copy;
}

static void finish(struct session *session, enum relay_verdict verdict, const struct smtp_reply *reply)
{
    session->relay_memory->then(session, verdict, reply);
}

static void look_up(struct session *session);

/* ---- get_listener_domain(domain, listener, conn_meta) ---- */

static int push_question(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    char via[SOCKADDR_TEXT_BYTES];

    receive_connection_via(session->connection, via);
    lua_pushstring(L, session->relay_memory->asking);
    lua_pushstring(L, via);
    return 2 + session_push_connection(L, session);
}

/* What make_listener_domain made, or a plain table of the same keys. NULL with an error. */
static struct receive_domain *read_answer(const struct policy_result *result, struct error *error)
{
    struct receive_domain *domain;
    json_t *table;

    if (result->outcome != POLICY_RETURNED || result->count < 1 || lua_isnil(result->L, result->first))
        return &unknown;
    domain = policy_test_object(result->L, result->first, RECEIVE_DOMAIN_CLASS);
    if (domain)
        return receive_domain_ref(domain);
    table = session_result_json(result, error);
    domain = table ? receive_domain_new(table, error) : NULL;
    json_decref(table);
    return domain;
}

static void remember(struct relay_memory *memory, struct receive_domain *domain)
{
    if (memory->domains.count >= REMEMBERED_MAX) {
        map_done(&memory->domains, free_known);
        map_init(&memory->domains);
    }
    MUST(!map_put(&memory->domains, span_of(memory->asking), domain));
}

static void on_answer(struct session *session, const struct policy_result *result)
{
    struct receive_domain *domain;
    struct smtp_reply reply;
    struct error error;

    if (result->outcome == POLICY_REJECTED || result->outcome == POLICY_DISCONNECT) {
        if (result->outcome == POLICY_DISCONNECT)
            session->close_after_reply = true;
        finish(session, RELAY_ANSWERED, &result->reply);
        return;
    }
    domain = result->outcome == POLICY_FAILED ? NULL : read_answer(result, &error);
    if (!domain) {
        if (result->outcome != POLICY_FAILED)
            diag_error(&session->scope, &error, "get_listener_domain");
        smtp_reply_setf(&reply, 451, "4.3.0 the server cannot decide about this now; try again later");
        finish(session, RELAY_ANSWERED, &reply);
        return;
    }
    remember(session->relay_memory, domain);
    look_up(session);
}

static void ask(struct session *session, const char *domain)
{
    session->relay_memory->asking = domain;
    session_ask(session, POLICY_EVENT_GET_LISTENER_DOMAIN, push_question, on_answer);
}

/* ---- the decision ---- */

static enum relay_verdict decide(const struct session *session, const struct receive_domain *sender,
                                 const struct receive_domain *recipient)
{
    if (sender && receive_cidrs_contain(&sender->relay_from, &session->connection->remote_ip))
        return RELAY_ALLOWED;
    if (recipient && recipient->relay_to)
        return RELAY_ALLOWED;
    if (recipient && (recipient->log_oob != RECEIVE_REPORT_IGNORE || recipient->log_arf != RECEIVE_REPORT_IGNORE))
        return RELAY_LOG_ONLY;
    return RELAY_REFUSED;
}

/* Asks for what is not known yet, sender first, then decides. */
static void look_up(struct session *session)
{
    struct relay_memory *memory = session->relay_memory;
    struct receive_domain *sender = map_find(&memory->domains, span_of(memory->sender_domain));
    struct receive_domain *recipient = map_find(&memory->domains, span_of(memory->recipient_domain));

    if (memory->sender_domain[0] && !sender)
        ask(session, memory->sender_domain);
    else if (decide(session, sender, NULL) == RELAY_REFUSED && memory->recipient_domain[0] && !recipient)
        ask(session, memory->recipient_domain);
    else
        finish(session, decide(session, sender, recipient), NULL);
}

void relay_check(struct session *session, struct span sender_domain, struct span recipient_domain, relay_then_fn *then)
{
    struct relay_memory *memory = session->relay_memory;

    if (receive_cidrs_contain(&session->connection->params->relay_hosts, &session->connection->remote_ip) ||
        identity_may_relay(session)) {
        then(session, RELAY_ALLOWED, NULL);
        return;
    }
    if (!memory) {
        memory = session->relay_memory = mem_zalloc(sizeof *memory);
        map_init(&memory->domains);
    }
    free(memory->sender_domain);
    free(memory->recipient_domain);
    memory->sender_domain = lower(sender_domain);
    memory->recipient_domain = lower(recipient_domain);
    memory->then = then;
    look_up(session);
}
