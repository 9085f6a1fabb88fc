/* SPDX-License-Identifier: Apache-2.0
 *
 * Connection metadata. The names that KumoMTA predefines are computed from the struct, so
 * there is one truth; a policy may put its own value over any of them.
 */
#include "receive/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "gate/gate.h"

struct receive_connection *receive_connection_new(struct receive_params *params, const struct sockaddr *remote,
                                                  const struct sockaddr *local)
{
    struct receive_connection *connection = mem_zalloc(sizeof *connection);

    connection->refs = 1;
    connection->params = receive_params_ref(params);
    connection->remote_ip = ip_of_sockaddr(remote);
    connection->remote_port = sockaddr_port(remote);
    connection->local_ip = ip_of_sockaddr(local);
    connection->local_port = sockaddr_port(local);
    return connection;
}

struct receive_connection *receive_connection_ref(struct receive_connection *connection)
{
    connection->refs++;
    return connection;
}

static void forget_login(struct receive_connection *connection)
{
    auth_info_unref(&connection->auth);
    gate_login_unref(&connection->login);
    auth_checked_forget(connection);
    free(connection->authz_id);
    free(connection->authn_id);
    connection->authz_id = connection->authn_id = NULL;
}

void receive_connection_unref(struct receive_connection **connection_at)
{
    struct receive_connection *connection = *connection_at;

    *connection_at = NULL;
    if (!connection || --connection->refs > 0)
        return;
    receive_params_unref(&connection->params);
    forget_login(connection);
    free(connection->ehlo_domain);
    free(connection->tls_protocol);
    free(connection->tls_cipher);
    free(connection->tls_peer_subject);
    json_decref(connection->greeting_meta);
    json_decref(connection->session_meta);
    json_decref(connection->all_meta);
    free(connection);
}

static void format_address(const struct ip *ip, uint16_t port, char out[SOCKADDR_TEXT_BYTES])
{
    struct sockaddr_storage address;

    sockaddr_from_ip(ip, port, &address);
    sockaddr_format((struct sockaddr *)&address, out);
}

void receive_connection_from(const struct receive_connection *connection, char out[SOCKADDR_TEXT_BYTES])
{
    format_address(&connection->remote_ip, connection->remote_port, out);
}

void receive_connection_via(const struct receive_connection *connection, char out[SOCKADDR_TEXT_BYTES])
{
    format_address(&connection->local_ip, connection->local_port, out);
}

/* RFC 9562, section 5.4. */
const char *receive_connection_session_id(struct receive_connection *connection)
{
    unsigned char b[16];

    if (connection->session_id[0])
        return connection->session_id;
    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(connection->session_id, sizeof connection->session_id,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
             b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return connection->session_id;
}

const char *receive_connection_protocol(const struct receive_connection *connection)
{
    if (!connection->is_esmtp)
        return "SMTP";
    if (connection->tls_protocol)
        return connection->auth ? "ESMTPSA" : "ESMTPS";
    return connection->auth ? "ESMTPA" : "ESMTP";
}

/* ---- metadata ---- */

static json_t *string_or_null(const char *text) { return text ? json_string(text) : NULL; }

static json_t *get_received_from(const struct receive_connection *connection)
{
    char text[SOCKADDR_TEXT_BYTES];

    receive_connection_from(connection, text);
    return json_string(text);
}

static json_t *get_received_via(const struct receive_connection *connection)
{
    char text[SOCKADDR_TEXT_BYTES];

    receive_connection_via(connection, text);
    return json_string(text);
}

static json_t *get_reception_protocol(const struct receive_connection *connection)
{
    (void)connection;
    return json_string("ESMTP");
}

#define GETTER(name, expression)                                                                                       \
    static json_t *get_##name(const struct receive_connection *connection) { return string_or_null(expression); }
GETTER(hostname, connection->params->hostname)
GETTER(ehlo_domain, connection->ehlo_domain)
GETTER(tls_cipher, connection->tls_cipher)
GETTER(tls_protocol_version, connection->tls_protocol)
GETTER(tls_peer_subject_name, connection->tls_peer_subject)
GETTER(authz_id, connection->authz_id)
GETTER(authn_id, connection->authn_id)
#undef GETTER

static const struct known {
    const char *key;
    json_t *(*get)(const struct receive_connection *connection);
} known[] = {
    {"reception_protocol", get_reception_protocol},
    {"received_from", get_received_from},
    {"received_via", get_received_via},
    {"hostname", get_hostname},
    {"ehlo_domain", get_ehlo_domain},
    {"tls_cipher", get_tls_cipher},
    {"tls_protocol_version", get_tls_protocol_version},
    {"tls_peer_subject_name", get_tls_peer_subject_name},
    {"authz_id", get_authz_id},
    {"authn_id", get_authn_id},
};

json_t *receive_connection_get_meta(const struct receive_connection *connection, const char *key)
{
    const json_t *sources[] = {connection->session_meta, connection->greeting_meta, NULL};

    for (size_t i = 0; i < 2; i++) {
        json_t *value = json_object_get(sources[i], key);

        if (value)
            return json_incref(value);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].key, key) == 0) {
            json_t *value = known[i].get(connection);

            if (value)
                return value;
        }
    return json_deep_copy(json_object_get(connection->params->meta, key));
}

int receive_connection_set_meta(struct receive_connection *connection, const char *key, json_t *value,
                                struct error *error)
{
    json_t **layer = connection->is_greeted ? &connection->session_meta : &connection->greeting_meta;

    if (!value || json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > RECEIVE_META_BYTES_LIMIT ||
        json_object_size(*layer) >= RECEIVE_META_KEYS_LIMIT) {
        json_decref(value);
        return error_set(error, ERROR_PERM, "connection metadata '%.100s' is too large or one too many", key);
    }
    if (!*layer)
        *layer = json_object();
    json_object_set_new(*layer, key, value);
    receive_connection_changed(connection);
    return 0;
}

void receive_connection_changed(struct receive_connection *connection)
{
    json_decref(connection->all_meta);
    connection->all_meta = NULL;
}

static json_t *collect_meta(const struct receive_connection *connection)
{
    json_t *all = json_deep_copy(connection->params->meta);
    json_t *copy;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        json_t *value = known[i].get(connection);

        if (value)
            json_object_set_new(all, known[i].key, value);
    }
    if (connection->greeting_meta && (copy = json_deep_copy(connection->greeting_meta))) {
        json_object_update(all, copy);
        json_decref(copy);
    }
    if (connection->session_meta && (copy = json_deep_copy(connection->session_meta))) {
        json_object_update(all, copy);
        json_decref(copy);
    }
    return all;
}

json_t *receive_connection_all_meta(struct receive_connection *connection)
{
    if (!connection->all_meta)
        connection->all_meta = collect_meta(connection);
    return connection->all_meta;
}

void receive_connection_forget(struct receive_connection *connection)
{
    forget_login(connection);
    free(connection->ehlo_domain);
    connection->ehlo_domain = NULL;
    connection->is_esmtp = false;
    json_decref(connection->session_meta);
    connection->session_meta = NULL;
    receive_connection_changed(connection);
}
