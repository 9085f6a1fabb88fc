/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection with GnuTLS: the handshake and records both ways. The awkward truth: the
 * library says "again" both when the wire is empty and when it has dealt with something that
 * is no business of ours (a key update, a ticket), so the wire is asked which it was.
 */
#include "tls/gnutls/gnutls_private.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

/* So often a peer may be dealt with in one call without a byte for us: alerts, key updates. */
#define IDLE_ROUNDS_MOST 32

static int verdict_error(const struct tls_session *session, struct error *error)
{
    unsigned verdict = gnutls_session_get_verify_cert_status(session->library);
    gnutls_datum_t text;

    if (gnutls_certificate_verification_status_print(verdict, GNUTLS_CRT_X509, &text, 0))
        return error_set(error, ERROR_TEMP, "the certificate does not verify");
    error_set(error, ERROR_TEMP, "%.*s", (int)span_trim(span_make((char *)text.data, text.size)).len, text.data);
    gnutls_free(text.data);
    return -1;
}

int gnutls_error(const struct tls_session *session, struct error *error, int status)
{
    switch (status) {
    case GNUTLS_E_PULL_ERROR:
    case GNUTLS_E_PUSH_ERROR:
    case GNUTLS_E_PREMATURE_TERMINATION:
        return error_set(error, ERROR_TEMP, "the connection was cut");
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        return error_set(error, ERROR_TEMP, "the peer's alert: %s",
                         gnutls_alert_get_name(gnutls_alert_get(session->library)));
    case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
        return verdict_error(session, error);
    default:
        return error_set(error, ERROR_TEMP, "%s", gnutls_strerror(status));
    }
}

/* ---- beginning and end ---- */

static struct tls_session *start(struct tls_settings *settings, struct tls_layer *layer, unsigned flags,
                                 struct error *error)
{
    struct tls_session *session = mem_zalloc(sizeof *session);
    int status = gnutls_init(&session->library, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

    if (status) {
        free(session);
        error_set(error, ERROR_TEMP, "%s", gnutls_strerror(status));
        return NULL;
    }
    session->layer = layer;
    gnutls_session_set_ptr(session->library, session);
    wire_join(session);
    MUST(!gnutls_priority_set(session->library, priorities(false)));
    MUST(!gnutls_credentials_set(session->library, GNUTLS_CRD_CERTIFICATE, settings->credentials));
    return session;
}

static char *read_server_name(gnutls_session_t library)
{
    char name[256];
    size_t len = sizeof name;
    unsigned type;

    if (gnutls_server_name_get(library, name, &len, &type, 0) || type != GNUTLS_NAME_DNS)
        return NULL;
    return mem_strndup(name, len);
}

/* Before the suite and the certificate are chosen. */
static int on_hello_read(gnutls_session_t library)
{
    struct tls_session *session = gnutls_session_get_ptr(library);
    struct tls_settings *settings;

    free(session->server_name);
    session->server_name = read_server_name(library);
    settings = session->server_name ? tls_settings_for_name(session->layer, session->server_name) : NULL;
    return settings ? gnutls_credentials_set(library, GNUTLS_CRD_CERTIFICATE, settings->credentials) : 0;
}

static int on_hello(gnutls_session_t library, unsigned type, unsigned when, unsigned incoming,
                    const gnutls_datum_t *message)
{
    (void)type;
    (void)when;
    return incoming && prefers_chacha(message) ? gnutls_priority_set(library, priorities(true)) : 0;
}

struct tls_session *tls_session_accept(struct tls_settings *settings, struct tls_layer *layer, struct error *error)
{
    unsigned tickets = settings->tickets == 0 ? GNUTLS_NO_TICKETS : GNUTLS_NO_AUTO_SEND_TICKET;
    struct tls_session *session = start(settings, layer, GNUTLS_SERVER | tickets, error);
    gnutls_datum_t secret = {.data = settings->ticket_secret, .size = TLS_TICKET_SECRET_BYTES};

    if (!session)
        return NULL;
    session->is_server = true;
    session->tickets = settings->tickets;
    if (settings->tickets > 0)
        MUST(!gnutls_session_ticket_enable_server(session->library, &secret));
    gnutls_handshake_set_hook_function(session->library, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE, on_hello);
    gnutls_handshake_set_post_client_hello_function(session->library, on_hello_read);
    if (settings->asks_for_certificate) {
        gnutls_certificate_server_set_request(session->library, GNUTLS_CERT_REQUEST);
        verify_peer(session);
    }
    return session;
}

struct tls_session *tls_session_connect(struct tls_settings *settings, struct tls_layer *layer, enum tls_verify verify,
                                        const char *server_name, struct error *error)
{
    struct tls_session *session =
        start(settings, layer, GNUTLS_CLIENT | GNUTLS_NO_TICKETS | GNUTLS_KEY_SHARE_TOP, error);
    struct ip ip;

    if (!session)
        return NULL;
    if (ip_parse(span_of(server_name), &ip)) /* an address has no SNI (RFC 6066, section 3) */
        session->server_name = mem_strdup(server_name);
    if (session->server_name &&
        gnutls_server_name_set(session->library, GNUTLS_NAME_DNS, server_name, strlen(server_name))) {
        tls_session_free(session);
        error_set(error, ERROR_TEMP, "'%s' cannot be a TLS server name", server_name);
        return NULL;
    }
    if (verify == TLS_VERIFY_HOST) {
        session->called = mem_strdup(server_name);
        verify_peer(session);
    }
    return session;
}

/* The library does not wipe what it decrypted, and that may have been a password. */
static void drop_record(struct tls_session *session)
{
    gnutls_datum_t all;

    gnutls_packet_get(session->record, &all, NULL);
    if (!session->keeps_plaintext)
        secret_wipe(all.data, all.size);
    gnutls_packet_deinit(session->record);
    session->record = NULL;
    session->record_start = 0;
}

void tls_session_stop_wiping(struct tls_session *session) { session->keeps_plaintext = true; }

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    if (session->record)
        drop_record(session);
    gnutls_deinit(session->library);
    free(session->server_name);
    free(session->called);
    free(session->ahead);
    free(session);
}

/* ---- bytes ---- */

/* What came was no business of ours, and more may be there. */
static bool goes_on(struct tls_session *session, ssize_t status, unsigned *rounds)
{
    if (status >= 0 || gnutls_error_is_fatal((int)status) || (status == GNUTLS_E_AGAIN && session->is_dry))
        return false;
    if (status == GNUTLS_E_REHANDSHAKE)
        return false;
    return ++*rounds < IDLE_ROUNDS_MOST;
}

static int send_tickets(struct tls_session *session)
{
    if (session->tickets == 0 || gnutls_protocol_get_version(session->library) < GNUTLS_TLS1_3)
        return 0;
    return gnutls_session_ticket_send(session->library, session->tickets, 0);
}

enum tls_handshake tls_session_handshake(struct tls_session *session, struct error *error)
{
    unsigned rounds = 0;
    int status;

    do {
        session->is_dry = false;
        status = gnutls_handshake(session->library);
    } while (goes_on(session, status, &rounds));
    if (status == 0)
        status = send_tickets(session);
    wire_settle(session);
    if (status == 0) {
        session->is_shaken = true;
        return TLS_HANDSHAKE_DONE;
    }
    if (status == GNUTLS_E_AGAIN && session->is_dry)
        return TLS_HANDSHAKE_WAITS;
    gnutls_error(session, error, status);
    gnutls_alert_send_appropriate(session->library, status);
    return TLS_HANDSHAKE_FAILED;
}

/* The library can begin a second handshake or end the connection (it does not forget the ClientHello), so the answer
 * (RFC 5246, section 7.2.2) has to leave before the socket fails. */
static void refuse_renegotiation(struct tls_session *session)
{
    gnutls_alert_send(session->library, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
    socket_flush(session->layer->socket);
}

/* Until there is a record: its length, 0 at the end, or the library's error. */
static ssize_t next_record(struct tls_session *session)
{
    unsigned rounds = 0;
    ssize_t len;

    do {
        session->is_dry = false;
        len = gnutls_record_recv_packet(session->library, &session->record);
    } while (goes_on(session, len, &rounds));
    wire_settle(session);
    return len;
}

static ssize_t take_from_record(struct tls_session *session, void *data, size_t len)
{
    gnutls_datum_t all;
    size_t there;

    gnutls_packet_get(session->record, &all, NULL);
    there = all.size - session->record_start;
    if (len > there)
        len = there;
    memcpy(data, all.data + session->record_start, len);
    session->record_start += len;
    if (session->record_start == all.size)
        drop_record(session);
    return (ssize_t)len;
}

ssize_t tls_session_read(struct tls_session *session, void *data, size_t len, struct error *error)
{
    ssize_t got = session->record ? 1 : next_record(session);

    if (got > 0)
        return take_from_record(session, data, len);
    if (got == 0)
        return SOCKET_EOF;
    if (got == GNUTLS_E_AGAIN && session->is_dry)
        return SOCKET_WAIT;
    if (got == GNUTLS_E_REHANDSHAKE)
        refuse_renegotiation(session);
    gnutls_error(session, error, (int)got);
    return SOCKET_ERROR;
}

int tls_session_write(struct tls_session *session, const void *data, size_t len, struct error *error)
{
    const char *bytes = data;

    /* a record at a time; the wire takes everything, or the connection is broken */
    while (len > 0) {
        ssize_t written = gnutls_record_send(session->library, bytes, len);

        if (written < 0)
            return gnutls_error(session, error, (int)written);
        bytes += written;
        len -= (size_t)written;
    }
    return 0;
}

bool tls_session_has_unread(const struct tls_session *session)
{
    return session->record || session->ahead || gnutls_record_check_pending(session->library) > 0;
}

void tls_session_close_notify(struct tls_session *session)
{
    if (session->is_shaken)
        gnutls_bye(session->library, GNUTLS_SHUT_WR);
}
