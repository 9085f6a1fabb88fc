/* SPDX-License-Identifier: Apache-2.0
 *
 * require 'sqlite': the operator's own database, most often the one that says who may log
 * in. Opening is only remembered; a statement then runs in the jobs pool on a connection
 * from sqlite_pool, so that the usual "open, ask once, forget" costs no opening at all. A
 * handle keeps a connection to itself while that has state others must not see: an open
 * transaction, temporary tables, pragmas.
 *
 * The awkward truth: a missing database is only created by a statement that could fill it
 * (CREATE, PRAGMA...). A question to a missing file is an error, where SQLite would create
 * an empty file and say that there is no such table.
 */
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "policy/modules/sqlite_query.h"
#include "policy/policy.h"

#define CLASS "sqlite connection"
#define BUSY_MS 500
#define BUSY_LIMIT_MS 60000
#define PARAMETERS_LIMIT 999
#define COLLECT_ABOVE 128 /* open connections */

static void collect_handle(void *object) { sqlite_handle_unref(object); }

/* ---- results, on the Lua thread ---- */

static void push_cell(lua_State *L, const struct sqlite_cells *cells, const struct sqlite_cell *cell)
{
    struct span text;

    switch (cell->type) {
    case SQLITE_CELL_NULL:
        lua_pushnil(L);
        return;
    case SQLITE_CELL_INTEGER:
        lua_pushinteger(L, cell->integer);
        return;
    case SQLITE_CELL_REAL:
        lua_pushnumber(L, cell->real);
        return;
    case SQLITE_CELL_TEXT:
    case SQLITE_CELL_BLOB:
        text = sqlite_cells_text(cells, cell);
        lua_pushlstring(L, text.len ? text.data : "", text.len);
    }
}

static void push_row(lua_State *L, const struct sqlite_query *query, const struct sqlite_cell *row)
{
    if (query->column_count == 1) {
        push_cell(L, &query->rows, row);
        return;
    }
    lua_createtable(L, 0, query->column_count); /* row */
    for (int i = 0; i < query->column_count; i++) {
        push_cell(L, &query->columns, &query->columns.list[i]); /* row name */
        push_cell(L, &query->rows, &row[i]);                    /* row name value */
        lua_rawset(L, -3);                                      /* row */
    }
}

static int push(struct await_job *job, lua_State *L)
{
    const struct sqlite_query *query = CONTAINER_OF(job, struct sqlite_query, job);
    size_t columns = (size_t)query->column_count;

    if (!columns) {
        lua_pushinteger(L, query->changes);
        return 1;
    }
    lua_createtable(L, (int)(query->rows.count / columns), 0); /* list */
    for (size_t i = 0; i * columns < query->rows.count; i++) {
        push_row(L, query, &query->rows.list[i * columns]); /* list row */
        lua_rawseti(L, -2, (lua_Integer)i + 1);             /* list */
    }
    return 1;
}

/* ---- parameters: checked first, copied after, so that no error can leak a query ---- */

static void check_value(lua_State *L, int index, const char *name)
{
    int type = lua_type(L, index);

    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING)
        luaL_error(L, "db:execute: parameter %s is a %s; numbers, strings, booleans and nil can be bound", name,
                   lua_typename(L, type));
}

static void check_table(lua_State *L, int index)
{
    lua_pushnil(L); /* key */
    while (lua_next(L, index)) {
        /* key value */
        if (lua_type(L, -2) == LUA_TSTRING)
            check_value(L, -1, lua_tostring(L, -2));
        else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > PARAMETERS_LIMIT)
            luaL_error(L, "db:execute: the keys of a parameter table are names, or places from 1 on");
        else
            check_value(L, -1, lua_pushfstring(L, "%d", (int)lua_tointeger(L, -2))), lua_pop(L, 1);
        lua_pop(L, 1); /* key */
    }
}

static void check_parameters(lua_State *L, int first)
{
    int top = lua_gettop(L);

    if (top - first + 1 > PARAMETERS_LIMIT)
        luaL_error(L, "db:execute: more than %d parameters", PARAMETERS_LIMIT);
    luaL_checkstack(L, 8, NULL);
    if (top == first && lua_istable(L, first)) {
        check_table(L, first);
        return;
    }
    for (int i = first; i <= top; i++) {
        check_value(L, i, lua_pushfstring(L, "%d", i - first + 1));
        lua_pop(L, 1);
    }
}

/* The value is one of those check_value allows, so nothing here raises. */
static int keep_value(lua_State *L, int index, struct sqlite_cells *params)
{
    size_t len;
    const char *text;

    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return sqlite_cells_add(params,
                                (struct sqlite_cell){.type = SQLITE_CELL_INTEGER, .integer = lua_toboolean(L, index)});
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return sqlite_cells_add(
                params, (struct sqlite_cell){.type = SQLITE_CELL_INTEGER, .integer = lua_tointeger(L, index)});
        return sqlite_cells_add(params, (struct sqlite_cell){.type = SQLITE_CELL_REAL, .real = lua_tonumber(L, index)});
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        return sqlite_cells_add_text(params, SQLITE_CELL_TEXT, text, len);
    default:
        return sqlite_cells_add(params, (struct sqlite_cell){.type = SQLITE_CELL_NULL});
    }
}

static int keep_list(lua_State *L, int index, struct sqlite_cells *params)
{
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);

    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, index, i); /* value */
        if (keep_value(L, -1, params))
            return -1;
        lua_pop(L, 1);
    }
    return 0;
}

static int keep_table(lua_State *L, int index, struct sqlite_query *query)
{
    if (lua_rawlen(L, index))
        return keep_list(L, index, &query->params);
    lua_pushnil(L); /* key */
    while (lua_next(L, index)) {
        /* key value */
        size_t len = 0;
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : "";

        if (sqlite_cells_add_text(&query->names, SQLITE_CELL_TEXT, name, len) || keep_value(L, -1, &query->params))
            return -1;
        lua_pop(L, 1); /* key */
    }
    return 0;
}

static int keep_parameters(lua_State *L, int first, struct sqlite_query *query)
{
    int top = lua_gettop(L);

    if (top == first && lua_istable(L, first))
        return keep_table(L, first, query);
    for (int i = first; i <= top; i++)
        if (keep_value(L, i, &query->params))
            return -1;
    return 0;
}

/* ---- Lua ---- */

static int l_execute(lua_State *L)
{
    struct sqlite_handle *handle = policy_check_object(L, 1, CLASS);
    struct sqlite_query *query;
    size_t len;
    const char *sql = luaL_checklstring(L, 2, &len);

    check_parameters(L, 3);
    query = sqlite_query_new(handle, span_make(sql, len));
    query->job.push = push;
    if (keep_parameters(L, 3, query)) {
        sqlite_query_free(&query->job);
        return luaL_error(L, "db:execute: the parameters are larger than %d MiB", (int)(SQLITE_CELLS_TEXT_LIMIT >> 20));
    }
    return await_job(L, &query->job);
}

static void close_work(struct await_job *job)
{
    struct sqlite_handle *handle = CONTAINER_OF(job, struct sqlite_query, job)->handle;
    struct sqlite_conn *own;

    pthread_mutex_lock(&handle->lock);
    own = handle->own;
    handle->own = NULL;
    handle->closed = true;
    pthread_mutex_unlock(&handle->lock);
    sqlite_conn_give(own, true);
}

static int push_nothing(struct await_job *job, lua_State *L)
{
    (void)job;
    (void)L;
    return 0;
}

static int l_close(lua_State *L)
{
    struct sqlite_query *query = sqlite_query_new(policy_check_object(L, 1, CLASS), SPAN_LIT(""));

    query->job.work = close_work;
    query->job.push = push_nothing;
    return await_job(L, &query->job);
}

static int l_open(lua_State *L)
{
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    lua_Integer busy_ms = luaL_optinteger(L, 2, BUSY_MS);
    struct sqlite_handle *handle;

    luaL_argcheck(L, strlen(path) == len && len < 4096, 1, "not a path");
    luaL_argcheck(L, busy_ms >= 0 && busy_ms <= BUSY_LIMIT_MS, 2, "milliseconds, from 0 to 60000");
    /* handles that hold connections and were forgotten */
    if (sqlite_conn_count() > COLLECT_ABOVE)
        lua_gc(L, LUA_GCCOLLECT);
    handle = mem_zalloc(sizeof *handle);
    atomic_init(&handle->refs, 1);
    handle->path = mem_strdup(path);
    handle->busy_ms = (int)busy_ms;
    pthread_mutex_init(&handle->lock, NULL);
    policy_push_owned(L, CLASS, handle, collect_handle);
    return 1;
}

static int open_module(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}

void mod_sqlite_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"execute", l_execute}, {"close", l_close}, {NULL, NULL}};

    luaL_newmetatable(L, CLASS); /* class */
    luaL_newlib(L, methods);     /* class methods */
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE); /* preload */
    lua_pushcfunction(L, open_module);
    lua_setfield(L, -2, "sqlite");
    lua_pop(L, 1);
}
