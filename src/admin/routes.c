/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be asked over HTTP, one function per row of the table at the end. All answers
 * but /metrics are JSON, errors included.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_private.h"
#include "base/clock.h"
#include "metrics/metrics.h"

#define QUEUES_DEFAULT 100
#define QUEUES_MOST 100000

static int append_dump(const char *data, size_t len, void *ctx) { return buf_append(ctx, data, len); }

void answer_json(struct admin_answer *answer, unsigned status, json_t *value)
{
    answer->status = status;
    answer->content_type = "application/json";
    buf_clear(&answer->body);
    if (json_dump_callback(value, append_dump, &answer->body, JSON_COMPACT | JSON_ENCODE_ANY) < 0 ||
        buf_append(&answer->body, "\n", 1) < 0) {
        buf_clear(&answer->body);
        answer->status = 500;
    }
    json_decref(value);
}

void answer_error(struct admin_answer *answer, unsigned status, const char *format, ...)
{
    char sentence[ERROR_SENTENCE_BYTES];
    va_list args;
    json_t *text;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    text = json_string(sentence);
    answer_json(answer, status, json_pack("{s:o}", "error", text ? text : json_string("not UTF-8")));
}

/* ---- /metrics ---- */

static void get_metrics(const struct admin_query *query, struct admin_answer *answer)
{
    (void)query;
    answer->status = 200;
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (metrics_write(&answer->body) < 0)
        answer_error(answer, 500, "the metrics do not fit into an answer");
}

static void get_metrics_json(const struct admin_query *query, struct admin_answer *answer)
{
    json_t *metrics;

    get_metrics(query, answer);
    if (answer->status != 200)
        return;
    metrics = metrics_json(buf_span(&answer->body));
    if (metrics)
        answer_json(answer, 200, metrics);
    else
        answer_error(answer, 500, "the metrics cannot be shown as JSON");
}

/* ---- /api ---- */

static void get_liveness(const struct admin_query *query, struct admin_answer *answer)
{
    const struct admin *admin = query->admin;

    if (admin->ops->is_live && !admin->ops->is_live(admin->ctx))
        answer_error(answer, 503, "new mail is not taken now");
    else
        answer_json(answer, 200, json_pack("{s:s}", "status", "ok"));
}

static json_t *counts(void)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections_in",
                     (json_int_t)metrics_get(METRIC_SMTPD_CONNECTIONS), "connections_out",
                     (json_int_t)metrics_get(METRIC_SMTPC_CONNECTIONS), "messages_received",
                     (json_int_t)metrics_get(METRIC_SMTPD_MESSAGES), "messages_delivered",
                     (json_int_t)metrics_get(METRIC_SMTPC_MESSAGES_DELIVERED), "messages_failed",
                     (json_int_t)metrics_get(METRIC_SMTPC_MESSAGES_FAILED), "messages_scheduled",
                     (json_int_t)metrics_get(METRIC_SCHEDULED_MESSAGES), "messages_ready",
                     (json_int_t)metrics_get(METRIC_READY_MESSAGES));
}

static void get_status(const struct admin_query *query, struct admin_answer *answer)
{
    const struct admin *admin = query->admin;

    answer_json(answer, 200,
                json_pack("{s:s, s:I, s:I, s:b, s:o}", "version", GATEPOST_VERSION, "pid", (json_int_t)getpid(),
                          "uptime_seconds", (json_int_t)((clock_mono_ms() - admin->started_ms) / 1000), "takes_mail",
                          !admin->ops->is_live || admin->ops->is_live(admin->ctx), "counts", counts()));
}

static void get_queues(const struct admin_query *query, struct admin_answer *answer)
{
    const struct admin *admin = query->admin;
    uint64_t most = QUEUES_DEFAULT;

    if (!admin->ops->describe_queues) {
        answer_error(answer, 501, "queues cannot be described");
        return;
    }
    if (query->limit && (span_to_u64(span_of(query->limit), &most) < 0 || most == 0 || most > QUEUES_MOST)) {
        answer_error(answer, 400, "'limit' must be between 1 and %d", QUEUES_MOST);
        return;
    }
    answer->status = 200;
    answer->content_type = "application/json";
    if (admin->ops->describe_queues(admin->ctx, (size_t)most, &answer->body) < 0)
        answer_error(answer, 503, "the queues cannot be described now");
}

static void post_bump_epoch(const struct admin_query *query, struct admin_answer *answer)
{
    const struct admin *admin = query->admin;

    if (!admin->ops->bump_config_epoch) {
        answer_error(answer, 501, "there is no configuration epoch");
        return;
    }
    admin->ops->bump_config_epoch(admin->ctx);
    answer_json(answer, 200, json_pack("{s:s}", "status", "ok"));
}

/* ---- the table ---- */

static const struct admin_route routes[] = {
    {"GET", "/metrics", get_metrics},
    {"GET", "/metrics.json", get_metrics_json},
    {"GET", "/api/check-liveness/v1", get_liveness},
    {"GET", "/api/gatepost/status/v1", get_status},
    {"GET", "/api/gatepost/queues/v1", get_queues},
    {"POST", "/api/admin/bump-config-epoch", post_bump_epoch},
    {"GET", "/api/gatepost/auth/show/v1", routes_auth_show},
    {"POST", "/api/gatepost/auth/unlock/v1", routes_auth_unlock},
    {"POST", "/api/gatepost/auth/block/v1", routes_auth_block},
    {"POST", "/api/gatepost/auth/purge/v1", routes_auth_purge},
    {"POST", "/api/gatepost/auth/test/v1", routes_auth_test},
    {"GET", "/api/gatepost/sessions/v1", routes_sessions},
    {"POST", "/api/gatepost/sessions/close/v1", routes_sessions_close},
    {"GET", "/api/gatepost/budget/v1", routes_budget},
    {"GET", "/api/gatepost/held/v1", routes_held},
    {"POST", "/api/gatepost/hold/v1", routes_hold},
    {"POST", "/api/gatepost/release/v1", routes_release},
};

const struct admin_route *routes_find(const char *method, const char *path, const char **allow_out)
{
    *allow_out = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct admin_route *route = &routes[i];

        if (strcmp(route->path, path) != 0)
            continue;
        /* HEAD is GET without the body; the server leaves it out. */
        if (strcmp(route->method, strcmp(method, "HEAD") == 0 ? "GET" : method) == 0)
            return route;
        *allow_out = route->method;
    }
    return NULL;
}
