/* SPDX-License-Identifier: Apache-2.0
 *
 * /metrics.json, made from the same text that Prometheus reads, so that the two cannot
 * disagree. The shape is KumoMTA's: a plain number; for one label an object from label to
 * values; for several labels a list of objects in which "@" is the number.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_private.h"

#define LABELS_MOST 16

struct label {
    struct span name;
    char *value; /* unescaped */
};

struct sample {
    struct span name;
    struct label labels[LABELS_MOST];
    size_t label_count;
    double value;
};

/* Reads a quoted value at the start of `*rest`. NULL when it does not end. */
static char *take_value(struct span *rest)
{
    char *value = malloc(rest->len + 1);
    size_t used = 0, i = 1;

    for (; value && i < rest->len && rest->data[i] != '"'; i++) {
        char c = rest->data[i];

        if (c == '\\' && i + 1 < rest->len) {
            c = rest->data[++i];
            c = c == 'n' ? '\n' : c;
        }
        value[used++] = c;
    }
    if (!value || i >= rest->len) {
        free(value);
        return NULL;
    }
    value[used] = '\0';
    *rest = span_from(*rest, i + 1);
    return value;
}

/* {name="value",...} at the start of `*rest`. */
static int take_labels(struct span *rest, struct sample *sample)
{
    *rest = span_from(*rest, 1);
    while (rest->len > 0 && rest->data[0] != '}') {
        size_t equals = span_find(*rest, '=');
        struct label *label = &sample->labels[sample->label_count];

        if (sample->label_count == LABELS_MOST || equals + 1 >= rest->len || rest->data[equals + 1] != '"')
            return -1;
        label->name = span_head(*rest, equals);
        *rest = span_from(*rest, equals + 1);
        label->value = take_value(rest);
        if (!label->value)
            return -1;
        sample->label_count++;
        if (rest->len > 0 && rest->data[0] == ',')
            *rest = span_from(*rest, 1);
    }
    if (rest->len == 0)
        return -1;
    *rest = span_from(*rest, 1);
    return 0;
}

static int read_sample(struct span line, struct sample *sample)
{
    size_t end = 0;
    char number[64];
    char *after;

    while (end < line.len && line.data[end] != '{' && line.data[end] != ' ')
        end++;
    sample->name = span_head(line, end);
    line = span_from(line, end);
    if (line.len > 0 && line.data[0] == '{' && take_labels(&line, sample) < 0)
        return -1;
    line = span_trim(line);
    if (sample->name.len == 0 || line.len == 0 || line.len >= sizeof number)
        return -1;
    memcpy(number, line.data, line.len);
    number[line.len] = '\0';
    sample->value = strtod(number, &after);
    return *after == '\0' || *after == ' ' ? 0 : -1;
}

static void sample_done(struct sample *sample)
{
    for (size_t i = 0; i < sample->label_count; i++)
        free(sample->labels[i].value);
}

/* ---- building ---- */

static json_t *number(double value)
{
    if (!isfinite(value))
        return json_null();
    return floor(value) == value && fabs(value) < 9e15 ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *text(const char *value)
{
    json_t *string = json_string(value);

    return string ? string : json_string("(not UTF-8)");
}

/* NULL when it cannot be had (a key that is not UTF-8, a name used in two ways); jansson takes NULL
 * for an object and does nothing. */
static json_t *member(json_t *object, const char *key, json_t *fresh)
{
    json_t *there = json_object_get(object, key);

    if (there) {
        json_decref(fresh);
        return there;
    }
    return json_object_set_new(object, key, fresh) == 0 ? fresh : NULL;
}

static json_t *metric_of(json_t *all, struct span name)
{
    char *key = span_dup(name);
    json_t *metric = member(all, key, json_object());

    free(key);
    return metric;
}

static void add_one_label(json_t *metric, const struct sample *sample)
{
    json_t *values = member(metric, "value", json_object());
    char *name = span_dup(sample->labels[0].name);

    json_object_set_new_nocheck(member(values, name, json_object()),
                                span_is_utf8(span_of(sample->labels[0].value)) ? sample->labels[0].value
                                                                               : "(not UTF-8)",
                                number(sample->value));
    free(name);
}

static void add_labels(json_t *metric, const struct sample *sample)
{
    json_t *list = member(metric, "value", json_array());
    json_t *object = json_object();

    for (size_t i = 0; i < sample->label_count; i++) {
        char *name = span_dup(sample->labels[i].name);

        json_object_set_new(object, name, text(sample->labels[i].value));
        free(name);
    }
    json_object_set_new(object, "@", number(sample->value));
    json_array_append_new(list, object);
}

static int add_sample(json_t *all, struct span line)
{
    struct sample sample = {.label_count = 0};
    int result = read_sample(line, &sample);

    if (result == 0) {
        json_t *metric = metric_of(all, sample.name);

        if (sample.label_count == 0)
            json_object_set_new(metric, "value", number(sample.value));
        else if (sample.label_count == 1)
            add_one_label(metric, &sample);
        else
            add_labels(metric, &sample);
    }
    sample_done(&sample);
    return result;
}

/* "# HELP name text" and "# TYPE name kind". */
static void add_comment(json_t *all, struct span line)
{
    struct span rest = span_from(line, 2), word, name;
    char *value;

    if (!span_split(&rest, ' ', &word) || !span_split(&rest, ' ', &name) || !rest.data)
        return;
    value = span_dup(rest);
    if (span_eq(word, SPAN_LIT("HELP")))
        json_object_set_new(metric_of(all, name), "help", text(value));
    else if (span_eq(word, SPAN_LIT("TYPE")))
        json_object_set_new(metric_of(all, name), "type", text(value));
    free(value);
}

json_t *metrics_json(struct span exposition)
{
    json_t *all = json_object();
    struct span line;

    while (span_split(&exposition, '\n', &line)) {
        if (line.len == 0)
            continue;
        if (line.data[0] == '#') {
            add_comment(all, line);
        } else if (add_sample(all, line) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}
