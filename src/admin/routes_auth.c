/* SPDX-License-Identifier: Apache-2.0
 *
 * /api/gatepost/auth: what the gate knows about a user or an address, and what an operator changes about it. A body is
 * one JSON object. It must call itself application/json, which a web page cannot send anywhere but to its own server
 * without asking first.
 */
#include "admin/admin_private.h"
#include "base/secret.h"

static bool is_json(const char *content_type)
{
    struct span type = content_type ? span_of(content_type) : SPAN_LIT("");
    struct span name = SPAN_LIT("application/json");

    return span_istarts_with(type, name) &&
           (type.len == name.len || type.data[name.len] == ';' || type.data[name.len] == ' ');
}

json_t *routes_question(const struct admin_query *query, struct admin_answer *answer)
{
    json_error_t fault;
    json_t *question;

    if (query->is_body_long) {
        answer_error(answer, 413, "the body is longer than %zu octets", ADMIN_BODY_BYTES);
        return NULL;
    }
    if (!is_json(query->content_type)) {
        answer_error(answer, 415, "the body must be application/json");
        return NULL;
    }
    question = json_loadb(query->body.data, query->body.len, JSON_REJECT_DUPLICATES, &fault);
    if (json_is_object(question))
        return question;
    json_decref(question);
    answer_error(answer, 400, "the body must be one JSON object");
    return NULL;
}

static void wipe_secret(json_t *question)
{
    json_t *secret = json_object_get(question, "secret");

    if (json_is_string(secret))
        secret_wipe((char *)(uintptr_t)json_string_value(secret), json_string_length(secret));
}

void routes_ask(const struct admin_query *query, struct admin_answer *answer, const char *verb, json_t *question)
{
    const struct admin *admin = query->admin;
    struct error error = {.kind = ERROR_NONE};
    json_t *told;

    if (!question)
        return;
    if (!admin->ops->ask_auth) {
        answer_error(answer, 501, "there is no gate to ask");
    } else {
        told = admin->ops->ask_auth(admin->ctx, verb, question, &error);
        if (told)
            answer_json(answer, 200, told);
        else
            answer_error(answer, error.kind == ERROR_PERM ? 400 : 503, "%s", error.sentence);
    }
    wipe_secret(question);
    json_decref(question);
}

void routes_auth_show(const struct admin_query *query, struct admin_answer *answer)
{
    json_t *question = query->who ? json_pack("{s:s}", "who", query->who) : json_object();

    if (!question)
        answer_error(answer, 400, "'who' is not UTF-8");
    routes_ask(query, answer, "show", question);
}

void routes_auth_unlock(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "unlock", routes_question(query, answer));
}

void routes_auth_block(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "block", routes_question(query, answer));
}

void routes_auth_purge(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "purge", routes_question(query, answer));
}

void routes_auth_test(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "test", routes_question(query, answer));
}
