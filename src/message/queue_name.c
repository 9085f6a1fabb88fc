/* SPDX-License-Identifier: Apache-2.0
 *
 * The name of the scheduled queue a message belongs to:
 * "campaign:tenant@domain!routing_domain", each part where it is known.
 */
#include "message/message.h"

static struct span meta_text(const struct message *message, const char *key)
{
    const char *text = json_string_value(message_meta_get(message, key));

    return text ? span_of(text) : SPAN_LIT("");
}

static int append_lower(struct buf *out, struct span text)
{
    char *room = buf_reserve(out, text.len);

    if (!room)
        return -1;
    for (size_t i = 0; i < text.len; i++)
        room[i] = ascii_lower(text.data[i]);
    buf_commit(out, text.len);
    return 0;
}

static int append_part(struct buf *out, struct span text, const char *mark)
{
    if (text.len == 0)
        return 0;
    return buf_append_span(out, text) || buf_append(out, mark, strlen(mark)) ? -1 : 0;
}

static int append_name(const struct message *message, struct buf *out)
{
    struct span campaign = meta_text(message, "campaign");
    struct span tenant = meta_text(message, "tenant");
    struct span routing = meta_text(message, "routing_domain");

    if (append_part(out, campaign, ":") || buf_append_span(out, tenant))
        return -1;
    if ((campaign.len > 0 || tenant.len > 0) && buf_append(out, "@", 1))
        return -1;
    if (append_lower(out, message_recipient_domain(message)))
        return -1;
    if (routing.len > 0 && (buf_append(out, "!", 1) || append_lower(out, routing)))
        return -1;
    return 0;
}

int message_queue_name(const struct message *message, struct buf *out)
{
    struct span queue = meta_text(message, "queue");
    size_t before = buf_len(out);

    if (queue.len > 0)
        return buf_append_span(out, queue);
    if (append_name(message, out) == 0)
        return 0;
    buf_truncate(out, before);
    return -1;
}
