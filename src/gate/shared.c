/* SPDX-License-Identifier: Apache-2.0
 *
 * [shared] of auth.toml: the Redis in which several nodes keep the counting room. Rules are read by every thread and at
 * every reload, so the counting room is set up again only when these settings differ from those it goes by. Without the
 * table each node counts for itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "data/data.h"
#include "gate/gate_private.h"
#include "tally/tally.h"

#define TEXT_LIMIT 65536
#define CA_LIMIT_BYTES (1 << 20)

struct gate_shared {
    char *redis, *user, *password, *prefix, *secret, *ca_pem; /* each may be NULL */
    bool use_tls;
    unsigned db;
    uint64_t timeout_ms;
    size_t in_flight_limit;
    unsigned char digest[CRYPTO_SHA256_BYTES]; /* of all of it */
};

/* What the counting room goes by. All zero: memory alone, as it begins. gate_rules_load calls one at a time. */
static struct {
    const struct tally *tally;
    unsigned char digest[CRYPTO_SHA256_BYTES];
} used;

static bool is_used(const struct gate_shared *shared)
{
    if (used.tally != tally_get()) { /* another one than last time, which has not been told anything yet */
        used.tally = tally_get();
        memset(used.digest, 0, sizeof used.digest);
    }
    return !used.tally || !memcmp(used.digest, shared->digest, sizeof used.digest);
}

static char *copy(const char *text) { return text ? mem_strdup(text) : NULL; }

static char *read_ca(struct settings *table)
{
    const char *path = settings_path(table, "ca_file", NULL);
    struct error error;
    struct buf text;
    char *pem = NULL;

    if (!path)
        return NULL;
    buf_init(&text, CA_LIMIT_BYTES);
    if (data_read_file(path, CA_LIMIT_BYTES, &text, &error))
        settings_fault(table, "ca_file", "%s", error.sentence);
    else
        pem = mem_strdup(buf_cstr(&text));
    buf_done(&text);
    return pem;
}

static int add(struct buf *text, const char *value)
{
    return buf_appendf(text, "%zu:", value ? strlen(value) : 0) || buf_append_span(text, span_of(value ? value : ""));
}

static void make_digest(struct gate_shared *shared)
{
    const char *const texts[] = {shared->redis,  shared->user,   shared->password,
                                 shared->prefix, shared->secret, shared->ca_pem};
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    struct buf text;
    int failed = 0;

    buf_init(&text, TEXT_LIMIT + CA_LIMIT_BYTES);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        failed |= add(&text, texts[i]);
    failed |= buf_appendf(&text, "%d %u %llu %zu", shared->use_tls, shared->db, (unsigned long long)shared->timeout_ms,
                          shared->in_flight_limit);
    MUST(!failed);
    crypto_digest(CRYPTO_SHA256, buf_span(&text), digest);
    memcpy(shared->digest, digest, sizeof shared->digest);
    secret_wipe(text.data, text.capacity);
    buf_done(&text);
}

/* Digests of passwords are keyed by the secret: nodes without a common one would count the same password twice, and a
 * restarted one would forget what it counted. */
static void need_secret(const struct gate_shared *shared, struct settings *table)
{
    if (shared->redis && !shared->secret)
        settings_fault(table, "secret", "nodes that share a Redis need a common secret");
    if (shared->secret && strlen(shared->secret) < 16)
        settings_fault(table, "secret", "expected 16 characters or more");
}

struct gate_shared *gate_shared_read(struct settings *table)
{
    struct gate_shared *shared = mem_zalloc(sizeof *shared);

    if (!table)
        return shared;
    shared->redis = copy(settings_text(table, "redis", NULL));
    shared->user = copy(settings_text(table, "user", NULL));
    shared->password = settings_secret(table, "password");
    shared->prefix = copy(settings_text(table, "prefix", NULL));
    shared->secret = settings_secret(table, "secret");
    shared->use_tls = settings_flag(table, "tls", false);
    shared->ca_pem = read_ca(table);
    shared->db = (unsigned)settings_count(table, "db", 0, 0, 65535);
    shared->timeout_ms = settings_duration_ms(table, "timeout", 200, 1, 10000);
    shared->in_flight_limit = (size_t)settings_count(table, "in_flight_limit", 4096, 1, 1000000);
    need_secret(shared, table);
    make_digest(shared);
    return shared;
}

void gate_shared_free(struct gate_shared *shared)
{
    if (!shared)
        return;
    free(shared->redis);
    free(shared->user);
    secret_free(shared->password);
    free(shared->prefix);
    secret_free(shared->secret);
    free(shared->ca_pem);
    free(shared);
}

int gate_shared_use(const struct gate_shared *shared, struct error *error)
{
    struct tally_options options = {
        .redis = shared->redis,
        .user = shared->user,
        .password = shared->password,
        .use_tls = shared->use_tls,
        .ca_pem = shared->ca_pem,
        .db = shared->db,
        .prefix = shared->prefix,
        .secret = shared->secret,
        .timeout_ms = shared->timeout_ms,
        .in_flight_limit = shared->in_flight_limit,
    };

    if (is_used(shared))
        return 0;
    if (tally_configure(tally_get(), &options, error))
        return error_prefix(error, "shared");
    memcpy(used.digest, shared->digest, sizeof used.digest);
    return 0;
}
