/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a record: what a store told, or an operator wrote, becomes a struct credential, or one sentence that names
 * the field at fault. No value is ever quoted: a value in the wrong place may be a password.
 *
 * Some stores know nothing but text (a row of a table, an attribute of a directory). From these ("lenient") a list may
 * come as one text with commas, a number or a truth as its spelling, a table as JSON, and fields that are not ours are
 * left alone. What an operator writes himself is taken strictly, so that a misspelt `disabled` does not let him in.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "credential/credential_private.h"
#include "message/timestamp.h"
#include "password/password.h"

#define FIELD_BYTES 64

struct reader {
    struct credential *credential;
    const json_t *fields;     /* the table being read: the record, or one of its secrets */
    char inside[FIELD_BYTES]; /* "secrets[2]." while in one */
    bool is_lenient;
    bool is_faulty;
    struct error *error;
};

static void fault(struct reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fault(struct reader *reader, const char *key, const char *format, ...)
{
    char what[ERROR_SENTENCE_BYTES];
    va_list args;

    if (reader->is_faulty)
        return;
    reader->is_faulty = true;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    error_set(reader->error, ERROR_PERM, "%s%s: %s", reader->inside, key, what);
}

/* A column without a value is no field; in a store that knows only text nor is an empty one. */
static const json_t *field(const struct reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->fields, key);

    if (json_is_null(value) || (reader->is_lenient && json_is_string(value) && json_string_length(value) == 0))
        return NULL;
    return value;
}

/* ---- text ---- */

/* Names go into logs, headers and counters: no controls, no broken UTF-8. */
bool credential_text_is_sound(struct span text)
{
    if (text.len == 0 || text.len > CREDENTIAL_TEXT_LIMIT || !span_is_utf8(text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

static struct span span_of_json(const json_t *text)
{
    return span_make(json_string_value(text), json_string_length(text));
}

/* Empty (data NULL) after a fault. */
static struct span sound_text(struct reader *reader, const char *key, const json_t *value)
{
    if (!value)
        fault(reader, key, "is missing");
    else if (!json_is_string(value))
        fault(reader, key, "is not a text");
    else if (!credential_text_is_sound(span_of_json(value)))
        fault(reader, key, "is empty, too long, not UTF-8 or has control characters");
    else
        return span_of_json(value);
    return span_make(NULL, 0);
}

/* ---- lists of text ---- */

static void add_text(struct reader *reader, const char *key, struct span text, struct credential_texts *texts)
{
    if (reader->is_faulty)
        return;
    if (texts->count == CREDENTIAL_LIST_MOST) {
        fault(reader, key, "has more than %d elements", CREDENTIAL_LIST_MOST);
        return;
    }
    if ((texts->count & (texts->count - 1)) == 0) /* room for the next power of two */
        texts->texts = mem_realloc(texts->texts, (texts->count ? texts->count * 2 : 1) * sizeof *texts->texts);
    texts->texts[texts->count++] = span_dup(text);
}

static void add_parts(struct reader *reader, const char *key, struct span list, struct credential_texts *texts)
{
    struct span part;

    while (span_split(&list, ',', &part)) {
        part = span_trim(part);
        if (part.len == 0)
            continue;
        if (!credential_text_is_sound(part))
            fault(reader, key, "has an element that is too long, not UTF-8 or has control characters");
        add_text(reader, key, part, texts);
    }
}

static void read_texts(struct reader *reader, const char *key, struct credential_texts *texts)
{
    const json_t *value = field(reader, key);
    const json_t *element;
    size_t i;

    if (!value)
        return;
    if (json_is_string(value) && reader->is_lenient) {
        add_parts(reader, key, span_of_json(value), texts);
        return;
    }
    if (!json_is_array(value)) {
        add_text(reader, key, sound_text(reader, key, value), texts);
        return;
    }
    json_array_foreach(value, i, element) add_text(reader, key, sound_text(reader, key, element), texts);
}

void credential_texts_free(struct credential_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->texts[i]);
    free(texts->texts);
    *texts = (struct credential_texts){0};
}

/* ---- truths, times, networks, scopes ---- */

static bool truth_of_text(struct span text, bool *truth_out)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "on", "1"};
    static const char *const no[] = {"false", "f", "no", "n", "off", "0"};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (span_ieq(text, span_of(yes[i])))
            return *truth_out = true;
    *truth_out = false;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (span_ieq(text, span_of(no[i])))
            return true;
    return false;
}

static bool read_truth(struct reader *reader, const char *key)
{
    const json_t *value = field(reader, key);
    bool truth = false;

    if (!value || json_is_boolean(value))
        return json_is_true(value);
    if (reader->is_lenient && json_is_integer(value))
        return json_integer_value(value) != 0;
    if (!reader->is_lenient || !json_is_string(value) || !truth_of_text(span_trim(span_of_json(value)), &truth))
        fault(reader, key, "is neither true nor false");
    return truth;
}

static bool time_of_seconds(double seconds, int64_t *ms_out)
{
    if (!(seconds > 0 && seconds < 1e12))
        return false;
    *ms_out = (int64_t)(seconds * 1000);
    return true;
}

static bool time_of(const struct reader *reader, const json_t *value, int64_t *ms_out)
{
    uint64_t seconds;

    if (json_is_number(value))
        return time_of_seconds(json_number_value(value), ms_out);
    if (!json_is_string(value))
        return false;
    if (timestamp_parse_rfc3339(span_of_json(value), ms_out) == 0)
        return *ms_out != 0;
    return reader->is_lenient && !span_to_u64(span_of_json(value), &seconds) &&
           time_of_seconds((double)seconds, ms_out);
}

static int64_t read_time(struct reader *reader, const char *key)
{
    const json_t *value = field(reader, key);
    int64_t ms = 0;

    if (!value)
        return 0;
    if (!time_of(reader, value, &ms))
        fault(reader, key, "is neither a time as RFC 3339 writes it nor seconds since 1970");
    return ms;
}

/* A list that is there and holds nothing would mean "from anywhere" to us and "from nowhere" to its writer. */
static void read_networks(struct reader *reader, struct credential_networks *networks)
{
    struct credential_texts texts = {0};

    read_texts(reader, "networks", &texts);
    if (!texts.count && field(reader, "networks"))
        fault(reader, "networks", "is an empty list: leave it out to allow all");
    networks->blocks = mem_zalloc((texts.count + 1) * sizeof *networks->blocks);
    networks->count = texts.count;
    for (size_t i = 0; i < texts.count; i++)
        if (cidr_parse(span_of(texts.texts[i]), &networks->blocks[i]))
            fault(reader, "networks", "element %zu is neither an address nor a network", i + 1);
    credential_texts_free(&texts);
}

static unsigned scope_of(struct reader *reader, struct span name)
{
    if (span_eq(name, SPAN_LIT("relay")))
        return CREDENTIAL_RELAY;
    if (span_eq(name, SPAN_LIT("inject")))
        return CREDENTIAL_INJECT;
    if (span_eq(name, SPAN_LIT("admin")))
        return CREDENTIAL_ADMIN;
    fault(reader, "scopes", "has an element other than relay, inject and admin");
    return 0;
}

static unsigned read_scopes(struct reader *reader)
{
    struct credential_texts texts = {0};
    unsigned scopes = 0;

    if (!field(reader, "scopes"))
        return CREDENTIAL_RELAY | CREDENTIAL_INJECT | CREDENTIAL_ADMIN;
    read_texts(reader, "scopes", &texts);
    for (size_t i = 0; i < texts.count; i++)
        scopes |= scope_of(reader, span_of(texts.texts[i]));
    if (!texts.count)
        fault(reader, "scopes", "is empty: leave it out to allow all");
    credential_texts_free(&texts);
    return scopes;
}

/* ---- secrets ---- */

static struct credential_secret *secret_new(struct reader *reader, const char *key)
{
    struct credential *credential = reader->credential;

    if (reader->is_faulty)
        return NULL;
    if (credential->secret_count == CREDENTIAL_SECRETS_MOST) {
        fault(reader, key, "makes more than %d secrets", CREDENTIAL_SECRETS_MOST);
        return NULL;
    }
    if (!credential->secrets)
        credential->secrets = mem_zalloc(CREDENTIAL_SECRETS_MOST * sizeof *credential->secrets);
    return &credential->secrets[credential->secret_count++];
}

/* What an operator writes is to be right when it is read. What a store tells may be a form that we lack: the user's
 * other secrets are good for all that, and the verifier says what is wrong with this one. */
static bool is_usable(struct reader *reader, const char *key, const char *stored)
{
    struct error error;

    if (reader->is_lenient || password_check(stored, &error) == 0)
        return true;
    fault(reader, key, "%s", error.sentence);
    return false;
}

/* NULL after a fault. */
static char *stored_form(struct reader *reader, const char *key, const json_t *value)
{
    if (!value)
        fault(reader, key, "is missing");
    else if (!json_is_string(value))
        fault(reader, key, "is not a text");
    else if (json_string_length(value) == 0)
        fault(reader, key, "is empty");
    else if (json_string_length(value) > PASSWORD_STORED_LIMIT)
        fault(reader, key, "is longer than %d octets", PASSWORD_STORED_LIMIT);
    else if (strlen(json_string_value(value)) != json_string_length(value))
        fault(reader, key, "holds a NUL");
    else if (is_usable(reader, key, json_string_value(value)))
        return mem_strdup(json_string_value(value));
    return NULL;
}

static void add_password(struct reader *reader, const json_t *value)
{
    struct credential_secret *secret = secret_new(reader, "password");

    if (!secret)
        return;
    secret->label = mem_strdup("");
    secret->stored = stored_form(reader, "password", value);
    secret->scopes = CREDENTIAL_RELAY | CREDENTIAL_INJECT | CREDENTIAL_ADMIN;
}

static void read_password(struct reader *reader)
{
    const json_t *value = field(reader, "password");
    const json_t *element;
    size_t i;

    if (value && !json_is_array(value))
        add_password(reader, value);
    json_array_foreach(value, i, element) add_password(reader, element);
}

static void refuse_unknown(struct reader *reader, const char *const *known)
{
    const char *key;
    json_t *value;

    if (reader->is_lenient)
        return;
    json_object_foreach((json_t *)(uintptr_t)reader->fields, key, value)
    {
        size_t i = 0;

        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            fault(reader, key, "is not a field we know");
    }
}

static void read_label(struct reader *reader, struct credential_secret *secret)
{
    struct span label = sound_text(reader, "label", field(reader, "label"));

    if (!label.data)
        return;
    secret->label = span_dup(label);
    for (struct credential_secret *other = reader->credential->secrets; other < secret; other++)
        if (strcmp(other->label, secret->label) == 0)
            fault(reader, "label", "is that of another secret of this user");
}

static void read_secret(struct reader *reader, const json_t *table, size_t index)
{
    static const char *const known[] = {"label", "password", "not_before", "not_after", "networks", "scopes", NULL};
    const json_t *record = reader->fields;
    struct credential_secret *secret = secret_new(reader, "secrets");

    if (!secret)
        return;
    snprintf(reader->inside, sizeof reader->inside, "secrets[%zu].", index);
    reader->fields = table;
    if (!json_is_object(table))
        fault(reader, "label", "is not in a table");
    read_label(reader, secret);
    if (!secret->label)
        secret->label = mem_strdup("");
    secret->stored = stored_form(reader, "password", field(reader, "password"));
    secret->not_before_ms = read_time(reader, "not_before");
    secret->not_after_ms = read_time(reader, "not_after");
    read_networks(reader, &secret->networks);
    secret->scopes = read_scopes(reader);
    refuse_unknown(reader, known);
    reader->fields = record;
    reader->inside[0] = '\0';
}

/* A table or a list that a column of text holds as JSON. A new reference, or NULL. */
static json_t *structure(const struct reader *reader, const char *key)
{
    const json_t *value = field(reader, key);

    if (reader->is_lenient && json_is_string(value))
        return json_loadb(json_string_value(value), json_string_length(value), JSON_REJECT_DUPLICATES, NULL);
    return json_deep_copy(value);
}

static void read_secrets(struct reader *reader)
{
    const json_t *element;
    json_t *list;
    size_t i;

    if (!field(reader, "secrets"))
        return;
    list = structure(reader, "secrets");
    if (!json_is_array(list))
        fault(reader, "secrets", "is not a list of tables");
    json_array_foreach(list, i, element) read_secret(reader, element, i);
    json_decref(list);
}

/* ---- the rest, and the whole ---- */

static void read_limits(struct reader *reader)
{
    if (!field(reader, "limits"))
        return;
    reader->credential->limits = structure(reader, "limits");
    if (!json_is_object(reader->credential->limits))
        fault(reader, "limits", "is not a table");
}

static void read_tenants(struct reader *reader)
{
    if (field(reader, "tenant") && field(reader, "tenants"))
        fault(reader, "tenant", "is given as `tenants` too");
    read_texts(reader, "tenant", &reader->credential->tenants);
    read_texts(reader, "tenants", &reader->credential->tenants);
}

static void read_record(struct reader *reader)
{
    static const char *const known[] = {"name",      "password", "secrets", "disabled",   "groups",
                                        "tenant",    "tenants",  "senders", "may_act_as", "not_before",
                                        "not_after", "networks", "limits",  NULL};
    struct credential *credential = reader->credential;

    read_password(reader);
    read_secrets(reader);
    credential->disabled = read_truth(reader, "disabled");
    credential->not_before_ms = read_time(reader, "not_before");
    credential->not_after_ms = read_time(reader, "not_after");
    read_networks(reader, &credential->networks);
    read_texts(reader, "groups", &credential->groups);
    read_tenants(reader);
    read_texts(reader, "senders", &credential->senders);
    read_texts(reader, "may_act_as", &credential->may_act_as);
    read_limits(reader);
    refuse_unknown(reader, known);
}

static const char *name_of(struct reader *reader, const char *user)
{
    const json_t *value = field(reader, "name");

    if (value && sound_text(reader, "name", value).data)
        return json_string_value(value);
    return user;
}

struct credential *credential_from_json(const char *user, const json_t *fields, bool is_lenient, struct error *error)
{
    struct reader reader = {.fields = fields, .is_lenient = is_lenient, .error = error};

    if (!json_is_object(fields)) {
        error_set(error, ERROR_PERM, "the record is not a table");
        return NULL;
    }
    reader.credential = credential_new(name_of(&reader, user));
    read_record(&reader);
    if (reader.is_faulty)
        credential_unref(&reader.credential);
    return reader.credential;
}
