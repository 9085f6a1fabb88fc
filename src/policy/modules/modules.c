/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens every module, then puts stand-ins in the place of what KumoMTA's manual has and
 * this program has not yet: using one is an error that names it. Other names that are not
 * there read as nil, so that a policy can ask what it runs under.
 */
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

#define STAND_IN_CLASS "gatepost.stand_in"

static void (*const openers[])(lua_State *L) = {
    mod_kumo_open,       mod_on_open,       mod_log_open,           mod_config_open,   mod_memoize_open,
    mod_sleep_open,      mod_cidr_open,     mod_domain_map_open,    mod_secrets_open,  mod_serde_open,
    mod_sqlite_open,     mod_throttle_open, mod_time_open,          mod_spool_open,    mod_dns_open,
    mod_local_logs_open, mod_aaa_open,      mod_http_listener_open, mod_egress_open,   mod_address_open,
    mod_headers_open,    mod_message_open,  mod_connection_open,    mod_listener_open, mod_validation_open,
    mod_encode_open,     mod_digest_open,   mod_string_open,        mod_auth_open,     mod_password_open,
};

/* Names of the manual. Those that a module above has filled in are never looked up here. */
static const char *const documented[] = {
    "add_charset_alias",
    "amqp",
    "api",
    "apply_supplemental_trace_header",
    "available_parallelism",
    "bump_config_epoch",
    "cidr",
    "compute_egress_path_config_constraints",
    "compute_queue_config_constraints",
    "configure_accounting_db_path",
    "configure_bounce_classifier",
    "configure_local_logs",
    "configure_log_disposition_hook",
    "configure_log_hook",
    "configure_redis_throttles",
    "configure_suppression_store",
    "crypto",
    "define_egress_pool",
    "define_egress_source",
    "define_spool",
    "digest",
    "disconnect",
    "dkim",
    "dns",
    "domain_map",
    "encode",
    "eval_config_monitor_globs",
    "file_type",
    "format_egress_path_config_constraints",
    "format_egress_path_config_toml",
    "format_queue_config_toml",
    "fs",
    "generate_rfc3464_message",
    "get_memory_hard_limit",
    "get_memory_low_thresh",
    "get_memory_soft_limit",
    "glob",
    "http",
    "inject_message",
    "invoke_get_egress_path_config",
    "invoke_get_egress_pool",
    "invoke_get_egress_source",
    "invoke_get_queue_config",
    "json_encode",
    "json_encode_pretty",
    "json_load",
    "json_parse",
    "jsonl",
    "kafka",
    "log_debug",
    "log_error",
    "log_info",
    "log_warn",
    "mailauth",
    "make_egress_path",
    "make_egress_pool",
    "make_egress_source",
    "make_http_url_resource",
    "make_listener_domain",
    "make_message",
    "make_queue_config",
    "make_throttle",
    "memoize",
    "mimepart",
    "mpsc",
    "nats",
    "on",
    "prometheus",
    "queue",
    "rabbitmq",
    "regex",
    "regex_set",
    "reject",
    "secrets",
    "serde",
    "set_config_monitor_globs",
    "set_diagnostic_log_filter",
    "set_httpinject_recipient_rate_limit",
    "set_httpinject_threads",
    "set_logging_threads",
    "set_lruttl_cache_capacity",
    "set_max_lua_context_age",
    "set_max_lua_context_use_count",
    "set_max_spare_lua_contexts",
    "set_memory_hard_limit",
    "set_memory_low_thresh",
    "set_memory_soft_limit",
    "set_qmaint_threads",
    "set_readyq_threads",
    "set_smtpsrv_threads",
    "set_spoolin_threads",
    "shaping",
    "sleep",
    "spawn_task",
    "spawn_thread_pool",
    "start_esmtp_listener",
    "start_http_listener",
    "start_proxy_listener",
    "string",
    "time",
    "toml_encode",
    "toml_encode_pretty",
    "toml_load",
    "toml_parse",
    "uuid",
    "validation_failed",
    "version",
    "xfer",
};

static bool is_documented(const char *name)
{
    for (size_t i = 0; i < sizeof documented / sizeof *documented; i++) {
        if (!strcmp(documented[i], name))
            return true;
    }
    return false;
}

/* ---- stand-ins: a userdata that keeps its full name as its user value ---- */

static void push_stand_in(lua_State *L, const char *name)
{
    lua_newuserdatauv(L, 0, 1);
    lua_pushstring(L, name);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, STAND_IN_CLASS);
}

static const char *name_of(lua_State *L)
{
    luaL_checkudata(L, 1, STAND_IN_CLASS);
    lua_getiuservalue(L, 1, 1);
    return lua_tostring(L, -1);
}

static int stand_in_call(lua_State *L)
{
    return luaL_error(L, "%s is not available in Gatepost %s", name_of(L), GATEPOST_VERSION);
}

/* kumo.dkim.rsa_sha256_signer: the stand-in of a module has one for each of its functions. */
static int stand_in_index(lua_State *L)
{
    const char *name = name_of(L);

    push_stand_in(L, lua_pushfstring(L, "%s.%s", name, luaL_checkstring(L, 2)));
    return 1;
}

static void make_stand_in_class(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__call", stand_in_call}, {"__index", stand_in_index}, {"__newindex", stand_in_call}, {NULL, NULL}};

    luaL_newmetatable(L, STAND_IN_CLASS);
    luaL_setfuncs(L, methods, 0);
    lua_pushliteral(L, STAND_IN_CLASS);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* ---- kumo ---- */

static int kumo_index(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";

    if (!is_documented(name))
        return 0;
    push_stand_in(L, lua_pushfstring(L, "kumo.%s", name));
    return 1;
}

void modules_open(lua_State *L)
{
    int top = lua_gettop(L);

    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        openers[i](L);
        lua_settop(L, top);
    }
    make_stand_in_class(L);
    lua_getglobal(L, "kumo");
    lua_newtable(L);
    lua_pushcfunction(L, kumo_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_settop(L, top);
}
