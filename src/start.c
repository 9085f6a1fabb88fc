/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which the house opens and closes. Opening: spool, queue, workers, and only
 * then listeners, so that nothing is accepted that cannot be kept. Closing: listeners first,
 * the spool last, so that everything that was accepted has a place to stay.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "log/record.h"
#include "metrics/metrics.h"
#include "relay_private.h"

static void on_note(struct mail *mail)
{
    struct note *note = CONTAINER_OF(mail, struct note, mail);
    struct relay *relay = note->relay;

    note->act(note);
    atomic_fetch_sub(&relay->in_flight, 1);
}

void relay_pass_note(struct relay *relay, struct loop *to, struct note *note, void (*act)(struct note *note))
{
    note->relay = relay;
    note->act = act;
    note->mail.deliver = on_note;
    atomic_fetch_add(&relay->in_flight, 1);
    loop_post(to, &note->mail);
}

struct message *relay_take_message(struct list *messages)
{
    struct list_node *node = list_take_first(messages);

    return node ? message_of_link(node) : NULL;
}

struct dns *relay_dns_new(struct relay *relay, struct loop *loop, struct error *error)
{
    struct dns_config config = {
        .servers = (const char *const *)relay->setup->name_servers,
        .server_count = relay->setup->name_server_count,
        .zone_text = relay->setup->zone_text,
    };

    return dns_new(loop, &config, error);
}

static void announce(const struct setup *setup)
{
    for (size_t i = 0; i < setup->listener_count; i++) {
        char text[SOCKADDR_TEXT_BYTES];

        sockaddr_format((const struct sockaddr *)&setup->listeners[i].bound, text);
        diag(DIAG_INFO, NULL, "smtp listener on %s", text);
    }
}

static int open_all(struct relay *relay, struct error *error)
{
    relay->spool = spool_open(&relay->setup->spool, error);
    if (!relay->spool)
        return -1;
    for (size_t i = 0; i < relay->setup->worker_count; i++) {
        if (worker_start(&relay->workers[i], relay, i, error))
            return -1;
        relay->worker_count++;
    }
    /* last: it hands connections to the workers as soon as it sees spooled mail */
    return turns_start(&relay->turns, relay, error);
}

struct relay *relay_start(struct policy *policy, const struct setup *setup, struct error *error)
{
    struct relay *relay = mem_zalloc(sizeof *relay);

    relay->policy = policy;
    relay->setup = setup;
    relay->workers = mem_zalloc(setup->worker_count * sizeof *relay->workers);
    if (open_all(relay, error)) {
        relay_stop(relay);
        return NULL;
    }
    for (size_t i = 0; i < relay->worker_count; i++)
        worker_listen(&relay->workers[i]);
    announce(setup);
    return relay;
}

void relay_drain(struct relay *relay)
{
    if (atomic_exchange(&relay->stopping, true))
        return;
    for (size_t i = 0; i < relay->worker_count; i++)
        worker_drain(&relay->workers[i]);
    turns_drain(&relay->turns);
}

bool relay_is_quiet(const struct relay *relay)
{
    return atomic_load(&relay->in_flight) == 0 && metrics_get(METRIC_SMTPD_CONNECTIONS) == 0 &&
           metrics_get(METRIC_SMTPC_CONNECTIONS) == 0;
}

bool relay_accepts(const struct relay *relay)
{
    return !atomic_load(&relay->stopping) && spool_accepts(relay->spool) && record_accepts();
}

void relay_stop(struct relay *relay)
{
    if (!relay)
        return;
    for (size_t i = 0; i < relay->worker_count; i++)
        worker_stop(&relay->workers[i]);
    turns_stop(&relay->turns);
    spool_close(relay->spool);
    for (size_t i = 0; i < relay->worker_count; i++)
        thread_done(&relay->workers[i].thread);
    thread_done(&relay->turns.thread);
    free(relay->workers);
    free(relay);
}

int relay_describe_queues(struct relay *relay, size_t most, struct buf *json_out)
{
    json_t *described = turns_describe(relay, most, 5);
    char *text = described ? json_dumps(described, JSON_COMPACT) : NULL;
    int status = text ? buf_append_span(json_out, span_of(text)) : -1;

    free(text);
    json_decref(described);
    return status;
}
