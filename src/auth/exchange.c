/* SPDX-License-Identifier: Apache-2.0
 *
 * The part that all mechanisms share: base64, cancelling, limits and the wiping of secrets.
 */
#include "auth/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "auth/auth_private.h"
#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

struct auth_exchange *auth_exchange_new(const struct auth_mechanism *mechanism, const struct auth_channel *channel)
{
    struct auth_exchange *exchange = mem_zalloc(sizeof *exchange);

    exchange->mechanism = mechanism;
    if (channel)
        exchange->channel = *channel;
    return exchange;
}

void auth_exchange_forget_secret(struct auth_exchange *exchange)
{
    secret_free(exchange->question.password);
    exchange->question.password = NULL;
    secret_free(exchange->question.token);
    exchange->question.token = NULL;
}

void auth_exchange_free(struct auth_exchange *exchange)
{
    if (!exchange)
        return;
    auth_exchange_forget_secret(exchange);
    if (exchange->state)
        exchange->mechanism->drop(exchange->state);
    free(exchange->question.authzid);
    free(exchange->question.authcid);
    secret_wipe(exchange, sizeof *exchange);
    free(exchange);
}

enum auth_step auth_fail(struct auth_exchange *exchange, enum auth_reason reason)
{
    exchange->reason = reason;
    return AUTH_STEP_FAIL;
}

enum auth_step auth_challenge(struct auth_exchange *exchange, struct span octets)
{
    struct buf text;

    buf_init(&text, AUTH_CHALLENGE_BYTES - 1);
    MUST(base64_encode(octets, &text) == 0);
    memcpy(exchange->challenge, buf_span(&text).data, buf_len(&text));
    exchange->challenge[buf_len(&text)] = '\0';
    buf_done(&text);
    return AUTH_STEP_CHALLENGE;
}

enum auth_step auth_end_as_answered(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    (void)exchange;
    return answer->granted ? AUTH_STEP_DONE : AUTH_STEP_FAIL;
}

enum auth_step auth_end_as_named(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    struct auth_question *question = &exchange->question;

    if (!answer->granted)
        return AUTH_STEP_FAIL;
    MUST(answer->authcid != NULL);
    free(question->authcid);
    question->authcid = mem_strdup(answer->authcid);
    if (!question->authzid)
        question->authzid = mem_strdup(answer->authcid);
    return AUTH_STEP_DONE;
}

static enum auth_step run(struct auth_exchange *exchange, const struct span *response)
{
    enum auth_step step = exchange->mechanism->step(exchange, response);

    exchange->started = true;
    exchange->ended = step == AUTH_STEP_DONE || step == AUTH_STEP_FAIL;
    return step;
}

/* The decoded octets are as secret as what they hold: they are wiped here, and the buffer's
 * room is had in one piece so that growing leaves no copy behind. */
static enum auth_step run_encoded(struct auth_exchange *exchange, struct span text)
{
    struct buf octets;
    struct span response;
    enum auth_step step;

    buf_init(&octets, AUTH_LINE_LIMIT);
    if (base64_decode(text, &octets)) {
        exchange->ended = true;
        buf_done(&octets);
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    }
    response = buf_span(&octets);
    step = run(exchange, &response);
    if (octets.data)
        secret_wipe(octets.data, octets.capacity);
    buf_done(&octets);
    return step;
}

enum auth_step auth_exchange_start(struct auth_exchange *exchange, const struct span *initial)
{
    MUST(!exchange->started && !exchange->ended);
    if (!initial && exchange->mechanism->client_first) {
        exchange->started = true;
        return auth_challenge(exchange, SPAN_LIT(""));
    }
    if (!initial)
        return run(exchange, NULL);
    if (span_eq(*initial, SPAN_LIT("="))) /* RFC 4954, section 4: "=" is an empty response */
        return run_encoded(exchange, SPAN_LIT(""));
    return auth_exchange_line(exchange, *initial);
}

enum auth_step auth_exchange_line(struct auth_exchange *exchange, struct span line)
{
    MUST(!exchange->ended);
    if (auth_exchange_is_refused(exchange)) { /* also a "*": or guesses could be taken back, and not count */
        exchange->ended = true;
        return AUTH_STEP_FAIL;
    }
    if (span_eq(line, SPAN_LIT("*"))) {
        exchange->ended = true;
        return auth_fail(exchange, AUTH_REASON_CANCELLED);
    }
    if (line.len > AUTH_LINE_LIMIT) {
        exchange->ended = true;
        return auth_fail(exchange, AUTH_REASON_TOO_LONG);
    }
    return run_encoded(exchange, line);
}

enum auth_step auth_exchange_answer(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    enum auth_step step;

    MUST(!exchange->ended && (answer->granted || answer->reason != AUTH_REASON_OK));
    auth_exchange_forget_secret(exchange);
    if (!answer->granted)
        exchange->reason = answer->reason;
    step = exchange->mechanism->answered(exchange, answer);
    exchange->ended = step == AUTH_STEP_DONE || step == AUTH_STEP_FAIL;
    return step;
}

const struct auth_mechanism *auth_exchange_mechanism(const struct auth_exchange *exchange)
{
    return exchange->mechanism;
}

const char *auth_exchange_challenge(const struct auth_exchange *exchange) { return exchange->challenge; }

const struct auth_question *auth_exchange_question(const struct auth_exchange *exchange) { return &exchange->question; }

enum auth_reason auth_exchange_reason(const struct auth_exchange *exchange) { return exchange->reason; }

bool auth_exchange_is_refused(const struct auth_exchange *exchange) { return exchange->reason != AUTH_REASON_OK; }
