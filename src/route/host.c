/* SPDX-License-Identifier: Apache-2.0
 *
 * The entries of an mx_list: how operators write a smart host. A port may follow a name or
 * a bracketed address; an IPv6 address without brackets has none, since its own colons
 * would be ambiguous.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/span.h"
#include "route/route_private.h"

static int bad(const char *what, struct error *error) { return error_set(error, ERROR_PERM, "'mx_list': %s", what); }

static int parse_port(struct span text, uint16_t *port_out)
{
    uint64_t port;

    if (span_to_u64(text, &port) || port < 1 || port > 65535)
        return -1;
    *port_out = (uint16_t)port;
    return 0;
}

static char *literal_name(const struct ip *ip)
{
    char text[INET6_ADDRSTRLEN];

    ip_format(ip, text);
    return mem_printf("[%s]", text);
}

/* What stands between the brackets; SMTP's own spelling tags IPv6 (RFC 5321, 4.1.3). */
static int parse_literal(struct span text, struct ip *ip_out)
{
    if (span_istarts_with(text, SPAN_LIT("IPv6:")))
        text = span_from(text, 5);
    return ip_parse(text, ip_out);
}

/* "[ip]" or "[ip]:port" */
static int parse_bracketed(struct span text, struct route_host *host)
{
    size_t end = span_find(text, ']');
    struct span rest = span_from(text, end + 1);

    if (end == text.len || parse_literal(span_from(span_head(text, end), 1), &host->address))
        return -1;
    host->has_address = true;
    if (rest.len == 0)
        return 0;
    return rest.data[0] == ':' ? parse_port(span_from(rest, 1), &host->port) : -1;
}

static bool is_host_name(struct span text)
{
    if (text.len == 0 || text.len > 253 || text.data[0] == '.' || text.data[0] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (!isalnum(c) && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

static char *lower_name(struct span text)
{
    char *name;

    if (text.len > 1 && text.data[text.len - 1] == '.')
        text.len--;
    name = span_dup(text);
    for (char *c = name; *c; c++)
        *c = ascii_lower(*c);
    return name;
}

static int parse_name(struct span text, struct route_host *host, struct error *error)
{
    size_t colon = span_find(text, ':');
    struct span name = span_head(text, colon);

    if (colon < text.len && parse_port(span_from(text, colon + 1), &host->port))
        return bad("a port is a number between 1 and 65535", error);
    if (ip_parse(name, &host->address) == 0) {
        host->has_address = true;
        host->name = literal_name(&host->address);
        return 0;
    }
    if (!is_host_name(name))
        return bad("expected 'name', 'name:port', '[ip]' or '[ip]:port'", error);
    host->name = lower_name(name);
    return 0;
}

static int parse_text(struct span text, struct route_host *host, struct error *error)
{
    if (text.len > 0 && text.data[0] == '[') {
        if (parse_bracketed(text, host))
            return bad("expected '[ip]' or '[ip]:port' where there are brackets", error);
        host->name = literal_name(&host->address);
        return 0;
    }
    if (ip_parse(text, &host->address) == 0) {
        host->has_address = true;
        host->name = literal_name(&host->address);
        return 0;
    }
    return parse_name(text, host, error);
}

static int parse_table(const json_t *entry, struct route_host *host, struct error *error)
{
    const json_t *name = json_object_get(entry, "name");
    const json_t *addr = json_object_get(entry, "addr");

    if (!json_is_string(name) || !json_is_string(addr) || json_object_size(entry) != 2)
        return bad("a table entry holds exactly the strings 'name' and 'addr'", error);
    if (parse_text(span_of(json_string_value(addr)), host, error))
        return -1;
    free(host->name);
    host->name = NULL;
    if (!host->has_address)
        return bad("'addr' must be an IP address", error);
    if (!is_host_name(span_of(json_string_value(name))))
        return bad("'name' must be a host name", error);
    host->name = lower_name(span_of(json_string_value(name)));
    return 0;
}

int route_host_parse(const json_t *entry, struct route_host *host_out, struct error *error)
{
    struct route_host host = {0};
    int result;

    if (json_is_string(entry))
        result = parse_text(span_of(json_string_value(entry)), &host, error);
    else if (json_is_object(entry))
        result = parse_table(entry, &host, error);
    else
        result = bad("every entry is a string, or a table with 'name' and 'addr'", error);
    if (result == 0)
        *host_out = host;
    else
        free(host.name);
    return result;
}
