/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with comments. The text is copied with every comment and every comma that closes a
 * list overwritten by spaces, line ends kept, and the copy goes to jansson: so what jansson
 * says about lines and columns is true of the file the operator sees.
 */
#include "data/data.h"

#include <stdlib.h>

#include "base/mem.h"

struct blanker {
    char *text;
    size_t len;
    size_t at;
    size_t comma; /* offset of a comma behind a value, with nothing but blanks since, or NO_COMMA */
    char last;    /* the last character that was not blank */
};

#define NO_COMMA ((size_t)-1)

static void blank(struct blanker *blanker, size_t until)
{
    for (; blanker->at < until; blanker->at++)
        if (blanker->text[blanker->at] != '\n')
            blanker->text[blanker->at] = ' ';
}

static void blank_line(struct blanker *blanker)
{
    size_t end = blanker->at;

    while (end < blanker->len && blanker->text[end] != '\n')
        end++;
    blank(blanker, end);
}

/* -1 when the comment is never closed. */
static int blank_block(struct blanker *blanker)
{
    for (size_t end = blanker->at + 2; end + 1 < blanker->len; end++)
        if (blanker->text[end] == '*' && blanker->text[end + 1] == '/') {
            blank(blanker, end + 2);
            return 0;
        }
    return -1;
}

static void skip_string(struct blanker *blanker)
{
    for (blanker->at++; blanker->at < blanker->len; blanker->at++) {
        if (blanker->text[blanker->at] == '\\')
            blanker->at++;
        else if (blanker->text[blanker->at] == '"')
            break;
    }
    if (blanker->at < blanker->len)
        blanker->at++;
    blanker->comma = NO_COMMA;
    blanker->last = '"';
}

static void take_plain(struct blanker *blanker)
{
    char c = blanker->text[blanker->at];

    if ((c == ']' || c == '}') && blanker->comma != NO_COMMA)
        blanker->text[blanker->comma] = ' ';
    blanker->at++;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return;
    blanker->comma = NO_COMMA;
    if (c == ',' && blanker->last && !strchr("[{,", blanker->last))
        blanker->comma = blanker->at - 1;
    blanker->last = c;
}

/* 0, or -1 with `at` on the comment that has no end. */
static int blank_comments(struct blanker *blanker)
{
    while (blanker->at < blanker->len) {
        char c = blanker->text[blanker->at];
        char next = blanker->at + 1 < blanker->len ? blanker->text[blanker->at + 1] : '\0';

        if (c == '"')
            skip_string(blanker);
        else if (c == '#' || (c == '/' && next == '/'))
            blank_line(blanker);
        else if (c == '/' && next == '*') {
            if (blank_block(blanker))
                return -1;
        } else
            take_plain(blanker);
    }
    return 0;
}

static size_t line_of(const struct blanker *blanker)
{
    size_t line = 1;

    for (size_t i = 0; i < blanker->at; i++)
        if (blanker->text[i] == '\n')
            line++;
    return line;
}

static size_t column_of(const struct blanker *blanker)
{
    size_t column = 1;

    while (column <= blanker->at && blanker->text[blanker->at - column] != '\n')
        column++;
    return column;
}

/* Jansson quotes the text near a fault. A data file may hold keys and passwords, so only
 * what it says before that is passed on. */
static void say_fault(const json_error_t *fault, const char *name, struct error *error)
{
    const char *near = strstr(fault->text, " near '");
    int len = near ? (int)(near - fault->text) : (int)strlen(fault->text);

    error_set(error, ERROR_PERM, "%s:%d:%d: %.*s", name, fault->line, fault->column, len, fault->text);
}

json_t *data_parse_json(struct span text, const char *name, struct error *error)
{
    struct blanker blanker = {.len = text.len, .comma = NO_COMMA};
    json_error_t fault;
    json_t *value = NULL;

    blanker.text = mem_try_realloc(NULL, text.len + 1);
    if (!blanker.text) {
        error_set(error, ERROR_TEMP, "%s: no memory for %zu bytes", name, text.len);
        return NULL;
    }
    memcpy(blanker.text, text.data, text.len);
    if (blank_comments(&blanker)) {
        error_set(error, ERROR_PERM, "%s:%zu:%zu: this comment is never closed", name, line_of(&blanker),
                  column_of(&blanker));
    } else {
        value = json_loadb(blanker.text, blanker.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
        if (!value)
            say_fault(&fault, name, error);
    }
    free(blanker.text);
    return value;
}
