/* SPDX-License-Identifier: Apache-2.0
 *
 * C objects as userdata. Each is a small box that points to the object: borrowed (emptied
 * when the call that lent it ends), owned (freed with the box), or shared (a counted
 * reference). A policy may keep a box as long as it likes; using an empty one is an error.
 */
#include "base/must.h"
#include "policy/policy_private.h"
#include "policy/shared.h"

enum box_kind { BOX_BORROWED, BOX_OWNED, BOX_SHARED };

struct box {
    struct list_node node; /* of a borrowed one: in its call */
    void *object;          /* NULL when detached */
    void (*free_fn)(void *);
    enum box_kind kind;
};

static const char box_mark; /* its address is a key in the metatables of boxes */

/* By hand: the box does not know which call's list it is in, and nobody counts them. */
static void unlink_node(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_node_init(node);
}

static void empty(struct box *box)
{
    void *object = box->object;
    struct policy_shared *shared;

    box->object = NULL;
    if (list_has(&box->node))
        unlink_node(&box->node);
    if (!object)
        return;
    if (box->kind == BOX_OWNED) {
        box->free_fn(object);
    } else if (box->kind == BOX_SHARED) {
        shared = object;
        policy_shared_unref(&shared);
    }
}

static int box_gc(lua_State *L)
{
    empty(lua_touserdata(L, 1));
    return 0;
}

/* The first box of a class prepares its metatable. Policies never see it: with it they
 * could give one class the functions of another. */
static void push_class(lua_State *L, const char *class)
{
    MUST(luaL_getmetatable(L, class) == LUA_TTABLE);
    if (lua_rawgetp(L, -1, &box_mark) != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushstring(L, class);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, true);
    lua_rawsetp(L, -2, &box_mark);
}

/* Everything that can raise comes before the box has something to lose. */
static struct box *push_box(lua_State *L, const char *class, enum box_kind kind)
{
    struct box *box;

    luaL_checkstack(L, 4, NULL);
    box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct box){.kind = kind};
    list_node_init(&box->node);
    push_class(L, class);
    lua_setmetatable(L, -2);
    return box;
}

void policy_push_object(lua_State *L, const char *class, void *object)
{
    struct policy_state *state = thread_of(L)->state;
    struct box *box = push_box(L, class, BOX_BORROWED);

    box->object = object;
    list_push_back(state->running ? &state->running->objects : &state->loose, &box->node);
}

void policy_push_owned(lua_State *L, const char *class, void *object, void (*free_fn)(void *))
{
    struct policy_state *state = thread_of(L)->state;
    struct budget *budget = state->budget;
    struct box *box;

    if (!lua_checkstack(L, 8)) {
        free_fn(object);
        luaL_error(L, "stack overflow");
    }
    state->budget = NULL; /* no memory is refused, so nothing is raised while the object has no owner */
    box = push_box(L, class, BOX_OWNED);
    state->budget = budget;
    box->free_fn = free_fn;
    box->object = object;
}

void policy_push_shared(lua_State *L, struct policy_shared *shared)
{
    struct box *box = push_box(L, shared->class->name, BOX_SHARED);

    box->object = policy_shared_ref(shared);
}

void objects_detach(struct list *boxes)
{
    struct list_node *node;

    while ((node = list_first(boxes)))
        empty(CONTAINER_OF(node, struct box, node));
    list_init(boxes);
}

/* ---- finding them again ---- */

static struct box *test_box(lua_State *L, int index, const char *class) { return luaL_testudata(L, index, class); }

void *policy_test_object(lua_State *L, int index, const char *class)
{
    struct box *box = test_box(L, index, class);

    return box ? box->object : NULL;
}

void *policy_check_object(lua_State *L, int index, const char *class)
{
    struct box *box = luaL_checkudata(L, index, class);

    if (!box->object)
        luaL_error(L, "%s is no longer there", class);
    return box->object;
}

struct policy_shared *policy_test_shared(lua_State *L, int index)
{
    struct box *box = lua_touserdata(L, index);
    bool is_box = false;

    if (!box || lua_islightuserdata(L, index) || !lua_getmetatable(L, index))
        return NULL;
    is_box = lua_rawgetp(L, -1, &box_mark) != LUA_TNIL;
    lua_pop(L, 2);
    return is_box && box->kind == BOX_SHARED ? box->object : NULL;
}

/* ---- counting ---- */

struct policy_shared *policy_shared_ref(struct policy_shared *shared)
{
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void policy_shared_unref(struct policy_shared **shared)
{
    struct policy_shared *gone = *shared;

    *shared = NULL;
    if (gone && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        gone->class->free(gone);
}
