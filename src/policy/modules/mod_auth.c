/* SPDX-License-Identifier: Apache-2.0
 *
 * require 'gatepost.auth': users, stores and rules as data.
 *
 *   local auth = require 'gatepost.auth'
 *   auth:setup { 'auth.toml' }                            from then on sessions ask the gate when no handler answers
 *   auth:check_password(authz, authc, password, meta)     the gate's own answer, for a handler that adds to it
 *   auth:purge(user)                                      what caches know of a user is forgotten
 *   auth:purge(user, { sessions = true })                 and whoever is logged in as the user has to go
 *   auth:tenants, :may_use_tenant, :may_send_as           see mod_auth_identity.c
 *
 * A file that cannot be used is an error where setup is called, so the policy does not load: a start ends there, and a
 * reload leaves the former policy serving.
 */
#include <jansson.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "gate/gate.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"
#include "policy/monitor.h"
#include "policy/policy.h"
#include "receive/connection.h"
#include "receive/receive.h"

#define RULES_CLASS "gatepost.auth.rules"
#define RULES_KEY "gatepost.auth.the_rules" /* in the registry: those that this policy set up */
#define INFO_CLASS "gatepost.auth.info"
#define FILES_MOST 64

static void unref_rules(void *object)
{
    struct gate_rules *rules = object;

    gate_rules_unref(&rules);
}

static struct gate_rules *rules_of(lua_State *L)
{
    struct gate_rules *rules;

    if (lua_getfield(L, LUA_REGISTRYINDEX, RULES_KEY) == LUA_TNIL)
        luaL_error(L, "gatepost.auth: call auth:setup first");
    rules = policy_check_object(L, -1, RULES_CLASS);
    lua_pop(L, 1);
    return rules;
}

/* ---- auth:setup { 'auth.toml' } ---- */

/* Pushes the path: one that is not there as it is written is taken from the policy's folder. */
static const char *push_path(lua_State *L, const char *given)
{
    const char *policy = policy_path(policy_of(policy_vm_of(L)));
    const char *slash = policy ? strrchr(policy, '/') : NULL;
    const char *beside;

    if (*given == '/' || !slash)
        return lua_pushstring(L, given);
    lua_pushlstring(L, policy, (size_t)(slash - policy) + 1);
    beside = lua_pushfstring(L, "%s%s", lua_tostring(L, -1), given);
    lua_remove(L, -2);
    if (access(beside, F_OK) && !access(given, F_OK)) {
        lua_pop(L, 1);
        beside = lua_pushstring(L, given);
    }
    return beside;
}

/* The paths stay on the stack, and so alive. */
static size_t check_paths(lua_State *L, int index, const char *paths[FILES_MOST])
{
    lua_Integer count;

    luaL_checkstack(L, 2 * FILES_MOST, NULL);
    if (lua_type(L, index) == LUA_TSTRING) {
        paths[0] = push_path(L, lua_tostring(L, index));
        return 1;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    count = (lua_Integer)lua_rawlen(L, index);
    luaL_argcheck(L, count >= 1 && count <= FILES_MOST, index, "must name 1 to 64 files");
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, index, i) != LUA_TSTRING)
            luaL_error(L, "auth:setup: element %d is not the path of a file", (int)i);
        paths[i - 1] = push_path(L, lua_tostring(L, -1));
    }
    return (size_t)count;
}

static void watch(void *policy, const char *path) { policy_watch_file(policy, path); }

static int l_setup(lua_State *L)
{
    const char *paths[FILES_MOST];
    size_t count = check_paths(L, 2, paths);
    struct policy *policy = policy_of(policy_vm_of(L));
    struct gate_rules *rules;
    struct error error;

    for (size_t i = 0; i < count; i++)
        policy_watch_file(policy, paths[i]);
    rules = gate_rules_load(paths, count, watch, policy, &error);
    if (!rules)
        return luaL_error(L, "%s", error.sentence);
    policy_push_owned(L, RULES_CLASS, rules, unref_rules);
    lua_setfield(L, LUA_REGISTRYINDEX, RULES_KEY);
    policy_vm_attach(L, GATE_RULES_KEY, gate_rules_ref(rules), unref_rules);
    return 0;
}

/* ---- auth:check_password(authz, authc, password, conn_meta) ---- */

struct asked {
    struct await await;
    struct gate_rules *rules;
    struct gate_check *check;
    struct auth_question question;
    struct gate_facts facts;
    char listener[SOCKADDR_TEXT_BYTES];
    char session_id[RECEIVE_SESSION_ID_CHARS + 1];
    char *ehlo_domain;
    struct receive_connection *connection; /* counted; NULL when none was given */

    enum auth_reason reason;
    struct auth_info *info;
};

static void on_verdict(void *ctx, const struct gate_verdict *verdict)
{
    struct asked *asked = ctx;

    asked->check = NULL;
    asked->reason = verdict->reason;
    asked->info = auth_info_ref(verdict->info);
    if (asked->connection)
        auth_checked_note(asked->connection, asked->question.authcid, verdict);
    await_finish(&asked->await);
}

static void start(struct await *await, struct loop *loop)
{
    struct asked *asked = CONTAINER_OF(await, struct asked, await);
    struct gate_check *check = gate_check(asked->rules, loop, &asked->facts, &asked->question, on_verdict, asked);

    if (check) /* else it is over, and perhaps `asked` too */
        asked->check = check;
}

/* Where Lua cannot wait no client is waiting either, and nobody needs a verdict. */
static void run(struct await *await) { CONTAINER_OF(await, struct asked, await)->reason = AUTH_REASON_COUNT; }

static void release_info(void *object)
{
    json_t *info = object;

    json_decref(info);
}

static int finish(struct await *await, lua_State *L)
{
    struct asked *asked = CONTAINER_OF(await, struct asked, await);
    json_t *info;

    if (asked->reason == AUTH_REASON_COUNT)
        return luaL_error(L, "auth:check_password: not while a policy is being loaded");
    if (auth_reason_outcome(asked->reason) == AUTH_OUTCOME_ERROR)
        return luaL_error(L, "auth:check_password: no verdict: %s", auth_reason_name(asked->reason));
    if (asked->reason != AUTH_REASON_OK) {
        lua_pushboolean(L, false);
        lua_pushstring(L, auth_reason_name(asked->reason));
        return 2;
    }
    info = auth_info_to_json(asked->info);
    policy_push_owned(L, INFO_CLASS, info, release_info); /* should the next line raise */
    policy_push_json(L, info);
    return 1;
}

static void cancel(struct await *await)
{
    struct asked *asked = CONTAINER_OF(await, struct asked, await);

    if (!asked->check) /* the verdict is there */
        return;
    gate_check_cancel(asked->check);
    asked->check = NULL;
    await_finish(await);
}

static void free_asked(struct await *await)
{
    struct asked *asked = CONTAINER_OF(await, struct asked, await);

    gate_rules_unref(&asked->rules);
    auth_info_unref(&asked->info);
    free(asked->question.authzid);
    free(asked->question.authcid);
    secret_free(asked->question.password);
    free(asked->ehlo_domain);
    receive_connection_unref(&asked->connection);
    free(asked);
}

static const struct await_ops check_ops = {
    .start = start, .run = run, .finish = finish, .cancel = cancel, .free = free_asked};

static void take_facts(struct asked *asked, struct receive_connection *connection)
{
    struct sockaddr_storage via;

    sockaddr_from_ip(&connection->local_ip, connection->local_port, &via);
    sockaddr_format((const struct sockaddr *)&via, asked->listener);
    asked->connection = receive_connection_ref(connection);
    memcpy(asked->session_id, receive_connection_session_id(connection), sizeof asked->session_id);
    asked->ehlo_domain = connection->ehlo_domain ? mem_strdup(connection->ehlo_domain) : NULL;
    asked->facts = (struct gate_facts){
        .peer = connection->remote_ip,
        .local = connection->local_ip,
        .session_id = asked->session_id,
        .ehlo_domain = asked->ehlo_domain,
        .is_tls = connection->tls_protocol != NULL,
    };
}

static const char *check_name(lua_State *L, int index)
{
    size_t len;
    const char *name = luaL_checklstring(L, index, &len);

    luaL_argcheck(L, len && len == strlen(name) && len <= AUTH_IDENTITY_LIMIT, index, "not a user's name");
    return name;
}

static int l_check_password(lua_State *L)
{
    struct gate_rules *rules = rules_of(L);
    const char *authzid = check_name(L, 2), *authcid = check_name(L, 3);
    const char *password = luaL_checkstring(L, 4);
    struct receive_connection *connection =
        lua_isnoneornil(L, 5) ? NULL : policy_check_object(L, 5, RECEIVE_CONNECTION_CLASS);
    struct asked *asked = mem_zalloc(sizeof *asked);

    asked->await.ops = &check_ops;
    asked->rules = gate_rules_ref(rules);
    asked->question = (struct auth_question){
        .kind = AUTH_ASK_PASSWORD,
        .authzid = mem_strdup(authzid),
        .authcid = mem_strdup(authcid),
        .password = mem_strdup(password),
    };
    if (connection)
        take_facts(asked, connection);
    asked->facts.listener = asked->listener;
    asked->facts.mechanism = "PLAIN";
    return await(L, &asked->await);
}

/* ---- auth:purge(user [, {sessions = true}]) ---- */

static bool wants_sessions(lua_State *L, int index)
{
    bool wants;

    if (lua_isnoneornil(L, index))
        return false;
    luaL_checktype(L, index, LUA_TTABLE);
    wants = lua_getfield(L, index, "sessions") != LUA_TNIL && lua_toboolean(L, -1);
    lua_pop(L, 1);
    return wants;
}

/* Records first: a session that is closed would otherwise come back by what is remembered. */
static int l_purge(lua_State *L)
{
    struct gate_rules *rules = rules_of(L);
    const char *user = luaL_checkstring(L, 2);
    bool closes = wants_sessions(L, 3);

    lua_pushinteger(L, (lua_Integer)gate_purge(rules, user));
    lua_pushinteger(L, closes ? (lua_Integer)receive_sessions_close(user, NULL) : 0);
    return 2;
}

static int l_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"setup", l_setup}, {"check_password", l_check_password}, {"purge", l_purge}, {NULL, NULL}};

    luaL_newlib(L, functions);
    mod_auth_identity_add(L);
    return 1;
}

void mod_auth_open(lua_State *L)
{
    static const char *const classes[] = {RULES_CLASS, INFO_CLASS};

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        luaL_newmetatable(L, classes[i]);
        lua_pop(L, 1);
    }
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, l_open);
    lua_setfield(L, -2, "gatepost.auth");
    lua_pop(L, 1);
}
