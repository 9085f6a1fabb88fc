/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server answers to one question: rows, which come one by one so that a query that forgot its WHERE fills no
 * memory, or why there are none. The server's words are told on, but not those about data, which may quote it.
 */
#include <libpq-fe.h>

#include "base/secret.h"
#include "credential/postgresql.h"
#include "credential/store_fields.h"

void pg_answer_init(struct pg_answer *answer) { *answer = (struct pg_answer){.rows = json_array()}; }

void pg_answer_done(struct pg_answer *answer)
{
    store_fields_free(answer->rows);
    answer->rows = NULL;
}

/* Wiping what PQgetvalue points to changes nothing that anybody reads again. */
void pg_result_clear(PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++)
        for (int column = 0; column < PQnfields(result); column++)
            if (!PQgetisnull(result, row, column))
                secret_wipe(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
    PQclear(result);
}

static int add_row(json_t *rows, const PGresult *result, struct error *error)
{
    json_t *row = json_object();

    json_array_append_new(rows, row);
    for (int i = 0; i < PQnfields(result); i++) {
        struct span name = span_of(PQfname(result, i));
        struct span text = span_make(PQgetvalue(result, 0, i), (size_t)PQgetlength(result, 0, i));

        if (store_fields_know(name) && !PQgetisnull(result, 0, i) && store_fields_set(row, name, text, error))
            return -1;
    }
    return 0;
}

/* SQLSTATE classes 22 (data), 23 (constraints) and P0 (raised by functions): a stored password in a column that was
 * taken for a number, say. */
static bool may_quote_data(const char *state)
{
    return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 || strncmp(state, "P0", 2) == 0;
}

static void note_refusal(struct pg_answer *answer, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    answer->is_failed = true;
    if (state && message && !may_quote_data(state))
        error_set(&answer->error, ERROR_TEMP, "the query failed: %s (SQLSTATE %s)", message, state);
    else
        error_set(&answer->error, ERROR_TEMP, "the query failed with SQLSTATE %s", state ? state : "unknown");
}

static void note_result(struct pg_answer *answer, const PGresult *result, ExecStatusType status)
{
    if (status == PGRES_SINGLE_TUPLE) {
        answer->is_failed = add_row(answer->rows, result, &answer->error) != 0;
    } else if (status == PGRES_FATAL_ERROR) {
        note_refusal(answer, result);
    } else if (status != PGRES_TUPLES_OK) {
        answer->is_failed = true;
        error_set(&answer->error, ERROR_PERM, "the query gives no rows");
    }
}

int pg_answer_add(struct pg_answer *answer, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
        return -1;
    if (!answer->is_failed)
        note_result(answer, result, status);
    return json_array_size(answer->rows) > STORE_ROWS_MOST ? -1 : 0;
}

enum store_outcome pg_answer_conclude(struct pg_answer *answer, json_t **record_out, struct error *error)
{
    json_t *rows = answer->rows;

    answer->rows = NULL;
    if (answer->is_failed || !json_array_size(rows)) {
        store_fields_free(rows);
        *error = answer->error;
        return answer->is_failed ? STORE_FAILED : STORE_NOT_FOUND;
    }
    *record_out = store_fields_merge(rows, error);
    return *record_out ? STORE_FOUND : STORE_FAILED;
}
