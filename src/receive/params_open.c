/* SPDX-License-Identifier: Apache-2.0
 *
 * Who makes an open relay is reminded of it. No width of a network is wrong as such, so a bound says what nobody's own
 * network is: IPv4 blocks shorter than /8 and IPv6 blocks shorter than /16, those for private use aside.
 */
#include "log/diag.h"
#include "receive/params_private.h"

#define LEAST_BITS_V4 8
#define LEAST_BITS_V6 16

static bool is_within(const struct cidr *block, const char *wider)
{
    struct cidr outer;

    return cidr_parse(span_of(wider), &outer) == 0 && block->prefix_bits >= outer.prefix_bits &&
           cidr_contains(&outer, &block->base);
}

/* In IPv4 the private blocks are no wider than the bound. */
static bool is_everybody(const struct cidr *block)
{
    if (block->base.family == AF_INET)
        return block->prefix_bits < LEAST_BITS_V4;
    return block->prefix_bits < LEAST_BITS_V6 && !is_within(block, "fc00::/7") && !is_within(block, "fe80::/10");
}

const struct cidr *receive_cidrs_everybody(const struct receive_cidrs *cidrs)
{
    for (size_t i = 0; i < cidrs->count; i++)
        if (is_everybody(&cidrs->blocks[i]))
            return &cidrs->blocks[i];
    return NULL;
}

static void warn(const char *name, const char *where, const struct cidr *block)
{
    char base[INET6_ADDRSTRLEN];

    ip_format(&block->base, base);
    diag(DIAG_WARN, NULL,
         "%s: %srelay_hosts with %s/%d is an open relay: anybody there may send anywhere, without a login", name, where,
         base, block->prefix_bits);
}

static void warn_of_row(const char *name, const char *where, const struct receive_override *row)
{
    const json_t *value = json_object_get(row->table, "relay_hosts");
    struct receive_cidrs hosts = {0};
    const struct cidr *block;

    if (!value || params_read_cidrs("relay_hosts", value, &hosts, NULL))
        return;
    block = receive_cidrs_everybody(&hosts);
    if (block)
        warn(name, where, block);
    params_free_cidrs(&hosts);
}

void params_warn_of_open_relay(const struct receive_params *params, const char *name)
{
    const struct cidr *block = receive_cidrs_everybody(&params->relay_hosts);

    if (block)
        warn(name, "", block);
    for (size_t i = 0; i < params->via.count; i++)
        warn_of_row(name, "via: ", &params->via.rows[i]);
    for (size_t i = 0; i < params->peer.count; i++)
        if (is_everybody(&params->peer.rows[i].block)) /* else it is for those clients alone */
            warn_of_row(name, "peer: ", &params->peer.rows[i]);
}
