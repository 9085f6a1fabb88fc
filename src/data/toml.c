/* SPDX-License-Identifier: Apache-2.0
 *
 * TOML out of and into the program's values. Reading is toml++'s (see toml.cc); writing is
 * short enough to be done here: plain keys first, then the tables, as TOML's grammar wants.
 */
#include "data/toml.h"

#include <math.h>
#include <stdio.h>

#include "data/data.h"

#define WRITE_DEPTH 64

json_t *data_parse_toml(struct span text, const char *name, struct error *error)
{
    struct toml_fault fault;
    json_t *value = toml_read(text.data ? text.data : "", text.len, &fault);

    if (!value && fault.line)
        error_set(error, ERROR_PERM, "%s:%u:%u: %s", name, fault.line, fault.column, fault.text);
    else if (!value)
        error_set(error, ERROR_PERM, "%s: %s", name, fault.text);
    return value;
}

struct writer {
    struct buf *out;
    struct error *error;
    bool pretty;
    int depth;
};

/* The header of the table being written, as a chain up the C stack. */
struct place {
    const struct place *parent;
    const char *key;
};

static int write_value(struct writer *writer, const json_t *value);

static int full(struct writer *writer)
{
    return error_set(writer->error, ERROR_PERM, "the TOML text would be larger than %zu bytes",
                     writer->out->limit_bytes);
}

static int put(struct writer *writer, const char *text)
{
    return buf_append(writer->out, text, strlen(text)) ? full(writer) : 0;
}

static int write_escaped(struct writer *writer, unsigned char c)
{
    char text[8];

    switch (c) {
    case '"':
        return put(writer, "\\\"");
    case '\\':
        return put(writer, "\\\\");
    case '\n':
        return put(writer, "\\n");
    case '\r':
        return put(writer, "\\r");
    case '\t':
        return put(writer, "\\t");
    default:
        snprintf(text, sizeof text, "\\u%04X", c);
        return put(writer, text);
    }
}

static int write_string(struct writer *writer, struct span text)
{
    if (put(writer, "\""))
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = c >= 0x20 && c != 0x7f && c != '"' && c != '\\';

        if (plain ? (buf_append(writer->out, &text.data[i], 1) ? full(writer) : 0) : write_escaped(writer, c))
            return -1;
    }
    return put(writer, "\"");
}

static bool is_bare(const char *key)
{
    for (const char *p = key; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_' ||
              *p == '-'))
            return false;
    return *key != '\0';
}

static int write_key(struct writer *writer, const char *key)
{
    return is_bare(key) ? put(writer, key) : write_string(writer, span_of(key));
}

static int write_real(struct writer *writer, double real)
{
    char text[40];

    snprintf(text, sizeof text, "%.17g", real);
    if (!strpbrk(text, ".eE"))
        snprintf(text + strlen(text), 3, ".0");
    return put(writer, text);
}

static int write_array(struct writer *writer, const json_t *list)
{
    const char *between = writer->pretty ? ",\n    " : ", ";
    size_t count = json_array_size(list);

    if (put(writer, writer->pretty && count ? "[\n    " : "["))
        return -1;
    for (size_t i = 0; i < count; i++)
        if ((i && put(writer, between)) || write_value(writer, json_array_get(list, i)))
            return -1;
    return put(writer, writer->pretty && count ? ",\n]" : "]");
}

static int write_inline_table(struct writer *writer, const json_t *object)
{
    const char *key;
    json_t *value;
    bool first = true;
    bool pretty = writer->pretty;
    int result = put(writer, "{");

    writer->pretty = false; /* an inline table stays on one line, whatever is in it */
    json_object_foreach((json_t *)object, key, value)
    {
        if (result || put(writer, first ? " " : ", ") || write_key(writer, key) || put(writer, " = ") ||
            write_value(writer, value))
            result = -1;
        first = false;
    }
    writer->pretty = pretty;
    return result ? -1 : put(writer, first ? "}" : " }");
}

static int write_integer(struct writer *writer, json_int_t integer)
{
    char text[24];

    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, integer);
    return put(writer, text);
}

static int write_nested(struct writer *writer, const json_t *value)
{
    int result;

    if (writer->depth >= WRITE_DEPTH)
        return error_set(writer->error, ERROR_PERM, "the value is nested deeper than %d levels", WRITE_DEPTH);
    writer->depth++;
    result = json_is_array(value) ? write_array(writer, value) : write_inline_table(writer, value);
    writer->depth--;
    return result;
}

static int write_value(struct writer *writer, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return write_string(writer, span_make(json_string_value(value), json_string_length(value)));
    case JSON_INTEGER:
        return write_integer(writer, json_integer_value(value));
    case JSON_REAL:
        return write_real(writer, json_real_value(value));
    case JSON_TRUE:
        return put(writer, "true");
    case JSON_FALSE:
        return put(writer, "false");
    case JSON_ARRAY:
    case JSON_OBJECT:
        return write_nested(writer, value);
    case JSON_NULL:
        break;
    }
    return error_set(writer->error, ERROR_PERM, "TOML has no null");
}

static bool is_list_of_tables(const json_t *value)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 0;

    for (size_t i = 0; i < count; i++)
        if (!json_is_object(json_array_get(value, i)))
            return false;
    return count > 0;
}

static int write_place(struct writer *writer, const struct place *place)
{
    if (place->parent && (write_place(writer, place->parent) || put(writer, ".")))
        return -1;
    return write_key(writer, place->key);
}

static int write_table(struct writer *writer, const struct place *place, const json_t *object);

static int write_section(struct writer *writer, const struct place *place, const json_t *object, bool of_list)
{
    if ((buf_len(writer->out) && put(writer, "\n")) || put(writer, of_list ? "[[" : "[") ||
        write_place(writer, place) || put(writer, of_list ? "]]\n" : "]\n"))
        return -1;
    return write_table(writer, place, object);
}

static int write_sections_of(struct writer *writer, const struct place *place, const json_t *value)
{
    if (json_is_object(value))
        return write_section(writer, place, value, false);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (write_section(writer, place, json_array_get(value, i), true))
            return -1;
    return 0;
}

static int write_pair(struct writer *writer, const char *key, const json_t *value)
{
    if (write_key(writer, key) || put(writer, " = "))
        return -1;
    if (write_value(writer, value))
        return error_prefix(writer->error, "key '%s'", key);
    return put(writer, "\n");
}

static int write_table(struct writer *writer, const struct place *place, const json_t *object)
{
    const char *key;
    json_t *value;

    if (writer->depth >= WRITE_DEPTH)
        return error_set(writer->error, ERROR_PERM, "the value is nested deeper than %d levels", WRITE_DEPTH);
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_object(value) && !is_list_of_tables(value) && write_pair(writer, key, value))
            return -1;
    }
    writer->depth++;
    json_object_foreach((json_t *)object, key, value)
    {
        struct place inner = {place, key};

        if ((json_is_object(value) || is_list_of_tables(value)) && write_sections_of(writer, &inner, value))
            return -1;
    }
    writer->depth--;
    return 0;
}

int data_write_toml(const json_t *value, bool pretty, struct buf *out, struct error *error)
{
    struct writer writer = {.out = out, .error = error, .pretty = pretty};

    if (!json_is_object(value))
        return error_set(error, ERROR_PERM, "only a table can be written as TOML");
    return write_table(&writer, NULL, value);
}
