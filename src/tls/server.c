/* SPDX-License-Identifier: Apache-2.0
 *
 * The server side: certificates by name, swapped as one set when they are reloaded. A
 * handshake keeps the set that it began with.
 */
#include "tls/tls_private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"

struct named_settings {
    char *server_name; /* NULL for the default */
    struct tls_settings *settings;
};

/* counted; immutable */
struct settings_set {
    atomic_uint refs;
    /* a ticket is good for this listener alone, and until its certificates are reloaded */
    unsigned char ticket_secret[TLS_TICKET_SECRET_BYTES];
    struct named_settings *named;
    size_t count;
};

struct tls_server {
    /* shared, under lock */
    pthread_mutex_t lock;
    struct settings_set *set;
};

static void set_unref(void *ctx)
{
    struct settings_set *set = ctx;

    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->named[i].server_name);
        tls_settings_free(set->named[i].settings);
    }
    free(set->named);
    secret_wipe(set->ticket_secret, sizeof set->ticket_secret);
    free(set);
}

static struct settings_set *current_set(struct tls_server *server)
{
    struct settings_set *set;

    pthread_mutex_lock(&server->lock);
    set = server->set;
    atomic_fetch_add(&set->refs, 1);
    pthread_mutex_unlock(&server->lock);
    return set;
}

/* "*.example.com" stands for exactly one label (RFC 6125, section 6.4.3). */
static bool name_matches(struct span pattern, struct span name)
{
    if (!span_starts_with(pattern, SPAN_LIT("*.")))
        return span_ieq(pattern, name);
    return span_ieq(span_from(name, span_find(name, '.')), span_from(pattern, 1));
}

struct tls_settings *tls_settings_for_name(const struct tls_layer *layer, const char *name)
{
    const struct settings_set *set = layer->keep;

    for (size_t i = 0; i < set->count; i++)
        if (set->named[i].server_name && name_matches(span_of(set->named[i].server_name), span_of(name)))
            return set->named[i].settings;
    return NULL; /* an unknown name gets the default certificate */
}

static int add_settings(struct settings_set *set, const struct tls_server_config *config,
                        const struct tls_certificate_source *source, struct error *error)
{
    struct tls_settings *settings = tls_settings_for_server(config, source, set->ticket_secret, error);

    if (!settings)
        return error_prefix(error, "TLS certificate for %s", source->server_name ? source->server_name : config->name);
    set->named[set->count].server_name = source->server_name ? mem_strdup(source->server_name) : NULL;
    set->named[set->count].settings = settings;
    set->count++;
    return 0;
}

static int add_self_signed(struct settings_set *set, const struct tls_server_config *config, struct error *error)
{
    char *certificate;
    char *key;
    int status;

    if (tls_make_self_signed(config->hostname, 365, &certificate, &key, error))
        return -1;
    status = add_settings(
        set, config, &(struct tls_certificate_source){.certificate_pem = certificate, .private_key_pem = key}, error);
    free(certificate);
    secret_free(key);
    return status;
}

static struct settings_set *make_set(const struct tls_server_config *config, struct error *error)
{
    struct settings_set *set = mem_zalloc(sizeof *set);
    int status = 0;

    atomic_init(&set->refs, 1);
    random_bytes(set->ticket_secret, sizeof set->ticket_secret);
    set->named = mem_zalloc((config->certificate_count + 1) * sizeof *set->named);
    for (size_t i = 0; i < config->certificate_count && !status; i++)
        status = add_settings(set, config, &config->certificates[i], error);
    if (!status && config->certificate_count == 0)
        status = add_self_signed(set, config, error);
    if (status) {
        set_unref(set);
        return NULL;
    }
    return set;
}

/* The first certificate without a name, else the first: for clients that name nobody. */
static struct tls_settings *default_settings(const struct settings_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (!set->named[i].server_name)
            return set->named[i].settings;
    return set->named[0].settings;
}

struct tls_server *tls_server_new(const struct tls_server_config *config, struct error *error)
{
    struct tls_server *server = mem_zalloc(sizeof *server);

    pthread_mutex_init(&server->lock, NULL);
    server->set = make_set(config, error);
    if (server->set)
        return server;
    tls_server_free(server);
    return NULL;
}

int tls_server_reload(struct tls_server *server, const struct tls_server_config *config, struct error *error)
{
    struct settings_set *fresh = make_set(config, error);
    struct settings_set *former;

    if (!fresh)
        return -1;
    pthread_mutex_lock(&server->lock);
    former = server->set;
    server->set = fresh;
    pthread_mutex_unlock(&server->lock);
    set_unref(former);
    return 0;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    set_unref(server->set);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

int tls_accept(struct socket *socket, struct tls_server *server, tls_done_fn *on_done, void *ctx, struct error *error)
{
    struct settings_set *set = current_set(server);
    struct tls_layer *layer = tls_layer_new(socket, set, set_unref, on_done, ctx);

    layer->session = tls_session_accept(default_settings(set), layer, error);
    if (layer->session)
        return tls_layer_start(layer, false, error);
    tls_layer_free(layer);
    return error_prefix(error, "cannot start TLS");
}
