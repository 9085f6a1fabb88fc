/* SPDX-License-Identifier: Apache-2.0
 *
 * One fetch at a time, from wherever it is; at its end the keys are new or old, and all who waited are told. A file is
 * read on the loop itself: it is small, and on a disk of this machine.
 */
#include "credential/jwt_keys.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "data/data.h"
#include "http/http.h"
#include "log/diag.h"

struct jwt_keys {
    /* fixed after new */
    char *file, *url, *ca_file, *where;
    uint64_t refresh_ms, keep_for_ms, limit_ms;

    /* fixed after start */
    struct store_house house;

    /* owned by the lookup thread */
    struct jwks *now;     /* NULL before the first were had */
    uint64_t had_at_ms;   /* monotonic: when they were last had from their source */
    uint64_t tried_at_ms; /* when a fetch last began; 0: never */
    struct error fault;   /* of the last fetch; ERROR_NONE when it succeeded */
    bool is_fetching;
    struct http_transfer *transfer;
    struct deferred reading;
    struct timer timer;
    struct list waits;
};

static char *copy(const char *text) { return text ? mem_strdup(text) : NULL; }

struct jwt_keys *jwt_keys_new(const struct jwt_keys_source *source)
{
    struct jwt_keys *keys = mem_zalloc(sizeof *keys);

    keys->file = copy(source->file);
    keys->url = copy(source->url);
    keys->ca_file = copy(source->ca_file);
    keys->where = mem_strdup(source->where);
    keys->refresh_ms = source->refresh_ms;
    keys->keep_for_ms = source->keep_for_ms;
    keys->limit_ms = source->limit_ms;
    list_init(&keys->waits);
    return keys;
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (!keys)
        return;
    MUST(list_is_empty(&keys->waits));
    http_cancel(keys->transfer);
    timer_stop(&keys->timer);
    if (keys->house.loop)
        loop_undefer(keys->house.loop, &keys->reading);
    jwks_free(keys->now);
    free(keys->file);
    free(keys->url);
    free(keys->ca_file);
    free(keys->where);
    free(keys);
}

const struct jwks *jwt_keys_now(const struct jwt_keys *keys)
{
    return clock_mono_ms() - keys->had_at_ms <= keys->keep_for_ms ? keys->now : NULL;
}

const struct error *jwt_keys_fault(const struct jwt_keys *keys)
{
    return keys->fault.kind == ERROR_NONE ? NULL : &keys->fault;
}

/* ---- the end of a fetch ---- */

static void take(struct jwt_keys *keys, struct jwks *fetched)
{
    if (keys->fault.kind != ERROR_NONE)
        diag(DIAG_INFO, NULL, "%s: the keys can be had again", keys->where);
    jwks_free(keys->now);
    keys->now = fetched;
    keys->had_at_ms = clock_mono_ms();
    keys->fault.kind = ERROR_NONE;
}

/* One line when it begins to fail, not one for each time. */
static void miss(struct jwt_keys *keys, const struct error *error)
{
    if (keys->fault.kind == ERROR_NONE)
        diag(DIAG_WARN, NULL, "%s: %s; %s", keys->where, error->sentence,
             keys->now ? "going on with the keys of before" : "no token can be verified");
    keys->fault = *error;
    keys->fault.kind = ERROR_TEMP; /* whatever it is, no token is to blame */
}

/* Whoever begins to wait meanwhile waits for the next fetch. */
static void tell_all(struct jwt_keys *keys)
{
    struct list_node *node;

    for (size_t left = keys->waits.count; left > 0 && (node = list_take_first(&keys->waits)); left--) {
        struct jwt_wait *wait = CONTAINER_OF(node, struct jwt_wait, node);

        wait->on_settled(wait);
    }
}

/* With keys, or NULL and an error. */
static void end_fetch(struct jwt_keys *keys, struct jwks *fetched, const struct error *error)
{
    uint64_t again_ms = keys->refresh_ms;

    keys->is_fetching = false;
    if (fetched)
        take(keys, fetched);
    else
        miss(keys, error);
    if (!fetched && again_ms > JWT_KEYS_RETRY_MS)
        again_ms = JWT_KEYS_RETRY_MS;
    timer_start(&keys->timer, again_ms);
    tell_all(keys);
}

/* ---- from a file ---- */

static struct jwks *read_file(const char *path, struct error *error)
{
    struct jwks *read = NULL;
    struct buf text;

    buf_init(&text, JWKS_LIMIT_BYTES);
    if (!data_read_file(path, JWKS_LIMIT_BYTES, &text, error)) {
        read = jwks_parse(buf_span(&text), error);
        if (!read)
            error_prefix(error, "%s", path);
    }
    buf_done(&text);
    return read;
}

static void on_reading(struct deferred *deferred)
{
    struct jwt_keys *keys = CONTAINER_OF(deferred, struct jwt_keys, reading);
    struct error error = {0};

    end_fetch(keys, read_file(keys->file, &error), &error);
}

int jwt_keys_load(struct jwt_keys *keys, struct error *error)
{
    if (!keys->file)
        return 0;
    keys->now = read_file(keys->file, error);
    keys->had_at_ms = clock_mono_ms();
    return keys->now ? 0 : error_prefix(error, "%s", keys->where);
}

/* ---- from an address ---- */

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct jwt_keys *keys = ctx;
    struct jwks *fetched = NULL;
    struct error fault = {0};

    keys->transfer = NULL;
    if (!response)
        fault = *error;
    else if (response->status != 200)
        error_set(&fault, ERROR_TEMP, "the issuer answers %d instead of its keys", response->status);
    else
        fetched = jwks_parse(buf_span(&response->body), &fault);
    end_fetch(keys, fetched, &fault);
}

static void ask_issuer(struct jwt_keys *keys)
{
    struct http_request request = {
        .url = keys->url,
        .headers = {{"Accept", "application/jwk-set+json, application/json"}},
        .header_count = 1,
        .total_limit_ms = keys->limit_ms,
        .body_limit_bytes = JWKS_LIMIT_BYTES,
        .ca_file = keys->ca_file,
    };
    struct error error = {0};

    keys->transfer = http_start(keys->house.http, &request, on_answer, keys, &error);
    if (!keys->transfer)
        end_fetch(keys, NULL, &error);
}

/* ---- when ---- */

static void begin_fetch(struct jwt_keys *keys)
{
    if (keys->is_fetching)
        return;
    keys->is_fetching = true;
    keys->tried_at_ms = clock_mono_ms();
    if (keys->file)
        loop_defer(keys->house.loop, &keys->reading);
    else
        ask_issuer(keys);
}

static void on_refresh(void *ctx) { begin_fetch(ctx); }

void jwt_keys_start(struct jwt_keys *keys, const struct store_house *house)
{
    keys->house = *house;
    keys->reading.run = on_reading;
    list_node_init(&keys->reading.node);
    timer_init(&keys->timer, house->loop, on_refresh, keys);
    if (keys->now)
        timer_start(&keys->timer, keys->refresh_ms);
    else
        begin_fetch(keys);
}

enum jwt_prospect jwt_keys_wait(struct jwt_keys *keys, struct jwt_wait *wait)
{
    if (!keys->tried_at_ms || clock_mono_ms() - keys->tried_at_ms >= JWT_KEYS_PAUSE_MS)
        begin_fetch(keys);
    if (!keys->is_fetching)
        return JWT_KEYS_SETTLED;
    if (keys->waits.count >= JWT_KEYS_WAITS_MOST && jwt_keys_now(keys))
        return JWT_KEYS_CROWDED;
    list_push_back(&keys->waits, &wait->node);
    return JWT_KEYS_COMING;
}

void jwt_keys_leave(struct jwt_keys *keys, struct jwt_wait *wait)
{
    if (list_has(&wait->node))
        list_remove(&keys->waits, &wait->node);
}
