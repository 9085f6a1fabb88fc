/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's whole side of an exchange: the first line names the mechanism, and may bring an
 * initial response; each further line answers a challenge.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "auth/exchange.h"
#include "base/buf.h"
#include "base/must.h"
#include "password/password.h"

#define SPOKEN_MOST 8 /* octets of a binding, and of our nonce */

static int bind(void *ctx, enum auth_binding binding, struct buf *out)
{
    (void)ctx;
    return binding == AUTH_BINDING_TLS_EXPORTER ? buf_append(out, "exported", SPOKEN_MOST) : -1;
}

static void check_name(const char *name)
{
    MUST(name[0] != '\0' && strlen(name) <= AUTH_IDENTITY_LIMIT && span_is_utf8(span_of(name)));
}

static void check_question(const struct auth_question *question)
{
    bool is_named = question->kind != AUTH_ASK_TOKEN && question->kind != AUTH_ASK_EXTERNAL;

    if (is_named || question->authzid)
        check_name(question->authzid);
    if (is_named)
        check_name(question->authcid);
    MUST(question->kind != AUTH_ASK_PASSWORD || question->password);
    MUST(question->kind != AUTH_ASK_TOKEN || question->token);
}

/* Everybody is let in whose proof is right; whether the others are depends on the input's length. */
static enum auth_step answer(struct auth_exchange *exchange, bool is_kind)
{
    const struct auth_question *question = auth_exchange_question(exchange);
    struct scram_set keys = {.keys[0] = {.hash = question->scram_hash, .iterations = 4096, .salt_len = 16}, .count = 1};
    struct auth_answer answer = {.granted = is_kind, .reason = AUTH_REASON_REFUSED, .keys = &keys, .authcid = "alice"};

    check_question(question);
    if (question->kind == AUTH_ASK_PROVED)
        answer.granted = question->is_proved;
    return auth_exchange_answer(exchange, &answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct auth_certificate certificate = {.subject = "CN=alice"};
    static const struct auth_channel channel = {
        .binding = bind, .offers_bound_twin = true, .certificate = &certificate, .nonce = "ournonce"};
    struct span lines = span_make((const char *)data, size);
    struct span line;
    struct span name;
    const struct auth_mechanism *mechanism;
    struct auth_exchange *exchange;
    enum auth_step step;

    if (size == 0 || !span_split(&lines, '\n', &line) || !span_split(&line, ' ', &name))
        return 0;
    mechanism = auth_mechanism_find(name);
    if (!mechanism)
        return 0;
    exchange = auth_exchange_new(mechanism, &channel);
    step = auth_exchange_start(exchange, line.data ? &line : NULL);
    for (;;) {
        if (step == AUTH_STEP_ASK)
            step = answer(exchange, size % 2);
        else if (step == AUTH_STEP_CHALLENGE && span_split(&lines, '\n', &line))
            step = auth_exchange_line(exchange, line);
        else
            break;
    }
    auth_exchange_free(exchange);
    return 0;
}
