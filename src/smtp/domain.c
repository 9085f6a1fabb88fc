/* SPDX-License-Identifier: Apache-2.0
 *
 * Domain names and address literals. Whether a domain exists is for dns to say; this is
 * only its spelling.
 */
#include "smtp/address.h"

#define LABEL_LIMIT 63

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool is_label(struct span label)
{
    if (label.len == 0 || label.len > LABEL_LIMIT)
        return false;
    if (label.data[0] == '-' || label.data[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_alnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_')
            return false;
    return true;
}

enum smtp_address_fault smtp_domain_check(struct span domain, bool allow_utf8)
{
    struct span rest = domain;
    struct span label;

    if (domain.len == 0)
        return SMTP_ADDRESS_DOMAIN;
    if (domain.len > SMTP_DOMAIN_LIMIT)
        return SMTP_ADDRESS_DOMAIN_TOO_LONG;
    if (!span_is_ascii(domain) && !allow_utf8)
        return SMTP_ADDRESS_8BIT;
    if (!span_is_utf8(domain))
        return SMTP_ADDRESS_NOT_UTF8;
    while (span_split(&rest, '.', &label))
        if (!is_label(label))
            return SMTP_ADDRESS_DOMAIN;
    return SMTP_ADDRESS_FINE;
}

int smtp_literal_parse(struct span literal, struct ip *ip_out)
{
    struct span inside;
    struct ip ip;

    if (literal.len < 3 || literal.data[0] != '[' || literal.data[literal.len - 1] != ']')
        return -1;
    inside = span_make(literal.data + 1, literal.len - 2);
    if (span_istarts_with(inside, SPAN_LIT("IPv6:"))) {
        inside = span_from(inside, 5);
        if (span_find(inside, ':') == inside.len) /* "[IPv6:192.0.2.1]" is neither */
            return -1;
    } else if (span_find(inside, ':') < inside.len) {
        return -1;
    }
    if (ip_parse(inside, &ip))
        return -1;
    *ip_out = ip;
    return 0;
}

enum smtp_address_fault smtp_host_check(struct span host, bool allow_utf8)
{
    struct ip ip;

    if (host.len == 0 || host.data[0] != '[')
        return smtp_domain_check(host, allow_utf8);
    return smtp_literal_parse(host, &ip) ? SMTP_ADDRESS_LITERAL : SMTP_ADDRESS_FINE;
}
