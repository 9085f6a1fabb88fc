/* SPDX-License-Identifier: Apache-2.0
 *
 * See pooled_ask.h.
 */
#include "credential/pooled_ask.h"

#include "base/must.h"
#include "credential/store_fields.h"

static void tell(struct pooled_ask *pooled)
{
    struct store_ask *ask = pooled->ask;

    pooled->ask = NULL;
    if (ask)
        ask->on_done(ask, pooled->outcome, pooled->fields, pooled->outcome == STORE_FAILED ? &pooled->error : NULL);
    pooled->work.drop(&pooled->work);
}

static void on_done(struct store_work *work) { tell(CONTAINER_OF(work, struct pooled_ask, work)); }

void pooled_ask_begin(struct store_pool *pool, struct pooled_ask *pooled, struct store_ask *ask)
{
    pooled->ask = ask;
    pooled->work.done = on_done;
    ask->driver = pooled;
    if (!store_pool_submit(pool, &pooled->work, &pooled->error))
        return;
    pooled->outcome = STORE_FAILED;
    tell(pooled);
}

void pooled_ask_cancel(struct store_pool *pool, struct pooled_ask *pooled)
{
    pooled->ask = NULL;
    if (store_pool_withdraw(pool, &pooled->work))
        pooled->work.drop(&pooled->work);
}

void pooled_ask_forget(struct pooled_ask *pooled) { store_fields_free(pooled->fields); }
