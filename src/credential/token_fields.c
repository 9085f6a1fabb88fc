/* SPDX-License-Identifier: Apache-2.0
 *
 * See token_fields.h.
 */
#include "credential/token_fields.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define LEEWAY_MS 60000
#define LEEWAY_MOST_MS 600000

static char *keep(const char *text) { return text && *text ? mem_strdup(text) : NULL; }

void token_fields_read(struct token_fields *fields, struct settings *settings, const char *first, const char *second)
{
    fields->issuer = keep(settings_text(settings, "issuer", NULL));
    fields->user_claim = keep(settings_text(settings, "user_claim", NULL));
    fields->groups_claim = keep(settings_text(settings, "groups_claim", NULL));
    fields->tenant_claim = keep(settings_text(settings, "tenant_claim", NULL));
    fields->senders_claim = keep(settings_text(settings, "senders_claim", NULL));
    fields->audiences = json_deep_copy(settings_strings(settings, "audience"));
    fields->scopes = json_deep_copy(settings_strings(settings, "scopes"));
    fields->rules = (struct claims_rules){
        .issuer = fields->issuer,
        .audiences = fields->audiences,
        .scopes = fields->scopes,
        .leeway_ms = settings_duration_ms(settings, "leeway", LEEWAY_MS, 0, LEEWAY_MOST_MS),
        .user_claims = {fields->user_claim ? fields->user_claim : first, fields->user_claim ? NULL : second},
        .groups_claim = fields->groups_claim,
        .tenant_claim = fields->tenant_claim,
        .senders_claim = fields->senders_claim,
    };
}

void token_fields_done(struct token_fields *fields)
{
    json_decref(fields->audiences);
    json_decref(fields->scopes);
    free(fields->issuer);
    free(fields->user_claim);
    free(fields->groups_claim);
    free(fields->tenant_claim);
    free(fields->senders_claim);
}

enum token_verdict token_fields_judge(const struct token_fields *fields, json_t *claims, json_t **fields_out)
{
    enum token_verdict verdict = claims_check(&fields->rules, claims, clock_wall_ms());

    return verdict == TOKEN_GOOD ? claims_record(&fields->rules, claims, fields_out) : verdict;
}

/* Not known here, rather than wrong: a server of RFC 7662 says "not active" of tokens that were never its own, too. */
static bool may_be_anothers(enum token_verdict verdict) { return verdict == TOKEN_INACTIVE || verdict == TOKEN_ISSUER; }

void token_turn_away(struct store_ask *ask, enum token_verdict verdict)
{
    bool is_refused = !may_be_anothers(verdict);
    json_t *fields = is_refused ? json_pack("{s:s}", "reason", token_verdict_name(verdict)) : NULL;
    struct error error = {0};

    error_set(&error, ERROR_PERM, "%s", token_verdict_sentence(verdict));
    ask->on_done(ask, is_refused ? STORE_REFUSED : STORE_NOT_FOUND, fields, &error);
    json_decref(fields);
}
