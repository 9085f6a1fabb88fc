/* SPDX-License-Identifier: Apache-2.0
 *
 * The web hook: one thread of its own, made when first needed, one POST after another from a queue with an end. A
 * receiver that is slow or away costs the receiver news, and nobody a login. Nothing is tried again: what is told are
 * suspicions, and the log has them all.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "gate/guess_private.h"
#include "http/http.h"
#include "log/diag.h"
#include "loop/thread.h"
#include "metrics/metrics.h"

#define QUEUE_MOST 256
#define SECRET_HEADER "X-Gatepost-Secret"

/* Shared by the rules and the posts under way. */
struct gate_webhook {
    atomic_uint refs;
    char *url;
    char *secret;  /* or NULL */
    char *ca_file; /* or NULL */
    uint64_t timeout_ms;
};

struct post {
    struct list_node node;
    struct gate_webhook *webhook;
    char *body;
};

static struct {
    pthread_mutex_t lock;
    /* under lock */
    struct list queue;
    bool is_running;
    bool is_woken;
    struct thread thread;
    struct mail wake;
    /* the thread's */
    struct http_client *client;
    struct post *out; /* under way */
} sender = {.lock = PTHREAD_MUTEX_INITIALIZER, .queue = {{&sender.queue.head, &sender.queue.head}, 0}};

/* ---- settings ---- */

static char *copy(const char *text) { return text ? mem_strdup(text) : NULL; }

struct gate_webhook *guess_webhook_read(struct settings *table)
{
    struct gate_webhook *webhook;

    if (!table)
        return NULL;
    webhook = mem_zalloc(sizeof *webhook);
    atomic_init(&webhook->refs, 1);
    webhook->url = mem_strdup(settings_need_text(table, "url"));
    webhook->secret = settings_secret(table, "secret");
    webhook->ca_file = copy(settings_path(table, "ca_file", NULL));
    webhook->timeout_ms = settings_duration_ms(table, "timeout", 5000, 1, 60000);
    if (strncmp(webhook->url, "https://", 8) && strncmp(webhook->url, "http://", 7))
        settings_fault(table, "url", "expected an http or https URL");
    return webhook;
}

void guess_webhook_free(struct gate_webhook *webhook)
{
    if (!webhook || atomic_fetch_sub(&webhook->refs, 1) > 1)
        return;
    free(webhook->url);
    secret_free(webhook->secret);
    free(webhook->ca_file);
    free(webhook);
}

/* ---- the thread ---- */

static void free_post(struct post *post)
{
    if (!post)
        return;
    guess_webhook_free(post->webhook);
    free(post->body);
    free(post);
}

static void send_next(void);

/* In the log the receiver is known by its host: a URL may hold what should not be read. */
static void fail(const struct error *error)
{
    metrics_count(METRIC_WEBHOOKS_FAILED);
    diag_error(NULL, error, "guessing.webhook");
}

static void on_sent(void *ctx, const struct http_response *response, const struct error *error)
{
    struct error refused;

    (void)ctx;
    if (response && response->status / 100 == 2) {
        metrics_count(METRIC_WEBHOOKS_OK);
    } else {
        if (response)
            error_set(&refused, ERROR_TEMP, "the receiver answers with status %d", response->status);
        fail(response ? &refused : error);
    }
    free_post(sender.out);
    sender.out = NULL;
    send_next();
}

static bool begin(struct post *post)
{
    const struct gate_webhook *webhook = post->webhook;
    struct http_request request = {
        .method = "POST",
        .url = webhook->url,
        .headers = {{"Content-Type", "application/json"}, {SECRET_HEADER, webhook->secret}},
        .header_count = webhook->secret ? 2 : 1,
        .body = span_of(post->body),
        .total_limit_ms = webhook->timeout_ms,
        .ca_file = webhook->ca_file,
    };
    struct error error;

    if (http_start(sender.client, &request, on_sent, NULL, &error))
        return true;
    fail(&error);
    return false;
}

static struct post *take(void)
{
    struct list_node *node;

    pthread_mutex_lock(&sender.lock);
    node = list_take_first(&sender.queue);
    pthread_mutex_unlock(&sender.lock);
    return node ? CONTAINER_OF(node, struct post, node) : NULL;
}

static void send_next(void)
{
    while (!sender.out && (sender.out = take()) != NULL)
        if (!begin(sender.out)) {
            free_post(sender.out);
            sender.out = NULL;
        }
}

static void on_wake(struct mail *mail)
{
    (void)mail;
    pthread_mutex_lock(&sender.lock);
    sender.is_woken = false;
    pthread_mutex_unlock(&sender.lock);
    send_next();
}

static int open_sender(void *ctx, struct loop *loop, struct error *error)
{
    (void)ctx;
    sender.wake.deliver = on_wake;
    sender.client = http_client_new(loop, error);
    return sender.client ? 0 : -1;
}

static void close_sender(void *ctx)
{
    (void)ctx;
    http_client_free(sender.client);
    sender.client = NULL;
    free_post(sender.out);
    sender.out = NULL;
}

/* Under the lock. */
static bool start_sender(void)
{
    struct error error;

    if (sender.is_running)
        return true;
    if (thread_start(&sender.thread, "webhook", open_sender, close_sender, NULL, &error)) {
        diag_error(NULL, &error, "guessing.webhook");
        return false;
    }
    sender.is_running = true;
    return true;
}

void guess_webhook_stop(void)
{
    struct list_node *node;

    if (!sender.is_running)
        return;
    thread_stop(&sender.thread);
    thread_done(&sender.thread);
    sender.is_running = sender.is_woken = false;
    while ((node = list_take_first(&sender.queue)))
        free_post(CONTAINER_OF(node, struct post, node));
}

/* ---- from any thread ---- */

void guess_webhook_send(const struct gate_webhook *webhook, struct span body)
{
    struct post *post = NULL;

    pthread_mutex_lock(&sender.lock);
    if (sender.queue.count < QUEUE_MOST && start_sender()) {
        post = mem_zalloc(sizeof *post);
        list_node_init(&post->node);
        post->webhook = (struct gate_webhook *)(uintptr_t)webhook;
        atomic_fetch_add(&post->webhook->refs, 1);
        post->body = span_dup(body);
        list_push_back(&sender.queue, &post->node);
        if (!sender.is_woken)
            loop_post(sender.thread.loop, &sender.wake);
        sender.is_woken = true;
    }
    pthread_mutex_unlock(&sender.lock);
    if (!post)
        metrics_count(METRIC_WEBHOOKS_DROPPED);
}
