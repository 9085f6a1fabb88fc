/* SPDX-License-Identifier: Apache-2.0
 *
 * One password against the secrets of one record, in the password pool, or at once where that costs nothing. A match
 * that lets the user in ends the work; everything else (no match, a match of a secret that has expired, a user who is
 * disabled) costs what a refusal costs.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gate/gate_private.h"
#include "metrics/metrics.h"

#define OWNER_IPV6_BYTES 7

uint64_t gate_owner_of(const struct ip *peer)
{
    return map_hash(span_make((const char *)peer->bytes, peer->family == AF_INET ? 4 : OWNER_IPV6_BYTES));
}

struct gate_verify {
    struct job job;
    gate_verify_fn *on_done; /* NULL: cancelled */
    void *ctx;

    struct gate_rules *rules;
    struct credential *credential;
    size_t order[CREDENTIAL_SECRETS_MOST];
    bool ends_at[CREDENTIAL_SECRETS_MOST];
    char *password;
    char *dummy;
    size_t rounds;

    enum gate_verified verified;
    size_t secret;
};

static void free_verify(struct gate_verify *verify)
{
    secret_free(verify->password);
    secret_free(verify->dummy);
    credential_unref(&verify->credential);
    gate_rules_unref(&verify->rules);
    free(verify);
}

/* Returns how many verifications it took; the last of them was of *own_out. */
static size_t try_secrets(struct gate_verify *verify, const char **own_out)
{
    size_t count = verify->credential ? verify->credential->secret_count : 0, spent = 0;
    bool has_match = false, has_unusable = false;

    for (size_t i = 0; i < count; i++) {
        size_t secret = verify->order[i];
        const char *stored = verify->credential->secrets[secret].stored;
        enum password_verdict verdict = password_verify(span_of(verify->password), stored);

        if (verdict == PASSWORD_UNUSABLE)
            has_unusable = true;
        if (verdict == PASSWORD_UNUSABLE || verdict == PASSWORD_LOCKED)
            continue;
        if (!spent++)
            gate_cost_learn(&verify->rules->cost, stored);
        *own_out = stored;
        if (verdict != PASSWORD_MATCHES || has_match)
            continue;
        has_match = true;
        verify->verified = GATE_VERIFIED;
        verify->secret = secret;
        if (verify->ends_at[secret])
            return verify->rounds;
    }
    gate_cost_learn_count(&verify->rules->cost, spent);
    if (!has_match)
        verify->verified = !has_unusable ? GATE_DIFFERS : spent ? GATE_IN_DOUBT : GATE_UNUSABLE;
    return spent;
}

/* What a user's own secrets do not use up is spent on one of them again: a dummy may be of another form. */
static void do_all(struct gate_verify *verify)
{
    const char *own = NULL;

    for (size_t spent = try_secrets(verify, &own); spent < verify->rounds; spent++)
        MUST(password_verify(span_of(verify->password), own ? own : verify->dummy) != PASSWORD_MATCHES || own);
}

static void run_job(struct job *job)
{
    uint64_t began_us = clock_mono_us(), waited_ms = began_us / 1000 - job->queued_ms;

    do_all(CONTAINER_OF(job, struct gate_verify, job));
    metrics_observe_us(HISTOGRAM_PASSWORD_WAIT, began_us / 1000 > job->queued_ms ? waited_ms * 1000 : 0);
    metrics_observe_us(HISTOGRAM_PASSWORD_HASH, clock_mono_us() - began_us);
}

static void job_done(struct job *job)
{
    struct gate_verify *verify = CONTAINER_OF(job, struct gate_verify, job);

    gate_work_ended();
    if (verify->on_done)
        verify->on_done(verify->ctx, job->expired ? GATE_TOO_BUSY : verify->verified, verify->secret);
    free_verify(verify);
}

static bool costs_nothing(const struct gate_verify *verify)
{
    size_t count = verify->credential ? verify->credential->secret_count : 0;
    bool has_own = false; /* else it is the dummy's cost */

    for (size_t i = 0; i < count; i++) {
        const char *stored = verify->credential->secrets[i].stored;

        if (!password_is_cheap(stored))
            return false;
        has_own = has_own || password_scheme_of(stored) < PASSWORD_SCHEME_COUNT;
    }
    return has_own || password_is_cheap(verify->dummy);
}

static struct gate_verify *new_verify(struct loop *loop, const struct gate_verify_ask *ask)
{
    struct gate_verify *verify = mem_zalloc(sizeof *verify);

    verify->job = (struct job){.reply_to = loop, .owner = gate_owner_of(ask->peer), .run = run_job, .done = job_done};
    verify->rules = gate_rules_ref(ask->rules);
    verify->password = mem_strdup(ask->password);
    verify->dummy = gate_cost_dummy(&ask->rules->cost, ask->user, &verify->rounds);
    memcpy(verify->ends_at, ask->ends_at, sizeof verify->ends_at);
    if (ask->credential) {
        verify->credential = credential_ref((struct credential *)ask->credential);
        gate_secrets_in_order(ask->credential, ask->peer, clock_wall_ms(), verify->order);
    }
    return verify;
}

struct gate_verify *gate_verify_start(struct loop *loop, const struct gate_verify_ask *ask, gate_verify_fn *on_done,
                                      void *ctx)
{
    struct gate_verify *verify = new_verify(loop, ask);

    verify->on_done = on_done;
    verify->ctx = ctx;
    if (costs_nothing(verify)) {
        do_all(verify);
        on_done(ctx, verify->verified, verify->secret);
    } else if (gate_work_begin(&verify->job)) {
        on_done(ctx, GATE_TOO_BUSY, 0);
    } else {
        return verify;
    }
    free_verify(verify);
    return NULL;
}

void gate_verify_cancel(struct gate_verify *verify)
{
    if (verify)
        verify->on_done = NULL;
}
