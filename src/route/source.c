/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.make_egress_source: the address and name we send from. Proxies are not built, and a
 * source that asks for one is refused: sending from another address than the one asked for
 * would spoil a reputation.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "route/route_private.h"

#define AT(member) offsetof(struct route_source, member)

static const struct route_field fields[] = {
    {"name", FIELD_STRING, AT(name), 0, NULL, NULL},
    {"source_address", FIELD_IP, AT(address), AT(has_address), NULL, NULL},
    {"remote_port", FIELD_PORT, AT(remote_port), 0, NULL, NULL},
    {"ehlo_domain", FIELD_STRING, AT(ehlo_domain), 0, NULL, NULL},
    {"ttl", FIELD_DURATION, AT(ttl_ms), 0, NULL, NULL},
    {"ha_proxy_server", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"ha_proxy_source_address", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"socks5_proxy_server", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"socks5_proxy_source_address", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"suspend_when_unplumbed", FIELD_UNBUILT, 0, 0, NULL, NULL},
    {"suspend_when_proxy_unhealthy", FIELD_UNBUILT, 0, 0, NULL, NULL},
};

struct route_source *route_source_new(const json_t *params, struct error *error)
{
    struct route_source *source = mem_zalloc(sizeof *source);

    source->refs = 1;
    source->ttl_ms = 60000;
    if (route_read_fields(fields, sizeof fields / sizeof fields[0], params, source, error)) {
        route_source_unref(&source);
        return NULL;
    }
    if (!source->name || !source->name[0]) {
        error_set(error, ERROR_PERM, "'name': a source needs one");
        route_source_unref(&source);
    }
    return source;
}

struct route_source *route_source_ref(struct route_source *source)
{
    route_ref_take(&source->refs);
    return source;
}

void route_source_unref(struct route_source **source)
{
    struct route_source *gone = *source;

    *source = NULL;
    if (!gone || !route_ref_drop(&gone->refs))
        return;
    free(gone->name);
    free(gone->ehlo_domain);
    free(gone);
}
