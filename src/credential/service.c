/* SPDX-License-Identifier: Apache-2.0
 *
 * The lookup thread: started before there is anybody to ask, and ended when nobody asks any more. What comes while it
 * does not run is refused under the same lock with which it starts and stops, so that nothing is posted to a thread
 * that would not look. Stores are started and closed here, and never from within a call of their own: the last to let
 * go of a set sends it here by mail.
 */
#include <stdlib.h>

#include "base/must.h"
#include "credential/credential_private.h"
#include "http/http.h"
#include "loop/thread.h"
#include "metrics/metrics.h"

static struct {
    /* under lock; held while the thread starts and stops */
    pthread_mutex_t lock;
    struct thread thread;
    bool is_running;

    /* owned by the thread */
    struct store_house house;
    struct list started; /* stores */
    bool is_closing;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool is_lookup_thread;

/* ---- stores, on the thread ---- */

static void start_stores(struct stores *stores)
{
    if (stores->is_started)
        return;
    stores->is_started = true;
    list_push_back(&service.started, &stores->node);
    for (size_t i = 0; i < stores->slot_count; i++) {
        const struct store_setup *setup = &stores->slots[i].setup;

        if (setup->driver->start)
            setup->driver->start(setup->store, &service.house);
    }
}

/* On the thread; or on any, when the stores were never started or the thread has closed them as it ended. */
static void finish_stores(struct stores *stores)
{
    if (list_has(&stores->node))
        list_remove(&service.started, &stores->node);
    stores_close(stores);
    stores_free(stores);
}

static void on_start_mail(struct mail *mail)
{
    struct stores *stores = CONTAINER_OF(mail, struct stores, start_mail);

    if (!service.is_closing)
        start_stores(stores);
    stores_unref(&stores);
}

static void on_close_mail(struct mail *mail) { finish_stores(CONTAINER_OF(mail, struct stores, close_mail)); }

void service_start_stores(struct stores *stores)
{
    pthread_mutex_lock(&service.lock);
    if (service.is_running) {
        stores->start_mail.deliver = on_start_mail;
        loop_post(service.thread.loop, &stores_ref(stores)->start_mail);
    }
    pthread_mutex_unlock(&service.lock);
}

/* The stopper holds the lock while the thread ends, so the thread itself must not want it. */
void service_close_stores(struct stores *stores)
{
    bool is_ours = is_lookup_thread;
    bool is_sent;

    if (!is_ours)
        pthread_mutex_lock(&service.lock);
    is_sent = is_ours ? !service.is_closing : service.is_running;
    if (is_sent) {
        stores->close_mail.deliver = on_close_mail;
        loop_post(is_ours ? loop_current() : service.thread.loop, &stores->close_mail);
    }
    if (!is_ours)
        pthread_mutex_unlock(&service.lock);
    if (!is_sent)
        finish_stores(stores);
}

/* ---- questions ---- */

static void on_ask_mail(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, mail);

    if (service.is_closing || question->stores->is_closed) {
        question_fail(question, ERROR_CANCELLED, "the stores are being closed");
        return;
    }
    start_stores(question->stores);
    asks_take(question);
}

static void on_cancel_mail(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, cancel_mail);

    asks_drop(question);
    question_unref(&question);
}

int service_ask(struct question *question)
{
    bool is_running;

    pthread_mutex_lock(&service.lock);
    is_running = service.is_running;
    question->mail.deliver = on_ask_mail;
    if (is_running)
        loop_post(service.thread.loop, &question->mail);
    pthread_mutex_unlock(&service.lock);
    return is_running ? 0 : -1;
}

/* When the thread does not run it has ended all questions already. */
void service_cancel(struct question *question)
{
    bool is_running;

    pthread_mutex_lock(&service.lock);
    is_running = service.is_running;
    question->cancel_mail.deliver = on_cancel_mail;
    if (is_running)
        loop_post(service.thread.loop, &question->cancel_mail);
    pthread_mutex_unlock(&service.lock);
    if (!is_running)
        question_unref(&question);
}

/* ---- the thread ---- */

static int open_service(void *ctx, struct loop *loop, struct error *error)
{
    (void)ctx;
    is_lookup_thread = true;
    service.house.loop = loop;
    service.house.http = http_client_new(loop, error);
    return service.house.http ? 0 : -1;
}

/* Nobody has them any more, and the mail that closes them is on its way to this thread. */
static bool is_closing_some(void)
{
    for (struct list_node *node = list_first(&service.started); node; node = list_next(&service.started, node))
        if (atomic_load(&CONTAINER_OF(node, struct stores, node)->refs) == 0)
            return true;
    return false;
}

static void close_service(void *ctx)
{
    struct list_node *node;

    (void)ctx;
    while (is_closing_some())
        loop_turn(service.house.loop, false);
    service.is_closing = true;
    while ((node = list_first(&service.started))) {
        struct stores *stores = stores_ref(CONTAINER_OF(node, struct stores, node));

        for (size_t i = 0; i < stores->slot_count; i++)
            asks_end(&stores->slots[i]);
        list_remove(&service.started, node);
        stores_close(stores);
        stores_unref(&stores);
    }
    http_client_free(service.house.http);
    service.house.http = NULL;
}

int lookup_start(struct error *error)
{
    int status;

    pthread_mutex_lock(&service.lock);
    MUST(!service.is_running);
    list_init(&service.started);
    service.is_closing = false;
    status = thread_start(&service.thread, "lookup", open_service, close_service, NULL, error);
    service.is_running = status == 0;
    if (service.is_running)
        metrics_add_collector(figures_collect, NULL);
    pthread_mutex_unlock(&service.lock);
    return status;
}

void lookup_stop(void)
{
    pthread_mutex_lock(&service.lock);
    service.is_running = false;
    metrics_remove_collector(figures_collect, NULL);
    thread_stop(&service.thread);
    thread_done(&service.thread);
    pthread_mutex_unlock(&service.lock);
}
