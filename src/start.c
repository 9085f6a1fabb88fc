/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which the house opens and closes. Opening: spool, queue, workers, and only
 * then listeners, so that nothing is accepted that cannot be kept. Closing: listeners first,
 * the spool last, so that everything that was accepted has a place to stay.
 */
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/must.h"
#include "gate/gate.h"
#include "log/diag.h"
#include "log/record.h"
#include "log/segment.h"
#include "metrics/metrics.h"
#include "queue/held.h"
#include "relay_private.h"

#define QUEUES_IN_METRICS 1000
#define CUT_MS 5000

static void on_note(struct mail *mail)
{
    struct note *note = CONTAINER_OF(mail, struct note, mail);
    struct relay *relay = note->relay;

    if (!atomic_load(&relay->ended)) /* else it is lost; what it is about is in the spool */
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

static int write_queue_metrics(struct queue *queue, size_t most, struct buf *out)
{
    return queue_write_metrics(queue, most, out);
}

static void write_spool_metrics(const struct relay *relay, struct buf *out)
{
    struct spool_stats stats;

    spool_get_stats(relay->spool, &stats);
    if (buf_appendf(out,
                    "# TYPE gatepost_spool_live_messages gauge\ngatepost_spool_live_messages %llu\n"
                    "# TYPE gatepost_spool_segments gauge\ngatepost_spool_segments %llu\n"
                    "# TYPE gatepost_spool_syncs_total counter\ngatepost_spool_syncs_total %llu\n"
                    "# TYPE gatepost_spool_stored_total counter\ngatepost_spool_stored_total %llu\n"
                    "# TYPE gatepost_spool_damaged_total counter\ngatepost_spool_damaged_total %llu\n"
                    "# TYPE gatepost_spool_segments_aside gauge\ngatepost_spool_segments_aside %llu\n"
                    "# TYPE gatepost_spool_segments_unreadable gauge\ngatepost_spool_segments_unreadable %llu\n",
                    (unsigned long long)stats.live_messages, (unsigned long long)stats.segments,
                    (unsigned long long)stats.syncs, (unsigned long long)stats.stored,
                    (unsigned long long)stats.damaged, (unsigned long long)stats.aside,
                    (unsigned long long)stats.unreadable))
        diag(DIAG_WARN, NULL, "the metrics are too long for one answer");
}

static void collect_metrics(void *ctx, struct buf *out)
{
    struct relay *relay = ctx;

    write_spool_metrics(relay, out);
    if (turns_ask(relay, write_queue_metrics, QUEUES_IN_METRICS, out))
        diag(DIAG_WARN, NULL, "the queue's metrics are missing from an answer");
}

static void tell_deliver(const struct setup *setup)
{
    struct sockaddr_storage *own = mem_zalloc((setup->listener_count + 1) * sizeof *own);
    struct deliver_settings settings = {.own_addresses = own, .own_address_count = setup->listener_count};

    for (size_t i = 0; i < setup->listener_count; i++)
        own[i] = setup->listeners[i].bound;
    deliver_set_settings(&settings);
    free(own);
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
    if (!relay->spool || log_node_id_load(relay->setup->spool.path, error) ||
        held_open(relay->setup->spool.path, error))
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
    sem_init(&relay->listening, 0, 0);
    tell_deliver(setup);
    if (open_all(relay, error) || worker_listen_all(relay, error)) {
        relay_stop(relay);
        return NULL;
    }
    announce(setup);
    metrics_add_collector(collect_metrics, relay);
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

/* What is cut still comes back through the threads: messages to the queue, answers of the spool
 * to receptions, verified passwords. They are let through before the threads end, since nobody would own what is
 * under way to a thread that is gone. Only a disk that hangs takes longer than this. */
static void let_notes_arrive(const struct relay *relay)
{
    static const struct timespec nap = {.tv_nsec = 1000000};

    for (unsigned naps = 0; naps < CUT_MS && (atomic_load(&relay->in_flight) > 0 || gate_is_working()); naps++)
        nanosleep(&nap, NULL);
}

static void cut_all(struct relay *relay)
{
    if (!relay->turns.thread.is_running)
        return; /* it never opened: nothing flows */
    relay_drain(relay);
    for (size_t i = 0; i < relay->worker_count; i++)
        worker_cut(&relay->workers[i]);
    let_notes_arrive(relay);
    atomic_store(&relay->ended, true);
}

/* What the spool still said to a thread that has ended is taken here, and comes to nothing. */
static void end_loop(struct thread *thread)
{
    if (thread->loop)
        loop_turn(thread->loop, false);
    thread_done(thread);
}

/* What did not get to the queue any more is in the spool. */
static void end_worker(struct worker *worker)
{
    struct message *message;

    end_loop(&worker->thread);
    while ((message = relay_take_message(&worker->fresh)))
        message_free(message);
}

void relay_stop(struct relay *relay)
{
    if (!relay)
        return;
    metrics_remove_collector(collect_metrics, relay);
    cut_all(relay);
    for (size_t i = 0; i < relay->worker_count; i++)
        worker_stop(&relay->workers[i]);
    turns_stop(&relay->turns);
    spool_close(relay->spool);
    for (size_t i = 0; i < relay->worker_count; i++)
        end_worker(&relay->workers[i]);
    end_loop(&relay->turns.thread);
    deliver_clear_settings();
    held_close();
    sem_destroy(&relay->listening);
    free(relay->workers);
    free(relay);
}

/* ---- what the admin side asks ---- */

static int describe(struct queue *queue, size_t most, struct buf *out)
{
    json_t *described = queue_describe(queue, most);
    char *text = json_dumps(described, JSON_COMPACT);
    int status = text ? buf_append_span(out, span_of(text)) : -1;

    free(text);
    json_decref(described);
    return status;
}

int relay_describe_queues(struct relay *relay, size_t most, struct buf *json_out)
{
    return turns_ask(relay, describe, most, json_out);
}

static int release(struct queue *queue, size_t most, struct buf *out)
{
    (void)most;
    return buf_appendf(out, "%zu", queue_release(queue));
}

int relay_let_go(struct relay *relay, uint64_t *messages_out, struct error *error)
{
    struct buf count;
    int result = 0;

    buf_init(&count, 64);
    if (turns_ask(relay, release, 0, &count) || span_to_u64(buf_span(&count), messages_out))
        result = error_set(error, ERROR_TEMP, "the queue does not answer; it goes by the new list all the same");
    buf_done(&count);
    return result;
}
