/* SPDX-License-Identifier: Apache-2.0
 *
 * The Lua modules: what a policy finds under `kumo` and by `require`. Each file opens its
 * own part of a fresh VM; modules_open calls them in an order in which `kumo` exists first.
 */
#ifndef GATEPOST_POLICY_MODULES_MODULES_H
#define GATEPOST_POLICY_MODULES_MODULES_H

#include <lua.h>

/* All of them: the policy_modules_fn that main gives to policy_new. */
void modules_open(lua_State *L);

/* What every policy has, of the engine itself. */
void mod_config_open(lua_State *L);
void mod_kumo_open(lua_State *L);
void mod_log_open(lua_State *L);
void mod_memoize_open(lua_State *L);
void mod_on_open(lua_State *L);
void mod_sleep_open(lua_State *L);

/* Each adds to the table `kumo` (a global by then) or to package.preload. All may raise. */
void mod_cidr_open(lua_State *L);
void mod_domain_map_open(lua_State *L);
void mod_secrets_open(lua_State *L);
void mod_serde_open(lua_State *L);
void mod_sqlite_open(lua_State *L);
void mod_throttle_open(lua_State *L);
void mod_time_open(lua_State *L);
void mod_validation_open(lua_State *L);
void mod_encode_open(lua_State *L);
void mod_digest_open(lua_State *L); /* after mod_serde_open */
void mod_string_open(lua_State *L);
void mod_spool_open(lua_State *L);
void mod_dns_open(lua_State *L);
void mod_local_logs_open(lua_State *L);
void mod_aaa_open(lua_State *L);
void mod_http_listener_open(lua_State *L);
void mod_egress_open(lua_State *L);
void mod_address_open(lua_State *L); /* before mod_message_open */
void mod_headers_open(lua_State *L);
void mod_message_open(lua_State *L);
void mod_connection_open(lua_State *L);
void mod_listener_open(lua_State *L);
void mod_password_open(lua_State *L);
void mod_auth_open(lua_State *L);         /* after mod_connection_open */
void mod_auth_identity_add(lua_State *L); /* to the table on top of the stack */

#endif
