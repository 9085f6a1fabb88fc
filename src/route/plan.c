/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan: source, path and hosts put together. The queue makes it; connections on other
 * threads read it, so nothing in it changes once it has been handed out.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "route/route_private.h"

struct route_plan *route_plan_new(const char *ready_name, const char *site_name, const char *pool_name,
                                  struct route_source *source, struct route_path *path, size_t host_count)
{
    struct route_plan *plan = mem_zalloc(sizeof *plan);

    plan->refs = 1;
    plan->ready_name = mem_strdup(ready_name);
    plan->site_name = mem_strdup(site_name);
    plan->pool_name = mem_strdup(pool_name);
    plan->source = route_source_ref(source);
    plan->path = route_path_ref(path);
    plan->hosts = mem_zalloc((host_count ? host_count : 1) * sizeof *plan->hosts);
    plan->host_count = host_count;
    return plan;
}

struct route_plan *route_plan_ref(struct route_plan *plan)
{
    route_ref_take(&plan->refs);
    return plan;
}

void route_plan_unref(struct route_plan **plan)
{
    struct route_plan *gone = *plan;

    *plan = NULL;
    if (!gone || !route_ref_drop(&gone->refs))
        return;
    for (size_t i = 0; i < gone->host_count; i++)
        free(gone->hosts[i].name);
    free(gone->hosts);
    route_source_unref(&gone->source);
    route_path_unref(&gone->path);
    free(gone->ready_name);
    free(gone->site_name);
    free(gone->pool_name);
    free(gone);
}
