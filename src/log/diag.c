/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one diagnostic event as one line with one write(2). The line is built on the
 * stack, so that an event can be told even when memory is gone; what does not fit into
 * 8 KiB is cut, and the line stays valid text or JSON all the same.
 */
#include "log/diag.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"
#include "log/log_private.h"

#define MESSAGE_BYTES 4096
#define VALUE_BYTES 2048
#define FIELDS_MOST 32

static _Atomic int format_now = DIAG_TEXT;
static _Atomic int level_now = DIAG_INFO;

/* Lines longer than PIPE_BUF could be mixed with each other on a pipe. */
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};

void diag_set_format(enum diag_format format) { atomic_store(&format_now, (int)format); }

void diag_set_level(enum diag_level lowest) { atomic_store(&level_now, (int)lowest); }

bool diag_is_on(enum diag_level level) { return (int)level >= atomic_load_explicit(&level_now, memory_order_relaxed); }

int diag_level_parse(const char *name, enum diag_level *level_out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
            *level_out = (enum diag_level)i;
            return 0;
        }
    }
    return -1;
}

void diag_scope_init(struct diag_scope *scope, const struct diag_scope *parent)
{
    scope->parent = parent;
    scope->count = 0;
}

void diag_scope_add(struct diag_scope *scope, const char *name, const char *value)
{
    for (int i = 0; i < scope->count; i++) {
        if (strcmp(scope->fields[i].name, name) == 0) {
            scope->fields[i].value = value;
            return;
        }
    }
    MUST(scope->count < DIAG_FIELDS);
    scope->fields[scope->count++] = (struct diag_field){name, value};
}

/* ---- which fields an event has ---- */

struct fields {
    const struct diag_field *list[FIELDS_MOST];
    int count;
};

static bool has_field(const struct fields *fields, const char *name)
{
    for (int i = 0; i < fields->count; i++)
        if (strcmp(fields->list[i]->name, name) == 0)
            return true;
    return false;
}

/* Innermost first; a name that comes again further out is hidden by the inner one. */
static void gather_fields(struct fields *fields, const struct diag_scope *scope)
{
    for (fields->count = 0; scope; scope = scope->parent) {
        for (int i = scope->count - 1; i >= 0; i--) {
            const struct diag_field *field = &scope->fields[i];

            if (fields->count < FIELDS_MOST && field->value && !has_field(fields, field->name))
                fields->list[fields->count++] = field;
        }
    }
}

/* ---- the line ---- */

struct line {
    char data[DIAG_LINE_BYTES];
    size_t len;
};

/* Room for the closing brace and the newline is always kept. */
static size_t room_in(const struct line *line) { return sizeof line->data - 4 - line->len; }

static void put(struct line *line, const char *text)
{
    size_t len = strlen(text);

    if (len > room_in(line))
        len = room_in(line);
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

static void put_escaped(struct line *line, struct span text, enum escape_style style, size_t most)
{
    size_t room = room_in(line);

    line->len += escape_into(text, style, line->data + line->len, most < room ? most : room);
}

static void put_time(struct line *line)
{
    int64_t now_us = clock_wall_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    char text[48];

    gmtime_r(&seconds, &parts);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now_us % 1000000));
    put(line, text);
}

static bool needs_quotes(const char *value) { return *value == '\0' || strpbrk(value, " \"=\t\r\n") != NULL; }

static void put_text(struct line *line, enum diag_level level, struct span message, const struct fields *fields)
{
    put_time(line);
    put(line, " ");
    put(line, level_names[level]);
    put(line, " ");
    put_escaped(line, message, ESCAPE_TEXT, MESSAGE_BYTES);
    for (int i = fields->count - 1; i >= 0; i--) {
        const char *quote = needs_quotes(fields->list[i]->value) ? "\"" : "";

        put(line, " ");
        put(line, fields->list[i]->name);
        put(line, "=");
        put(line, quote);
        put_escaped(line, span_of(fields->list[i]->value), *quote ? ESCAPE_QUOTED : ESCAPE_TEXT, VALUE_BYTES);
        put(line, quote);
    }
}

/* Writes ,"name":"value" or nothing: half a member would not be JSON. */
static void put_member(struct line *line, const char *name, struct span value, size_t most)
{
    size_t frame = strlen(name) + sizeof ",\"\":\"\"";

    if (frame + 16 > room_in(line))
        return;
    put(line, ",\"");
    put(line, name);
    put(line, "\":\"");
    put_escaped(line, value, ESCAPE_JSON, most < room_in(line) - 1 ? most : room_in(line) - 1);
    put(line, "\"");
}

static void put_json(struct line *line, enum diag_level level, struct span message, const struct fields *fields)
{
    put(line, "{\"timestamp\":\"");
    put_time(line);
    put(line, "\"");
    put_member(line, "level", span_of(level_names[level]), 16);
    put_member(line, "message", message, MESSAGE_BYTES);
    for (int i = fields->count - 1; i >= 0; i--)
        put_member(line, fields->list[i]->name, span_of(fields->list[i]->value), VALUE_BYTES);
    line->data[line->len++] = '}';
}

/* A reader of stderr that is gone must not stop mail: what cannot be written is lost. */
static void write_line(struct line *line)
{
    line->data[line->len++] = '\n';
    pthread_mutex_lock(&write_lock);
    while (write(STDERR_FILENO, line->data, line->len) < 0 && errno == EINTR)
        ;
    pthread_mutex_unlock(&write_lock);
}

static void emit(enum diag_level level, const struct diag_scope *scope, struct span message)
{
    int saved_errno = errno;
    struct fields fields;
    struct line line;

    line.len = 0;
    gather_fields(&fields, scope);
    if (atomic_load(&format_now) == DIAG_JSON)
        put_json(&line, level, message, &fields);
    else
        put_text(&line, level, message, &fields);
    write_line(&line);
    errno = saved_errno;
}

void diag(enum diag_level level, const struct diag_scope *scope, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;

    if (!diag_is_on(level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    emit(level, scope, span_of(message));
}

void diag_error(const struct diag_scope *scope, const struct error *error, const char *format, ...)
{
    enum diag_level level = error->kind == ERROR_PERM ? DIAG_ERROR : DIAG_WARN;
    char message[MESSAGE_BYTES];
    va_list args;
    size_t used;

    if (!diag_is_on(level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    used = strlen(message);
    snprintf(message + used, sizeof message - used, ": %s", error->sentence);
    emit(level, scope, span_of(message));
}
