/* SPDX-License-Identifier: Apache-2.0
 *
 * What OAUTHBEARER and XOAUTH2 have in common: pairs that end with a ^A, a bearer token among them, and a refusal in
 * two steps: first JSON as a challenge, so that the client can find out where to get a better token; then, whatever the
 * client says to that, the reply.
 */
#include "auth/auth_private.h"
#include "base/must.h"
#include "base/span.h"

#define PAIR_END '\x01'

/* VCHAR, SP, HTAB, CR and LF (RFC 7628, section 3.1). */
static bool is_value(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_key(struct span key)
{
    for (size_t i = 0; i < key.len; i++)
        if (ascii_lower(key.data[i]) < 'a' || ascii_lower(key.data[i]) > 'z')
            return false;
    return key.len > 0;
}

/* "key=value" behind which a ^A stood. */
static int read_pair(struct span pair, struct span wanted, struct span *value_out)
{
    size_t equals = span_find(pair, '=');
    struct span key = span_head(pair, equals);
    struct span value = span_from(pair, equals + 1);

    if (equals == pair.len || !is_key(key) || !is_value(value))
        return -1;
    if (!span_eq(key, wanted))
        return 0;
    if (value_out->data)
        return -1;
    *value_out = value;
    return 0;
}

int bearer_find(struct span pairs, const char *key, struct span *value_out)
{
    struct span found = {NULL, 0};
    struct span pair;

    while (pairs.len > 0 && pairs.data[0] != PAIR_END) {
        (void)span_split(&pairs, PAIR_END, &pair);
        if (!pairs.data || read_pair(pair, span_of(key), &found))
            return -1;
    }
    if (pairs.len != 1)
        return -1;
    *value_out = found;
    return 0;
}

/* b64token of RFC 6750, section 2.1. */
static bool is_token(struct span token)
{
    size_t len = token.len;

    while (len > 0 && token.data[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        char c = ascii_lower(token.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && (c == '\0' || !strchr("-._~+/", c)))
            return false;
    }
    return len > 0;
}

int bearer_take_token(struct auth_exchange *exchange, struct span value)
{
    size_t space = span_find(value, ' ');
    struct span token;

    if (!value.data) /* no such pair */
        return -1;
    token = span_from(value, space);
    while (token.len > 0 && token.data[0] == ' ')
        token = span_from(token, 1);
    if (!span_ieq(span_head(value, space), SPAN_LIT("Bearer")) || !is_token(token))
        return -1;
    exchange->question.kind = AUTH_ASK_TOKEN;
    exchange->question.token = span_dup(token);
    return 0;
}

enum auth_step bearer_answered(struct auth_exchange *exchange, const struct auth_answer *answer, const char *refusal)
{
    if (answer->granted)
        return auth_end_as_named(exchange, answer);
    MUST(auth_exchange_is_refused(exchange));
    return auth_challenge(exchange, span_of(refusal));
}
