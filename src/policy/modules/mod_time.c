/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.time: moments and spans of time as values that can be added, compared and printed.
 * Moments are kept in milliseconds of UTC; sleeping is mod_sleep.c's.
 */
#include "policy/modules/modules.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "message/timestamp.h"

#define TIME_CLASS "time"
#define DELTA_CLASS "time span"
#define FAR_MS 253402300799999.0 /* the end of the year 9999 */

static void push_ms(lua_State *L, const char *class, lua_Integer ms)
{
    *(lua_Integer *)lua_newuserdatauv(L, sizeof ms, 0) = ms;
    luaL_setmetatable(L, class);
}

static lua_Integer check_ms(lua_State *L, int index, const char *class)
{
    return *(const lua_Integer *)luaL_checkudata(L, index, class);
}

/* ---- spans ---- */

static void push_human(lua_State *L, lua_Integer ms)
{
    static const struct {
        const char *unit;
        lua_Integer ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    const char *between = ms < 0 ? "-" : "";
    lua_Integer left = ms < 0 ? -ms : ms;

    lua_pushstring(L, left ? "" : "0s");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (left < units[i].ms)
            continue;
        lua_pushfstring(L, "%s%I%s", between, (LUAI_UACINT)(left / units[i].ms), units[i].unit);
        lua_concat(L, 2);
        left %= units[i].ms;
        between = " ";
    }
}

static int delta_index(lua_State *L)
{
    lua_Integer ms = check_ms(L, 1, DELTA_CLASS);
    const char *name = luaL_checkstring(L, 2);

    if (!strcmp(name, "seconds"))
        lua_pushnumber(L, (lua_Number)ms / 1000);
    else if (!strcmp(name, "milliseconds"))
        lua_pushinteger(L, ms);
    else if (!strcmp(name, "microseconds"))
        lua_pushinteger(L, ms * 1000);
    else if (!strcmp(name, "nanoseconds"))
        lua_pushinteger(L, ms * 1000000);
    else if (!strcmp(name, "human"))
        push_human(L, ms);
    else
        return luaL_error(L, "a time span has no field '%s'", name);
    return 1;
}

static int delta_tostring(lua_State *L)
{
    push_human(L, check_ms(L, 1, DELTA_CLASS));
    return 1;
}

static int delta_add(lua_State *L)
{
    push_ms(L, DELTA_CLASS, check_ms(L, 1, DELTA_CLASS) + check_ms(L, 2, DELTA_CLASS));
    return 1;
}

static int delta_sub(lua_State *L)
{
    push_ms(L, DELTA_CLASS, check_ms(L, 1, DELTA_CLASS) - check_ms(L, 2, DELTA_CLASS));
    return 1;
}

static int delta_eq(lua_State *L)
{
    lua_pushboolean(L, check_ms(L, 1, DELTA_CLASS) == check_ms(L, 2, DELTA_CLASS));
    return 1;
}

/* ---- moments ---- */

static struct tm utc_of(lua_Integer ms)
{
    time_t seconds = (time_t)((ms - ((ms % 1000) + 1000) % 1000) / 1000);
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    return tm;
}

static int time_format(lua_State *L)
{
    struct tm tm = utc_of(check_ms(L, 1, TIME_CLASS));
    const char *format = luaL_checkstring(L, 2);
    char text[512];
    size_t len = strftime(text, sizeof text, format, &tm);

    if (!len && *format)
        return luaL_error(L, "the format gives no text, or too long a one");
    lua_pushlstring(L, text, len);
    return 1;
}

static int time_number(lua_State *L, lua_Integer ms, const char *name)
{
    struct tm tm = utc_of(ms);
    const struct {
        const char *name;
        lua_Integer value;
    } fields[] = {{"year", tm.tm_year + 1900},
                  {"month", tm.tm_mon + 1},
                  {"day", tm.tm_mday},
                  {"hour", tm.tm_hour},
                  {"minute", tm.tm_min},
                  {"second", tm.tm_sec},
                  {"unix_timestamp", (lua_Integer)floor((double)ms / 1000)},
                  {"unix_timestamp_millis", ms}};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strcmp(name, fields[i].name)) {
            lua_pushinteger(L, fields[i].value);
            return 1;
        }
    return luaL_error(L, "a time has no field '%s'", name);
}

static int time_index(lua_State *L)
{
    lua_Integer ms = check_ms(L, 1, TIME_CLASS);
    const char *name = luaL_checkstring(L, 2);
    char text[TIMESTAMP_RFC3339_BYTES];

    if (!strcmp(name, "format")) {
        lua_pushcfunction(L, time_format);
    } else if (!strcmp(name, "rfc3339")) {
        timestamp_format_rfc3339(ms, text);
        lua_pushstring(L, text);
    } else if (!strcmp(name, "rfc2822")) {
        timestamp_format_rfc5322(ms, text);
        lua_pushstring(L, text);
    } else if (!strcmp(name, "elapsed")) {
        push_ms(L, DELTA_CLASS, clock_wall_ms() - ms);
    } else {
        return time_number(L, ms, name);
    }
    return 1;
}

static int time_tostring(lua_State *L)
{
    struct tm tm = utc_of(check_ms(L, 1, TIME_CLASS));
    char text[64];

    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    lua_pushstring(L, text);
    return 1;
}

static int time_add(lua_State *L)
{
    push_ms(L, TIME_CLASS, check_ms(L, 1, TIME_CLASS) + check_ms(L, 2, DELTA_CLASS));
    return 1;
}

static int time_sub(lua_State *L)
{
    lua_Integer ms = check_ms(L, 1, TIME_CLASS);

    if (luaL_testudata(L, 2, TIME_CLASS))
        push_ms(L, DELTA_CLASS, ms - check_ms(L, 2, TIME_CLASS));
    else
        push_ms(L, TIME_CLASS, ms - check_ms(L, 2, DELTA_CLASS));
    return 1;
}

static int time_eq(lua_State *L)
{
    lua_pushboolean(L, check_ms(L, 1, TIME_CLASS) == check_ms(L, 2, TIME_CLASS));
    return 1;
}

/* ---- kumo.time ---- */

static int l_now(lua_State *L)
{
    push_ms(L, TIME_CLASS, clock_wall_ms());
    return 1;
}

static int l_from_unix_timestamp(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);

    luaL_argcheck(L, fabs(seconds) * 1000 <= FAR_MS, 1, "not a time before the year 10000");
    push_ms(L, TIME_CLASS, (lua_Integer)floor(seconds * 1000));
    return 1;
}

static int l_parse_rfc3339(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    int64_t ms;

    if (timestamp_parse_rfc3339(span_make(text, len), &ms))
        return luaL_error(L, "'%s' is not a time as RFC 3339 writes it", text);
    push_ms(L, TIME_CLASS, ms);
    return 1;
}

static int l_parse_duration(lua_State *L)
{
    struct error error = {0};
    uint64_t ms;
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    if (lua_isnumber(L, 1) && lua_tonumber(L, 1) >= 0 && lua_tonumber(L, 1) * 1000 <= FAR_MS) {
        push_ms(L, DELTA_CLASS, (lua_Integer)(lua_tonumber(L, 1) * 1000));
        return 1;
    }
    if (duration_parse(span_make(text, len), &ms, &error))
        return luaL_error(L, "%s", error.sentence);
    luaL_argcheck(L, (double)ms <= FAR_MS, 1, "longer than any time");
    push_ms(L, DELTA_CLASS, (lua_Integer)ms);
    return 1;
}

static int l_epoch_millis(lua_State *L)
{
    lua_pushinteger(L, clock_wall_ms());
    return 1;
}

static int l_since_millis(lua_State *L)
{
    lua_pushinteger(L, clock_wall_ms() - luaL_checkinteger(L, 1));
    return 1;
}

static void add_class(lua_State *L, const char *class, const luaL_Reg *methods)
{
    luaL_newmetatable(L, class);
    luaL_setfuncs(L, methods, 0);
    lua_pushstring(L, class);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void mod_time_open(lua_State *L)
{
    static const luaL_Reg time_methods[] = {{"__index", time_index}, {"__tostring", time_tostring},
                                            {"__add", time_add},     {"__sub", time_sub},
                                            {"__eq", time_eq},       {NULL, NULL}};
    static const luaL_Reg delta_methods[] = {{"__index", delta_index}, {"__tostring", delta_tostring},
                                             {"__add", delta_add},     {"__sub", delta_sub},
                                             {"__eq", delta_eq},       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"now", l_now},
                                         {"from_unix_timestamp", l_from_unix_timestamp},
                                         {"parse_rfc3339", l_parse_rfc3339},
                                         {"parse_duration", l_parse_duration},
                                         {"epoch_millis", l_epoch_millis},
                                         {"since_millis", l_since_millis},
                                         {NULL, NULL}};

    add_class(L, TIME_CLASS, time_methods);
    add_class(L, DELTA_CLASS, delta_methods);
    lua_getglobal(L, "kumo");
    luaL_getsubtable(L, -1, "time");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 2);
}
