/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.define_spool: where accepted mail is kept. The storage engine is always our segment
 * log (spool/README.md): `kind` and `rocks_params` are checked and mean nothing more.
 * Syncing is the default here; `flush = false` turns it off by name.
 */
#include "policy/modules/house.h"
#include "policy/modules/modules.h"

#include <jansson.h>
#include <lauxlib.h>
#include <string.h>

#include "base/span.h"
#include "policy/policy.h"
#include "spool/spool.h"

static int wrong_type(struct error *error, const char *key, const char *wanted)
{
    return error_set(error, ERROR_PERM, "kumo.define_spool: '%s' must be %s", key, wanted);
}

/* "10%" or a number. */
static int read_floor(const json_t *value, const char *key, struct spool_floor *floor, struct error *error)
{
    struct span text = json_is_string(value) ? span_of(json_string_value(value)) : SPAN_LIT("");
    uint64_t number;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *floor = (struct spool_floor){.bytes_or_inodes = (uint64_t)json_integer_value(value)};
        return 0;
    }
    if (span_ends_with(text, SPAN_LIT("%")) && !span_to_u64(span_head(text, text.len - 1), &number) && number <= 100) {
        *floor = (struct spool_floor){.percent = (unsigned)number};
        return 0;
    }
    if (text.len && !span_to_u64(text, &number)) {
        *floor = (struct spool_floor){.bytes_or_inodes = number};
        return 0;
    }
    return wrong_type(error, key, "a number or a percentage such as '10%'");
}

static int read_kind(const json_t *value, struct error *error)
{
    const char *kind = json_string_value(value);

    if (kind && (!strcmp(kind, "RocksDB") || !strcmp(kind, "LocalDisk")))
        return 0;
    return wrong_type(error, "kind", "'LocalDisk' or 'RocksDB' (both mean Gatepost's own log)");
}

static int read_key(struct spool_config *config, const char *key, const json_t *value, struct error *error)
{
    if (!strcmp(key, "name") || !strcmp(key, "path")) {
        if (!json_is_string(value) || json_string_length(value) == 0)
            return wrong_type(error, key, "a string");
        *(!strcmp(key, "name") ? &config->name : &config->path) = json_string_value(value);
        return 0;
    }
    if (!strcmp(key, "flush")) {
        if (!json_is_boolean(value))
            return wrong_type(error, key, "true or false");
        config->flush = json_is_true(value);
        return 0;
    }
    if (!strcmp(key, "kind"))
        return read_kind(value, error);
    if (!strcmp(key, "min_free_space"))
        return read_floor(value, key, &config->min_free_space, error);
    if (!strcmp(key, "min_free_inodes"))
        return read_floor(value, key, &config->min_free_inodes, error);
    if (!strcmp(key, "rocks_params"))
        return json_is_object(value) || json_is_array(value) ? 0 : wrong_type(error, key, "a table");
    return error_set(error, ERROR_PERM, "kumo.define_spool: unknown key '%s'", key);
}

static int read_config(const json_t *params, struct spool_config *config, struct error *error)
{
    const char *key;
    json_t *value;

    *config = (struct spool_config){.flush = true, .min_free_space.percent = 10, .min_free_inodes.percent = 10};
    json_object_foreach((json_t *)(uintptr_t)params, key, value) if (read_key(config, key, value, error)) return -1;
    if (!config->name)
        return wrong_type(error, "name", "given");
    if (!config->path)
        return wrong_type(error, "path", "given");
    return 0;
}

static int l_define_spool(lua_State *L)
{
    void *ctx;
    const struct house_ops *house = house_get(L, "kumo.define_spool", &ctx);
    struct spool_config config;
    struct error error;
    json_t *params;
    int status;

    luaL_checktype(L, 1, LUA_TTABLE);
    params = policy_to_json(L, 1);
    status = read_config(params, &config, &error);
    if (!status)
        status = house->define_spool(ctx, &config, &error);
    json_decref(params);
    if (status)
        return luaL_error(L, "%s", error.sentence);
    return 0;
}

void mod_spool_open(lua_State *L)
{
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_define_spool);
    lua_setfield(L, -2, "define_spool");
    lua_pop(L, 1);
}
