/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.on(event, function): registers a handler. Events of KumoMTA's that nothing here raises
 * may be registered, so that its policies load; the operator is told that they stay silent.
 */
#include <lauxlib.h>
#include <string.h>

#include "log/diag.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"

static const char *const never_raised[] = {
    "http_message_generated",
    "http_server_validate_auth_basic",
    "proxy_server_auth_rfc1929",
    "proxy_server_connection_accepted",
    "rebind_message",
    "should_enqueue_log_record",
    "smtp_client_load_credentials",
    "smtp_client_rewrite_delivery_status",
    "smtp_server_message_deferred_inject",
    "spool_message_enumerated",
    "xfer_message_received",
};

static void tell_if_silent(lua_State *L, const char *event)
{
    for (size_t i = 0; i < sizeof never_raised / sizeof *never_raised; i++)
        if (!strcmp(never_raised[i], event)) {
            luaL_where(L, 1);
            diag(DIAG_WARN, NULL, "%skumo.on('%s'): Gatepost never raises this event", lua_tostring(L, -1), event);
            lua_pop(L, 1);
        }
}

static int l_on(lua_State *L)
{
    const char *event = luaL_checkstring(L, 1);

    luaL_argcheck(L, *event != '\0', 1, "an event has a name");
    tell_if_silent(L, event);
    policy_on(L, event, 2);
    return 0;
}

void mod_on_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_on);
    lua_setfield(L, -2, "on");
    lua_pop(L, 1);
}
