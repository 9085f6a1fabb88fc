/* SPDX-License-Identifier: Apache-2.0
 *
 * Words and tables for a terminal. What is shown may come from a peer, so nothing in it may
 * move the terminal.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ctl.h"

#define COLUMNS_MOST 16

void ctl_complain(const char *format, ...)
{
    va_list args;

    fputs("gatectl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int ctl_other_option(int option, const struct ctl_command *command)
{
    if (option == 'h') {
        fputs(command->usage, stdout);
        return CTL_OK;
    }
    fprintf(stderr, "'gatectl %s --help' tells the options\n", command->name);
    return CTL_USAGE;
}

void ctl_print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* The second byte of a C1 control character in UTF-8, which terminals obey too. */
static bool is_c1(const unsigned char *at) { return at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; }

void ctl_print_safe(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            printf("\\x%02x", *at);
        else if (is_c1(at))
            printf("\\x%02x", *++at);
        else
            putchar(*at);
    }
}

void ctl_print_duration(json_int_t seconds)
{
    if (seconds >= 86400)
        printf("%lldd ", (long long)(seconds / 86400));
    if (seconds >= 3600)
        printf("%lldh ", (long long)(seconds / 3600 % 24));
    if (seconds >= 60)
        printf("%lldm", (long long)(seconds / 60 % 60));
    else
        printf("%llds", (long long)seconds);
}

/* ---- tables ---- */

struct table {
    const char *columns[COLUMNS_MOST];
    size_t widths[COLUMNS_MOST];
    size_t count;
};

static char *cell_text(const json_t *value)
{
    char *text;

    if (!value || json_is_null(value))
        return mem_strdup("-");
    if (json_is_string(value))
        return mem_strdup(json_string_value(value));
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? text : mem_strdup("?");
}

static size_t column_of(struct table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->columns[i], key) == 0)
            return i;
    if (table->count == COLUMNS_MOST)
        return COLUMNS_MOST;
    table->columns[table->count] = key;
    table->widths[table->count] = strlen(key);
    return table->count++;
}

static void measure(struct table *table, const json_t *rows)
{
    size_t index;
    json_t *row, *value;
    const char *key;

    json_array_foreach(rows, index, row)
    {
        json_object_foreach(row, key, value)
        {
            size_t column = column_of(table, key);
            char *text = cell_text(value);

            if (column < COLUMNS_MOST && strlen(text) > table->widths[column])
                table->widths[column] = strlen(text);
            free(text);
        }
    }
}

static void print_cell(const struct table *table, size_t column, const char *text, bool is_number)
{
    int pad = (int)(table->widths[column] - strlen(text));
    bool is_last = column + 1 == table->count;

    if (is_number)
        printf("%*s", pad, "");
    ctl_print_safe(text);
    if (!is_number && !is_last)
        printf("%*s", pad, "");
    fputs(is_last ? "\n" : "  ", stdout);
}

void ctl_print_table(const json_t *rows)
{
    struct table table = {.count = 0};
    size_t index;
    json_t *row;

    measure(&table, rows);
    for (size_t i = 0; i < table.count; i++)
        print_cell(&table, i, table.columns[i], false);
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < table.count; i++) {
            const json_t *value = json_object_get(row, table.columns[i]);
            char *text = cell_text(value);

            print_cell(&table, i, text, json_is_number(value));
            free(text);
        }
    }
}
