/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading addresses strictly, and comparing them with patterns. A pattern that makes no sense covers nothing; one with
 * {user} in it can only ever become an address, so that nobody who chooses a name like "@example.com" or "*" gets more
 * than that.
 */
#include "gate/identity_address.h"

#include <string.h>

#include "gate/identity_signs.h"
#include "smtp/address.h"

#define USER_MARK "{user}"

/* What looks like an @ to some, or would be seen in another order. */
static bool has_odd_sign(struct span text)
{
    return gate_has_other_at(text) || gate_has_turn(text) || gate_has_direction(text);
}

/* ---- reading ---- */

static bool is_sound_local(struct span local)
{
    if (local.len == 0 || !span_is_utf8(local) || has_odd_sign(local) || memmem(local.data, local.len, "=?", 2))
        return false;
    for (size_t i = 0; i < local.len; i++)
        if ((unsigned char)local.data[i] <= ' ' || strchr("()<>[]:;@\\,\"\x7f", local.data[i]))
            return false;
    return true;
}

static bool is_dotted(struct span text)
{
    if (text.len == 0 || text.data[0] == '.' || text.data[text.len - 1] == '.')
        return false;
    return !memmem(text.data, text.len, "..", 2);
}

static int read_local(struct span text, struct gate_address *out)
{
    bool is_quoted = text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"';
    size_t len = text.len;

    if (text.len >= sizeof out->text / 2)
        return -1;
    if (is_quoted)
        len = smtp_local_unquote(text, out->text);
    else
        memcpy(out->text, text.data, text.len);
    if (!is_sound_local(span_make(out->text, len)) || (!is_quoted && !is_dotted(text)))
        return -1;
    out->at = len;
    return 0;
}

static bool is_domain_char(char c)
{
    char lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           (unsigned char)c >= 0x80;
}

static bool is_domain(struct span domain)
{
    if (!is_dotted(domain) || !span_is_utf8(domain) || has_odd_sign(domain) || gate_has_non_letter(domain))
        return false;
    for (size_t i = 0; i < domain.len; i++)
        if (!is_domain_char(domain.data[i]))
            return false;
    return true;
}

static bool is_literal(struct span domain)
{
    if (domain.len < 3 || domain.data[0] != '[' || domain.data[domain.len - 1] != ']')
        return false;
    for (size_t i = 1; i < domain.len - 1; i++)
        if ((unsigned char)domain.data[i] <= ' ' || (unsigned char)domain.data[i] >= 0x7f ||
            strchr("[]\\@<>", domain.data[i]))
            return false;
    return true;
}

static struct span without_last_dot(struct span domain)
{
    if (domain.len > 1 && domain.data[domain.len - 1] == '.')
        domain.len--;
    return domain;
}

/* Where the local part ends: the first @ that is not in quotes. */
static size_t find_at(struct span text)
{
    size_t i = 0;

    if (text.len == 0 || text.data[0] != '"')
        return span_find(text, '@');
    for (i = 1; i < text.len && text.data[i] != '"'; i++)
        if (text.data[i] == '\\')
            i++;
    return i + 1 < text.len && text.data[i + 1] == '@' ? i + 1 : text.len;
}

int gate_address_read(struct span text, struct gate_address *address_out)
{
    size_t at = find_at(text);
    struct span domain = without_last_dot(span_from(text, at + 1));
    struct gate_address address;

    if (at >= text.len || read_local(span_head(text, at), &address))
        return -1;
    if ((!is_domain(domain) && !is_literal(domain)) || domain.len > SMTP_DOMAIN_LIMIT)
        return -1;
    if (address.at + 1 + domain.len >= sizeof address.text)
        return -1;
    address.text[address.at] = '@';
    memcpy(address.text + address.at + 1, domain.data, domain.len);
    address.text[address.at + 1 + domain.len] = '\0';
    for (char *c = address.text; *c; c++)
        *c = ascii_lower(*c);
    *address_out = address;
    return 0;
}

/* ---- patterns ---- */

/* The pattern with the name in place of the mark. -1: no room. */
static int put_user(struct span pattern, const char *user, char out[GATE_ADDRESS_BYTES])
{
    const char *mark = memmem(pattern.data, pattern.len, USER_MARK, strlen(USER_MARK));
    size_t before = (size_t)(mark - pattern.data), middle = strlen(user);
    struct span after = span_from(pattern, before + strlen(USER_MARK));

    if (before + middle + after.len >= GATE_ADDRESS_BYTES)
        return -1;
    memcpy(out, pattern.data, before);
    memcpy(out + before, user, middle);
    memcpy(out + before + middle, after.data, after.len);
    out[before + middle + after.len] = '\0';
    return 0;
}

static bool has_mark(const char *pattern) { return strstr(pattern, USER_MARK) != NULL; }

int gate_pattern_address(const char *pattern, const char *user, struct gate_address *address_out)
{
    char text[GATE_ADDRESS_BYTES];

    if (!has_mark(pattern))
        return gate_address_read(span_of(pattern), address_out);
    if (!user || put_user(span_of(pattern), user, text))
        return -1;
    return gate_address_read(span_of(text), address_out);
}

static bool is_below(struct span domain, struct span suffix /* ".example.com" */)
{
    return domain.len > suffix.len && span_iends_with(domain, suffix);
}

/* A pattern of domains: what stands behind an @, or no @ at all. */
static bool domain_covers(struct span pattern, struct span domain)
{
    pattern = without_last_dot(pattern);
    if (span_starts_with(pattern, SPAN_LIT("*.")))
        return is_domain(span_from(pattern, 2)) && is_below(domain, span_from(pattern, 1));
    return span_ieq(pattern, domain);
}

bool gate_pattern_covers(const char *pattern, const char *user, const struct gate_address *address)
{
    struct gate_address one;

    if (has_mark(pattern) || (*pattern != '@' && strchr(pattern, '@')))
        return !gate_pattern_address(pattern, user, &one) && !strcmp(one.text, address->text);
    if (!strcmp(pattern, "*"))
        return true;
    return domain_covers(span_of(*pattern == '@' ? pattern + 1 : pattern), span_of(address->text + address->at + 1));
}

bool gate_pattern_is_sound(const char *pattern)
{
    struct span domain = without_last_dot(span_of(*pattern == '@' ? pattern + 1 : pattern));
    struct gate_address address;

    if (!strcmp(pattern, "*") || !strcmp(pattern, USER_MARK))
        return true;
    if (has_mark(pattern) || (*pattern != '@' && strchr(pattern, '@')))
        return !gate_pattern_address(pattern, "user", &address);
    if (span_starts_with(domain, SPAN_LIT("*.")))
        return is_domain(span_from(domain, 2));
    return is_domain(domain) || is_literal(domain);
}
