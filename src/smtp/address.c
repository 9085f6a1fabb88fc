/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths and mailboxes: where the local part ends, what it may hold, what is allowed
 * around it. Domains are in domain.c.
 */
#include "smtp/address.h"

#include "base/must.h"

const char *smtp_address_fault_text(enum smtp_address_fault fault)
{
    static const char *const phrases[] = {
        [SMTP_ADDRESS_FINE] = "fine",
        [SMTP_ADDRESS_NO_BRACKETS] = "address must be in angle brackets",
        [SMTP_ADDRESS_SYNTAX] = "address must be local@domain",
        [SMTP_ADDRESS_LOCAL] = "local part has a character it cannot have",
        [SMTP_ADDRESS_DOMAIN] = "domain is not a domain name",
        [SMTP_ADDRESS_LITERAL] = "address literal is not an IP address",
        [SMTP_ADDRESS_LOCAL_TOO_LONG] = "local part is longer than 64 octets",
        [SMTP_ADDRESS_DOMAIN_TOO_LONG] = "domain is longer than 255 octets",
        [SMTP_ADDRESS_PATH_TOO_LONG] = "path is longer than 256 octets",
        [SMTP_ADDRESS_NULL] = "address is empty",
        [SMTP_ADDRESS_NOT_UTF8] = "address is not valid UTF-8",
        [SMTP_ADDRESS_8BIT] = "address needs SMTPUTF8",
    };

    MUST((size_t)fault < sizeof phrases / sizeof phrases[0]);
    return phrases[fault];
}

/* RFC 5321's atext; 8-bit bytes were checked as UTF-8 before. */
static bool is_atext(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || ((unsigned char)c >= 0x80) ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of the dot-string at the start of `s`; 0 when there is none. */
static size_t dot_string_length(struct span s)
{
    size_t at = 0;

    for (;;) {
        size_t start = at;

        while (at < s.len && is_atext(s.data[at]))
            at++;
        if (at == start)
            return 0;
        if (at == s.len || s.data[at] != '.')
            return at;
        at++;
    }
}

/* Length of the quoted string at the start of `s`, quotes included; 0 when it has no end. */
static size_t quoted_string_length(struct span s)
{
    for (size_t at = 1; at < s.len; at++) {
        if (s.data[at] == '"')
            return at + 1;
        if (s.data[at] == '\\')
            at++;
        if (at >= s.len || (unsigned char)s.data[at] < 0x20 || s.data[at] == 0x7f)
            return 0;
    }
    return 0;
}

static size_t local_length(struct span s)
{
    if (s.len > 0 && s.data[0] == '"')
        return quoted_string_length(s);
    return dot_string_length(s);
}

static enum smtp_address_fault check_bytes(struct span text, unsigned allow, bool *is_8bit_out)
{
    *is_8bit_out = !span_is_ascii(text);
    if (!*is_8bit_out)
        return SMTP_ADDRESS_FINE;
    if (!span_is_utf8(text))
        return SMTP_ADDRESS_NOT_UTF8;
    return allow & SMTP_ADDRESS_ALLOW_UTF8 ? SMTP_ADDRESS_FINE : SMTP_ADDRESS_8BIT;
}

static enum smtp_address_fault check_domain_part(const struct smtp_mailbox *mailbox)
{
    if (mailbox->local.len > SMTP_LOCAL_LIMIT)
        return SMTP_ADDRESS_LOCAL_TOO_LONG;
    return smtp_host_check(mailbox->domain, true);
}

enum smtp_address_fault smtp_mailbox_parse(struct span text, unsigned allow, struct smtp_mailbox *mailbox_out)
{
    struct smtp_mailbox mailbox = {.text = text, .domain = span_from(text, text.len)};
    enum smtp_address_fault fault = check_bytes(text, allow, &mailbox.is_8bit);
    size_t local;

    if (fault)
        return fault;
    if (text.len == 0) {
        mailbox.local = text;
        if (!(allow & SMTP_ADDRESS_ALLOW_NULL))
            return SMTP_ADDRESS_NULL;
        *mailbox_out = mailbox;
        return SMTP_ADDRESS_FINE;
    }
    local = local_length(text);
    mailbox.local = span_head(text, local);
    if ((allow & SMTP_ADDRESS_ALLOW_POSTMASTER) && span_ieq(text, SPAN_LIT("postmaster"))) {
        *mailbox_out = mailbox;
        return SMTP_ADDRESS_FINE;
    }
    if (local == 0)
        return span_find(text, '@') == 0 ? SMTP_ADDRESS_SYNTAX : SMTP_ADDRESS_LOCAL;
    if (local == text.len)
        return SMTP_ADDRESS_SYNTAX;
    if (text.data[local] != '@')
        return SMTP_ADDRESS_LOCAL;
    mailbox.domain = span_from(text, local + 1);
    fault = check_domain_part(&mailbox);
    if (!fault)
        *mailbox_out = mailbox;
    return fault;
}

/* The end of <...>: the first '>' outside of quotes. text.len when there is none. */
static size_t closing_bracket(struct span text)
{
    bool quoted = false;

    for (size_t at = 1; at < text.len; at++) {
        if (quoted && text.data[at] == '\\')
            at++;
        else if (text.data[at] == '"')
            quoted = !quoted;
        else if (text.data[at] == '>' && !quoted)
            return at;
    }
    return text.len;
}

/* "@one,@two:user@domain": the route is of no use any more (RFC 5321, appendix C). */
static enum smtp_address_fault drop_source_route(struct span *inside)
{
    struct span route;
    struct span hop;
    size_t colon;

    if (inside->len == 0 || inside->data[0] != '@')
        return SMTP_ADDRESS_FINE;
    /* a colon inside of brackets belongs to an IPv6 literal */
    for (colon = 0; colon < inside->len && inside->data[colon] != ':'; colon++)
        if (inside->data[colon] == '[')
            colon += span_find(span_from(*inside, colon), ']');
    if (colon >= inside->len)
        return SMTP_ADDRESS_SYNTAX;
    route = span_head(*inside, colon);
    while (span_split(&route, ',', &hop))
        if (hop.len < 2 || hop.data[0] != '@' || smtp_host_check(span_from(hop, 1), true))
            return SMTP_ADDRESS_SYNTAX;
    *inside = span_from(*inside, colon + 1);
    return inside->len > 0 ? SMTP_ADDRESS_FINE : SMTP_ADDRESS_SYNTAX;
}

enum smtp_address_fault smtp_path_parse(struct span text, unsigned allow, struct smtp_mailbox *mailbox_out,
                                        size_t *used_out)
{
    enum smtp_address_fault fault;
    struct smtp_mailbox mailbox;
    struct span inside;
    size_t end;

    if (text.len < 2 || text.data[0] != '<')
        return SMTP_ADDRESS_NO_BRACKETS;
    end = closing_bracket(text);
    if (end == text.len || (end + 1 < text.len && text.data[end + 1] != ' '))
        return SMTP_ADDRESS_NO_BRACKETS;
    inside = span_make(text.data + 1, end - 1);
    fault = drop_source_route(&inside);
    if (!fault)
        fault = smtp_mailbox_parse(inside, allow, &mailbox);
    if (!fault && mailbox.text.len + 2 > SMTP_PATH_LIMIT)
        fault = SMTP_ADDRESS_PATH_TOO_LONG;
    if (fault)
        return fault;
    *mailbox_out = mailbox;
    *used_out = end + 1;
    return SMTP_ADDRESS_FINE;
}

size_t smtp_local_unquote(struct span local, char *out)
{
    size_t len = 0;

    if (local.len >= 2 && local.data[0] == '"' && local.data[local.len - 1] == '"')
        for (size_t i = 1; i + 1 < local.len; i++) {
            if (local.data[i] == '\\' && i + 2 < local.len)
                i++;
            out[len++] = local.data[i];
        }
    else
        while (len < local.len) {
            out[len] = local.data[len];
            len++;
        }
    out[len] = '\0';
    return len;
}
