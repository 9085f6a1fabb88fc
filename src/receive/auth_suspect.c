/* SPDX-License-Identifier: Apache-2.0
 *
 * auth_suspect(info): the policy hears that somebody seems to be guessing. It may take its time; the login that showed
 * it goes on meanwhile and may be over first, so what handlers are told is kept by the listener.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/auth_attempt.h"

#define SUSPICIONS_MOST 256 /* that handlers are being told of */

struct suspicion {
    struct list_node node;
    struct receive_listener *listener;
    json_t *info;
    struct policy_call *call;
};

static int push_info(lua_State *L, void *ctx)
{
    const struct suspicion *suspicion = ctx;

    policy_push_json(L, suspicion->info);
    return 1;
}

static void drop(struct suspicion *suspicion)
{
    list_remove(&suspicion->listener->suspicions, &suspicion->node);
    json_decref(suspicion->info);
    free(suspicion);
}

/* What handlers answer changes nothing; what they fail at is logged already. */
static void on_told(void *ctx, const struct policy_result *result)
{
    (void)result;
    drop(ctx);
}

static void tell(struct receive_listener *listener, const json_t *info)
{
    struct suspicion *suspicion = mem_zalloc(sizeof *suspicion);
    struct policy_call *call;

    list_node_init(&suspicion->node);
    suspicion->listener = listener;
    suspicion->info = json_incref((json_t *)(uintptr_t)info);
    list_push_back(&listener->suspicions, &suspicion->node);
    call = policy_call(listener->vm, POLICY_EVENT_AUTH_SUSPECT, push_info, on_told, suspicion);
    if (call)
        suspicion->call = call;
}

void auth_tell_suspects(struct receive_listener *listener, const json_t *const *suspects, size_t count)
{
    for (size_t i = 0; i < count && policy_handles(listener->vm, POLICY_EVENT_AUTH_SUSPECT); i++)
        if (listener->suspicions.count < SUSPICIONS_MOST)
            tell(listener, suspects[i]);
}

void auth_drop_suspicions(struct receive_listener *listener)
{
    while (!list_is_empty(&listener->suspicions)) {
        struct suspicion *suspicion = CONTAINER_OF(list_first(&listener->suspicions), struct suspicion, node);

        policy_call_cancel(suspicion->call);
        drop(suspicion);
    }
}
