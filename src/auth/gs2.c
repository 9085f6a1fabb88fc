/* SPDX-License-Identifier: Apache-2.0
 *
 * The header that SCRAM and OAUTHBEARER begin with (RFC 5801, section 4): whether the client binds the login to the
 * channel, and as whom it wants to act. Non-standard mechanisms (the "F" flag) are not ours.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/auth_private.h"
#include "base/mem.h"
#include "base/span.h"

/* cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool is_binding_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-')
            return false;
    }
    return name.len > 0;
}

static int read_flag(struct span flag, struct gs2_header *header)
{
    if (span_eq(flag, SPAN_LIT("n")) || span_eq(flag, SPAN_LIT("y"))) {
        header->flag = flag.data[0];
        return 0;
    }
    if (!span_starts_with(flag, SPAN_LIT("p=")) || !is_binding_name(span_from(flag, 2)))
        return -1;
    header->flag = 'p';
    header->binding = span_from(flag, 2);
    return 0;
}

int gs2_parse(struct span message, struct gs2_header *header_out)
{
    struct gs2_header header = {0};
    struct span rest = message;
    struct span flag;
    struct span authzid;

    if (!span_split(&rest, ',', &flag) || !rest.data || !span_split(&rest, ',', &authzid) || !rest.data ||
        read_flag(flag, &header))
        return -1;
    if (authzid.len > 0) {
        if (!span_starts_with(authzid, SPAN_LIT("a=")))
            return -1;
        if (authzid.len > 2) /* GNU SASL sends "a=" and nothing when told to act as nobody else */
            header.authzid = span_from(authzid, 2);
    }
    header.len = message.len - rest.len;
    *header_out = header;
    return 0;
}

/* The character that a "=" stands for at the beginning of `text`; '\0': none. */
static char decode_escape(struct span text)
{
    if (span_starts_with(text, SPAN_LIT("=2C")))
        return ',';
    return span_starts_with(text, SPAN_LIT("=3D")) ? '=' : '\0';
}

static int decode_into(struct span text, char *name, size_t *len_out)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '=') {
            c = decode_escape(span_from(text, i));
            i += 2;
        }
        if (c == '\0')
            return -1;
        name[len++] = c;
    }
    name[len] = '\0';
    *len_out = len;
    return 0;
}

char *gs2_decode_name(struct span text)
{
    char *name = mem_alloc(text.len + 1);
    size_t len;

    if (decode_into(text, name, &len) == 0 && len > 0 && auth_identity_is_sound(span_make(name, len)))
        return name;
    free(name);
    return NULL;
}
