/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper of a Vault token. There is at most one login or renewal out at a time; a good token goes on being used
 * meanwhile. The awkward truth is Vault's 403: it means a dead token and a policy that does not allow the path alike.
 * So a doubted token is replaced, once, and a fresh one is not doubted at all.
 */
#include "credential/store_vault.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "data/data.h"
#include "log/diag.h"

#define WAITERS_MOST 1024
#define LOOK_EVERY_MS 1000  /* at a token file */
#define RETRY_LEAST_MS 1000 /* after a login or a renewal that failed */
#define RETRY_MOST_MS 30000
#define FRESH_MS 5000 /* a token this young is not why Vault says 403 */
#define FILE_LIMIT_BYTES 65536
#define URL_LIMIT_BYTES 4096

struct vault_keeper {
    /* fixed after start */
    const struct vault_account *account;
    char *token_file, *jwt_file; /* or NULL */
    struct store_house house;

    /* the token */
    char *token; /* NULL: none */
    unsigned generation;
    struct vault_lease lease;
    struct stat seen; /* the token file when it was read */
    uint64_t look_ms; /* at the token file again */

    /* on the way to another */
    struct timer timer;
    struct http_transfer *transfer;
    enum vault_step under_way;
    struct list waiters;
    uint64_t retry_ms, retry_delay_ms;
    struct error last; /* why there is no token */
};

/* ---- the lease ---- */

enum vault_step vault_lease_next(const struct vault_lease *lease, bool can_login, uint64_t *due_ms_out)
{
    /* a lease that shrinks meets the token's last day: renewing would give less each time */
    bool is_near_end = lease->login_ms && lease->lease_ms < lease->login_ms / 2;

    if (!lease->lease_ms)
        return VAULT_STEP_NONE;
    *due_ms_out = lease->granted_ms + lease->lease_ms / 3 * 2;
    if (lease->is_renewable && !(is_near_end && can_login))
        return VAULT_STEP_RENEW;
    return can_login ? VAULT_STEP_LOGIN : VAULT_STEP_NONE;
}

bool vault_lease_holds(const struct vault_lease *lease, uint64_t now_ms)
{
    return !lease->lease_ms || now_ms < lease->granted_ms + lease->lease_ms;
}

/* ---- what there is ---- */

static uint64_t now_of(const struct vault_keeper *keeper) { return loop_now_ms(keeper->house.loop); }

static bool can_login(const struct vault_keeper *keeper) { return keeper->account->method != VAULT_TOKEN; }

static bool has_token(const struct vault_keeper *keeper)
{
    /* what nobody can replace is tried even when it should have ended: Vault knows better */
    return keeper->token && (!can_login(keeper) || vault_lease_holds(&keeper->lease, now_of(keeper)));
}

static void set_token(struct vault_keeper *keeper, char *token)
{
    secret_free(keeper->token);
    keeper->token = token;
    keeper->generation++;
}

static void serve(struct vault_keeper *keeper)
{
    struct list_node *node;

    while ((node = list_take_first(&keeper->waiters))) {
        struct vault_wait *wait = CONTAINER_OF(node, struct vault_wait, node);

        wait->on_token(wait, keeper->token, NULL);
    }
}

static void fail(struct vault_keeper *keeper)
{
    struct error error = keeper->last;
    struct list_node *node;

    while ((node = list_take_first(&keeper->waiters))) {
        struct vault_wait *wait = CONTAINER_OF(node, struct vault_wait, node);

        wait->on_token(wait, NULL, &error);
    }
}

/* ---- files ---- */

/* A small local file without its last line end; the caller's, secret_free. */
static char *read_file(const char *path, struct error *error)
{
    struct buf text;
    char *found = NULL;

    buf_init(&text, 2 * FILE_LIMIT_BYTES);
    if (!data_read_file(path, FILE_LIMIT_BYTES, &text, error)) {
        struct span bytes = span_trim(buf_span(&text));

        if (bytes.len && span_find(bytes, '\0') == bytes.len)
            found = span_dup(bytes);
        else
            error_set(error, ERROR_TEMP, "%s holds no token", path);
    }
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_done(&text);
    return found;
}

/* ---- asking for a token ---- */

static void plan(struct vault_keeper *keeper);
static void take_step(struct vault_keeper *keeper, enum vault_step step);

static void retry_later(struct vault_keeper *keeper)
{
    uint64_t delay_ms = keeper->retry_delay_ms * 2;

    delay_ms = delay_ms < RETRY_LEAST_MS ? RETRY_LEAST_MS : delay_ms;
    keeper->retry_delay_ms = delay_ms > RETRY_MOST_MS ? RETRY_MOST_MS : delay_ms;
    /* those who ask need not wait longer than the shortest time: an outage that ends is noticed at once */
    keeper->retry_ms = now_of(keeper) + RETRY_LEAST_MS;
    if (keeper->token)
        timer_start(&keeper->timer, keeper->retry_delay_ms);
}

static void on_granted(struct vault_keeper *keeper, struct vault_grant *grant)
{
    bool is_login = keeper->under_way == VAULT_STEP_LOGIN;

    keeper->retry_delay_ms = keeper->retry_ms = 0;
    keeper->lease.granted_ms = now_of(keeper);
    keeper->lease.lease_ms = grant->lease_ms;
    keeper->lease.is_renewable = grant->is_renewable;
    if (is_login)
        keeper->lease.login_ms = grant->lease_ms;
    if (is_login || !secret_equal(span_of(grant->token), span_of(keeper->token)))
        set_token(keeper, grant->token);
    else
        secret_free(grant->token);
    keeper->under_way = VAULT_STEP_NONE;
    plan(keeper);
    serve(keeper);
}

static void on_refused(struct vault_keeper *keeper, const struct error *error)
{
    enum vault_step was = keeper->under_way;

    keeper->under_way = VAULT_STEP_NONE;
    keeper->last = *error;
    if (was == VAULT_STEP_RENEW && can_login(keeper)) {
        take_step(keeper, VAULT_STEP_LOGIN);
        return;
    }
    if (was == VAULT_STEP_RENEW) /* a root token, or one that is not to be renewed: nothing to be done about it */
        diag(DIAG_DEBUG, NULL, "the token for Vault at %s is not renewed", keeper->account->address);
    else
        diag_error(NULL, error, "logging in to Vault");
    keeper->lease.is_renewable = false;
    if (was == VAULT_STEP_LOGIN)
        retry_later(keeper);
    fail(keeper);
}

static void on_no_answer(struct vault_keeper *keeper, const struct error *error)
{
    diag_error(NULL, error, keeper->under_way == VAULT_STEP_RENEW ? "renewing the token" : "logging in to Vault");
    keeper->under_way = VAULT_STEP_NONE;
    keeper->last = *error;
    retry_later(keeper);
    fail(keeper);
}

static void on_answer(void *ctx, const struct http_response *response, const struct error *error)
{
    struct vault_keeper *keeper = ctx;
    struct vault_grant grant;
    struct error fault;

    keeper->transfer = NULL;
    if (!response) {
        on_no_answer(keeper, error);
        return;
    }
    switch (vault_login_read(keeper->account, response, &grant, &fault)) {
    case VAULT_GRANTED:
        on_granted(keeper, &grant);
        return;
    case VAULT_REFUSED:
        on_refused(keeper, &fault);
        return;
    case VAULT_NO_ANSWER:
        on_no_answer(keeper, &fault);
    }
}

static int write_login(struct vault_keeper *keeper, struct buf *url, struct buf *body, struct error *error)
{
    char *jwt = NULL;
    int status;

    if (keeper->jwt_file && !(jwt = read_file(keeper->jwt_file, error)))
        return -1;
    status = vault_login_write(keeper->account, span_of(jwt ? jwt : ""), url, body, error);
    secret_free(jwt);
    return status;
}

static int write_step(struct vault_keeper *keeper, struct buf *url, struct buf *body, struct error *error)
{
    if (keeper->under_way == VAULT_STEP_LOGIN)
        return write_login(keeper, url, body, error);
    if (buf_append_span(body, SPAN_LIT("{}")))
        return error_set(error, ERROR_TEMP, "no memory to renew a token");
    return vault_renew_write(keeper->account, url, error);
}

static int send_step(struct vault_keeper *keeper, struct error *error)
{
    const char *token = keeper->under_way == VAULT_STEP_RENEW ? keeper->token : NULL;
    struct http_request request;
    struct buf url, body;
    int status;

    buf_init(&url, URL_LIMIT_BYTES);
    buf_init(&body, 4 * FILE_LIMIT_BYTES);
    status = write_step(keeper, &url, &body, error);
    if (!status) {
        vault_login_request(keeper->account, buf_cstr(&url), buf_span(&body), token, &request);
        keeper->transfer = http_start(keeper->house.http, &request, on_answer, keeper, error);
    }
    if (body.data)
        secret_wipe(body.data, body.capacity);
    buf_done(&body);
    buf_done(&url);
    return keeper->transfer ? 0 : -1;
}

static void take_step(struct vault_keeper *keeper, enum vault_step step)
{
    struct error error;

    MUST(!keeper->transfer);
    timer_stop(&keeper->timer);
    keeper->under_way = step;
    if (send_step(keeper, &error))
        on_no_answer(keeper, &error);
}

static void plan(struct vault_keeper *keeper)
{
    uint64_t due_ms = 0, now_ms = now_of(keeper);

    timer_stop(&keeper->timer);
    if (vault_lease_next(&keeper->lease, can_login(keeper), &due_ms) != VAULT_STEP_NONE)
        timer_start(&keeper->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

/* ---- tokens that are given to us ---- */

/* Nobody has told us the lease of such a token: renewing it tells. That others renew it as well (Vault Agent) does no
 * harm, nor does a refusal: the token is then used as it is. */
static void learn_lease(struct vault_keeper *keeper)
{
    MUST(!can_login(keeper)); /* so nobody waits for what is cancelled here */
    http_cancel(keeper->transfer);
    keeper->transfer = NULL;
    keeper->lease = (struct vault_lease){.granted_ms = now_of(keeper), .lease_ms = 1, .is_renewable = true};
    take_step(keeper, VAULT_STEP_RENEW);
}

static void take_given(struct vault_keeper *keeper, char *token)
{
    set_token(keeper, token);
    learn_lease(keeper);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file that is gone or broken leaves the token that we have. */
static void look_at_file(struct vault_keeper *keeper, bool is_doubted)
{
    struct stat now;
    char *token;

    keeper->look_ms = now_of(keeper) + LOOK_EVERY_MS;
    if (stat(keeper->token_file, &now)) {
        error_set(&keeper->last, ERROR_TEMP, "there is no token file %s", keeper->token_file);
        return;
    }
    if (keeper->token && is_same_file(&now, &keeper->seen) && !is_doubted)
        return;
    token = read_file(keeper->token_file, &keeper->last);
    if (!token)
        return;
    keeper->seen = now;
    if (keeper->token && span_eq(span_of(token), span_of(keeper->token)))
        secret_free(token);
    else
        take_given(keeper, token);
}

/* ---- the timer ---- */

static void on_due(void *ctx)
{
    struct vault_keeper *keeper = ctx;
    enum vault_step step;
    uint64_t due_ms;

    if (keeper->token_file) /* another token may have come while nobody asked */
        look_at_file(keeper, false);
    if (keeper->transfer)
        return;
    step = vault_lease_next(&keeper->lease, can_login(keeper), &due_ms);
    if (step == VAULT_STEP_RENEW && can_login(keeper) && !has_token(keeper))
        step = VAULT_STEP_LOGIN;
    if (step != VAULT_STEP_NONE)
        take_step(keeper, step);
}

/* ---- the door ---- */

struct vault_keeper *vault_keeper_new(const struct vault_account *account, char *token, const char *token_file,
                                      const char *jwt_file)
{
    struct vault_keeper *keeper = mem_zalloc(sizeof *keeper);

    keeper->account = account;
    keeper->token = token;
    keeper->token_file = token_file ? mem_strdup(token_file) : NULL;
    keeper->jwt_file = jwt_file ? mem_strdup(jwt_file) : NULL;
    list_init(&keeper->waiters);
    error_set(&keeper->last, ERROR_TEMP, "there is no token for Vault at %s", account->address);
    return keeper;
}

void vault_keeper_start(struct vault_keeper *keeper, const struct store_house *house)
{
    keeper->house = *house;
    timer_init(&keeper->timer, house->loop, on_due, keeper);
    if (keeper->token_file)
        look_at_file(keeper, false);
    else if (keeper->token)
        learn_lease(keeper);
}

void vault_keeper_free(struct vault_keeper *keeper)
{
    if (!keeper)
        return;
    MUST(list_is_empty(&keeper->waiters));
    http_cancel(keeper->transfer);
    if (keeper->house.loop)
        timer_stop(&keeper->timer);
    secret_free(keeper->token);
    free(keeper->token_file);
    free(keeper->jwt_file);
    free(keeper);
}

static void refuse(struct vault_wait *wait, const struct error *why)
{
    struct error error = *why;

    wait->on_token(wait, NULL, &error);
}

static void enqueue(struct vault_keeper *keeper, struct vault_wait *wait)
{
    struct error error;

    if (keeper->waiters.count >= WAITERS_MOST) {
        error_set(&error, ERROR_AGAIN, "%d others wait for a token of Vault", WAITERS_MOST);
        refuse(wait, &error);
        return;
    }
    if (!keeper->transfer && now_of(keeper) < keeper->retry_ms) {
        refuse(wait, &keeper->last);
        return;
    }
    list_push_back(&keeper->waiters, &wait->node);
    if (!keeper->transfer)
        take_step(keeper, VAULT_STEP_LOGIN);
}

void vault_keeper_get(struct vault_keeper *keeper, struct vault_wait *wait)
{
    list_node_init(&wait->node);
    if (keeper->token_file && now_of(keeper) >= keeper->look_ms)
        look_at_file(keeper, false);
    if (has_token(keeper))
        wait->on_token(wait, keeper->token, NULL);
    else if (can_login(keeper))
        enqueue(keeper, wait);
    else
        refuse(wait, &keeper->last);
}

unsigned vault_keeper_generation(const struct vault_keeper *keeper) { return keeper->generation; }

bool vault_keeper_doubt(struct vault_keeper *keeper, unsigned generation, struct vault_wait *wait)
{
    list_node_init(&wait->node);
    if (keeper->token_file)
        look_at_file(keeper, true);
    if (keeper->generation != generation && has_token(keeper)) {
        wait->on_token(wait, keeper->token, NULL);
        return true;
    }
    if (!can_login(keeper) || now_of(keeper) < keeper->lease.granted_ms + FRESH_MS)
        return false;
    enqueue(keeper, wait);
    return true;
}

void vault_keeper_leave(struct vault_keeper *keeper, struct vault_wait *wait)
{
    if (list_has(&wait->node))
        list_remove(&keeper->waiters, &wait->node);
}
