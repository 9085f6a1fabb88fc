/* SPDX-License-Identifier: Apache-2.0
 *
 * Read from the right, since tenants and campaigns may hold '@' and '!' and domains do not.
 */
#include "queue/name.h"

static size_t find_last(struct span s, char c)
{
    for (size_t i = s.len; i > 0; i--)
        if (s.data[i - 1] == c)
            return i - 1;
    return s.len;
}

static bool is_clean(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    return true;
}

int queue_name_parse(struct span text, struct queue_name *name_out)
{
    struct queue_name name = {0};
    size_t at = find_last(text, '@');
    struct span owner = at < text.len ? span_head(text, at) : span_head(text, 0);
    struct span place = at < text.len ? span_from(text, at + 1) : text;
    size_t bang = span_find(place, '!');
    size_t colon = span_find(owner, ':');

    if (text.len > QUEUE_NAME_LIMIT || !is_clean(text))
        return -1;
    name.domain = span_head(place, bang);
    name.routing_domain = span_from(place, bang + 1);
    if (colon < owner.len)
        name.campaign = span_head(owner, colon);
    name.tenant = colon < owner.len ? span_from(owner, colon + 1) : owner;
    if (name.domain.len == 0)
        return -1;
    *name_out = name;
    return 0;
}
