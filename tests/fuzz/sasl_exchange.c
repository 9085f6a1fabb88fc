/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's whole side of an exchange: the first line names the mechanism, and may bring an
 * initial response; each further line answers a challenge.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "auth/exchange.h"
#include "base/must.h"

static enum auth_step begin(struct auth_exchange *exchange, struct span rest)
{
    return auth_exchange_start(exchange, rest.data ? &rest : NULL);
}

static void check_question(const struct auth_question *question)
{
    MUST(question->authzid[0] != '\0' && question->authcid[0] != '\0' && question->password);
    MUST(span_is_utf8(span_of(question->authzid)) && span_is_utf8(span_of(question->authcid)));
    MUST(strlen(question->authcid) <= AUTH_IDENTITY_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
    exchange = auth_exchange_new(mechanism);
    step = begin(exchange, line);
    while (step == AUTH_STEP_CHALLENGE && span_split(&lines, '\n', &line))
        step = auth_exchange_line(exchange, line);
    if (step == AUTH_STEP_ASK) {
        check_question(auth_exchange_question(exchange));
        MUST(auth_exchange_answer(exchange, size % 2, AUTH_REASON_REFUSED) ==
             (size % 2 ? AUTH_STEP_DONE : AUTH_STEP_FAIL));
    }
    auth_exchange_free(exchange);
    return 0;
}
