/* SPDX-License-Identifier: Apache-2.0
 *
 * A recursive-descent reader of address lists. It is strict about structure: what cannot be
 * read is an error, since policy decides on what it is told here who somebody is.
 */
#include "message/address_list.h"

#include "base/buf.h"
#include "message/headers.h"

#define ARENA_LIMIT_BYTES (4U << 20)
#define COMMENT_DEPTH_LIMIT 50

struct reader {
    struct span rest;
    struct address_list *list;
    bool in_group;
    struct buf local;  /* the words just read, as a local part */
    struct buf phrase; /* the same, as a display name still encoded */
    size_t words;
};

static int fail(struct error *error, const char *what)
{
    return error_set(error, ERROR_PERM, "not a list of addresses: %s", what);
}

static char peek(const struct reader *reader) { return reader->rest.len > 0 ? reader->rest.data[0] : '\0'; }

static void skip(struct reader *reader, size_t len) { reader->rest = span_from(reader->rest, len); }

/* ---- blanks and comments ---- */

static int skip_comment(struct reader *reader, struct error *error)
{
    int depth = 0;

    do {
        char c = peek(reader);

        if (reader->rest.len == 0)
            return fail(error, "a comment does not end");
        if (c == '(' && ++depth > COMMENT_DEPTH_LIMIT)
            return fail(error, "comments are nested too deep");
        if (c == ')')
            depth--;
        skip(reader, c == '\\' ? 2 : 1);
    } while (depth > 0);
    return 0;
}

static int skip_blanks(struct reader *reader, struct error *error)
{
    for (;;) {
        char c = peek(reader);

        if (c == '(') {
            if (skip_comment(reader, error))
                return -1;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            skip(reader, 1);
        } else {
            return 0;
        }
    }
}

/* ---- words ---- */

static bool is_special(char c) { return (unsigned char)c <= ' ' || c == 0x7f || strchr("()<>[]:;@\\,\"", c); }

static int add_text(struct reader *reader, const char *text, size_t len, struct error *error)
{
    if (buf_append(&reader->local, text, len) || buf_append(&reader->phrase, text, len))
        return fail(error, "a name is too long");
    return 0;
}

static int take_quoted(struct reader *reader, struct error *error)
{
    skip(reader, 1);
    while (peek(reader) != '"') {
        char c = peek(reader);

        if (c == '\\') {
            skip(reader, 1);
            c = peek(reader);
        }
        if (reader->rest.len == 0 || c == '\0')
            return fail(error, "a quoted string does not end");
        if (c != '\r' && c != '\n' && add_text(reader, &c, 1, error))
            return -1;
        skip(reader, 1);
    }
    skip(reader, 1);
    return 0;
}

static int take_atom(struct reader *reader, struct error *error)
{
    size_t len = 0;

    while (len < reader->rest.len && !is_special(reader->rest.data[len]))
        len++;
    if (len == 0)
        return fail(error, "a character is out of place");
    if (add_text(reader, reader->rest.data, len, error))
        return -1;
    skip(reader, len);
    return 0;
}

/* Reads words up to the next special character. */
static int take_words(struct reader *reader, struct error *error)
{
    buf_clear(&reader->local);
    buf_clear(&reader->phrase);
    reader->words = 0;
    for (;;) {
        bool quoted;

        if (skip_blanks(reader, error))
            return -1;
        quoted = peek(reader) == '"';
        if (!quoted && (reader->rest.len == 0 || is_special(peek(reader))))
            return 0;
        if (reader->words++ > 0 && buf_append(&reader->phrase, " ", 1))
            return fail(error, "a name is too long");
        if (quoted ? take_quoted(reader, error) : take_atom(reader, error))
            return -1;
    }
}

/* ---- addresses ---- */

static int take_domain(struct reader *reader, struct span *domain_out, struct error *error)
{
    size_t len = 0;

    if (skip_blanks(reader, error))
        return -1;
    if (peek(reader) == '[') {
        len = span_find(reader->rest, ']') + 1;
        if (len > reader->rest.len)
            return fail(error, "an address literal does not end");
    } else {
        while (len < reader->rest.len && !is_special(reader->rest.data[len]))
            len++;
    }
    if (len == 0)
        return fail(error, "a domain is missing");
    *domain_out = span_head(reader->rest, len);
    skip(reader, len);
    return skip_blanks(reader, error);
}

static bool is_dot_atom(struct span local)
{
    if (local.len == 0 || local.data[0] == '.' || local.data[local.len - 1] == '.')
        return false;
    for (size_t i = 0; i < local.len; i++)
        if (is_special(local.data[i]) || (local.data[i] == '.' && local.data[i - 1] == '.'))
            return false;
    return true;
}

static int format_email(struct span local, struct span domain, struct buf *out)
{
    if (is_dot_atom(local))
        return buf_append_span(out, local) || buf_append(out, "@", 1) || buf_append_span(out, domain) ? -1 : 0;
    if (buf_append(out, "\"", 1))
        return -1;
    for (size_t i = 0; i < local.len; i++)
        if (((local.data[i] == '"' || local.data[i] == '\\') && buf_append(out, "\\", 1)) ||
            buf_append(out, &local.data[i], 1))
            return -1;
    return buf_append(out, "\"@", 2) || buf_append_span(out, domain) ? -1 : 0;
}

static struct address *new_item(struct address_list *list)
{
    if (list->count >= ADDRESS_LIST_LIMIT)
        return NULL;
    if (list->count % 16 == 0) {
        struct address *items = arena_alloc(&list->arena, (list->count + 16) * sizeof *items);

        if (!items)
            return NULL;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
    }
    return &list->items[list->count];
}

static int add_address(struct reader *reader, const char *name, struct span domain, struct error *error)
{
    struct address_list *list = reader->list;
    struct address *item = new_item(list);
    struct buf email;
    bool failed;

    if (!item)
        return fail(error, "too many addresses");
    buf_init(&email, 65536);
    failed = format_email(buf_span(&reader->local), domain, &email) != 0;
    item->name = name;
    item->local = arena_strdup(&list->arena, buf_span(&reader->local));
    item->domain = arena_strdup(&list->arena, domain);
    item->email = arena_strdup(&list->arena, buf_span(&email));
    failed = failed || !item->local || !item->domain || !item->email;
    buf_done(&email);
    if (failed)
        return fail(error, "an address is too long");
    list->count++;
    return 0;
}

/* The phrase just read, decoded; NULL when it is empty. */
static int take_name(struct reader *reader, const char **name_out, struct error *error)
{
    struct buf decoded;
    int result = 0;

    *name_out = NULL;
    if (reader->words == 0)
        return 0;
    buf_init(&decoded, HEADER_TEXT_LIMIT);
    if (header_decode(buf_span(&reader->phrase), &decoded) == 0)
        *name_out = arena_strdup(&reader->list->arena, buf_span(&decoded));
    if (!*name_out)
        result = fail(error, "a name is too long");
    buf_done(&decoded);
    return result;
}

/* "<@route:local@domain>" */
static int take_angle(struct reader *reader, struct error *error)
{
    const char *name;
    struct span domain;

    if (take_name(reader, &name, error))
        return -1;
    skip(reader, 1);
    if (skip_blanks(reader, error))
        return -1;
    if (peek(reader) == '@')
        skip(reader, span_find(reader->rest, ':') + 1);
    if (take_words(reader, error))
        return -1;
    if (reader->words != 1 || peek(reader) != '@')
        return fail(error, "local@domain is missing");
    skip(reader, 1);
    if (take_domain(reader, &domain, error))
        return -1;
    if (peek(reader) != '>')
        return fail(error, "> is missing");
    skip(reader, 1);
    return add_address(reader, name, domain, error);
}

static int take_plain(struct reader *reader, struct error *error)
{
    struct span domain;

    if (reader->words != 1)
        return fail(error, "local@domain is missing");
    skip(reader, 1);
    if (take_domain(reader, &domain, error))
        return -1;
    return add_address(reader, NULL, domain, error);
}

/* After an address: a comma, the end of its group, or the end. */
static int take_separator(struct reader *reader, struct error *error)
{
    if (skip_blanks(reader, error))
        return -1;
    if (peek(reader) == ';' && reader->in_group) {
        reader->in_group = false;
        skip(reader, 1);
        return take_separator(reader, error);
    }
    if (reader->rest.len == 0)
        return reader->in_group ? fail(error, "a group does not end") : 0;
    if (peek(reader) != ',')
        return fail(error, "a comma is missing");
    skip(reader, 1);
    return 0;
}

static int take_entry(struct reader *reader, struct error *error)
{
    if (take_words(reader, error))
        return -1;
    switch (peek(reader)) {
    case '<':
        return take_angle(reader, error) || take_separator(reader, error) ? -1 : 0;
    case '@':
        return take_plain(reader, error) || take_separator(reader, error) ? -1 : 0;
    case ':':
        if (reader->in_group || reader->words == 0)
            return fail(error, "a colon is out of place");
        reader->in_group = reader->list->has_group = true;
        skip(reader, 1);
        return 0;
    default:
        if (reader->words > 0)
            return fail(error, "a name stands without an address");
        return take_separator(reader, error);
    }
}

int address_list_parse(struct span value, struct address_list *list_out, struct error *error)
{
    struct address_list list = {0};
    struct reader reader = {.rest = span_trim(value), .list = &list};
    int result = 0;

    arena_init(&list.arena, ARENA_LIMIT_BYTES);
    buf_init(&reader.local, 32768);
    buf_init(&reader.phrase, 32768);
    while (!result && (reader.rest.len > 0 || reader.in_group))
        result = take_entry(&reader, error);
    buf_done(&reader.local);
    buf_done(&reader.phrase);
    if (result)
        address_list_done(&list);
    else
        *list_out = list;
    return result;
}

void address_list_done(struct address_list *list)
{
    arena_done(&list->arena);
    list->items = NULL;
    list->count = 0;
}
