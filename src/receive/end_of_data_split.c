/* SPDX-License-Identifier: Apache-2.0
 *
 * One transaction, how many messages? One per recipient, one per domain, or as
 * smtp_server_split_transaction says. A single one is the message that is there already;
 * more than one are forks of it, which share its body for as long as nobody changes it.
 */
#include <lauxlib.h>

#include "base/map.h"
#include "base/must.h"
#include "receive/end_of_data.h"
#include "smtp/address.h"

#define BATCHES_MAX 100000

static struct message *add_fork(struct receive_reception *reception)
{
    struct message *fork = message_fork(reception->message);

    list_push_back(&reception->pending, message_link(fork));
    return fork;
}

static void keep_whole(struct receive_reception *reception)
{
    list_push_back(&reception->pending, message_link(reception->message));
    reception->message = NULL;
}

static void drop_original(struct receive_reception *reception)
{
    message_free(reception->message);
    reception->message = NULL;
}

static void split_by_recipient(struct receive_reception *reception)
{
    const struct message *message = reception->message;

    for (size_t i = 0; i < message_recipient_count(message); i++)
        message_add_recipient(add_fork(reception), span_of(message_recipient(message, i)));
    drop_original(reception);
}

static void split_by_domain(struct receive_reception *reception)
{
    const struct message *message = reception->message;
    struct map batches;

    map_init(&batches);
    for (size_t i = 0; i < message_recipient_count(message); i++) {
        struct span recipient = span_of(message_recipient(message, i));
        struct span domain = address_domain(recipient);
        struct message *batch = map_find(&batches, domain);

        if (!batch) {
            batch = add_fork(reception);
            map_put(&batches, domain, batch);
        }
        message_add_recipient(batch, recipient);
    }
    map_done(&batches, NULL);
    drop_original(reception);
}

/* ---- what a handler returned: a table of tables of addresses, under whatever keys ---- */

struct reading {
    struct receive_reception *reception;
    size_t count;
};

static void add_address(lua_State *L, struct message *batch)
{
    struct span text = session_address_text(L, -1);
    struct smtp_mailbox mailbox;

    if (!text.data || smtp_mailbox_parse(text, SMTP_ADDRESS_ALLOW_UTF8 | SMTP_ADDRESS_ALLOW_POSTMASTER, &mailbox) !=
                          SMTP_ADDRESS_FINE)
        luaL_error(L, "a batch holds something that is not an address");
    message_add_recipient(batch, text);
}

/* Runs protected. Each message is in `pending` before anything can raise. */
static int read_batches(lua_State *L)
{
    struct reading *reading = lua_touserdata(L, 2);

    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) { /* key, batch */
        struct message *batch;

        luaL_argcheck(L, lua_istable(L, -1), 1, "each batch is a list of addresses");
        luaL_argcheck(L, lua_rawlen(L, -1) > 0, 1, "a batch is empty");
        luaL_argcheck(L, reading->count++ < BATCHES_MAX, 1, "too many batches");
        batch = add_fork(reading->reception);
        for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) { /* key, batch, address */
            add_address(L, batch);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    luaL_argcheck(L, reading->count > 0, 1, "no batches");
    return 0;
}

static int split_as_told(struct receive_reception *reception, const struct policy_result *result, struct error *error)
{
    struct reading reading = {.reception = reception};
    lua_State *L = result->L;

    MUST(lua_checkstack(L, 4));
    lua_pushcfunction(L, read_batches);
    lua_pushvalue(L, result->first);
    lua_pushlightuserdata(L, &reading);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        const char *why = lua_tostring(L, -1);

        error_set(error, ERROR_PERM, "%s", why ? why : "the result is no table of batches");
        lua_pop(L, 1);
        return -1;
    }
    drop_original(reception);
    return 0;
}

int reception_split(struct receive_reception *reception, const struct policy_result *result, struct error *error)
{
    if (result && result->outcome == POLICY_RETURNED && result->count >= 1 && !lua_isnil(result->L, result->first))
        return split_as_told(reception, result, error);
    if (message_recipient_count(reception->message) == 1)
        keep_whole(reception);
    else if (reception->connection->params->batch_handling == RECEIVE_BATCH_BY_DOMAIN)
        split_by_domain(reception);
    else
        split_by_recipient(reception);
    return 0;
}
