/* SPDX-License-Identifier: Apache-2.0
 *
 * Methods of the message class: metadata, the queue it belongs to, and when it is tried.
 */
#include <jansson.h>

#include "base/clock.h"
#include "message/edit.h"
#include "message/schedule.h"
#include "message/timestamp.h"
#include "policy/modules/mod_message_private.h"

static bool names_the_queue(struct span key)
{
    return span_eq(key, SPAN_LIT("queue")) || span_eq(key, SPAN_LIT("tenant")) || span_eq(key, SPAN_LIT("campaign")) ||
           span_eq(key, SPAN_LIT("routing_domain"));
}

static struct message *check_loaded(lua_State *L)
{
    struct message *message = check_message(L);

    if (!message_meta(message))
        luaL_error(L, "the message's metadata is not in memory");
    return message;
}

static int l_get_meta(lua_State *L)
{
    struct message *message = check_message(L);
    struct span key = check_span(L, 2);

    if (!names_the_queue(key))
        check_loaded(L);
    policy_push_json(L, message_meta_get(message, key.data));
    return 1;
}

static int l_set_meta(lua_State *L)
{
    struct message *message = check_loaded(L);
    struct span key = check_span(L, 2);

    if (key.len == 0 || strlen(key.data) != key.len || !span_is_utf8(key))
        return luaL_error(L, "a metadata key must be text");
    if (names_the_queue(key) && lua_type(L, 3) != LUA_TSTRING && !lua_isnil(L, 3))
        return luaL_error(L, "metadata '%s' must be a string", key.data);
    luaL_checkany(L, 3);
    message_meta_set(message, key.data, lua_isnil(L, 3) ? json_null() : policy_to_json(L, 3));
    return 0;
}

static int l_queue_name(lua_State *L)
{
    struct message *message = check_message(L);
    struct buf *name = scratch_buf(L, 65536);

    if (message_queue_name(message, name))
        return luaL_error(L, "the queue's name is too long");
    push_span(L, buf_span(name));
    return 1;
}

static int l_num_attempts(lua_State *L)
{
    lua_pushinteger(L, message_attempts(check_message(L)));
    return 1;
}

static int l_increment_num_attempts(lua_State *L)
{
    struct message *message = check_message(L);

    message_set_attempts(message, message_attempts(message) + 1);
    return 0;
}

/* ---- when ---- */

static int l_get_due(lua_State *L)
{
    struct message *message = check_message(L);
    char text[TIMESTAMP_RFC3339_BYTES];

    if (message_due_ms(message) == 0) {
        lua_pushnil(L);
        return 1;
    }
    timestamp_format_rfc3339(message_due_ms(message), text);
    lua_pushstring(L, text);
    return 1;
}

static int l_set_due(lua_State *L)
{
    struct message *message = check_message(L);
    int64_t due_ms = 0;

    if (!lua_isnoneornil(L, 2) && timestamp_parse_rfc3339(check_span(L, 2), &due_ms))
        return luaL_error(L, "set_due takes nil or a date and time such as 2024-03-08T17:51:42Z");
    message_set_due_ms(message, due_ms);
    return 0;
}

/* `json` is stolen. */
static int apply_schedule(lua_State *L, struct message *message, json_t *json)
{
    struct error error;
    struct message_schedule *schedule = message_schedule_from_json(json, &error);

    json_decref(json);
    if (!schedule)
        return raise_error(L, &error);
    message_set_schedule(message, schedule);
    message_set_due_ms(message, message_schedule_next_ms(schedule, clock_wall_ms()));
    return 0;
}

static int l_set_scheduling(lua_State *L)
{
    struct message *message = check_message(L);

    if (lua_isnoneornil(L, 2)) {
        message_set_schedule(message, NULL);
        return 0;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    return apply_schedule(L, message, policy_to_json(L, 2));
}

static void remove_header(lua_State *L, struct message *message, struct span name)
{
    struct error error;

    if (message_remove_named(message, name, &error))
        raise_error(L, &error);
}

static int l_import_scheduling_header(lua_State *L)
{
    struct message *message = check_message(L);
    struct span name = check_span(L, 2);
    const struct header *header;
    struct buf *text;
    json_t *json;

    lua_settop(L, 3); /* so that scratch is not taken for an argument */
    header = headers_find(scratch_headers(L, message), name, NULL);
    if (!header)
        return 0;
    text = scratch_buf(L, HEADER_TEXT_LIMIT);
    if (header_decode(header->value, text))
        return luaL_error(L, "header %s is too long", name.data);
    json = json_loadb(buf_span(text).data, buf_len(text), JSON_REJECT_DUPLICATES, NULL);
    if (!json)
        return luaL_error(L, "header %s does not hold JSON", name.data);
    apply_schedule(L, message, json);
    if (lua_toboolean(L, 3))
        remove_header(L, message, name);
    return 0;
}

void message_add_meta_methods(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"get_meta", l_get_meta},
        {"set_meta", l_set_meta},
        {"queue_name", l_queue_name},
        {"num_attempts", l_num_attempts},
        {"increment_num_attempts", l_increment_num_attempts},
        {"get_due", l_get_due},
        {"set_due", l_set_due},
        {"set_scheduling", l_set_scheduling},
        {"import_scheduling_header", l_import_scheduling_header},
        {NULL, NULL},
    };

    luaL_setfuncs(L, methods, 0);
}
