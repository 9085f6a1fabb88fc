/* SPDX-License-Identifier: Apache-2.0
 *
 * The site name: one short text for a set of mail exchangers, used to share limits and to
 * name queues. Labels are compared column by column from the right; where hosts differ the
 * column lists what it saw, "(mx1|mx2).example.com", and "?" says that some hosts have no
 * label there.
 *
 * The awkward truth: different sets of hosts can fold to the same text, and somebody who
 * chooses MX records can choose them so. It is a label, never the identity of a plan.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "dns/dns_private.h"

#define COLUMNS 128 /* a name of 253 octets has at most 127 labels */
#define SITE_NAME_LIMIT (DNS_HOSTS_LIMIT * (DNS_NAME_BYTES + 4) + COLUMNS * 4)

static void append(struct buf *out, struct span s) { MUST(buf_append_span(out, s) == 0); }

/* Cuts the last label off `*rest`; an address literal is one label. False at the end. */
static bool take_last_label(struct span *rest, struct span *label_out)
{
    size_t dot = rest->len;

    if (rest->len == 0)
        return false;
    if (rest->data[0] == '[') {
        *label_out = span_make(rest->data + 1, rest->len - (rest->data[rest->len - 1] == ']' ? 2 : 1));
        rest->len = 0;
        return true;
    }
    while (dot > 0 && rest->data[dot - 1] != '.')
        dot--;
    *label_out = span_from(*rest, dot);
    rest->len = dot > 0 ? dot - 1 : 0;
    return true;
}

static bool is_among(const struct span *labels, size_t count, struct span label)
{
    for (size_t i = 0; i < count; i++)
        if (span_ieq(labels[i], label))
            return true;
    return false;
}

/* The next column of all hosts, from the right; false when no host has one. */
static bool fold_column(struct span *rests, size_t hosts, struct buf *out)
{
    struct span labels[DNS_HOSTS_LIMIT];
    size_t count = 0;
    bool some_lack = false;
    struct span label;

    for (size_t i = 0; i < hosts; i++) {
        if (!take_last_label(&rests[i], &label))
            some_lack = true;
        else if (!is_among(labels, count, label))
            labels[count++] = label;
    }
    if (count == 0)
        return false;
    if (count > 1)
        append(out, SPAN_LIT("("));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            append(out, SPAN_LIT("|"));
        append(out, labels[i]);
    }
    if (count > 1)
        append(out, SPAN_LIT(")"));
    if (some_lack)
        append(out, SPAN_LIT("?"));
    return true;
}

static struct span without_final_dot(struct span name)
{
    return name.len > 0 && name.data[name.len - 1] == '.' ? span_head(name, name.len - 1) : name;
}

char *dns_site_name(const char *const *hosts, size_t count)
{
    struct span rests[DNS_HOSTS_LIMIT];
    struct buf columns[COLUMNS];
    size_t column_count = 0;
    struct buf out;
    char *text;

    count = count > DNS_HOSTS_LIMIT ? DNS_HOSTS_LIMIT : count;
    for (size_t i = 0; i < count; i++)
        rests[i] = span_head(without_final_dot(span_of(hosts[i])), DNS_NAME_BYTES - 1);
    for (; column_count < COLUMNS; column_count++) {
        buf_init(&columns[column_count], SITE_NAME_LIMIT);
        if (!fold_column(rests, count, &columns[column_count]))
            break;
    }
    buf_init(&out, SITE_NAME_LIMIT);
    for (size_t i = column_count; i > 0; i--) {
        append(&out, buf_span(&columns[i - 1]));
        if (i > 1)
            append(&out, SPAN_LIT("."));
        buf_done(&columns[i - 1]);
    }
    text = span_dup(buf_span(&out));
    buf_done(&out);
    for (char *c = text; *c; c++)
        *c = ascii_lower(*c);
    return text;
}
