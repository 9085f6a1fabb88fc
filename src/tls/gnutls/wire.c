/* SPDX-License-Identifier: Apache-2.0
 *
 * The library's view of the wire. It asks for a record's five bytes of header, then for its
 * body; so reads are done ahead, one system call for what is there. Writes are gathered in
 * the socket's buffer and leave together at the end of the turn.
 */
#include "tls/gnutls/gnutls_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* the largest record (RFC 8446, section 5.2) with its header */
#define AHEAD_BYTES (5 + 16384 + 256)

/* -1, 0 at the end, or 1. */
static int fill(struct tls_session *session)
{
    ssize_t got;

    if (!session->ahead)
        session->ahead = mem_alloc(AHEAD_BYTES);
    got = socket_wire_read(session->layer->socket, session->ahead, AHEAD_BYTES);
    if (got == SOCKET_EOF)
        return 0;
    if (got < 0 || got == SOCKET_WAIT) {
        session->is_dry = true;
        gnutls_transport_set_errno(session->library, got == SOCKET_WAIT ? EAGAIN : EIO);
        return -1;
    }
    session->ahead_start = 0;
    session->ahead_end = (size_t)got;
    return 1;
}

static ssize_t on_pull(gnutls_transport_ptr_t ctx, void *data, size_t len)
{
    struct tls_session *session = ctx;
    size_t there;

    if (session->ahead_start == session->ahead_end) {
        int status = fill(session);

        if (status <= 0)
            return status;
    }
    there = session->ahead_end - session->ahead_start;
    if (len > there)
        len = there;
    memcpy(data, session->ahead + session->ahead_start, len);
    session->ahead_start += len;
    return (ssize_t)len;
}

static ssize_t on_push(gnutls_transport_ptr_t ctx, const giovec_t *parts, int count)
{
    struct tls_session *session = ctx;
    size_t written = 0;

    for (int i = 0; i < count; i++) {
        if (socket_wire_write(session->layer->socket, parts[i].iov_base, parts[i].iov_len)) {
            gnutls_transport_set_errno(session->library, EPIPE);
            return -1;
        }
        written += parts[i].iov_len;
    }
    return (ssize_t)written;
}

void wire_join(struct tls_session *session)
{
    gnutls_transport_set_ptr(session->library, session);
    gnutls_transport_set_pull_function(session->library, on_pull);
    gnutls_transport_set_vec_push_function(session->library, on_push);
}

void wire_settle(struct tls_session *session)
{
    if (session->ahead_start != session->ahead_end)
        return;
    free(session->ahead);
    session->ahead = NULL;
}
