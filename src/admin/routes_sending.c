/* SPDX-License-Identifier: Apache-2.0
 *
 * /api/gatepost/{sessions,budget,held}: who is logged in, what is used up, whose mail is held; and the orders about
 * them. `who` of the query is a user.
 */
#include "admin/admin_private.h"

/* GET: what is asked about stands in the query. NULL: the answer says why. */
static json_t *about(const struct admin_query *query, const char *key, struct admin_answer *answer)
{
    json_t *question = query->who ? json_pack("{s:s}", key, query->who) : json_object();

    if (!question)
        answer_error(answer, 400, "'who' is not UTF-8");
    return question;
}

void routes_sessions(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "sessions", about(query, "user", answer));
}

void routes_sessions_close(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "close", routes_question(query, answer));
}

void routes_budget(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "budget", about(query, "who", answer));
}

void routes_held(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "held", json_object());
}

void routes_hold(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "hold", routes_question(query, answer));
}

void routes_release(const struct admin_query *query, struct admin_answer *answer)
{
    routes_ask(query, answer, "release", routes_question(query, answer));
}
