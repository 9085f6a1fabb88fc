/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.serde: JSON and TOML in and out of Lua values, under these names and under the older
 * ones directly in `kumo`. Files are read and parsed in the jobs pool.
 */
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "data/data.h"
#include "policy/await.h"
#include "policy/policy.h"

#define TEXT_LIMIT_BYTES ((size_t)64 << 20)
#define VALUE_CLASS "gatepost.serde_value"

/* ---- loading files ---- */

struct load {
    struct await_job job;
    char *path;
    enum data_format format;
    json_t *value;
};

static void work(struct await_job *job)
{
    struct load *load = CONTAINER_OF(job, struct load, job);

    load->value = data_load_file(load->path, load->format, &job->error);
}

static int push(struct await_job *job, lua_State *L)
{
    policy_push_json(L, CONTAINER_OF(job, struct load, job)->value);
    return 1;
}

static void free_load(struct await_job *job)
{
    struct load *load = CONTAINER_OF(job, struct load, job);

    json_decref(load->value);
    free(load->path);
    free(load);
}

static int load_file(lua_State *L, enum data_format format)
{
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    struct load *load;

    luaL_argcheck(L, len && strlen(path) == len, 1, "not the path of a file");
    load = mem_zalloc(sizeof *load);
    load->job = (struct await_job){.work = work, .push = push, .free = free_load};
    load->path = mem_strdup(path);
    load->format = format;
    return await_job(L, &load->job);
}

static int l_json_load(lua_State *L) { return load_file(L, DATA_JSON); }

static int l_toml_load(lua_State *L) { return load_file(L, DATA_TOML); }

/* ---- parsing and writing: a value waits in a userdata while Lua may raise ---- */

static void free_value(void *value) { json_decref(value); }

static int push_parsed(lua_State *L, json_t *value, const struct error *error)
{
    if (!value)
        return luaL_error(L, "%s", error->sentence);
    policy_push_owned(L, VALUE_CLASS, value, free_value);
    policy_push_json(L, value);
    return 1;
}

static int l_json_parse(lua_State *L)
{
    struct error error = {0};
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    return push_parsed(L, data_parse_json(span_make(text, len), "json_parse", &error), &error);
}

static int l_toml_parse(lua_State *L)
{
    struct error error = {0};
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    return push_parsed(L, data_parse_toml(span_make(text, len), "toml_parse", &error), &error);
}

static json_t *check_value(lua_State *L)
{
    json_t *value;

    luaL_checkany(L, 1);
    value = policy_to_json(L, 1);
    policy_push_owned(L, VALUE_CLASS, value, free_value);
    return value;
}

static int encode_json(lua_State *L, size_t flags)
{
    char *text = json_dumps(check_value(L), JSON_ENCODE_ANY | flags);
    size_t len = text ? strlen(text) : 0;
    luaL_Buffer out;

    if (!text)
        return luaL_error(L, "the value cannot be written as JSON");
    if (len > TEXT_LIMIT_BYTES) {
        free(text);
        return luaL_error(L, "the JSON text would be larger than %d MiB", (int)(TEXT_LIMIT_BYTES >> 20));
    }
    memcpy(luaL_buffinitsize(L, &out, len + 1), text, len);
    free(text);
    luaL_pushresultsize(&out, len);
    return 1;
}

static int l_json_encode(lua_State *L) { return encode_json(L, JSON_COMPACT); }

static int l_json_encode_pretty(lua_State *L) { return encode_json(L, JSON_INDENT(2)); }

static int encode_toml(lua_State *L, bool pretty)
{
    json_t *value = check_value(L);
    struct error error = {0};
    luaL_Buffer lua_out;
    struct buf out;
    size_t len;

    buf_init(&out, TEXT_LIMIT_BYTES);
    if (data_write_toml(value, pretty, &out, &error)) {
        buf_done(&out);
        return luaL_error(L, "toml_encode: %s", error.sentence);
    }
    len = buf_len(&out);
    memcpy(luaL_buffinitsize(L, &lua_out, len + 1), buf_span(&out).data, len);
    buf_done(&out);
    luaL_pushresultsize(&lua_out, len);
    return 1;
}

static int l_toml_encode(lua_State *L) { return encode_toml(L, false); }

static int l_toml_encode_pretty(lua_State *L) { return encode_toml(L, true); }

/* YAML has no parser here: a policy that needs it is told so by name. */
static int l_no_yaml(lua_State *L)
{
    return luaL_error(L, "kumo.serde.%s is not there in Gatepost: use JSON or TOML",
                      lua_tostring(L, lua_upvalueindex(1)));
}

static void add_no_yaml(lua_State *L)
{
    static const char *const names[] = {"yaml_load", "yaml_parse", "yaml_encode"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lua_pushstring(L, names[i]);
        lua_pushcclosure(L, l_no_yaml, 1);
        lua_setfield(L, -2, names[i]);
    }
}

/* ---- Lua ---- */

void mod_serde_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"json_load", l_json_load},
                                         {"json_parse", l_json_parse},
                                         {"json_encode", l_json_encode},
                                         {"json_encode_pretty", l_json_encode_pretty},
                                         {"toml_load", l_toml_load},
                                         {"toml_parse", l_toml_parse},
                                         {"toml_encode", l_toml_encode},
                                         {"toml_encode_pretty", l_toml_encode_pretty},
                                         {NULL, NULL}};

    luaL_newmetatable(L, VALUE_CLASS);
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");         /* kumo */
    luaL_setfuncs(L, functions, 0);   /* the older names */
    luaL_getsubtable(L, -1, "serde"); /* kumo serde */
    luaL_setfuncs(L, functions, 0);
    add_no_yaml(L);
    lua_pop(L, 2);
}
