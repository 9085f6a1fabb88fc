/* SPDX-License-Identifier: Apache-2.0
 *
 * Ready queues: what one source has for one site, all of it in memory and due. Here rates
 * are kept, and messages handed to connections in batches.
 *
 * The awkward truth: a site's name is not what it is. Different hosts can fold to the same
 * name, and whoever chooses MX records can choose them so; sharing a ready queue would then
 * send one domain's mail to another's hosts. So the hosts are part of the key.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "log/diag.h"
#include "metrics/metrics.h"
#include "queue/held.h"
#include "queue/queue_private.h"

static void on_timer(void *ctx) { ready_stir(ctx); }

static int append_host(struct buf *key, const struct route_plan_host *host)
{
    char address[INET6_ADDRSTRLEN] = "";

    if (host->has_address)
        ip_format(&host->address, address);
    return buf_appendf(key, "\n%s=%s:%u", host->name, address, host->port);
}

static int compare_names(const void *a, const void *b)
{
    const struct route_plan_host *const *one = a;
    const struct route_plan_host *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

/* Mail exchangers of one preference come in any order; a list in a policy stands as it is. */
static int append_hosts(struct buf *key, const struct site *site, bool is_listed)
{
    const struct route_plan_host **hosts = mem_zalloc((site->host_count + 1) * sizeof *hosts);
    int failed = 0;

    for (size_t i = 0; i < site->host_count; i++)
        hosts[i] = &site->hosts[i];
    if (!is_listed)
        qsort(hosts, site->host_count, sizeof *hosts, compare_names);
    for (size_t i = 0; i < site->host_count; i++)
        failed |= append_host(key, hosts[i]);
    free(hosts);
    return failed;
}

static void make_key(struct buf *key, const struct site *site, bool is_listed, const char *source)
{
    MUST(buf_appendf(key, "%s->%s@smtp_client", source, site->name) == 0);
    MUST(append_hosts(key, site, is_listed) == 0);
}

static struct queue_ready *ready_new(struct queue *queue, const char *key)
{
    struct queue_ready *ready = mem_zalloc(sizeof *ready);

    ready->queue = queue;
    ready->key = mem_strdup(key);
    list_init(&ready->messages);
    list_init(&ready->connections);
    list_init(&ready->waiting);
    list_init(&ready->blocked);
    list_node_init(&ready->link);
    timer_init(&ready->timer, queue->loop, on_timer, ready);
    ready->idle_since_ms = clock_mono_ms();
    map_put(&queue->readies, span_of(key), ready);
    return ready;
}

struct queue_ready *ready_get(struct queue *queue, struct site *site, bool is_listed, const char *source)
{
    struct queue_ready *ready;
    struct buf key;

    buf_init(&key, 1024 * 1024);
    make_key(&key, site, is_listed, source);
    ready = map_find(&queue->readies, buf_span(&key));
    if (!ready)
        ready = ready_new(queue, buf_cstr(&key));
    buf_done(&key);
    return ready;
}

static bool is_same_plan(const struct queue_ready *ready, const struct site *site, const struct route_source *source,
                         const struct route_path *path)
{
    return ready->plan && ready->site == site && ready->plan->source == source && ready->plan->path == path;
}

static uint16_t port_of(const struct route_plan_host *host, const struct route_source *source,
                        const struct route_path *path)
{
    if (host->port)
        return host->port;
    return source->remote_port ? source->remote_port : path->smtp_port;
}

void ready_set_plan(struct queue_ready *ready, struct site *site, struct route_source *source, struct route_path *path,
                    const char *pool)
{
    size_t name_len = strcspn(ready->key, "\n");
    struct route_plan *plan;
    char *name;

    if (is_same_plan(ready, site, source, path))
        return;
    name = mem_strndup(ready->key, name_len);
    plan = route_plan_new(name, site->name, pool, source, path, site->host_count);
    free(name);
    for (size_t i = 0; i < site->host_count; i++) {
        plan->hosts[i] = site->hosts[i];
        plan->hosts[i].name = mem_strdup(site->hosts[i].name);
        plan->hosts[i].port = port_of(&site->hosts[i], source, path);
    }
    site = site_ref(site);
    if (ready->site)
        site_unref(&ready->site);
    ready->site = site;
    if (ready->plan)
        route_plan_unref(&ready->plan);
    ready->plan = plan;
    ready_stir(ready);
}

struct queue_ready *ready_ref(struct queue_ready *ready)
{
    ready->refs++;
    return ready;
}

void ready_unref(struct queue_ready **ready)
{
    MUST((*ready)->refs > 0);
    if (--(*ready)->refs == 0)
        (*ready)->idle_since_ms = clock_mono_ms();
    *ready = NULL;
}

static void count_bytes(struct queue_ready *ready, const struct message *message, bool in)
{
    size_t bytes = message_body_bytes(message) + QUEUE_LOADED_BYTES;

    ready->bytes += in ? bytes : -bytes;
    ready->queue->ready_bytes += in ? bytes : -bytes;
}

static struct message *take_first(struct queue_ready *ready)
{
    struct list_node *node = list_take_first(&ready->messages);

    if (!node)
        return NULL;
    count_bytes(ready, message_of_link(node), false);
    metrics_add(METRIC_READY_MESSAGES, -1);
    return message_of_link(node);
}

void ready_free(struct queue_ready *ready)
{
    struct message *message;

    while ((message = take_first(ready)))
        message_free(message);
    MUST(ready->bytes == 0);
    MUST(list_is_empty(&ready->blocked) && list_is_empty(&ready->connections));
    if (list_has(&ready->link))
        list_remove(&ready->queue->stirred, &ready->link);
    timer_stop(&ready->timer);
    if (ready->plan)
        route_plan_unref(&ready->plan);
    if (ready->site)
        site_unref(&ready->site);
    free(ready->key);
    free(ready);
}

/* Many sites that are slow must not fill the memory, each with its own few; and none of them must stand still. */
static bool has_bytes_left(const struct queue_ready *ready)
{
    return ready->bytes < QUEUE_READY_SHARE || ready->queue->ready_bytes < ready->queue->ready_bytes_most;
}

bool ready_has_room(const struct queue_ready *ready)
{
    return (!ready->plan || ready->messages.count < ready->plan->path->max_ready) && has_bytes_left(ready);
}

void ready_stir(struct queue_ready *ready)
{
    if (!list_has(&ready->link))
        list_push_back(&ready->queue->stirred, &ready->link);
    queue_stir(ready->queue);
}

static void count_in(struct queue_ready *ready, const struct message *message)
{
    MUST(message_is_loaded(message));
    count_bytes(ready, message, true);
    metrics_add(METRIC_READY_MESSAGES, 1);
    ready_stir(ready);
}

void ready_insert(struct queue_ready *ready, struct message *message)
{
    list_push_back(&ready->messages, message_link(message));
    count_in(ready, message);
}

void ready_put_back(struct queue_ready *ready, struct message *message)
{
    list_push_front(&ready->messages, message_link(message));
    count_in(ready, message);
}

/* Who waited for room gets it once half of it is there again, not one by one. */
static void tell_of_room(struct queue_ready *ready)
{
    size_t most = ready->plan->path->max_ready;

    if (!list_is_empty(&ready->blocked) && ready->messages.count <= most / 2)
        sched_wake_some(&ready->blocked, most - ready->messages.count);
}

struct message *ready_take_first(struct queue_ready *ready)
{
    struct message *message = take_first(ready);

    tell_of_room(ready);
    return message;
}

/* False: not now; the timer will tell. Too long a wait for a connection to stay open for is
 * better waited for in the scheduled queue. */
static bool rate_allows(struct queue_ready *ready)
{
    const struct route_path *path = ready->plan->path;
    uint64_t wait_us = 0;

    if (!path->has_max_message_rate ||
        rate_take(&ready->message_rate, &path->max_message_rate, 1, clock_mono_us(), &wait_us))
        return true;
    if (wait_us / 1000 > path->idle_timeout_ms)
        ready_send_back(ready, NULL, wait_us / 1000 + 1);
    else
        timer_start(&ready->timer, wait_us / 1000 + 1);
    return false;
}

/* Those whose sender was held while they stood here. */
static void park_first(struct queue_ready *ready)
{
    struct list_node *node;

    while ((node = list_first(&ready->messages)) && held_sender(message_of_link(node))) {
        struct message *message = take_first(ready);

        if (!queue_park(ready->queue, message)) /* released meanwhile */
            queue_place(ready->queue, message);
    }
}

static bool has_one(struct queue_ready *ready)
{
    park_first(ready);
    return !list_is_empty(&ready->messages);
}

void ready_draw(struct queue_ready *ready, size_t most, struct list *messages_out)
{
    size_t drawn = 0;

    while (drawn < most && has_one(ready) && rate_allows(ready)) {
        list_push_back(messages_out, message_link(take_first(ready)));
        drawn++;
    }
    tell_of_room(ready);
}

/* False when there is nobody waiting, or nothing that may go. */
static bool feed_one(struct queue_ready *ready)
{
    struct list_node *node = list_first(&ready->waiting);
    struct connection *connection;
    struct list messages;

    if (!node || list_is_empty(&ready->messages))
        return false;
    connection = CONTAINER_OF(node, struct connection, wait);
    list_init(&messages);
    ready_draw(ready, connection->wanted, &messages);
    if (list_is_empty(&messages))
        return false;
    list_remove(&ready->waiting, node);
    ready->queue->ops.give(ready->queue->ctx, connection->id, &messages);
    return true;
}

void ready_pump(struct queue_ready *ready)
{
    if (!ready->plan || ready->queue->stopping)
        return;
    while (feed_one(ready))
        ;
    queue_open_connections(ready);
}

static void send_one_back(struct queue *queue, struct message *message, const struct smtp_reply *reply,
                          uint64_t delay_ms)
{
    if (reply && smtp_reply_is_permanent(reply)) {
        queue->ops.bounce(queue->ctx, message, reply, false);
    } else if (reply) {
        queue_retry(queue, message, reply, false);
    } else {
        message_set_due_ms(message, (int64_t)(queue_wall_ms() + delay_ms));
        queue->ops.delayed(queue->ctx, message, NULL);
        queue_place(queue, message);
    }
}

void ready_send_back(struct queue_ready *ready, const struct smtp_reply *reply, uint64_t delay_ms)
{
    struct message *message;

    while ((message = take_first(ready)))
        send_one_back(ready->queue, message, reply, delay_ms);
    tell_of_room(ready);
}
