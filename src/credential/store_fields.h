/* SPDX-License-Identifier: Apache-2.0
 *
 * From the rows of a text-only store (SQL columns, the fields of a passwd-file) to one record, for credential_from_json
 * to read. Shared by the drivers so that a column means the same everywhere:
 *
 *   name password label disabled tenant limits secrets   text as it is; an empty password is none at all
 *   groups tenants senders may_act_as networks scopes    commas between them, a JSON array, or PostgreSQL's {a,b}
 *   not_before not_after                                 seconds since 1970, or a time as databases write it (UTC
 *                                                        unless it says otherwise); infinity is no bound
 *
 * Other columns are left out, names of columns may be in any case, of two columns with one name the first counts. A
 * user may have several rows when there is a column `label`: each is then one secret (password, label, not_before,
 * not_after, networks, scopes), and all other columns must be the same in every row, `name` above all: a query that
 * forgot its WHERE must not make everybody's password good for anybody.
 */
#ifndef GATEPOST_CREDENTIAL_STORE_FIELDS_H
#define GATEPOST_CREDENTIAL_STORE_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"
#include "credential/credential.h"

#define STORE_ROWS_MOST CREDENTIAL_SECRETS_MOST
#define STORE_COLUMN_LIMIT ((size_t)64 << 10) /* octets of one column's text */

/* Would store_fields_set look at it? */
bool store_fields_know(struct span column);

/* Puts a column into `row`, an object. Errors name the column and nothing of its text. */
int store_fields_set(json_t *row, struct span column, struct span text, struct error *error)
    __attribute__((warn_unused_result));

/* Takes an array of rows (one at least) and gives the record; NULL when they do not fit together. */
json_t *store_fields_merge(json_t *rows, struct error *error);

/* Drops the caller's reference and wipes all texts in it, which nobody else may still want. NULL is fine. */
void store_fields_free(json_t *fields);

#endif
