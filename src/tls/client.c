/* SPDX-License-Identifier: Apache-2.0
 *
 * The client side: settings per kind of demand (verified or not, which CA).
 */
#include "tls/tls_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

struct tls_client {
    atomic_uint refs;
    enum tls_verify verify;
    struct tls_settings *settings;
};

struct tls_client *tls_client_new(const struct tls_client_config *config, struct error *error)
{
    struct tls_client *client = mem_zalloc(sizeof *client);

    atomic_init(&client->refs, 1);
    client->verify = config->verify;
    client->settings = tls_settings_for_client(config, error);
    if (!client->settings)
        tls_client_unref(&client);
    return client;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    atomic_fetch_add(&client->refs, 1);
    return client;
}

static void unref(void *ctx)
{
    struct tls_client *client = ctx;

    if (!client || atomic_fetch_sub(&client->refs, 1) != 1)
        return;
    tls_settings_free(client->settings);
    free(client);
}

void tls_client_unref(struct tls_client **client)
{
    struct tls_client *gone = *client;

    *client = NULL;
    unref(gone);
}

int tls_connect(struct socket *socket, struct tls_client *client, const char *server_name, tls_done_fn *on_done,
                void *ctx, struct error *error)
{
    struct tls_layer *layer = tls_layer_new(socket, tls_client_ref(client), unref, on_done, ctx);

    layer->session = tls_session_connect(client->settings, layer, client->verify, server_name, error);
    if (layer->session)
        return tls_layer_start(layer, true, error);
    tls_layer_free(layer);
    return error_prefix(error, "cannot start TLS");
}
