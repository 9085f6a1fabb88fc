/* SPDX-License-Identifier: Apache-2.0
 *
 * The library's view of the wire: reads come from the socket, writes are gathered in the
 * socket's buffer and leave together at the end of the turn, so that a flight of handshake
 * messages is one system call.
 */
#include "tls/openssl/openssl_private.h"

#include <pthread.h>

#include "base/must.h"

static int on_write(BIO *bio, const char *data, size_t len, size_t *written_out)
{
    BIO_clear_retry_flags(bio);
    if (socket_wire_write(BIO_get_data(bio), data, len))
        return 0;
    *written_out = len;
    return 1;
}

static int on_read(BIO *bio, char *data, size_t len, size_t *read_out)
{
    ssize_t got = socket_wire_read(BIO_get_data(bio), data, len);

    BIO_clear_retry_flags(bio);
    if (got > 0) {
        *read_out = (size_t)got;
        return 1;
    }
    *read_out = 0;
    if (got == SOCKET_WAIT)
        BIO_set_retry_read(bio);
    else if (got == SOCKET_EOF)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return 0;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gatepost socket");
    MUST(method != NULL);
    MUST(BIO_meth_set_write_ex(method, on_write) && BIO_meth_set_read_ex(method, on_read) &&
         BIO_meth_set_ctrl(method, on_control));
}

BIO *openssl_bio_new(struct socket *socket)
{
    BIO *bio;

    pthread_once(&method_once, make_method);
    bio = BIO_new(method);
    MUST(bio != NULL);
    BIO_set_data(bio, socket);
    BIO_set_init(bio, 1);
    return bio;
}
