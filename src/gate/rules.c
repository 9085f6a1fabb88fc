/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of auth.toml: read once for all threads. Every VM loads the same files, at start and at each reload; as
 * long as they say the same, all get the same rules, with the caches behind them. So a reload that is about something
 * else keeps the caches warm, and a process has one set of connections to its stores however many cores it has. When
 * they say something else, the stores about which they say the same go on (credential/slot.c).
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "credential/lookup.h"
#include "credential/used_file.h"
#include "data/data.h"
#include "gate/budget_private.h"
#include "gate/gate_private.h"
#include "log/diag.h"
#include "password/pool.h"

#define REMEMBER_MS 3600000
#define REMEMBER_MOST_MS (7 * 86400000ULL)
#define POOL_QUEUE_MOST 65536
#define POOL_TIME_MOST_MS 60000

/* All rules that somebody holds. The lock is held while files are read: who asks for the same waits for the first. */
static struct {
    pthread_mutex_t lock;
    struct list list;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .list = {{&all.list.head, &all.list.head}, 0}};

/* ---- what the settings say ---- */

static void offer(struct gate_rules *rules, const struct auth_mechanism *mechanism, struct settings *root)
{
    if (!gate_rules_answer(rules, auth_mechanism_asks(mechanism)))
        settings_fault(root, "mechanisms", "%s cannot be offered: no store here can answer what it asks",
                       auth_mechanism_name(mechanism));
    rules->mechanisms |= UINT32_C(1) << auth_mechanism_index(mechanism);
}

static void read_mechanisms(struct gate_rules *rules, struct settings *root)
{
    const json_t *names = settings_strings(root, "mechanisms");

    rules->names_mechanisms = settings_has(root, "mechanisms");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const struct auth_mechanism *mechanism = auth_mechanism_find(span_of(name));

        if (mechanism)
            offer(rules, mechanism, root);
        else
            settings_fault(root, "mechanisms", "there is no mechanism \"%s\"", name);
    }
}

/* Returns how many. */
static size_t learn_passwords(struct gate_cost *cost, const json_t *password)
{
    size_t i, count = 0;
    json_t *item;

    json_array_foreach(password, i, item) count += learn_passwords(cost, item);
    if (!json_is_string(password))
        return count;
    gate_cost_learn(cost, json_string_value(password));
    return 1;
}

/* What the users of this file have is what those are taken to have who are in none. */
static void learn_users(struct gate_cost *cost, const struct settings *root)
{
    const char *name;
    json_t *user;

    json_object_foreach((json_t *)settings_peek(root, "user"), name, user)
    {
        size_t i, count = learn_passwords(cost, json_object_get(user, "password"));
        json_t *secret;

        json_array_foreach(json_object_get(user, "secrets"), i, secret) count +=
            learn_passwords(cost, json_object_get(secret, "password"));
        gate_cost_learn_count(cost, count);
    }
}

static bool is_weak(const json_t *password)
{
    json_t *item;
    size_t i;

    json_array_foreach(password, i, item) if (is_weak(item)) return true;
    return json_is_string(password) && password_is_weak(json_string_value(password));
}

static bool has_weak(const json_t *user)
{
    const json_t *secrets = json_object_get(user, "secrets");
    json_t *secret;
    size_t i;

    json_array_foreach(secrets, i, secret) if (is_weak(json_object_get(secret, "password"))) return true;
    return is_weak(json_object_get(user, "password"));
}

/* It works, and it is asked for by writing it down; but whoever reads the file has the passwords. */
static void warn_of_weak(struct settings *root)
{
    const char *name, *first = NULL;
    json_t *user;
    unsigned count = 0;

    json_object_foreach((json_t *)settings_peek(root, "user"), name, user)
    {
        if (!has_weak(user))
            continue;
        first = first ? first : name;
        count++;
    }
    if (count)
        diag(DIAG_WARN, NULL, "%s: users with plain passwords or fast hashes: %u, \"%s\" among them",
             settings_where(root, "user"), count, first);
}

static void read_password(struct gate_rules *rules, struct settings *root)
{
    struct settings *table = settings_table(root, "password");
    const char *name = settings_text(table, "scheme", "argon2id");
    enum password_scheme scheme = password_scheme_find(span_of(name));
    struct password_cost cost = {
        .memory_kib = (uint32_t)settings_count(table, "memory_kib", 0, 0, UINT32_MAX),
        .rounds = (uint32_t)settings_count(table, "rounds", 0, 0, UINT32_MAX),
        .parallelism = (uint32_t)settings_count(table, "parallelism", 0, 0, UINT32_MAX),
    };
    struct error error;

    rules->pool_threads = (size_t)settings_count(table, "threads", 0, 1, 1024);
    rules->pool_queue_limit = (size_t)settings_count(table, "queue_limit", 0, 1, POOL_QUEUE_MOST);
    rules->pool_time_limit_ms = settings_duration_ms(table, "time_limit", 0, 1, POOL_TIME_MOST_MS);
    rules->remember_ms = settings_duration_ms(table, "remember", REMEMBER_MS, 0, REMEMBER_MOST_MS);
    if (scheme == PASSWORD_SCHEME_COUNT)
        settings_fault(table, "scheme", "there is no scheme \"%s\"", name);
    else if (table && password_cost_check(scheme, &cost, &error))
        settings_fault(table, NULL, "%s", error.sentence);
    gate_cost_init(&rules->cost, scheme == PASSWORD_SCHEME_COUNT ? PASSWORD_ARGON2ID : scheme, &cost);
    learn_users(&rules->cost, root);
}

static void read_last_used(struct gate_rules *rules, struct settings *root)
{
    const char *path = settings_path(root, "last_used", NULL);
    struct error error;

    if (!path)
        return;
    rules->last_used = mem_strdup(path);
    if (used_file_load(path, &error))
        settings_fault(root, "last_used", "%s", error.sentence);
}

static int read_rules(struct gate_rules *rules, struct settings *root, struct stores *former, struct error *error)
{
    static const char *const token_records[] = {"use", "need", "ignore", NULL};

    rules->stores = stores_open(root, former, error);
    if (!rules->stores)
        return -1;
    gate_external_read(&rules->external, settings_table(root, "external"));
    gate_identity_read(&rules->identity, root);
    rules->token_records =
        (enum gate_token_records)settings_choice(settings_table(root, "token"), "records", token_records, 0);
    rules->guessing = gate_guessing_read(settings_table(root, "guessing"));
    read_last_used(rules, root);
    rules->shared = gate_shared_read(settings_table(root, "shared"));
    rules->budgets = gate_budgets_read(root);
    gate_audit_read(&rules->audit, settings_table(root, "audit"));
    read_password(rules, root);
    read_mechanisms(rules, root);
    if (settings_end(root, error))
        return -1;
    warn_of_weak(root);
    return 0;
}

/* ---- one object for one content ---- */

static struct gate_rules *find(const unsigned char digest[CRYPTO_SHA256_BYTES])
{
    struct list_node *node;

    for (node = list_first(&all.list); node; node = list_next(&all.list, node)) {
        struct gate_rules *rules = CONTAINER_OF(node, struct gate_rules, node);

        if (!memcmp(rules->digest, digest, sizeof rules->digest))
            return rules;
    }
    return NULL;
}

static void free_rules(struct gate_rules *rules)
{
    stores_unref(&rules->stores);
    gate_external_done(&rules->external);
    gate_identity_done(&rules->identity);
    gate_guessing_free(rules->guessing);
    gate_shared_free(rules->shared);
    gate_budgets_free(rules->budgets);
    gate_audit_done(&rules->audit);
    gate_cost_done(&rules->cost);
    free(rules->last_used);
    free(rules);
}

/* The former current ones: they stay alive while the lock is held. */
static struct stores *former_stores(void)
{
    struct list_node *node = list_last(&all.list);

    return node ? CONTAINER_OF(node, struct gate_rules, node)->stores : NULL;
}

static struct gate_rules *make(const char *const *paths, size_t count, struct error *error)
{
    struct settings *root = settings_load(paths, count, error);
    struct gate_rules *rules;

    if (!root)
        return NULL;
    rules = mem_zalloc(sizeof *rules);
    atomic_init(&rules->refs, 1);
    list_node_init(&rules->node);
    if (read_rules(rules, root, former_stores(), error)) {
        free_rules(rules);
        rules = NULL;
    }
    settings_free(root);
    return rules;
}

/* Of this content: those that somebody holds already, or new ones. */
static struct gate_rules *get(const char *const *paths, size_t count, gate_file_fn *on_file, void *ctx,
                              struct error *error)
{
    unsigned char digest[CRYPTO_SHA256_BYTES];
    struct gate_rules *rules;

    if (gate_rules_digest(paths, count, on_file, ctx, digest, error))
        return NULL;
    rules = find(digest);
    if (rules)
        return gate_rules_ref(rules);
    rules = make(paths, count, error);
    if (rules)
        memcpy(rules->digest, digest, sizeof rules->digest);
    return rules;
}

/* What there is one of in the process goes by these rules from now on, or nothing of it does. */
static int put_in_force(struct gate_rules *rules, struct error *error)
{
    if (gate_shared_use(rules->shared, error))
        return -1;
    password_pool_limit(rules->pool_threads, rules->pool_queue_limit, rules->pool_time_limit_ms);
    stores_use(rules->stores);
    used_file_use(rules->last_used);
    if (list_has(&rules->node))
        list_remove(&all.list, &rules->node);
    list_push_back(&all.list, &rules->node); /* the current ones */
    return 0;
}

struct gate_rules *gate_rules_load(const char *const *paths, size_t count, gate_file_fn *on_file, void *ctx,
                                   struct error *error)
{
    struct gate_rules *rules;
    bool fails;

    if (!count) {
        error_set(error, ERROR_PERM, "no file of rules was named");
        return NULL;
    }
    pthread_mutex_lock(&all.lock);
    rules = get(paths, count, on_file, ctx, error);
    fails = rules && put_in_force(rules, error);
    pthread_mutex_unlock(&all.lock);
    if (fails)
        gate_rules_unref(&rules);
    return rules;
}

struct gate_rules *gate_rules_current(void)
{
    struct gate_rules *rules = NULL;

    pthread_mutex_lock(&all.lock);
    if (list_last(&all.list))
        rules = gate_rules_ref(CONTAINER_OF(list_last(&all.list), struct gate_rules, node));
    pthread_mutex_unlock(&all.lock);
    return rules;
}

struct gate_rules *gate_rules_ref(struct gate_rules *rules)
{
    atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
    return rules;
}

static bool drop_one_of_many(struct gate_rules *rules)
{
    unsigned refs = atomic_load(&rules->refs);

    while (refs > 1)
        if (atomic_compare_exchange_weak(&rules->refs, &refs, refs - 1))
            return true;
    return false;
}

/* The last one goes under the lock, lest gate_rules_load finds what is about to go; the others, one per login, must
 * not wait for somebody who reads files. */
void gate_rules_unref(struct gate_rules **rules_at)
{
    struct gate_rules *rules = *rules_at;

    *rules_at = NULL;
    if (!rules || drop_one_of_many(rules))
        return;
    pthread_mutex_lock(&all.lock);
    if (atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) > 1)
        rules = NULL;
    else if (list_has(&rules->node))
        list_remove(&all.list, &rules->node);
    pthread_mutex_unlock(&all.lock);
    if (rules)
        free_rules(rules);
}

/* ---- what they can do ---- */

bool gate_rules_answer(const struct gate_rules *rules, enum auth_question_kind kind)
{
    switch (kind) {
    case AUTH_ASK_PASSWORD:
        return stores_have(rules->stores, STORE_RECORDS) || stores_have(rules->stores, STORE_PASSWORDS);
    case AUTH_ASK_SCRAM_KEYS:
    case AUTH_ASK_PROVED:
        return stores_have(rules->stores, STORE_RECORDS);
    case AUTH_ASK_TOKEN:
        return stores_have(rules->stores, STORE_TOKENS);
    case AUTH_ASK_EXTERNAL:
        return rules->external.is_on && (!rules->external.needs_record || stores_have(rules->stores, STORE_RECORDS));
    case AUTH_QUESTION_KIND_COUNT:
        break;
    }
    return false;
}

bool gate_rules_offer(const struct gate_rules *rules, const struct auth_mechanism *mechanism)
{
    enum auth_question_kind kind = auth_mechanism_asks(mechanism);

    if (rules->names_mechanisms)
        return rules->mechanisms & (UINT32_C(1) << auth_mechanism_index(mechanism));
    return gate_rules_answer(rules, kind) && kind != AUTH_ASK_SCRAM_KEYS && !auth_mechanism_is_legacy(mechanism);
}

const struct gate_budgets *gate_rules_budgets(const struct gate_rules *rules) { return rules->budgets; }
