/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the message and address classes share.
 *
 * Lua errors jump over C frames, so nothing here is held in a C variable that would have to
 * be freed: buffers and parsed headers live in userdata of the running function
 * (scratch_*), and the collector frees them whichever way it ends.
 */
#ifndef GATEPOST_POLICY_MODULES_MOD_MESSAGE_PRIVATE_H
#define GATEPOST_POLICY_MODULES_MOD_MESSAGE_PRIVATE_H

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "message/headers.h"
#include "message/message.h"
#include "policy/policy.h"

#define MESSAGE_CLASS "message"
#define MESSAGE_DATA_LIMIT (1UL << 30)

/* ---- scratch: pushed on the stack, valid as long as it stays there ---- */

struct buf *scratch_buf(lua_State *L, size_t limit_bytes);
/* The headers of a message whose data is in memory; raises otherwise. */
struct headers *scratch_headers(lua_State *L, const struct message *message);
void scratch_open(lua_State *L);

/* ---- checking ---- */

static inline struct message *check_message(lua_State *L) { return policy_check_object(L, 1, MESSAGE_CLASS); }

static inline struct span check_span(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_checklstring(L, index, &len);

    return span_make(text, len);
}

/* Raises the sentence of a failed call. */
static inline int raise_error(lua_State *L, const struct error *error) { return luaL_error(L, "%s", error->sentence); }

static inline void push_span(lua_State *L, struct span text) { lua_pushlstring(L, text.data, text.len); }

/* ---- addresses (mod_address.c) ---- */

void address_push(lua_State *L, struct span mailbox);
/* An address object or a string that is "" or user@domain; raises for anything else. The span
 * is valid as long as the value stays on the stack. */
struct span address_check(lua_State *L, int index);

/* Pushes an AddressHeader of a field's value (mod_headers.c). */
void address_header_push(lua_State *L, struct span value);

/* ---- methods, by topic: each adds its own to the table at the top ---- */

void message_add_envelope_methods(lua_State *L);
void message_add_meta_methods(lua_State *L);
void message_add_header_methods(lua_State *L);
void message_add_import_methods(lua_State *L);
void message_add_data_methods(lua_State *L);

#endif
