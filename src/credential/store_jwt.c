/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens that are JSON Web Tokens (RFC 7519, RFC 9068): verified here, with the issuer's public keys. The issuer
 * is not asked about a token, so one that was withdrawn is good until it expires: that is what introspection is for.
 *
 * `iss` is read before anything is verified, for one purpose: a token of another issuer is another store's to judge.
 */
#include "credential/credential_private.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "credential/endpoint.h"
#include "credential/jwt_keys.h"
#include "credential/token_fields.h"
#include "token/jwt.h"

#define REFRESH_MS (UINT64_C(10) * 60 * 1000)
#define REFRESH_LEAST_MS 1000
#define REFRESH_MOST_MS (UINT64_C(24) * 3600 * 1000)
#define KEEP_FOR_MS (UINT64_C(24) * 3600 * 1000)
#define KEEP_FOR_MOST_MS (UINT64_C(30) * 24 * 3600 * 1000)

struct store {
    /* fixed after open */
    struct token_fields fields;
    unsigned algorithms; /* a bit for each enum crypto_signature */
    json_t *types;       /* media types that `typ` may be */

    /* owned by the lookup thread */
    struct jwt_keys *keys;
};

struct jwt_ask {
    struct store *store;
    struct store_ask *ask;
    struct jwt_wait wait;
    bool is_second; /* has waited for newer keys */
};

/* ---- settings ---- */

static unsigned read_algorithms(struct settings *settings)
{
    const json_t *names = settings_strings(settings, "algorithms");
    const json_t *name;
    unsigned algorithms = 0;
    size_t i;

    json_array_foreach(names, i, name)
    {
        enum crypto_signature algorithm = crypto_signature_find(span_of(json_string_value(name)));

        if (algorithm == CRYPTO_SIGNATURE_COUNT)
            settings_fault(settings, "algorithms", "must be of RS256, ES256 and EdDSA");
        else
            algorithms |= 1u << algorithm;
    }
    return algorithms ? algorithms : (1u << CRYPTO_SIGNATURE_COUNT) - 1;
}

/* An issuer signs other tokens with the same keys, and has names for them (RFC 8725, section 3.11). Most say of access
 * tokens only that they are JWTs, or nothing, as they did before RFC 9068 gave them a name. */
static json_t *read_types(struct settings *settings)
{
    const json_t *types = settings_strings(settings, "types");
    const json_t *type;
    size_t i;

    if (!settings_has(settings, "types"))
        return json_pack("[s, s]", "JWT", "at+jwt");
    if (json_array_size(types) == 0)
        settings_fault(settings, "types", "must name one at least");
    json_array_foreach(types, i, type)
    {
        if (!jwt_type_is_sound(span_of(json_string_value(type))))
            settings_fault(settings, "types", "must be media types such as \"at+jwt\"");
    }
    return json_deep_copy(types);
}

static struct jwt_keys *read_keys(struct settings *settings)
{
    struct jwt_keys_source source = {
        .file = settings_path(settings, "jwks_file", NULL),
        .url = settings_text(settings, "jwks_url", NULL),
        .refresh_ms = settings_duration_ms(settings, "refresh", REFRESH_MS, REFRESH_LEAST_MS, REFRESH_MOST_MS),
        .keep_for_ms = settings_duration_ms(settings, "keep_for", KEEP_FOR_MS, REFRESH_LEAST_MS, KEEP_FOR_MOST_MS),
        .limit_ms = endpoint_limit_ms(settings),
    };

    source.where = settings_where(settings, source.file ? "jwks_file" : "jwks_url");
    if (!source.file == !source.url)
        settings_fault(settings, "jwks_url", "or jwks_file must be given, and not both");
    if (source.keep_for_ms < source.refresh_ms)
        settings_fault(settings, "keep_for", "must not be shorter than refresh");
    if (source.url) {
        source.ca_file = settings_path(settings, "ca_file", NULL);
        endpoint_check(settings, "jwks_url", source.url, source.ca_file, false);
    }
    return jwt_keys_new(&source);
}

static void jwt_close(struct store *store)
{
    jwt_keys_free(store->keys);
    token_fields_done(&store->fields);
    json_decref(store->types);
    free(store);
}

static struct store *jwt_open(struct settings *settings, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    token_fields_read(&store->fields, settings, "sub", NULL);
    store->fields.rules.needs_expiry = settings_flag(settings, "require_expiry", true);
    store->algorithms = read_algorithms(settings);
    store->types = read_types(settings);
    store->keys = read_keys(settings);
    if (!store->fields.issuer)
        settings_fault(settings, "issuer", "must be given");
    /* a token for another service of the same issuer would open this one */
    if (json_array_size(store->fields.audiences) == 0)
        settings_fault(settings, "audience", "must be given");
    if (!settings_end(settings, error) && !jwt_keys_load(store->keys, error))
        return store;
    jwt_close(store);
    return NULL;
}

static void jwt_start(struct store *store, const struct store_house *house) { jwt_keys_start(store->keys, house); }

/* ---- asking ---- */

static struct store_ask *let_go(struct jwt_ask *work)
{
    struct store_ask *ask = work->ask;

    ask->driver = NULL;
    free(work);
    return ask;
}

static void pass_on(struct jwt_ask *work)
{
    struct store_ask *ask = let_go(work);

    ask->on_done(ask, STORE_NOT_FOUND, NULL, NULL);
}

static void turn_away(struct jwt_ask *work, enum token_verdict verdict) { token_turn_away(let_go(work), verdict); }

static void fail(struct jwt_ask *work, const struct error *error)
{
    struct store_ask *ask = let_go(work);

    ask->on_done(ask, STORE_FAILED, NULL, error);
}

/* Another key than those we have may have made it. */
static bool may_be_newer(const struct jwt *jwt, enum token_verdict verdict)
{
    return verdict == TOKEN_UNKNOWN_KEY || (verdict == TOKEN_SIGNATURE && !jwt_names_key(jwt));
}

/* With keys that are as the issuer gives them it is a verdict; with old ones it is none. */
static void look_for_newer(struct jwt_ask *work, enum token_verdict verdict)
{
    struct jwt_keys *keys = work->store->keys;
    enum jwt_prospect prospect = work->is_second ? JWT_KEYS_SETTLED : jwt_keys_wait(keys, &work->wait);
    struct error fault = {0};

    if (prospect == JWT_KEYS_COMING)
        return;
    if (prospect == JWT_KEYS_CROWDED) {
        error_set(&fault, ERROR_AGAIN, "too many tokens wait for the issuer's newer keys");
        fail(work, &fault);
    } else if (jwt_keys_fault(keys)) {
        fault = *jwt_keys_fault(keys);
        fail(work, &fault);
    } else {
        turn_away(work, verdict);
    }
}

static void let_in(struct jwt_ask *work, struct jwt *jwt)
{
    json_t *fields = NULL;
    enum token_verdict verdict = jwt_check_type(jwt, work->store->types);
    struct store_ask *ask;

    if (verdict == TOKEN_GOOD)
        verdict = token_fields_judge(&work->store->fields, jwt->claims, &fields);
    if (verdict != TOKEN_GOOD) {
        turn_away(work, verdict);
        return;
    }
    ask = let_go(work);
    ask->on_done(ask, STORE_FOUND, fields, NULL);
    json_decref(fields);
}

static void judge(struct jwt_ask *work, struct jwt *jwt)
{
    const struct store *store = work->store;
    enum token_verdict verdict = jwt_verify(jwt, store->algorithms, jwt_keys_now(store->keys));

    if (verdict == TOKEN_GOOD)
        let_in(work, jwt);
    else if (may_be_newer(jwt, verdict))
        look_for_newer(work, verdict);
    else
        turn_away(work, verdict);
}

static bool is_ours(const struct store *store, const struct jwt *jwt)
{
    const char *issuer = jwt_issuer(jwt);

    return issuer && strcmp(issuer, store->fields.issuer) == 0;
}

/* Twice for a token that has waited: taking it apart again costs less than keeping its parts. */
static void work_on(struct jwt_ask *work)
{
    struct jwt jwt;

    if (jwt_parse(work->ask->token, &jwt)) {
        pass_on(work);
        return;
    }
    if (is_ours(work->store, &jwt))
        judge(work, &jwt);
    else
        turn_away(work, TOKEN_ISSUER);
    jwt_done(&jwt);
}

static void on_settled(struct jwt_wait *wait)
{
    struct jwt_ask *work = CONTAINER_OF(wait, struct jwt_ask, wait);

    work->is_second = true;
    work_on(work);
}

static void jwt_ask(struct store *store, struct store_ask *ask)
{
    struct jwt_ask *work = mem_zalloc(sizeof *work);

    work->store = store;
    work->ask = ask;
    work->wait.on_settled = on_settled;
    list_node_init(&work->wait.node);
    ask->driver = work;
    work_on(work);
}

static void jwt_cancel(struct store *store, struct store_ask *ask)
{
    struct jwt_ask *work = ask->driver;

    if (!work)
        return;
    jwt_keys_leave(store->keys, &work->wait);
    let_go(work);
}

const struct store_driver store_jwt = {
    .name = "jwt",
    .kind = STORE_TOKENS,
    .open = jwt_open,
    .start = jwt_start,
    .ask = jwt_ask,
    .cancel = jwt_cancel,
    .close = jwt_close,
};
