/* SPDX-License-Identifier: Apache-2.0
 *
 * A question to a store whose library blocks, on its way through the store's pool and back to whoever asked, who may
 * have stopped wanting to know.
 */
#ifndef GATEPOST_CREDENTIAL_POOLED_ASK_H
#define GATEPOST_CREDENTIAL_POOLED_ASK_H

#include "credential/store.h"
#include "credential/store_pool.h"

/* The first part of a driver's own, which has copies of what it needs of the question. */
struct pooled_ask {
    struct store_work work; /* `run` and `drop` are the driver's; `drop` frees it all, pooled_ask_forget with it */
    struct store_ask *ask;  /* of the lookup thread; NULL once cancelled */

    /* the answer: of `run` */
    enum store_outcome outcome;
    json_t *fields;
    struct error error;
};

/* On the lookup thread, like the next. `pooled` is the ask's `driver` until its end. */
void pooled_ask_begin(struct store_pool *pool, struct pooled_ask *pooled, struct store_ask *ask);
void pooled_ask_cancel(struct store_pool *pool, struct pooled_ask *pooled);

void pooled_ask_forget(struct pooled_ask *pooled); /* the answer */

#endif
