/* SPDX-License-Identifier: Apache-2.0
 *
 * The words and the outcomes of auth/reason.h.
 */
#include "auth/reason.h"

#include "base/must.h"

struct row {
    const char *word;
    enum auth_outcome outcome;
};

#define REASON_ROW(name, word, outcome) {word, outcome},
static const struct row rows[AUTH_REASON_COUNT] = {AUTH_REASONS(REASON_ROW)};
#undef REASON_ROW

const char *auth_reason_name(enum auth_reason reason)
{
    MUST(reason < AUTH_REASON_COUNT);
    return rows[reason].word;
}

enum auth_outcome auth_reason_outcome(enum auth_reason reason)
{
    MUST(reason < AUTH_REASON_COUNT);
    return rows[reason].outcome;
}
