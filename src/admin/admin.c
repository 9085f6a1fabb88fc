/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin room as main sees it: made once, given its listeners, freed when the house
 * closes.
 */
#include "admin/admin.h"

#include <stdlib.h>

#include "admin/admin_private.h"
#include "base/clock.h"
#include "base/must.h"

struct admin *admin_new(const struct admin_ops *ops, void *ctx, struct error *error)
{
    struct admin *admin = calloc(1, sizeof *admin);

    if (!admin) {
        error_set(error, ERROR_TEMP, "no memory for the http listeners");
        return NULL;
    }
    admin->ops = ops;
    admin->ctx = ctx;
    admin->started_ms = clock_mono_ms();
    return admin;
}

int admin_listen(struct admin *admin, const struct admin_params *params, struct error *error)
{
    struct server *server;

    if (admin->server_count == ADMIN_LISTENERS_MOST)
        return error_set(error, ERROR_PERM, "more than %d http listeners", ADMIN_LISTENERS_MOST);
    server = server_start(admin, params, error);
    if (!server)
        return -1;
    admin->servers[admin->server_count++] = server;
    return 0;
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    for (size_t i = 0; i < admin->server_count; i++)
        server_stop(admin->servers[i]);
    free(admin);
}

const struct sockaddr *admin_address(const struct admin *admin, size_t index)
{
    MUST(index < admin->server_count);
    return server_address(admin->servers[index]);
}
