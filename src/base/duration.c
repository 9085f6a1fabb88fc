/* SPDX-License-Identifier: Apache-2.0
 *
 * A sum of number-unit pairs.
 */
#include "base/duration.h"

#include <stddef.h>

struct unit {
    const char *name;
    double milliseconds;
};

static const struct unit units[] = {
    {"ns", 1e-6},        {"nsec", 1e-6},     {"nanos", 1e-6},      {"us", 1e-3},          {"usec", 1e-3},
    {"micros", 1e-3},    {"ms", 1},          {"msec", 1},          {"millis", 1},         {"millisecond", 1},
    {"milliseconds", 1}, {"s", 1e3},         {"sec", 1e3},         {"secs", 1e3},         {"second", 1e3},
    {"seconds", 1e3},    {"m", 6e4},         {"min", 6e4},         {"mins", 6e4},         {"minute", 6e4},
    {"minutes", 6e4},    {"h", 3.6e6},       {"hr", 3.6e6},        {"hrs", 3.6e6},        {"hour", 3.6e6},
    {"hours", 3.6e6},    {"d", 8.64e7},      {"day", 8.64e7},      {"days", 8.64e7},      {"w", 6.048e8},
    {"week", 6.048e8},   {"weeks", 6.048e8}, {"M", 2.63016e9},     {"month", 2.63016e9},  {"months", 2.63016e9},
    {"y", 3.15576e10},   {"yr", 3.15576e10}, {"year", 3.15576e10}, {"years", 3.15576e10},
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static struct span skip_spaces(struct span s)
{
    while (s.len > 0 && s.data[0] == ' ')
        s = span_from(s, 1);
    return s;
}

/* Digits, with an optional fraction. False when there are none. */
static bool take_number(struct span *s, double *number_out)
{
    double number = 0;
    double scale = 1;
    size_t i = 0;

    while (i < s->len && is_digit(s->data[i]))
        number = number * 10 + (s->data[i++] - '0');
    if (i == 0)
        return false;
    if (i + 1 < s->len && s->data[i] == '.' && is_digit(s->data[i + 1]))
        for (i++; i < s->len && is_digit(s->data[i]); i++)
            number += (s->data[i] - '0') * (scale /= 10);
    *s = span_from(*s, i);
    *number_out = number;
    return true;
}

static const struct unit *take_unit(struct span *s)
{
    size_t len = 0;

    while (len < s->len && is_letter(s->data[len]))
        len++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (span_eq(span_head(*s, len), span_of(units[i].name))) {
            *s = span_from(*s, len);
            return &units[i];
        }
    return NULL;
}

int duration_parse(struct span text, uint64_t *milliseconds_out, struct error *error)
{
    struct span rest = span_trim(text);
    double total = 0;
    double number;

    if (rest.len == 0)
        return error_set(error, ERROR_PERM, "a duration is empty: write for example '5 minutes'");
    while (rest.len > 0) {
        const struct unit *unit;
        bool bare;

        if (!take_number(&rest, &number))
            return error_set(error, ERROR_PERM, "'%.*s' is not a duration: a number is missing", SPAN_ARG(text));
        rest = skip_spaces(rest);
        bare = rest.len == 0 && total == 0;
        unit = bare ? NULL : take_unit(&rest);
        if (!unit && !bare)
            return error_set(error, ERROR_PERM, "'%.*s' is not a duration: unknown or missing unit", SPAN_ARG(text));
        total += number * (bare ? 1000 : unit->milliseconds);
        rest = skip_spaces(rest);
    }
    if (total > 9e15)
        return error_set(error, ERROR_PERM, "'%.*s' is too long a duration", SPAN_ARG(text));
    *milliseconds_out = (uint64_t)(total + 0.5);
    return 0;
}
