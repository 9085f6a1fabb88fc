/* SPDX-License-Identifier: Apache-2.0
 *
 * Which functions a policy registered for which event. The program's own events are an
 * array, so that one nobody handles costs a look at a number; operators' events are a map.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/policy_private.h"

/* A policy that registers in a handler, and not at its top, would grow without end. */
#define MAX_HANDLERS 256
#define MAX_NAMED_EVENTS 1024

#define COMBINE_OF_single COMBINE_SINGLE
#define COMBINE_OF_multiple COMBINE_MULTIPLE
#define COMBINE_OF_every COMBINE_EVERY
#define EVENT_ROW(name, lua_name, combine) {lua_name, COMBINE_OF_##combine},

static const struct {
    const char *event;
    enum combine combine;
} event_table[POLICY_EVENT_COUNT] = {POLICY_EVENTS(EVENT_ROW)};

const char *policy_event_name(enum policy_event event) { return event_table[event].event; }

void handlers_init(struct policy_state *state)
{
    for (int i = 0; i < POLICY_EVENT_COUNT; i++)
        state->events[i] = (struct handlers){.event = event_table[i].event, .combine = event_table[i].combine};
    map_init(&state->named);
}

static void clear(struct handlers *handlers)
{
    for (int i = 0; i < handlers->count; i++)
        free(handlers->list[i].where);
    free(handlers->list);
    handlers->list = NULL;
    handlers->count = 0;
}

static void free_named(void *value)
{
    struct handlers *handlers = value;

    clear(handlers);
    free(handlers->own_name);
    free(handlers);
}

void handlers_done(struct policy_state *state)
{
    for (int i = 0; i < POLICY_EVENT_COUNT; i++)
        clear(&state->events[i]);
    map_done(&state->named, free_named);
}

const struct handlers *handlers_find(const struct policy_state *state, const char *event)
{
    for (int i = 0; i < POLICY_EVENT_COUNT; i++) {
        if (!strcmp(state->events[i].event, event))
            return &state->events[i];
    }
    return map_find(&state->named, span_of(event));
}

static struct handlers *add_named(struct policy_state *state, const char *event)
{
    struct handlers *handlers = mem_zalloc(sizeof *handlers);

    handlers->own_name = mem_strdup(event);
    handlers->event = handlers->own_name;
    handlers->combine = COMBINE_LATEST;
    map_put(&state->named, span_of(event), handlers);
    return handlers;
}

/* Raises when the event does not take one more. */
static struct handlers *find_place(lua_State *L, const char *event)
{
    struct policy_state *state = thread_of(L)->state;
    struct handlers *handlers = (struct handlers *)handlers_find(state, event);

    if (!handlers) {
        if (state->named.count >= MAX_NAMED_EVENTS)
            luaL_error(L, "kumo.on: more than %d events of your own", MAX_NAMED_EVENTS);
        return add_named(state, event);
    }
    if (handlers->combine == COMBINE_SINGLE && handlers->count)
        luaL_error(L, "kumo.on: event '%s' takes one handler and has one already, from %s", event,
                   handlers->list[0].where);
    if (handlers->count >= MAX_HANDLERS)
        luaL_error(L, "kumo.on: more than %d handlers for event '%s'", MAX_HANDLERS, event);
    return handlers;
}

/* "file:line" of the Lua code that called the C function which runs. */
static char *caller_place(lua_State *L)
{
    lua_Debug ar;

    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
        return mem_printf("%s:%d", ar.short_src, ar.currentline);
    return mem_strdup("?");
}

void policy_on(lua_State *L, const char *event, int index)
{
    struct handlers *handlers;
    int ref;

    luaL_checktype(L, index, LUA_TFUNCTION);
    handlers = find_place(L, event);
    lua_pushvalue(L, index);
    ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (handlers->combine == COMBINE_LATEST && handlers->count) {
        luaL_unref(L, LUA_REGISTRYINDEX, handlers->list[0].ref);
        clear(handlers);
    }
    handlers->list = mem_realloc(handlers->list, ((size_t)handlers->count + 1) * sizeof *handlers->list);
    handlers->list[handlers->count++] = (struct handler){.ref = ref, .where = caller_place(L)};
}
