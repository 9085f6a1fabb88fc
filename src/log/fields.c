/* SPDX-License-Identifier: Apache-2.0
 *
 * Which metadata and which headers go into a record: those the operator listed, by name or
 * by a prefix that ends in '*'. Metadata names are compared as written, header names
 * without regard to case.
 */
#include <string.h>

#include "base/must.h"
#include "log/log_private.h"

#define HEADERS_MOST 256 /* fields looked at per message; the rest is not logged */

static bool matches(struct span name, const char *pattern, bool ignore_case)
{
    struct span wanted = span_of(pattern);
    bool is_prefix = wanted.len > 0 && wanted.data[wanted.len - 1] == '*';

    if (is_prefix) {
        wanted.len--;
        return ignore_case ? span_istarts_with(name, wanted) : span_starts_with(name, wanted);
    }
    return ignore_case ? span_ieq(name, wanted) : span_eq(name, wanted);
}

static bool is_wanted(struct span name, char *const *patterns, bool ignore_case)
{
    for (; patterns && *patterns; patterns++)
        if (matches(name, *patterns, ignore_case))
            return true;
    return false;
}

void fields_write_meta(struct json_writer *writer, const json_t *meta, char *const *names)
{
    json_t *object = (json_t *)(uintptr_t)meta; /* jansson's iterators want it writable; they do not write */
    const char *key;
    json_t *value;

    json_key(writer, SPAN_LIT("meta"));
    json_open_object(writer);
    if (names && *names) {
        json_object_foreach(object, key, value)
        {
            if (!is_wanted(span_of(key), names, false))
                continue;
            json_key(writer, span_of(key));
            json_value(writer, value);
        }
    }
    json_close_object(writer);
}

/* ---- headers ---- */

struct header {
    struct span name;
    struct span value; /* still folded */
    bool written;
};

/* Takes one line with its continuation lines off the front of `*block`. */
static struct span take_field(struct span *block)
{
    size_t end = 0;

    do {
        end += span_find(span_from(*block, end), '\n');
        end = end < block->len ? end + 1 : block->len;
    } while (end < block->len && (block->data[end] == ' ' || block->data[end] == '\t'));

    struct span field = span_head(*block, end);
    *block = span_from(*block, end);
    return field;
}

/* RFC 5322, section 3.6.8: printable ASCII. Anything else before a colon is no name, and no key. */
static bool is_field_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] < 33 || name.data[i] > 126)
            return false;
    return name.len > 0;
}

static size_t find_headers(struct span block, char *const *names, struct header *found)
{
    size_t count = 0;

    while (block.len > 0 && count < HEADERS_MOST) {
        struct span field = take_field(&block);
        size_t colon = span_find(field, ':');
        struct span name = span_trim(span_head(field, colon));

        if (span_trim(field).len == 0)
            break; /* the empty line that ends the header */
        if (colon < field.len && is_field_name(name) && is_wanted(name, names, true))
            found[count++] = (struct header){name, span_trim(span_from(field, colon + 1)), false};
    }
    return count;
}

/* RFC 5322, section 2.2.3: unfolding takes the line break and leaves the white space. */
static void write_value(struct json_writer *writer, struct span folded)
{
    struct buf value;

    buf_init(&value, folded.len + 1);
    for (size_t i = 0; i < folded.len; i++) {
        if (folded.data[i] == '\r' || folded.data[i] == '\n')
            continue;
        if (buf_append(&value, &folded.data[i], 1) < 0)
            writer->failed = true;
    }
    json_text(writer, buf_span(&value));
    buf_done(&value);
}

/* One header of the name: a string; several: a list. */
static void write_same_name(struct json_writer *writer, struct header *headers, size_t count, size_t first)
{
    struct span name = headers[first].name;
    size_t same = 0, written = 0;

    for (size_t i = first; i < count; i++)
        same += span_ieq(headers[i].name, name);
    json_key(writer, name);
    if (same > 1)
        json_raw(writer, "[");
    for (size_t i = first; i < count; i++) {
        if (!span_ieq(headers[i].name, name))
            continue;
        if (written++ > 0)
            json_raw(writer, ",");
        write_value(writer, headers[i].value);
        headers[i].written = true;
    }
    if (same > 1)
        json_raw(writer, "]");
}

void fields_write_headers(struct json_writer *writer, struct span header_block, char *const *names)
{
    struct header found[HEADERS_MOST];
    size_t count = names && *names ? find_headers(header_block, names, found) : 0;

    json_key(writer, SPAN_LIT("headers"));
    json_open_object(writer);
    for (size_t i = 0; i < count; i++)
        if (!found[i].written)
            write_same_name(writer, found, count, i);
    json_close_object(writer);
}
