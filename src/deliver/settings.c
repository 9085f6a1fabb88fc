/* SPDX-License-Identifier: Apache-2.0
 *
 * What all sessions share: our name, where we listen, and the two kinds of TLS client (made
 * at first use, since reading the system's certificates takes a while and many relays never
 * verify). Under a lock, which is held for copying only.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "deliver/deliver_private.h"

static struct {
    pthread_mutex_t mutex;
    char *hostname;
    char *ca_pem;
    struct sockaddr_storage *own;
    size_t own_count;
    struct tls_client *clients[2]; /* by enum tls_verify */
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void clear(void)
{
    free(shared.hostname);
    free(shared.ca_pem);
    free(shared.own);
    shared.hostname = shared.ca_pem = NULL;
    shared.own = NULL;
    shared.own_count = 0;
    tls_client_unref(&shared.clients[TLS_VERIFY_NONE]);
    tls_client_unref(&shared.clients[TLS_VERIFY_HOST]);
}

void deliver_set_settings(const struct deliver_settings *settings)
{
    size_t bytes = settings->own_address_count * sizeof *settings->own_addresses;

    pthread_mutex_lock(&shared.mutex);
    clear();
    shared.hostname = settings->hostname ? mem_strdup(settings->hostname) : NULL;
    shared.ca_pem = settings->ca_pem ? mem_strdup(settings->ca_pem) : NULL;
    if (bytes > 0) {
        shared.own = mem_alloc(bytes);
        memcpy(shared.own, settings->own_addresses, bytes);
        shared.own_count = settings->own_address_count;
    }
    pthread_mutex_unlock(&shared.mutex);
}

void deliver_clear_settings(void)
{
    pthread_mutex_lock(&shared.mutex);
    clear();
    pthread_mutex_unlock(&shared.mutex);
}

void settings_hostname(char out[HOSTNAME_BYTES])
{
    char name[HOSTNAME_BYTES] = "";

    pthread_mutex_lock(&shared.mutex);
    if (shared.hostname)
        snprintf(name, sizeof name, "%s", shared.hostname);
    pthread_mutex_unlock(&shared.mutex);
    if (name[0] == '\0' && gethostname(name, sizeof name - 1))
        snprintf(name, sizeof name, "localhost");
    memcpy(out, name, sizeof name);
}

struct tls_client *settings_tls_client(enum tls_verify verify, struct error *error)
{
    struct tls_client *client = NULL;

    pthread_mutex_lock(&shared.mutex);
    if (!shared.clients[verify]) {
        struct tls_client_config config = {.verify = verify, .ca_pem = shared.ca_pem};

        shared.clients[verify] = tls_client_new(&config, error);
    }
    if (shared.clients[verify])
        client = tls_client_ref(shared.clients[verify]);
    pthread_mutex_unlock(&shared.mutex);
    return client;
}

/* ---- our own addresses ---- */

static bool is_wildcard(const struct ip *ip)
{
    static const unsigned char zeros[16];

    return memcmp(ip->bytes, zeros, sizeof zeros) == 0;
}

/* An address is this machine's when a socket can be bound to it: the kernel knows best, and
 * interfaces come and go. */
static bool is_of_this_machine(const struct ip *ip)
{
    struct sockaddr_storage address;
    int fd = socket(ip->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool bound;

    if (fd < 0)
        return errno != EAFNOSUPPORT; /* unknown: better deferred than looped */
    sockaddr_from_ip(ip, 0, &address);
    bound = bind(fd, (struct sockaddr *)&address, sockaddr_length((struct sockaddr *)&address)) == 0;
    close(fd);
    return bound;
}

bool settings_is_own_address(const struct sockaddr *address)
{
    struct ip ip = ip_of_sockaddr(address);
    uint16_t port = sockaddr_port(address);
    bool is_same = false;
    bool may_be = false;

    pthread_mutex_lock(&shared.mutex);
    for (size_t i = 0; i < shared.own_count; i++) {
        const struct sockaddr *own = (const struct sockaddr *)&shared.own[i];
        struct ip own_ip;

        if ((own->sa_family != AF_INET && own->sa_family != AF_INET6) || sockaddr_port(own) != port)
            continue;
        own_ip = ip_of_sockaddr(own);
        is_same |= ip_equal(&own_ip, &ip);
        may_be |= is_wildcard(&own_ip) && own_ip.family == ip.family;
    }
    pthread_mutex_unlock(&shared.mutex);
    return is_same || (may_be && is_of_this_machine(&ip));
}
