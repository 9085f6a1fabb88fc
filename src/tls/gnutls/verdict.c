/* SPDX-License-Identifier: Apache-2.0
 *
 * Which certificates of a peer are good: one for its purpose (RFC 5280, section 4.2.1.12),
 * below a CA that we were given, and a server's for the name or address that we called.
 */
#include "tls/gnutls/gnutls_private.h"

#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cidr.h"

static gnutls_typed_vdata_st purpose(const char *oid)
{
    return (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)oid};
}

static int verify(gnutls_session_t library, gnutls_typed_vdata_st *demands, unsigned count)
{
    unsigned status;

    if (gnutls_certificate_verify_peers(library, demands, count, &status) || status != 0)
        return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
    return 0;
}

static int on_client_certificate(gnutls_session_t library)
{
    gnutls_typed_vdata_st demand = purpose(GNUTLS_KP_TLS_WWW_CLIENT);

    /* one that is shown must verify; showing none is for policy to judge */
    return gnutls_certificate_get_peers(library, NULL) ? verify(library, &demand, 1) : 0;
}

static int on_server_certificate(gnutls_session_t library)
{
    const struct tls_session *session = gnutls_session_get_ptr(library);
    gnutls_typed_vdata_st demands[] = {
        purpose(GNUTLS_KP_TLS_WWW_SERVER),
        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)session->called},
    };
    struct ip ip;

    if (ip_parse(span_of(session->called), &ip) == 0)
        demands[1] = (gnutls_typed_vdata_st){
            .type = GNUTLS_DT_IP_ADDRESS, .data = ip.bytes, .size = ip.family == AF_INET ? 4 : 16};
    return verify(library, demands, 2);
}

void verify_peer(struct tls_session *session)
{
    session->verifies = true;
    gnutls_session_set_verify_function(session->library,
                                       session->called ? on_server_certificate : on_client_certificate);
}
