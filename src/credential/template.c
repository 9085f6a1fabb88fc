/* SPDX-License-Identifier: Apache-2.0
 *
 * See template.h.
 */
#include "credential/template.h"

#include <string.h>

static const char place[] = "{user}";

bool template_has_user(const char *text) { return strstr(text, place) != NULL; }

int template_put(const char *text, struct span user, int (*put)(struct span user, struct buf *out), struct buf *out)
{
    const char *found;

    for (; (found = strstr(text, place)); text = found + strlen(place))
        if (buf_append(out, text, (size_t)(found - text)) || put(user, out))
            return -1;
    return buf_append(out, text, strlen(text));
}

int template_put_as_is(struct span user, struct buf *out) { return buf_append_span(out, user); }

static int put_hex(unsigned char c, struct buf *out) { return buf_appendf(out, "\\%02x", c); }

static bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

int template_put_filter(struct span user, struct buf *out)
{
    for (size_t i = 0; i < user.len; i++) {
        unsigned char c = (unsigned char)user.data[i];

        if (is_control(c) || strchr("*()\\", c) ? put_hex(c, out) : buf_append(out, &c, 1))
            return -1;
    }
    return 0;
}

int template_put_dn(struct span user, struct buf *out)
{
    for (size_t i = 0; i < user.len; i++) {
        unsigned char c = (unsigned char)user.data[i];
        bool is_edge = (c == ' ' && (i == 0 || i + 1 == user.len)) || (c == '#' && i == 0);

        if (is_edge || is_control(c) || strchr("\"+,;<>=\\", c) ? put_hex(c, out) : buf_append(out, &c, 1))
            return -1;
    }
    return 0;
}
