/* SPDX-License-Identifier: Apache-2.0
 *
 * See store_fields.h. What only databases write (arrays in braces, times with a space) is brought into the common form
 * here; everything else is credential_from_json's to judge. Texts of passwords pass through jansson's memory, which
 * is why a record is freed by store_fields_free.
 */
#include "credential/store_fields.h"

#include "base/buf.h"
#include "base/secret.h"

enum column_kind { COLUMN_TEXT, COLUMN_PASSWORD, COLUMN_LIST, COLUMN_TIME };

static const struct column {
    const char *name;
    enum column_kind kind;
    bool is_secret; /* of one secret rather than of the user, where rows have labels */
} columns[] = {
    {"name", COLUMN_TEXT, false},      {"password", COLUMN_PASSWORD, true}, {"label", COLUMN_TEXT, true},
    {"disabled", COLUMN_TEXT, false},  {"groups", COLUMN_LIST, false},      {"tenant", COLUMN_TEXT, false},
    {"tenants", COLUMN_LIST, false},   {"senders", COLUMN_LIST, false},     {"may_act_as", COLUMN_LIST, false},
    {"not_before", COLUMN_TIME, true}, {"not_after", COLUMN_TIME, true},    {"networks", COLUMN_LIST, true},
    {"scopes", COLUMN_LIST, true},     {"limits", COLUMN_TEXT, false},      {"secrets", COLUMN_TEXT, false},
};
#define COLUMN_COUNT (sizeof columns / sizeof *columns)

static const struct column *find_column(struct span name)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (span_ieq(name, span_of(columns[i].name)))
            return &columns[i];
    return NULL;
}

bool store_fields_know(struct span column) { return find_column(column) != NULL; }

/* ---- lists ---- */

/* One element of PostgreSQL's array text, quoted or not, off the front of `*text`. */
static int take_element(struct span *text, struct buf *out)
{
    bool is_quoted = text->len && text->data[0] == '"';
    size_t at = is_quoted;

    for (; at < text->len; at++) {
        char c = text->data[at];

        if (is_quoted ? c == '"' : c == ',')
            break;
        if (c == '\\' && ++at == text->len)
            return -1;
        if (!is_quoted && (c == '{' || c == '}' || c == '"'))
            return -1;
        if (buf_append(out, &text->data[at], 1))
            return -1;
    }
    if (is_quoted && at++ >= text->len)
        return -1;
    *text = span_from(*text, at);
    return text->len && text->data[0] != ',' ? -1 : 0;
}

/* "{a,"b c",NULL}" of a one-dimensional array. A new reference, or NULL. */
static json_t *list_of_braces(struct span text)
{
    json_t *list = json_array();
    struct buf element;
    int status = 0;

    buf_init(&element, STORE_COLUMN_LIMIT);
    text = span_make(text.data + 1, text.len - 2);
    while (text.len && !status) {
        bool is_null = span_eq(span_head(text, span_find(text, ',')), SPAN_LIT("NULL"));

        buf_clear(&element);
        status = take_element(&text, &element);
        if (!status && !is_null)
            status = json_array_append_new(list, json_stringn(buf_span(&element).data, buf_len(&element)));
        if (text.len)
            text = span_from(text, 1); /* the comma */
    }
    buf_done(&element);
    if (status) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *list_of(struct span text)
{
    text = span_trim(text);
    if (text.len >= 2 && text.data[0] == '[')
        return json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (text.len >= 2 && text.data[0] == '{' && text.data[text.len - 1] == '}')
        return list_of_braces(text);
    return json_stringn(text.data, text.len);
}

/* ---- times ---- */

static bool is_digits(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.len > 0;
}

/* How many octets at the end are a zone: "Z", "+01", "+0530", "-05:30". */
static size_t zone_length(struct span time)
{
    for (size_t i = time.len; i-- > 0;)
        if (time.data[i] == '+' || time.data[i] == '-' || time.data[i] == 'Z' || time.data[i] == 'z')
            return time.len - i;
    return 0;
}

/* "2026-11-22", "2026-11-22 21:07:42.5+00", as RFC 3339. */
static int time_to_rfc3339(struct span text, struct buf *out)
{
    struct span date = span_head(text, 10);
    struct span time = span_from(text, 11);
    size_t zone_len = zone_length(time);
    struct span zone = span_from(time, time.len - zone_len);

    if (text.len == 10)
        return buf_appendf(out, "%.*sT00:00:00Z", SPAN_ARG(date));
    time = span_head(time, time.len - zone_len);
    if (zone.len == 0)
        return buf_appendf(out, "%.*sT%.*sZ", SPAN_ARG(date), SPAN_ARG(time));
    if (zone.len == 3)
        return buf_appendf(out, "%.*sT%.*s%.*s:00", SPAN_ARG(date), SPAN_ARG(time), SPAN_ARG(zone));
    if (zone.len == 5)
        return buf_appendf(out, "%.*sT%.*s%.3s:%.2s", SPAN_ARG(date), SPAN_ARG(time), zone.data, zone.data + 3);
    return buf_appendf(out, "%.*sT%.*s%.*s", SPAN_ARG(date), SPAN_ARG(time), SPAN_ARG(zone));
}

static json_t *time_of(struct span text)
{
    json_t *value;
    struct buf out;

    text = span_trim(text);
    if (is_digits(text) || text.len < 10)
        return json_stringn(text.data, text.len);
    buf_init(&out, STORE_COLUMN_LIMIT * 2);
    value = time_to_rfc3339(text, &out) ? NULL : json_stringn(buf_span(&out).data, buf_len(&out));
    buf_done(&out);
    return value;
}

/* ---- one row ---- */

/* "not after infinity" is no bound; "not before infinity" is one, and no time we can read. */
static bool says_nothing(const struct column *column, struct span text)
{
    const char *open_end = strcmp(column->name, "not_after") == 0 ? "infinity" : "-infinity";

    if (column->kind == COLUMN_PASSWORD)
        return text.len == 0;
    return column->kind == COLUMN_TIME && (text.len == 0 || span_eq(text, span_of(open_end)));
}

static json_t *value_of(const struct column *column, struct span text)
{
    if (column->kind == COLUMN_LIST)
        return list_of(text);
    if (column->kind == COLUMN_TIME)
        return time_of(text);
    return json_stringn(text.data, text.len);
}

int store_fields_set(json_t *row, struct span name, struct span text, struct error *error)
{
    const struct column *column = find_column(name);
    json_t *value;

    if (!column || json_object_get(row, column->name) || says_nothing(column, text))
        return 0;
    if (text.len > STORE_COLUMN_LIMIT)
        return error_set(error, ERROR_PERM, "column %s is longer than %zu octets", column->name, STORE_COLUMN_LIMIT);
    if (memchr(text.data, '\0', text.len))
        return error_set(error, ERROR_PERM, "column %s holds a NUL", column->name);
    value = value_of(column, text);
    if (!value)
        return error_set(error, ERROR_PERM, "column %s is %s", column->name,
                         column->kind == COLUMN_LIST ? "no list" : "not UTF-8");
    json_object_set_new(row, column->name, value);
    return 0;
}

/* ---- several rows ---- */

#define UNLABELLED "password" /* the one secret of a row that has scopes and no label */

static void move(json_t *from, const char *key, json_t *to)
{
    json_object_set(to, key, json_object_get(from, key));
    json_object_del(from, key);
}

static json_t *take_secret(json_t *row)
{
    json_t *secret = json_object();

    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (columns[i].is_secret && json_object_get(row, columns[i].name))
            move(row, columns[i].name, secret);
    if (!json_object_get(secret, "label"))
        json_object_set_new(secret, "label", json_string(UNLABELLED));
    return secret;
}

static int check_row(const json_t *row, const json_t *first, size_t count, struct error *error)
{
    if (count > 1 && !json_object_get(row, "label"))
        return error_set(error, ERROR_PERM, "%zu rows for one user, and no column `label` that makes them secrets",
                         count);
    if (json_object_get(row, "label") && json_object_get(row, "secrets"))
        return error_set(error, ERROR_PERM, "columns `label` and `secrets` exclude each other");
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (!columns[i].is_secret && count > 1 &&
            !json_equal(json_object_get(row, columns[i].name), json_object_get(first, columns[i].name)) &&
            json_object_get(row, columns[i].name) != json_object_get(first, columns[i].name))
            return error_set(error, ERROR_PERM, "the rows for one user differ in column `%s`", columns[i].name);
    return 0;
}

static int check_rows(const json_t *rows, struct error *error)
{
    const json_t *row;
    size_t i;

    if (json_array_size(rows) > STORE_ROWS_MOST)
        return error_set(error, ERROR_PERM, "more than %d rows for one user", STORE_ROWS_MOST);
    json_array_foreach(rows, i,
                       row) if (check_row(row, json_array_get(rows, 0), json_array_size(rows), error)) return -1;
    return 0;
}

static json_t *secrets_of(json_t *rows)
{
    json_t *secrets = json_array();
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        json_t *secret = take_secret(row);

        /* an account may have a row and no secret in it (any more) */
        if (json_object_get(secret, "password"))
            json_array_append(secrets, secret);
        json_decref(secret);
    }
    return secrets;
}

json_t *store_fields_merge(json_t *rows, struct error *error)
{
    json_t *record;

    if (check_rows(rows, error)) {
        store_fields_free(rows);
        return NULL;
    }
    record = json_array_get(rows, 0);
    if (json_object_get(record, "label") || json_object_get(record, "scopes")) {
        json_t *secrets = secrets_of(rows);

        json_object_set_new(record, "secrets", secrets);
    }
    json_incref(record);
    json_array_remove(rows, 0);
    store_fields_free(rows);
    return record;
}

/* ---- wiping ---- */

static void wipe(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_string(value))
        secret_wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_array_foreach(value, i, member) wipe(member);
    json_object_foreach(value, key, member) wipe(member);
}

void store_fields_free(json_t *fields)
{
    wipe(fields);
    json_decref(fields);
}
