/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking claims. A claim that is there must be of its type even where nothing depends on it
 * yet: a clock or an audience that cannot be read is not taken for one that is absent.
 */
#include "token/claims.h"

#include <string.h>

#include "base/span.h"

/* Beyond the year 30000 a time is a mistake, and milliseconds would soon overflow. */
#define SECONDS_MOST 1e12

static const json_t *find_claim(const json_t *claims, const char *name)
{
    const json_t *claim = json_object_get(claims, name);
    struct span rest = span_of(name), step;

    if (claim)
        return claim;
    for (claim = claims; claim && span_split(&rest, '.', &step);)
        claim = json_object_getn(claim, step.data, step.len);
    return claim;
}

/* ---- time ---- */

enum reading { ABSENT, SOUND, UNSOUND };

/* A NumericDate: seconds since 1970, whole or not. */
static enum reading read_time(const json_t *claims, const char *name, int64_t *ms_out)
{
    const json_t *claim = json_object_get(claims, name);
    double seconds;

    if (!claim)
        return ABSENT;
    seconds = json_number_value(claim);
    if (!json_is_number(claim) || !(seconds >= 0 && seconds <= SECONDS_MOST))
        return UNSOUND;
    *ms_out = (int64_t)(seconds * 1000);
    return SOUND;
}

int64_t claims_expiry_ms(const json_t *claims)
{
    int64_t expiry_ms = INT64_MAX;

    (void)read_time(claims, "exp", &expiry_ms);
    return expiry_ms;
}

static enum token_verdict check_expiry(const struct claims_rules *rules, const json_t *claims, int64_t now_ms)
{
    int64_t at_ms = 0;

    switch (read_time(claims, "exp", &at_ms)) {
    case ABSENT:
        return rules->needs_expiry ? TOKEN_CLAIM : TOKEN_GOOD;
    case SOUND:
        return now_ms < at_ms + (int64_t)rules->leeway_ms ? TOKEN_GOOD : TOKEN_EXPIRED;
    case UNSOUND:
        break;
    }
    return TOKEN_CLAIM;
}

/* `nbf`, and `iat` too: what was made in the future comes from a clock that cannot be trusted with `exp` either. */
static enum token_verdict check_beginning(const struct claims_rules *rules, const json_t *claims, const char *name,
                                          int64_t now_ms)
{
    int64_t at_ms = 0;

    switch (read_time(claims, name, &at_ms)) {
    case ABSENT:
        return TOKEN_GOOD;
    case SOUND:
        return at_ms <= now_ms + (int64_t)rules->leeway_ms ? TOKEN_GOOD : TOKEN_NOT_YET;
    case UNSOUND:
        break;
    }
    return TOKEN_CLAIM;
}

/* ---- lists ---- */

static bool is_texts(const json_t *claim)
{
    const json_t *element;
    size_t i;

    if (json_is_string(claim))
        return true;
    json_array_foreach(claim, i, element) if (!json_is_string(element)) return false;
    return json_is_array(claim);
}

static bool has_text(const json_t *list, const char *text)
{
    const json_t *element;
    size_t i;

    if (json_is_string(list))
        return strcmp(json_string_value(list), text) == 0;
    json_array_foreach(list, i, element) if (strcmp(json_string_value(element), text) == 0) return true;
    return false;
}

static enum token_verdict check_audience(const struct claims_rules *rules, const json_t *claims)
{
    const json_t *audience = json_object_get(claims, "aud");
    const json_t *accepted;
    size_t i;

    if (audience && !is_texts(audience))
        return TOKEN_CLAIM;
    if (json_array_size(rules->audiences) == 0)
        return TOKEN_GOOD;
    json_array_foreach(rules->audiences, i,
                       accepted) if (has_text(audience, json_string_value(accepted))) return TOKEN_GOOD;
    return TOKEN_AUDIENCE;
}

/* A string of words (RFC 8693, section 4.2), or a list as some issuers write it. */
static bool grants(const json_t *granted, const char *scope)
{
    struct span rest, word;

    if (!json_is_string(granted))
        return is_texts(granted) && has_text(granted, scope);
    rest = span_of(json_string_value(granted));
    while (span_split(&rest, ' ', &word))
        if (span_eq(word, span_of(scope)))
            return true;
    return false;
}

static enum token_verdict check_scopes(const struct claims_rules *rules, const json_t *claims)
{
    const json_t *scope;
    size_t i;

    json_array_foreach(rules->scopes, i, scope)
    {
        const char *name = json_string_value(scope);

        if (!grants(json_object_get(claims, "scope"), name) && !grants(json_object_get(claims, "scp"), name))
            return TOKEN_SCOPE;
    }
    return TOKEN_GOOD;
}

static bool is_issuer(const struct claims_rules *rules, const json_t *claims)
{
    const char *issuer = json_string_value(json_object_get(claims, "iss"));

    return !rules->issuer || (issuer && strcmp(issuer, rules->issuer) == 0);
}

enum token_verdict claims_check(const struct claims_rules *rules, const json_t *claims, int64_t now_ms)
{
    enum token_verdict verdict = is_issuer(rules, claims) ? TOKEN_GOOD : TOKEN_ISSUER;

    if (verdict == TOKEN_GOOD)
        verdict = check_audience(rules, claims);
    if (verdict == TOKEN_GOOD)
        verdict = check_expiry(rules, claims, now_ms);
    if (verdict == TOKEN_GOOD)
        verdict = check_beginning(rules, claims, "nbf", now_ms);
    if (verdict == TOKEN_GOOD)
        verdict = check_beginning(rules, claims, "iat", now_ms);
    if (verdict == TOKEN_GOOD && json_object_get(claims, "cnf")) /* whatever is in it */
        verdict = TOKEN_BOUND;
    return verdict == TOKEN_GOOD ? check_scopes(rules, claims) : verdict;
}

/* ---- the record ---- */

/* A name that may go into logs, headers and counters. jansson has seen to it that it is UTF-8 without NUL. */
static bool is_sound_name(const json_t *claim)
{
    const char *text = json_string_value(claim);
    size_t len = json_string_length(claim);

    if (!text || len == 0 || len > CLAIMS_USER_LIMIT)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static const json_t *find_user(const struct claims_rules *rules, const json_t *claims)
{
    for (size_t i = 0; i < CLAIMS_USER_CLAIMS_MOST && rules->user_claims[i]; i++) {
        const char *name = rules->user_claims[i];
        const json_t *claim = find_claim(claims, name);
        const json_t *verified = json_object_get(claims, "email_verified");

        if (!claim || json_is_null(claim))
            continue;
        /* anybody can write any address into an account that nobody has verified */
        if (strcmp(name, "email") == 0 && verified && !json_is_true(verified))
            return NULL;
        return is_sound_name(claim) ? claim : NULL;
    }
    return NULL;
}

/* Always a list; a single string is a list of one. */
static json_t *list_of(const json_t *claim)
{
    json_t *list = json_array();
    json_t *element;
    size_t i;

    if (json_is_string(claim))
        json_array_append_new(list, json_copy((json_t *)claim));
    json_array_foreach(claim, i, element) json_array_append(list, element);
    return list;
}

static bool is_sound_list(const json_t *list)
{
    const json_t *element;
    size_t i;

    json_array_foreach(list, i, element) if (!is_sound_name(element)) return false;
    return json_array_size(list) <= CLAIMS_LIST_MOST;
}

/* -1 when the claim cannot become `field`. */
static int map_list(const json_t *claims, const char *claim_name, bool is_needed, json_t *fields, const char *field)
{
    const json_t *claim = claim_name ? find_claim(claims, claim_name) : NULL;
    json_t *list;

    if (!claim)
        return claim_name && is_needed ? -1 : 0;
    list = list_of(claim);
    if (!is_texts(claim) || !is_sound_list(list) || (is_needed && json_array_size(list) == 0)) {
        json_decref(list);
        return -1;
    }
    json_object_set_new(fields, field, list);
    return 0;
}

enum token_verdict claims_record(const struct claims_rules *rules, json_t *claims, json_t **fields_out)
{
    const json_t *user = find_user(rules, claims);
    json_t *fields;

    if (!user)
        return TOKEN_USER;
    fields = json_object();
    if (map_list(claims, rules->groups_claim, false, fields, "groups") ||
        map_list(claims, rules->tenant_claim, true, fields, "tenants") ||
        map_list(claims, rules->senders_claim, true, fields, "senders")) {
        json_decref(fields);
        return TOKEN_CLAIM;
    }
    json_object_set_new(fields, "name", json_copy((json_t *)user));
    json_object_set(fields, "claims", claims);
    *fields_out = fields;
    return TOKEN_GOOD;
}
