/* SPDX-License-Identifier: Apache-2.0
 *
 * See data.h. One byte says what follows; lengths come before contents. Like json.c this
 * reads tables with calls that cannot raise, for it holds memory of its own meanwhile.
 */
#include "policy/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "policy/policy_private.h"
#include "policy/shared.h"

#define DEEPEST 64
#define LARGEST_BYTES (64u << 20)
#define MOST_SHARED 4096

enum tag { TAG_NIL, TAG_FALSE, TAG_TRUE, TAG_INTEGER, TAG_FLOAT, TAG_STRING, TAG_TABLE, TAG_ARRAY, TAG_SHARED };

struct policy_data {
    struct memoize_value value;
    struct buf bytes;
    int count; /* of values */
    struct policy_shared **shared;
    uint32_t shared_count;
};

struct writer {
    lua_State *L;
    struct buf *out;
    struct policy_data *data; /* NULL for a key: no objects, and tables in a set order */
    const void *tables[DEEPEST];
    int depth;
    struct error *error;
};

/* ---- writing ---- */

static int too_large(struct writer *writer)
{
    return error_set(writer->error, ERROR_PERM, "a value is larger than %u MiB", LARGEST_BYTES >> 20);
}

static int put(struct writer *writer, const void *data, size_t len)
{
    return buf_append(writer->out, data, len) < 0 ? too_large(writer) : 0;
}

static int put_tag(struct writer *writer, enum tag tag)
{
    unsigned char byte = (unsigned char)tag;

    return put(writer, &byte, 1);
}

static int put_tagged(struct writer *writer, enum tag tag, const void *data, size_t len)
{
    return put_tag(writer, tag) < 0 ? -1 : put(writer, data, len);
}

static int put_string(struct writer *writer, int index)
{
    size_t len;
    const char *data = lua_tolstring(writer->L, index, &len);

    if (put_tagged(writer, TAG_STRING, &len, sizeof len) < 0)
        return -1;
    return put(writer, data, len);
}

static int put_number(struct writer *writer, int index)
{
    lua_Integer integer = lua_tointeger(writer->L, index);
    lua_Number number = lua_tonumber(writer->L, index);

    if (lua_isinteger(writer->L, index))
        return put_tagged(writer, TAG_INTEGER, &integer, sizeof integer);
    return put_tagged(writer, TAG_FLOAT, &number, sizeof number);
}

static int put_shared(struct writer *writer, int index)
{
    struct policy_shared *shared = policy_test_shared(writer->L, index);
    struct policy_data *data = writer->data;

    if (!shared || !data || data->shared_count >= MOST_SHARED)
        return error_set(writer->error, ERROR_PERM, "a userdata cannot be copied");
    if (put_tagged(writer, TAG_SHARED, &data->shared_count, sizeof data->shared_count) < 0)
        return -1;
    data->shared = mem_realloc(data->shared, (data->shared_count + 1) * sizeof *data->shared);
    data->shared[data->shared_count++] = policy_shared_ref(shared);
    if (shared->class->freeze)
        shared->class->freeze(shared);
    return 0;
}

static int put_value(struct writer *writer, int index);

/* The pair on the top of the stack, key below value. */
static int put_pair(struct writer *writer)
{
    int top = lua_gettop(writer->L);
    char key[48] = "";

    if (put_value(writer, top - 1) < 0)
        return -1;
    if (put_value(writer, top) == 0)
        return 0;
    if (lua_type(writer->L, top - 1) == LUA_TSTRING)
        snprintf(key, sizeof key, "%.40s", lua_tostring(writer->L, top - 1));
    else
        snprintf(key, sizeof key, "%lld", (long long)lua_tointeger(writer->L, top - 1));
    return error_prefix(writer->error, "in field '%s'", key);
}

/* Where each pair of a table lies in the output, to put them into order. */
struct pairs {
    size_t *ends;
    size_t count;
    size_t room;
};

static void note_pair(struct pairs *pairs, size_t end)
{
    if (pairs->count == pairs->room) {
        pairs->room = pairs->room ? pairs->room * 2 : 16;
        pairs->ends = mem_realloc(pairs->ends, pairs->room * sizeof *pairs->ends);
    }
    pairs->ends[pairs->count++] = end;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a;
    const struct span *y = b;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void sort_pairs(struct buf *out, size_t start, const struct pairs *pairs)
{
    size_t len = buf_len(out) - start;
    char *copy = mem_alloc(len);
    char *at = out->data + out->start + start;
    struct span *spans = mem_alloc(pairs->count * sizeof *spans);

    memcpy(copy, at, len);
    for (size_t i = 0; i < pairs->count; i++) {
        size_t from = i ? pairs->ends[i - 1] - start : 0;

        spans[i] = span_make(copy + from, pairs->ends[i] - start - from);
    }
    qsort(spans, pairs->count, sizeof *spans, compare_spans);
    for (size_t i = 0; i < pairs->count; at += spans[i++].len)
        memcpy(at, spans[i].data, spans[i].len);
    secret_wipe(copy, len);
    free(copy);
    free(spans);
}

static int put_pairs(struct writer *writer, int index, struct pairs *pairs)
{
    lua_pushnil(writer->L);
    while (lua_next(writer->L, index)) {
        if (put_pair(writer) < 0) {
            lua_pop(writer->L, 2);
            return -1;
        }
        lua_pop(writer->L, 1);
        note_pair(pairs, buf_len(writer->out));
    }
    return 0;
}

static int put_table_body(struct writer *writer, int index)
{
    struct pairs pairs = {0};
    size_t count_at = buf_len(writer->out) + 1;
    int status =
        put_tagged(writer, policy_is_array(writer->L, index) ? TAG_ARRAY : TAG_TABLE, &pairs.count, sizeof pairs.count);

    if (status == 0)
        status = put_pairs(writer, index, &pairs);
    if (status == 0) {
        memcpy(writer->out->data + writer->out->start + count_at, &pairs.count, sizeof pairs.count);
        if (!writer->data && pairs.count > 1)
            sort_pairs(writer->out, count_at + sizeof pairs.count, &pairs);
    }
    free(pairs.ends);
    return status;
}

static int put_table(struct writer *writer, int index)
{
    const void *table = lua_topointer(writer->L, index);
    int status;

    for (int i = 0; i < writer->depth; i++) {
        if (writer->tables[i] == table)
            return error_set(writer->error, ERROR_PERM, "a table contains itself");
    }
    if (writer->depth == DEEPEST || !lua_checkstack(writer->L, 8))
        return error_set(writer->error, ERROR_PERM, "tables are nested too deeply");
    writer->tables[writer->depth++] = table;
    status = put_table_body(writer, index);
    writer->depth--;
    return status;
}

static int put_value(struct writer *writer, int index)
{
    int type = lua_type(writer->L, index);

    switch (type) {
    case LUA_TNIL:
        return put_tag(writer, TAG_NIL);
    case LUA_TBOOLEAN:
        return put_tag(writer, lua_toboolean(writer->L, index) ? TAG_TRUE : TAG_FALSE);
    case LUA_TNUMBER:
        return put_number(writer, index);
    case LUA_TSTRING:
        return put_string(writer, index);
    case LUA_TTABLE:
        return put_table(writer, index);
    case LUA_TUSERDATA:
        return put_shared(writer, index);
    default:
        return error_set(writer->error, ERROR_PERM, "a %s cannot be copied", lua_typename(writer->L, type));
    }
}

static int put_values(struct writer *writer, int first, int count)
{
    int top = lua_gettop(writer->L);

    if (!lua_checkstack(writer->L, 8))
        return error_set(writer->error, ERROR_TEMP, "the Lua stack is full");
    for (int i = 0; i < count; i++) {
        if (put_value(writer, first + i) < 0) {
            lua_settop(writer->L, top);
            return -1;
        }
    }
    return 0;
}

/* ---- copies ---- */

static void data_free(struct memoize_value *value)
{
    struct policy_data *data = CONTAINER_OF(value, struct policy_data, value);

    for (uint32_t i = 0; i < data->shared_count; i++)
        policy_shared_unref(&data->shared[i]);
    free(data->shared);
    secret_wipe(data->bytes.data, data->bytes.capacity);
    buf_done(&data->bytes);
    free(data);
}

struct policy_data *policy_data_new(lua_State *L, int first, int count, struct error *error)
{
    struct policy_data *data = mem_zalloc(sizeof *data);
    struct writer writer = {.L = L, .out = &data->bytes, .data = data, .error = error};

    atomic_init(&data->value.refs, 1);
    data->value.free = data_free;
    data->count = count;
    buf_init(&data->bytes, LARGEST_BYTES);
    if (put_values(&writer, first, count) < 0) {
        data_free(&data->value);
        return NULL;
    }
    return data;
}

struct memoize_value *policy_data_value(struct policy_data *data) { return &data->value; }

const struct policy_data *policy_data_of(const struct memoize_value *value)
{
    return CONTAINER_OF(value, struct policy_data, value);
}

bool policy_data_is_refusal(const struct policy_data *data)
{
    struct span bytes = buf_span(&data->bytes);
    size_t pairs;

    if (bytes.len == 0 || bytes.data[0] == TAG_NIL || bytes.data[0] == TAG_FALSE)
        return true;
    if (bytes.data[0] != TAG_TABLE && bytes.data[0] != TAG_ARRAY)
        return false;
    memcpy(&pairs, bytes.data + 1, sizeof pairs);
    return pairs == 0;
}

int policy_data_key(lua_State *L, int first, int count, struct memoize_key *key_out, struct error *error)
{
    struct buf bytes;
    struct writer writer = {.L = L, .out = &bytes, .error = error};
    int status;

    buf_init(&bytes, LARGEST_BYTES);
    status = put_values(&writer, first, count);
    if (status == 0)
        *key_out = memoize_key_of(buf_span(&bytes));
    secret_wipe(bytes.data, bytes.capacity);
    buf_done(&bytes);
    return status;
}

/* ---- reading ---- */

/* What was written here is trusted: it never leaves the process. */
struct reader {
    const struct policy_data *data;
    const char *at;
};

static void get(struct reader *reader, void *out, size_t len)
{
    memcpy(out, reader->at, len);
    reader->at += len;
}

static void push_value(lua_State *L, struct reader *reader);

static void push_table(lua_State *L, struct reader *reader, bool is_array)
{
    size_t count;

    get(reader, &count, sizeof count);
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        push_value(L, reader);
        push_value(L, reader);
        lua_rawset(L, -3);
    }
    if (is_array)
        policy_mark_array(L, -1);
}

static void push_number(lua_State *L, struct reader *reader, enum tag tag)
{
    lua_Integer integer;
    lua_Number number;

    if (tag == TAG_INTEGER) {
        get(reader, &integer, sizeof integer);
        lua_pushinteger(L, integer);
    } else {
        get(reader, &number, sizeof number);
        lua_pushnumber(L, number);
    }
}

static void push_string(lua_State *L, struct reader *reader)
{
    size_t len;

    get(reader, &len, sizeof len);
    lua_pushlstring(L, reader->at, len);
    reader->at += len;
}

static void push_value(lua_State *L, struct reader *reader)
{
    enum tag tag = (enum tag)(unsigned char)*reader->at++;
    uint32_t slot;

    luaL_checkstack(L, 6, NULL);
    switch (tag) {
    case TAG_NIL:
        lua_pushnil(L);
        break;
    case TAG_FALSE:
    case TAG_TRUE:
        lua_pushboolean(L, tag == TAG_TRUE);
        break;
    case TAG_INTEGER:
    case TAG_FLOAT:
        push_number(L, reader, tag);
        break;
    case TAG_STRING:
        push_string(L, reader);
        break;
    case TAG_TABLE:
    case TAG_ARRAY:
        push_table(L, reader, tag == TAG_ARRAY);
        break;
    case TAG_SHARED:
        get(reader, &slot, sizeof slot);
        policy_push_shared(L, reader->data->shared[slot]);
        break;
    }
}

int policy_data_push(lua_State *L, const struct policy_data *data)
{
    struct reader reader = {.data = data, .at = buf_span(&data->bytes).data};

    for (int i = 0; i < data->count; i++)
        push_value(L, &reader);
    return data->count;
}
