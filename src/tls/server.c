/* SPDX-License-Identifier: Apache-2.0
 *
 * The server side: certificates by name, swapped as one set when they are reloaded. A
 * handshake keeps the set that it began with.
 */
#include "tls/tls_private.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"

struct named_context {
    char *server_name; /* NULL for the default */
    SSL_CTX *context;
};

/* counted; immutable */
struct context_set {
    atomic_uint refs;
    struct named_context *named;
    size_t count;
};

struct tls_server {
    atomic_uint refs;
    unsigned char session_context[16]; /* a ticket is good for this listener alone */

    /* shared, under lock */
    pthread_mutex_t lock;
    struct context_set *set;
};

static void set_unref(void *ctx)
{
    struct context_set *set = ctx;

    if (!set || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    for (size_t i = 0; i < set->count; i++) {
        free(set->named[i].server_name);
        SSL_CTX_free(set->named[i].context);
    }
    free(set->named);
    free(set);
}

static struct context_set *current_set(struct tls_server *server)
{
    struct context_set *set;

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

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_layer *layer = SSL_get_app_data(ssl);
    const struct context_set *set = layer->keep;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    (void)arg;
    for (size_t i = 0; name && i < set->count; i++)
        if (set->named[i].server_name && name_matches(span_of(set->named[i].server_name), span_of(name))) {
            SSL_set_SSL_CTX(ssl, set->named[i].context);
            break;
        }
    return SSL_TLSEXT_ERR_OK; /* an unknown name gets the default certificate */
}

static int ask_for_client_certificate(SSL_CTX *context, const char *ca_pem, struct error *error)
{
    if (tls_use_ca(context, ca_pem, error))
        return error_prefix(error, "client CA");
    /* one that is shown must verify; showing none is for policy to judge */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return 0;
}

static SSL_CTX *make_context(struct tls_server *server, const struct tls_server_config *config,
                             const char *certificate_pem, const char *private_key_pem, struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    MUST(context != NULL);
    tls_set_common(context);
    SSL_CTX_set_num_tickets(context, config->tickets);
    if (config->tickets == 0)
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    MUST(SSL_CTX_set_session_id_context(context, server->session_context, sizeof server->session_context));
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    if (tls_use_certificate(context, certificate_pem, private_key_pem, error) ||
        (config->client_ca_pem && ask_for_client_certificate(context, config->client_ca_pem, error))) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static int add_context(struct context_set *set, struct tls_server *server, const struct tls_server_config *config,
                       const struct tls_certificate_source *source, struct error *error)
{
    SSL_CTX *context = make_context(server, config, source->certificate_pem, source->private_key_pem, error);

    if (!context)
        return error_prefix(error, "TLS certificate for %s", source->server_name ? source->server_name : config->name);
    set->named[set->count].server_name = source->server_name ? mem_strdup(source->server_name) : NULL;
    set->named[set->count].context = context;
    set->count++;
    return 0;
}

static int add_self_signed(struct context_set *set, struct tls_server *server, const struct tls_server_config *config,
                           struct error *error)
{
    char *certificate;
    char *key;
    int status;

    if (tls_make_self_signed(config->hostname, 365, &certificate, &key, error))
        return -1;
    status =
        add_context(set, server, config,
                    &(struct tls_certificate_source){.certificate_pem = certificate, .private_key_pem = key}, error);
    free(certificate);
    secret_free(key);
    return status;
}

static struct context_set *make_set(struct tls_server *server, const struct tls_server_config *config,
                                    struct error *error)
{
    struct context_set *set = mem_zalloc(sizeof *set);
    int status = 0;

    atomic_init(&set->refs, 1);
    set->named = mem_zalloc((config->certificate_count + 1) * sizeof *set->named);
    for (size_t i = 0; i < config->certificate_count && !status; i++)
        status = add_context(set, server, config, &config->certificates[i], error);
    if (!status && config->certificate_count == 0)
        status = add_self_signed(set, server, config, error);
    if (status) {
        set_unref(set);
        return NULL;
    }
    return set;
}

/* The first certificate without a name, else the first: for clients that name nobody. */
static SSL_CTX *default_context(const struct context_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (!set->named[i].server_name)
            return set->named[i].context;
    return set->named[0].context;
}

struct tls_server *tls_server_new(const struct tls_server_config *config, struct error *error)
{
    struct tls_server *server = mem_zalloc(sizeof *server);

    atomic_init(&server->refs, 1);
    pthread_mutex_init(&server->lock, NULL);
    random_bytes(server->session_context, sizeof server->session_context);
    server->set = make_set(server, config, error);
    if (!server->set)
        tls_server_unref(&server);
    return server;
}

int tls_server_reload(struct tls_server *server, const struct tls_server_config *config, struct error *error)
{
    struct context_set *fresh = make_set(server, config, error);
    struct context_set *former;

    if (!fresh)
        return -1;
    pthread_mutex_lock(&server->lock);
    former = server->set;
    server->set = fresh;
    pthread_mutex_unlock(&server->lock);
    set_unref(former);
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    atomic_fetch_add(&server->refs, 1);
    return server;
}

void tls_server_unref(struct tls_server **server)
{
    struct tls_server *gone = *server;

    *server = NULL;
    if (!gone || atomic_fetch_sub(&gone->refs, 1) != 1)
        return;
    set_unref(gone->set);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
}

int tls_accept(struct socket *socket, struct tls_server *server, tls_done_fn *on_done, void *ctx, struct error *error)
{
    struct context_set *set = current_set(server);
    SSL *ssl = SSL_new(default_context(set));

    if (!ssl) {
        set_unref(set);
        return tls_library_error(error, ERROR_TEMP, "cannot start TLS");
    }
    SSL_set_accept_state(ssl);
    return tls_layer_start(socket, ssl, set, set_unref, on_done, ctx, error);
}
