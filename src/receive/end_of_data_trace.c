/* SPDX-License-Identifier: Apache-2.0
 *
 * Our marks on a message. Where the operator wishes so, Received does not tell the world where a user is: the network
 * alone, or a keyed hash by which he who has the key finds the address again, or nothing. Our own records have the
 * address all the same, under the message's id, which is in Received.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "crypto/digest.h"
#include "message/edit.h"
#include "message/trace.h"
#include "receive/end_of_data.h"

#define TRACE_BYTES 16384
#define MASK_V4_BITS 24
#define MASK_V6_BITS 48
#define HASH_BYTES 8 /* of the digest: what is shown */
#define DISGUISE_BYTES (INET6_ADDRSTRLEN + 32)

static unsigned char process_key[CRYPTO_SHA256_BYTES];
static pthread_once_t process_key_made = PTHREAD_ONCE_INIT;

static void make_process_key(void) { random_bytes(process_key, sizeof process_key); }

static struct span key_of(const struct receive_params *params)
{
    if (params->trace_client_key)
        return span_of(params->trace_client_key);
    pthread_once(&process_key_made, make_process_key);
    return span_make((const char *)process_key, sizeof process_key);
}

/* Without a key, the hash of an address is found by hashing all addresses. */
static void hash(const struct receive_params *params, const char *peer, char out[DISGUISE_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    size_t used = (size_t)snprintf(out, DISGUISE_BYTES, "client-");

    crypto_hmac(CRYPTO_SHA256, key_of(params), span_of(peer), digest);
    for (size_t i = 0; i < HASH_BYTES; i++)
        used += (size_t)snprintf(out + used, DISGUISE_BYTES - used, "%02x", digest[i]);
}

static void mask(const struct ip *ip, char out[DISGUISE_BYTES])
{
    unsigned bits = ip->family == AF_INET6 ? MASK_V6_BITS : MASK_V4_BITS;
    struct ip network = *ip;
    char text[INET6_ADDRSTRLEN];

    for (size_t i = bits / 8; i < sizeof network.bytes; i++)
        network.bytes[i] = 0;
    ip_format(&network, text);
    snprintf(out, DISGUISE_BYTES, "%s/%u", text, bits);
}

/* What Received says in the place of who the client is; NULL: nothing is hidden. */
static const char *disguise(const struct receive_connection *connection, const char *peer, char out[DISGUISE_BYTES])
{
    switch (connection->params->trace_client) {
    case RECEIVE_CLIENT_KEEP:
        return NULL;
    case RECEIVE_CLIENT_MASK:
        mask(&connection->remote_ip, out);
        return out;
    case RECEIVE_CLIENT_HASH:
        hash(connection->params, peer, out);
        return out;
    case RECEIVE_CLIENT_OMIT:
        break;
    }
    return "";
}

static int append_received(const struct receive_reception *reception, struct buf *lines)
{
    const struct receive_connection *connection = reception->connection;
    char peer[INET6_ADDRSTRLEN], disguised[DISGUISE_BYTES];
    struct trace_reception trace = {.helo = connection->ehlo_domain,
                                    .peer = peer,
                                    .hostname = connection->params->hostname,
                                    .is_esmtp = connection->is_esmtp,
                                    .is_tls = connection->tls_protocol != NULL,
                                    .is_authenticated = connection->auth != NULL,
                                    .tls_cipher = connection->tls_cipher,
                                    .tls_protocol = connection->tls_protocol};

    ip_format(&connection->remote_ip, peer);
    trace.disguise = disguise(connection, peer, disguised);
    return trace_received(reception->message, &trace, true, clock_wall_ms(), lines);
}

static int append_marks(const struct receive_reception *reception, struct buf *lines)
{
    const struct receive_connection *connection = reception->connection;
    const char *id_header = connection->params->trace_id_header;
    struct error error;

    if (connection->params->trace_received && append_received(reception, lines))
        return -1;
    if (!id_header || !connection->auth || !connection->authn_id)
        return 0;
    return trace_authenticated_id(id_header, connection->authn_id, lines, &error);
}

int reception_add_trace(struct receive_reception *reception)
{
    struct error error;
    struct buf lines;
    int failed;

    buf_init(&lines, TRACE_BYTES);
    failed = append_marks(reception, &lines) ||
             (buf_len(&lines) > 0 && message_prepend_lines(reception->message, buf_span(&lines), &error));
    buf_done(&lines);
    return failed ? -1 : 0;
}

int reception_add_supplemental(struct receive_reception *reception, struct error *error)
{
    const struct receive_params *params = reception->connection->params;
    struct buf lines;
    int failed;

    buf_init(&lines, 1024 * 1024);
    failed = trace_supplemental(reception->message, params->trace_header_name,
                                (const char *const *)params->trace_meta_names.names, params->trace_meta_names.count,
                                &lines, error) ||
             message_prepend_lines(reception->message, buf_span(&lines), error);
    buf_done(&lines);
    return failed ? -1 : 0;
}
