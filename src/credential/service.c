/* SPDX-License-Identifier: Apache-2.0
 *
 * The lookup thread: started before there is anybody to ask, and ended when nobody asks any more. What comes while it
 * does not run is refused under the same lock with which it starts and stops, so that nothing is posted to a thread
 * that would not look. Stores are started and closed here, and never from within a call of their own: the last to let
 * go of one sends it here by mail.
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
    struct list started; /* slots */
    bool is_closing;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool is_lookup_thread;

/* ---- stores, on the thread ---- */

static void start_slot(struct slot *slot)
{
    if (slot->is_started)
        return;
    slot->is_started = true;
    list_push_back(&service.started, &slot->node);
    if (slot->setup.driver->start)
        slot->setup.driver->start(slot->setup.store, &service.house);
}

/* On the thread; or on any, when the store was never started or the thread has closed it as it ended. */
static void finish_slot(struct slot *slot)
{
    if (list_has(&slot->node))
        list_remove(&service.started, &slot->node);
    slot_close(slot);
    slot_free(slot);
}

static void on_start_mail(struct mail *mail)
{
    struct slot *slot = CONTAINER_OF(mail, struct slot, start_mail);

    if (!service.is_closing)
        start_slot(slot);
    slot_unref(&slot);
}

static void on_close_mail(struct mail *mail) { finish_slot(CONTAINER_OF(mail, struct slot, close_mail)); }

/* Of several sets that have it, the first sends the mail. */
void service_start_slot(struct slot *slot)
{
    pthread_mutex_lock(&service.lock);
    if (service.is_running && !slot->is_start_sent) {
        slot->is_start_sent = true;
        slot->start_mail.deliver = on_start_mail;
        loop_post(service.thread.loop, &slot_ref(slot)->start_mail);
    }
    pthread_mutex_unlock(&service.lock);
}

/* The stopper holds the lock while the thread ends, so the thread itself must not want it. */
void service_close_slot(struct slot *slot)
{
    bool is_ours = is_lookup_thread;
    bool is_sent;

    if (!is_ours)
        pthread_mutex_lock(&service.lock);
    is_sent = is_ours ? !service.is_closing : service.is_running;
    if (is_sent) {
        slot->close_mail.deliver = on_close_mail;
        loop_post(is_ours ? loop_current() : service.thread.loop, &slot->close_mail);
    }
    if (!is_ours)
        pthread_mutex_unlock(&service.lock);
    if (!is_sent)
        finish_slot(slot);
}

/* ---- questions ---- */

static void on_ask_mail(struct mail *mail)
{
    struct question *question = CONTAINER_OF(mail, struct question, mail);

    if (service.is_closing || question->slot->is_closed) {
        question_fail(question, ERROR_CANCELLED, "the stores are being closed");
        return;
    }
    start_slot(question->slot);
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
        if (atomic_load(&CONTAINER_OF(node, struct slot, node)->refs) == 0)
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
        struct slot *slot = slot_ref(CONTAINER_OF(node, struct slot, node));

        asks_end(slot);
        list_remove(&service.started, node);
        slot_close(slot);
        slot_unref(&slot);
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
