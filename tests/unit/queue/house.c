/* SPDX-License-Identifier: Apache-2.0
 *
 * See house.h.
 */
#include "house.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "policy/await.h"
#include "policy/binding.h"
#include "policy/modules/modules.h"

/* ---- the clock ---- */

static uint64_t offset_us;
static int64_t back_us;

static uint64_t mono_us(void) { return 1000000000 + offset_us; }

static int64_t wall_us(void) { return 1700000000000000 + (int64_t)offset_us - back_us; }

static const struct clock_source stopped_clock = {mono_us, wall_us};

/* ---- the fake rooms ---- */

static void on_connect(void *ctx, struct queue_ready *ready, uint64_t id, struct route_plan *plan)
{
    struct house *house = ctx;
    struct house_connection *connection = &house->connections[house->connection_count++];

    MUST(house->connection_count < HOUSE_LIMIT);
    *connection = (struct house_connection){.id = id, .ready = ready, .plan = route_plan_ref(plan)};
    list_init(&connection->given);
}

static struct house_connection *connection_of(struct house *house, uint64_t id)
{
    for (size_t i = 0; i < house->connection_count; i++)
        if (house->connections[i].id == id)
            return &house->connections[i];
    MUST(!"a connection the queue did not open");
    return NULL;
}

static void on_give(void *ctx, uint64_t id, struct list *messages)
{
    list_splice(&connection_of(ctx, id)->given, messages);
}

static void on_finish(void *ctx, uint64_t id) { connection_of(ctx, id)->finished = true; }

static void on_load(void *ctx, struct message *message)
{
    struct house *house = ctx;

    MUST(house->load_count < HOUSE_LIMIT && !message_is_loaded(message));
    house->loads[house->load_count++] = message;
    house->loads_asked++;
}

static struct buf record_of(const struct message *message)
{
    struct buf record;

    buf_init(&record, 65536);
    MUST(message_encode(message, &record) == 0);
    return record;
}

/* Until it is answered the record before is what can be read back. Nobody may call back into the queue from here: what
 * is not held is answered by house_settle. */
static void on_save(void *ctx, struct message *message)
{
    struct house *house = ctx;

    MUST(message_is_loaded(message));
    house->saves = mem_realloc(house->saves, (house->save_count + 1) * sizeof *house->saves);
    house->saves[house->save_count++] = (struct house_save){
        .ref = message_spool_ref(message), .record = record_of(message), .token = message_save_begin(message)};
    house->saved++;
}

static void on_bounce(void *ctx, struct message *message, const struct smtp_reply *reply, bool expired)
{
    struct house *house = ctx;

    house->bounced += !expired;
    house->expired += expired;
    house->last_reply = *reply;
    snprintf(house->last_bounced, sizeof house->last_bounced, "%s", message_id(message));
    message_free(message);
}

static void on_delayed(void *ctx, const struct message *message, const struct smtp_reply *reply)
{
    struct house *house = ctx;

    (void)message;
    if (reply)
        house->last_reply = *reply;
    house->transient += reply != NULL;
    house->delayed += reply == NULL;
}

static void on_discard(void *ctx, struct message *message)
{
    struct house *house = ctx;

    house->discarded++;
    message_free(message);
}

static const struct queue_ops ops = {
    .connect = on_connect,
    .give = on_give,
    .finish = on_finish,
    .load = on_load,
    .save = on_save,
    .bounce = on_bounce,
    .delayed = on_delayed,
    .discard = on_discard,
};

/* ---- the policy: kumo.on, the makers, and wait() ---- */

static struct house *only_house;

static void wait_start(struct await *await, struct loop *loop)
{
    (void)loop;
    only_house->waiting = await;
}

static void wait_run(struct await *await) { (void)await; }

static int wait_finish(struct await *await, lua_State *L)
{
    (void)await;
    (void)L;
    return 0;
}

static void wait_cancel(struct await *await)
{
    if (only_house->waiting == await) {
        only_house->waiting = NULL;
        await_finish(await);
    }
}

static void wait_free(struct await *await) { free(await); }

static int l_wait(lua_State *L)
{
    static const struct await_ops wait_ops = {wait_start, wait_run, wait_finish, wait_cancel, wait_free};
    struct await *waiting = mem_zalloc(sizeof *waiting);

    waiting->ops = &wait_ops;
    return await(L, waiting);
}

static int l_on(lua_State *L)
{
    policy_on(L, luaL_checkstring(L, 1), 2);
    return 0;
}

static int l_delay(lua_State *L) /* delay(message, ms) */
{
    struct message *message = policy_check_object(L, 1, "message");

    message_set_due_ms(message, clock_wall_ms() + luaL_checkinteger(L, 2));
    return 0;
}

static int l_set_tenant(lua_State *L) /* set_tenant(message, name) */
{
    struct message *message = policy_check_object(L, 1, "message");

    message_meta_set(message, "tenant", json_string(luaL_checkstring(L, 2)));
    return 0;
}

static int l_attempts(lua_State *L)
{
    lua_pushinteger(L, message_attempts(policy_check_object(L, 1, "message")));
    return 1;
}

static int l_reject(lua_State *L)
{
    policy_raise_reply(L, (int)luaL_checkinteger(L, 1), span_of(luaL_checkstring(L, 2)), POLICY_STAY);
}

static void add_modules(lua_State *L)
{
    static const luaL_Reg functions[] = {{"wait", l_wait},         {"delay", l_delay},   {"set_tenant", l_set_tenant},
                                         {"attempts", l_attempts}, {"reject", l_reject}, {NULL, NULL}};

    luaL_newmetatable(L, "message");
    lua_pop(L, 1);
    lua_getglobal(L, "kumo");
    lua_pushcfunction(L, l_on);
    lua_setfield(L, -2, "on");
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    mod_egress_open(L);
}

/* ---- the house ---- */

struct house *house_new(const char *policy, const char *zone)
{
    struct house *house = mem_zalloc(sizeof *house);
    struct dns_config dns = {.zone_text = zone ? zone : "nothing.test A 192.0.2.1\n"};
    struct policy_options options = {.text = policy, .add_modules = add_modules};
    struct error error = {0};

    clock_inject(&stopped_clock);
    offset_us = 0;
    back_us = 0;
    only_house = house;
    house->loop = loop_new("queue", &error);
    house->policy = policy_new(&options, &error);
    house->vm = policy_vm_new(house->policy, house->loop, &error);
    if (!house->vm)
        fail_msg("%s", error.sentence);
    house->dns = dns_new(house->loop, &dns, &error);
    if (!house->dns)
        fail_msg("%s", error.sentence);
    house->queue = queue_new(house->loop, house->vm, house->dns, &ops, house);
    house->record_capacity = 64;
    house->records = mem_zalloc(house->record_capacity * sizeof *house->records);
    return house;
}

int house_try_policy(const char *policy, struct error *error)
{
    struct policy_options options = {.text = policy, .add_modules = add_modules};
    struct loop *loop = loop_new("queue", error);
    struct policy *loaded = policy_new(&options, error);
    struct policy_vm *vm = policy_vm_new(loaded, loop, error);
    int result = vm ? 0 : -1;

    policy_vm_free(vm);
    policy_free(loaded);
    loop_free(loop);
    return result;
}

void house_free(struct house *house)
{
    for (size_t i = 0; i < house->connection_count; i++) {
        struct list_node *node;

        route_plan_unref(&house->connections[i].plan);
        while ((node = list_take_first(&house->connections[i].given)))
            message_free(message_of_link(node));
    }
    house_answer_saves(house, true);
    queue_free(house->queue);
    dns_free(house->dns);
    policy_vm_free(house->vm);
    policy_free(house->policy);
    loop_free(house->loop);
    for (uint64_t i = 0; i <= house->last_ref; i++)
        buf_done(&house->records[i]);
    free(house->records);
    clock_inject(NULL);
    free(house);
}

struct message *house_message(struct house *house, const char *recipient)
{
    struct message *message = message_new();

    message_set_sender(message, SPAN_LIT("a@sender.test"));
    message_add_recipient(message, span_of(recipient));
    message_set_body(message, bytes_copy(SPAN_LIT("Subject: x\r\n\r\nbody\r\n")));
    if (++house->last_ref >= house->record_capacity) {
        house->record_capacity *= 2;
        house->records = mem_realloc(house->records, house->record_capacity * sizeof *house->records);
    }
    message_set_spool_ref(message, house->last_ref);
    house->records[house->last_ref] = record_of(message);
    message_mark_clean(message);
    return message;
}

void house_insert(struct house *house, const char *recipient, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queue_insert(house->queue, house_message(house, recipient));
}

void house_settle(struct house *house)
{
    do {
        queue_stir(house->queue);
        loop_turn(house->loop, false);
        if (!house->holds_saves)
            house_answer_saves(house, false);
        house_answer_loads(house);
    } while (list_has(&house->queue->pump.node));
}

void house_pass_ms(struct house *house, uint64_t ms)
{
    offset_us += ms * 1000;
    queue_sweep(house->queue);
    house_settle(house);
}

void house_set_back(struct house *house, uint64_t ms)
{
    back_us += (int64_t)ms * 1000;
    house_settle(house);
}

void house_set_forward(struct house *house, uint64_t ms)
{
    back_us -= (int64_t)ms * 1000;
    house_settle(house);
}

void house_fail_next_loads(struct house *house, const struct error *error) { house->load_error = error; }

void house_answer_loads(struct house *house)
{
    while (house->load_count > 0) {
        struct message *message = house->loads[--house->load_count];
        struct error error;

        if (house->load_error) {
            queue_loaded(house->queue, message, house->load_error);
            continue;
        }
        if (message_restore(message, buf_span(&house->records[message_spool_ref(message)]),
                            bytes_copy(SPAN_LIT("Subject: x\r\n\r\nbody\r\n")), &error))
            fail_msg("%s", error.sentence);
        queue_loaded(house->queue, message, NULL);
    }
}

void house_hold_saves(struct house *house) { house->holds_saves = true; }

static void answer_save(struct house *house, struct house_save *save, bool failed)
{
    struct buf *kept = &house->records[save->ref];

    if (failed) {
        buf_done(&save->record);
    } else {
        buf_done(kept);
        *kept = save->record;
    }
    message_save_end(&save->token);
    queue_saved(house->queue);
}

void house_answer_saves(struct house *house, bool failed)
{
    size_t count = house->save_count;
    struct house_save *saves = house->saves;

    house->saves = NULL;
    house->save_count = 0;
    for (size_t i = 0; i < count; i++)
        answer_save(house, &saves[i], failed);
    free(saves);
}

void house_resume(struct house *house)
{
    struct await *await = house->waiting;

    assert_non_null(await);
    house->waiting = NULL;
    await_finish(await);
    house_settle(house);
}

size_t house_deliver(struct house *house, size_t connection, size_t most)
{
    struct house_connection *c = &house->connections[connection];
    struct list_node *node;
    struct list messages;
    size_t count;

    list_init(&messages);
    list_splice(&messages, &c->given);
    if (list_is_empty(&messages))
        queue_take(house->queue, c->id, most, &messages);
    count = messages.count;
    while ((node = list_take_first(&messages)))
        message_free(message_of_link(node));
    queue_report_done(house->queue, c->id, count, 0);
    house_settle(house);
    return count;
}

struct message *house_take_one(struct house *house, size_t connection)
{
    struct house_connection *c = &house->connections[connection];
    struct list messages;
    struct list_node *node;

    list_init(&messages);
    if (list_is_empty(&c->given))
        queue_take(house->queue, c->id, 1, &messages);
    else
        list_push_back(&messages, list_take_first(&c->given));
    node = list_take_first(&messages);
    return node ? message_of_link(node) : NULL;
}

size_t house_scheduled(const struct house *house)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;
    size_t sum = 0;

    while (map_next(&house->queue->scheds, &cursor, &key, &value))
        sum += sched_length(value);
    return sum;
}

size_t house_ready(const struct house *house)
{
    struct map_cursor cursor = {0};
    struct span key;
    void *value;
    size_t sum = 0;

    while (map_next(&house->queue->readies, &cursor, &key, &value))
        sum += ((struct queue_ready *)value)->messages.count;
    return sum;
}
