/* SPDX-License-Identifier: Apache-2.0
 *
 * One field's value: mailboxes and groups of RFC 5322, section 3.4, without the obsolete forms (routes, blanks and
 * comments inside an address, empty elements), whose readers disagree. Of display names and comments only the text is
 * kept, in each of the ways in which readers put it together; at the end it is searched for addresses
 * (identity_shown.c).
 */
#include "base/buf.h"
#include "gate/identity_header.h"
#include "message/headers.h"

#define VALUE_LIMIT_BYTES ((size_t)64 * 1024)
#define COMMENT_DEPTH_MOST 20

/* Line ends stand between what does not touch. */
enum text {
    TEXT_IN_PLACE, /* names and comments, a line end for each parenthesis; backslashes are shown */
    TEXT_NAMES,    /* without comments, which some show elsewhere: what was around them touches */
    TEXT_COMMENTS, /* those of one address, without the parentheses inside of them */
    TEXT_OUTER,    /* without the comments inside of them */
};
#define TEXT_COUNT 4
#define BIT(text) (1U << (text))
#define OF_NAMES (BIT(TEXT_IN_PLACE) | BIT(TEXT_NAMES))

struct reader {
    struct span rest;
    struct buf texts[TEXT_COUNT];
    gate_covers_fn *covers;
    void *ctx;
    struct gate_finding *finding;
    size_t addresses;
    bool in_group;
};

/* All readers give -1 when there is a finding. */
static int found(struct reader *reader, enum gate_shown shown, struct span what)
{
    return gate_finding_set(reader->finding, shown, what);
}

static int unclear(struct reader *reader, const char *why) { return found(reader, GATE_SHOWN_UNCLEAR, span_of(why)); }

static char peek(const struct reader *reader) { return reader->rest.len > 0 ? reader->rest.data[0] : '\0'; }

static void skip(struct reader *reader, size_t len) { reader->rest = span_from(reader->rest, len); }

/* `texts`: bits by enum text. */
static int keep(struct reader *reader, unsigned texts, const char *data, size_t len)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (texts & BIT(i) && buf_append(&reader->texts[i], data, len))
            return unclear(reader, "it is too long");
    return 0;
}

/* ---- blanks, comments, words ---- */

static int take_comment(struct reader *reader)
{
    int depth = 0;

    do {
        char c = peek(reader);
        bool is_paren;

        if (reader->rest.len == 0)
            return unclear(reader, "a comment does not end");
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (depth > COMMENT_DEPTH_MOST)
            return unclear(reader, "comments are nested too deep");
        if (c == '\\') {
            if (keep(reader, BIT(TEXT_IN_PLACE), "\\", 1))
                return -1;
            skip(reader, 1);
            c = peek(reader);
        }
        is_paren = c == '(' || c == ')';
        if (is_paren
                ? keep(reader, BIT(TEXT_IN_PLACE), "\n", 1)
                : keep(reader, BIT(TEXT_IN_PLACE) | BIT(TEXT_COMMENTS) | (depth == 1 ? BIT(TEXT_OUTER) : 0), &c, 1))
            return -1;
        skip(reader, 1);
    } while (depth > 0);
    return keep(reader, BIT(TEXT_COMMENTS) | BIT(TEXT_OUTER), " ", 1);
}

/* `*blanks_out`: were there any but comments? */
static int skip_blanks(struct reader *reader, bool *blanks_out)
{
    *blanks_out = false;
    for (;;) {
        char c = peek(reader);

        if (c == '(') {
            if (keep(reader, BIT(TEXT_IN_PLACE), "\n", 1) || take_comment(reader))
                return -1;
        } else if (c == ' ' || c == '\t') {
            skip(reader, 1);
            *blanks_out = true;
        } else {
            return 0;
        }
    }
}

/* Length of the quoted string at the start, with its quotes; 0 when it does not end. */
static size_t quoted_length(struct span text)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.data[i] == '"')
            return i + 1;
        if (text.data[i] == '\\')
            i++;
    }
    return 0;
}

static int keep_quoted(struct reader *reader, struct span quoted)
{
    for (size_t i = 1; i + 1 < quoted.len; i++) {
        if (quoted.data[i] == '\\') {
            if (keep(reader, BIT(TEXT_IN_PLACE), "\\", 1))
                return -1;
            i++;
        }
        if (keep(reader, OF_NAMES, &quoted.data[i], 1))
            return -1;
    }
    return 0;
}

/* Length of the atom or quoted string at the start; 0: neither. -1 in `*result` is a finding. */
static size_t word_length(struct reader *reader, int *result)
{
    size_t len = 0;

    if (peek(reader) == '"') {
        len = quoted_length(reader->rest);
        *result = len ? 0 : unclear(reader, "a quoted string does not end");
        return len;
    }
    while (len < reader->rest.len && !gate_ends_atom(reader->rest.data[len]))
        len++;
    return len;
}

/* ---- addresses ---- */

static int take_address(struct reader *reader, struct span text)
{
    struct gate_address address;

    if (++reader->addresses > GATE_ADDRESSES_MOST)
        return unclear(reader, "there are too many addresses in it");
    if (gate_address_read(text, &address))
        return unclear(reader, "an address is written in a way that can be read differently");
    if (!reader->covers(reader->ctx, &address))
        return found(reader, GATE_SHOWN_FOREIGN, span_of(address.text));
    return 0;
}

static size_t domain_length(struct span text)
{
    size_t len = 0;

    if (text.len > 0 && text.data[0] == '[') {
        len = span_find(text, ']') + 1;
        return len > text.len ? 0 : len;
    }
    while (len < text.len && !gate_ends_atom(text.data[len]))
        len++;
    return len;
}

/* Of the local@domain at the start; 0: there is none. */
static size_t address_length(struct span text)
{
    size_t local = 0, domain;

    if (text.len > 0 && text.data[0] == '"')
        local = quoted_length(text);
    else
        while (local < text.len && !gate_ends_atom(text.data[local]))
            local++;
    if (local == 0 || local >= text.len || text.data[local] != '@')
        return 0;
    domain = domain_length(span_from(text, local + 1));
    return domain ? local + 1 + domain : 0;
}

/* "<local@domain>"; blanks at its ends are let pass. */
static int take_angle(struct reader *reader)
{
    size_t len;

    skip(reader, 1);
    while (peek(reader) == ' ' || peek(reader) == '\t')
        skip(reader, 1);
    len = address_length(reader->rest);
    if (len == 0)
        return unclear(reader, "between < and > is no plain address");
    if (take_address(reader, span_head(reader->rest, len)))
        return -1;
    skip(reader, len);
    while (peek(reader) == ' ' || peek(reader) == '\t')
        skip(reader, 1);
    if (peek(reader) != '>')
        return unclear(reader, "between < and > is no plain address");
    skip(reader, 1);
    return 0;
}

/* Words up to the next special character; they are a name. Where one touches the next, nobody knows which of them is
 * an encoded word. */
static int take_phrase(struct reader *reader, size_t *words_out)
{
    size_t begin = buf_len(&reader->texts[TEXT_NAMES]);
    bool touches = false;

    for (*words_out = 0;; ++*words_out) {
        bool has_blanks;
        int result = 0;
        struct span name;
        size_t len;

        if (skip_blanks(reader, &has_blanks) || (has_blanks && keep(reader, OF_NAMES, " ", 1)))
            return -1;
        len = word_length(reader, &result);
        name = span_from(buf_span(&reader->texts[TEXT_NAMES]), begin);
        if (result || len == 0)
            return touches && memmem(name.data, name.len, "=?", 2)
                       ? unclear(reader, "a name is encoded in a way that can be read differently")
                       : result;
        touches = touches || (*words_out > 0 && !has_blanks);
        if (peek(reader) == '"' ? keep_quoted(reader, span_head(reader->rest, len))
                                : keep(reader, OF_NAMES, reader->rest.data, len))
            return -1;
        skip(reader, len);
    }
}

static int take_named(struct reader *reader)
{
    size_t words;

    if (keep(reader, OF_NAMES, "\n", 1) || take_phrase(reader, &words))
        return -1;
    if (peek(reader) == '<')
        return take_angle(reader);
    if (peek(reader) == ':' && !reader->in_group && words > 0) {
        reader->in_group = true;
        skip(reader, 1);
        return 0;
    }
    return unclear(reader, "it is not a list of addresses");
}

/* ---- the list ---- */

/* What stands behind an entry: a comma and another, the end of the group, the end. */
static int take_separator(struct reader *reader)
{
    bool has_blanks;

    if (skip_blanks(reader, &has_blanks))
        return -1;
    if (reader->in_group && peek(reader) == ';') {
        reader->in_group = false;
        skip(reader, 1);
        return take_separator(reader);
    }
    if (reader->rest.len == 0)
        return reader->in_group ? unclear(reader, "a group does not end") : 0;
    if (peek(reader) != ',')
        return unclear(reader, "it is not a list of addresses");
    skip(reader, 1);
    if (keep(reader, BIT(TEXT_COMMENTS) | BIT(TEXT_OUTER), "\n", 1) || skip_blanks(reader, &has_blanks))
        return -1;
    return reader->rest.len == 0 ? unclear(reader, "it is not a list of addresses") : 0;
}

static int take_entry(struct reader *reader)
{
    bool was_in_group = reader->in_group, has_blanks;
    size_t len;

    if (skip_blanks(reader, &has_blanks))
        return -1;
    if (reader->in_group && peek(reader) == ';')
        return take_separator(reader);
    len = address_length(reader->rest);
    if (len > 0) {
        if (take_address(reader, span_head(reader->rest, len)))
            return -1;
        skip(reader, len);
        return take_separator(reader);
    }
    if (take_named(reader))
        return -1;
    return reader->in_group && !was_in_group ? 0 : take_separator(reader);
}

/* ---- the whole value ---- */

/* A line of blanks in a folded value ends the header for some. */
static bool has_blank_line(struct span value)
{
    struct span rest = value, line;

    for (bool first = true; span_split(&rest, '\n', &line); first = false)
        if (!first && span_trim(line).len == 0)
            return true;
    return false;
}

/* U+0080 to U+009F, and U+2028 and U+2029: lines end there for some. */
static bool has_odd_control(struct span text)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if ((text.data[i] == '\xC2' && (unsigned char)text.data[i + 1] < 0xA0) ||
            (i + 2 < text.len && !memcmp(text.data + i, "\xE2\x80", 2) &&
             (text.data[i + 2] == '\xA8' || text.data[i + 2] == '\xA9')))
            return true;
    return false;
}

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] < ' ' && text.data[i] != '\t') || text.data[i] == 0x7f)
            return true;
    return has_odd_control(text);
}

static int judge_texts(struct reader *reader)
{
    for (size_t i = 0; i < TEXT_COUNT; i++)
        if (gate_shown_judge(buf_span(&reader->texts[i]), reader->covers, reader->ctx, reader->finding))
            return -1;
    return 0;
}

static int judge(struct reader *reader, struct span value, struct buf *text)
{
    if (value.len > VALUE_LIMIT_BYTES || header_unfold(value, text))
        return unclear(reader, "it is too long");
    if (has_blank_line(value))
        return unclear(reader, "a line of it is blank");
    reader->rest = buf_span(text);
    if (has_control(reader->rest) || !span_is_utf8(reader->rest))
        return unclear(reader, "it holds bytes that are no text");
    do {
        if (take_entry(reader))
            return -1;
    } while (reader->rest.len > 0 || reader->in_group);
    if (reader->addresses == 0)
        return unclear(reader, "there is no address in it");
    return judge_texts(reader);
}

void gate_value_judge(struct span value, gate_covers_fn *covers, void *ctx, struct gate_finding *finding_out)
{
    struct gate_finding finding = {.shown = GATE_SHOWN_COVERED};
    struct reader reader = {.covers = covers, .ctx = ctx, .finding = &finding};
    struct buf text;

    buf_init(&text, VALUE_LIMIT_BYTES);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        buf_init(&reader.texts[i], 2 * VALUE_LIMIT_BYTES);
    if (judge(&reader, value, &text) == 0)
        finding.shown = GATE_SHOWN_COVERED;
    buf_done(&text);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        buf_done(&reader.texts[i]);
    *finding_out = finding;
}
