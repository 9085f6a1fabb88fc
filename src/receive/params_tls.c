/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener's certificates: from key sources to a context for handshakes. The sources are
 * kept, so that a renewed file can be read again while the listener serves; a broken new
 * certificate leaves the old one in place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "data/data.h"
#include "receive/params_private.h"
#include "tls/tls.h"

#define PEM_LIMIT_BYTES (1024 * 1024)
#define CERTIFICATES_MAX 1000

struct receive_tls {
    atomic_uint refs;
    json_t *table;
    char *name;
    char *hostname;
    struct tls_server *server;
};

/* What the library is given; the texts belong to it. */
struct texts {
    struct tls_certificate_source *certificates;
    size_t count;
    char *client_ca;
};

static void free_texts(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        free((char *)(uintptr_t)texts->certificates[i].certificate_pem);
        secret_free((char *)(uintptr_t)texts->certificates[i].private_key_pem);
    }
    free(texts->certificates);
    free(texts->client_ca);
}

static char *read_path(const char *path, struct error *error)
{
    struct buf text;
    char *copy = NULL;

    buf_init(&text, PEM_LIMIT_BYTES);
    if (data_read_file(path, PEM_LIMIT_BYTES, &text, error) == 0)
        copy = span_dup(buf_span(&text));
    if (text.data)
        secret_wipe(text.data, text.capacity);
    buf_done(&text);
    return copy;
}

/* "path" or {key_data = "PEM"}. Other key sources were turned into key_data before. */
static char *read_source(const char *key, const json_t *source, struct error *error)
{
    const json_t *literal = json_object_get(source, "key_data");
    char *text = NULL;

    if (json_is_string(source))
        text = read_path(json_string_value(source), error);
    else if (json_is_string(literal))
        text = mem_strdup(json_string_value(literal));
    else
        params_wrong_type(key, source, "a path or {key_data = PEM text}", error);
    if (!text)
        error_prefix(error, "'%s'", key);
    return text;
}

static int add_pair(struct texts *texts, const json_t *table, const char *certificate_key, const char *private_key_key,
                    const char *server_name, struct error *error)
{
    const json_t *certificate = json_object_get(table, certificate_key);
    const json_t *private_key = json_object_get(table, private_key_key);
    struct tls_certificate_source *pair = &texts->certificates[texts->count];

    if (!certificate || !private_key)
        return error_set(error, ERROR_PERM, "'%s': a certificate and its private key go together", certificate_key);
    texts->count++;
    pair->server_name = server_name;
    pair->certificate_pem = read_source(certificate_key, certificate, error);
    if (!pair->certificate_pem)
        return -1;
    pair->private_key_pem = read_source(private_key_key, private_key, error);
    return pair->private_key_pem ? 0 : -1;
}

static int add_named(struct texts *texts, const json_t *list, struct error *error)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(row, "server_name"));

        if (!name)
            return error_set(error, ERROR_PERM, "'tls_certificates[%zu].server_name': expected a string", i + 1);
        if (add_pair(texts, row, "certificate", "private_key", name, error))
            return error_prefix(error, "'tls_certificates[%zu]'", i + 1);
    }
    return 0;
}

static int read_texts(const json_t *table, struct texts *texts, struct error *error)
{
    const json_t *list = json_object_get(table, "tls_certificates");
    const json_t *client_ca = json_object_get(table, "tls_required_client_ca");

    if (list && !data_is_list(list))
        return params_wrong_type("tls_certificates", list, "a list", error);
    if (json_array_size(list) > CERTIFICATES_MAX)
        return error_set(error, ERROR_PERM, "'tls_certificates': more than %d", CERTIFICATES_MAX);
    texts->certificates = mem_zalloc((json_array_size(list) + 1) * sizeof *texts->certificates);
    if ((json_object_get(table, "tls_certificate") || json_object_get(table, "tls_private_key")) &&
        add_pair(texts, table, "tls_certificate", "tls_private_key", NULL, error))
        return -1;
    if (add_named(texts, list, error))
        return -1;
    if (client_ca)
        texts->client_ca = read_source("tls_required_client_ca", client_ca, error);
    return client_ca && !texts->client_ca ? -1 : 0;
}

static int with_config(struct receive_tls *tls, struct tls_server_config *config, struct texts *texts,
                       struct error *error)
{
    *texts = (struct texts){0};
    if (read_texts(tls->table, texts, error))
        return -1;
    *config = (struct tls_server_config){.name = tls->name,
                                         .certificates = texts->certificates,
                                         .certificate_count = texts->count,
                                         .hostname = tls->hostname,
                                         .client_ca_pem = texts->client_ca,
                                         .tickets = 1};
    return 0;
}

struct receive_tls *params_tls_new(const json_t *table, const char *name, const char *hostname, struct error *error)
{
    struct receive_tls *tls = mem_zalloc(sizeof *tls);
    struct tls_server_config config;
    struct texts texts;

    atomic_init(&tls->refs, 1);
    tls->table = json_deep_copy(table);
    tls->name = mem_strdup(name);
    tls->hostname = mem_strdup(hostname);
    if (with_config(tls, &config, &texts, error) == 0)
        tls->server = tls_server_new(&config, error);
    free_texts(&texts);
    if (!tls->server)
        params_tls_unref(&tls);
    return tls;
}

int params_tls_reload(struct receive_tls *tls, struct error *error)
{
    struct tls_server_config config;
    struct texts texts;
    int failed = with_config(tls, &config, &texts, error);

    /* a self-signed certificate has no file that could have changed */
    if (!failed && config.certificate_count > 0)
        failed = tls_server_reload(tls->server, &config, error);
    free_texts(&texts);
    return failed;
}

struct receive_tls *params_tls_ref(struct receive_tls *tls)
{
    if (tls)
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void params_tls_unref(struct receive_tls **tls_at)
{
    struct receive_tls *tls = *tls_at;

    *tls_at = NULL;
    if (!tls || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) > 1)
        return;
    tls_server_free(tls->server);
    json_decref(tls->table);
    free(tls->name);
    free(tls->hostname);
    free(tls);
}

struct tls_server *params_tls_server(const struct receive_tls *tls) { return tls->server; }
