/* SPDX-License-Identifier: Apache-2.0
 *
 * From a connection string to a connection. Names are resolved here, on a thread, since libpq would do it on the
 * loop and wait.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cidr.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"
#include "credential/postgresql.h"

#define PLACES_MOST 16
#define LIST_LIMIT ((size_t)16 << 10)
#define PARAMETERS_MOST 64 /* more than libpq knows */
#define NO_FILE "/dev/null/none"

struct pg_where {
    PQconninfoOption *options; /* as libpq took them apart */
    char *password;            /* may be NULL */
    char *session;             /* the `options` of the connection string, and ours */
    char *tcp_timeout_ms;
};

static const char *option(const struct pg_where *where, const char *keyword)
{
    for (const PQconninfoOption *at = where->options; at->keyword; at++)
        if (strcmp(at->keyword, keyword) == 0)
            return at->val && at->val[0] ? at->val : NULL;
    return NULL;
}

/* ---- reading ---- */

static bool is_socket(struct span host) { return host.len && (host.data[0] == '/' || host.data[0] == '@'); }

/* A path of a socket, an address, or a name; not what a wrongly written URI makes of a password. */
static bool is_sound_host(struct span host)
{
    if (is_socket(host))
        return true;
    for (size_t i = 0; i < host.len; i++) {
        char c = ascii_lower(host.data[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr("-_.:", c))
            return false;
    }
    return host.len > 0;
}

static int check_hosts(const struct pg_where *where, struct error *error)
{
    struct span rest = span_of(option(where, "host"));
    struct span host;

    if (!rest.data && !option(where, "hostaddr"))
        return error_set(error, ERROR_PERM, "names neither host nor hostaddr");
    while (span_split(&rest, ',', &host))
        if (!is_sound_host(host))
            return error_set(error, ERROR_PERM,
                             "has a host that cannot be one (in a URI, write an @ of the password as %%40)");
    return 0;
}

/* Here it would be read by whoever may read the file, which a secret under its own key is not. */
static int check_secrecy(const struct pg_where *where, struct error *error)
{
    const char *password = option(where, "password");

    if (!password || !*password)
        return 0;
    return error_set(error, ERROR_PERM,
                     "has a password in it: it has a key of its own (password_file, password_credential)");
}

/* What every session is told: answers in the form we read, nothing is written, nothing runs for ever. */
static char *session_options(const struct pg_where *where, uint64_t statement_ms)
{
    const char *own = option(where, "options");

    return mem_printf("%s%s-c statement_timeout=%llu -c default_transaction_read_only=on -c datestyle=ISO",
                      own ? own : "", own ? " " : "", (unsigned long long)statement_ms);
}

struct pg_where *pg_where_new(const char *conninfo, const char *password, uint64_t statement_ms, struct error *error)
{
    struct pg_where *where = mem_zalloc(sizeof *where);
    char *complaint = NULL;

    where->options = PQconninfoParse(conninfo, &complaint);
    PQfreemem(complaint); /* it may quote the password */
    if (!where->options) {
        error_set(error, ERROR_PERM,
                  "is not a connection string (key=value pairs or a URI): a word without =, an unknown key, or a quote "
                  "that does not end");
        pg_where_free(where);
        return NULL;
    }
    if (check_hosts(where, error) || check_secrecy(where, error)) {
        pg_where_free(where);
        return NULL;
    }
    where->password = password ? mem_strdup(password) : NULL;
    where->session = session_options(where, statement_ms);
    where->tcp_timeout_ms = mem_printf("%llu", (unsigned long long)statement_ms);
    return where;
}

void pg_where_free(struct pg_where *where)
{
    if (!where)
        return;
    for (PQconninfoOption *at = where->options; at && at->keyword; at++)
        if (at->val)
            secret_wipe(at->val, strlen(at->val));
    PQconninfoFree(where->options);
    secret_free(where->password);
    free(where->session);
    free(where->tcp_timeout_ms);
    free(where);
}

/* ---- whom it trusts ---- */

static bool is_loopback(struct span host)
{
    static const struct ip v6 = {.family = AF_INET6, .bytes = {[15] = 1}};
    struct ip ip;

    if (span_ieq(host, SPAN_LIT("localhost")))
        return true;
    if (ip_parse(host, &ip))
        return false;
    return ip.family == AF_INET ? ip.bytes[0] == 127 : ip_equal(&ip, &v6);
}

static bool has_service(const struct pg_where *where) { return option(where, "service") || getenv("PGSERVICE"); }

/* Where libpq is given no address, it takes one that the service file or the environment has, even for a socket. */
static bool may_be_diverted(const struct pg_where *where)
{
    return !option(where, "hostaddr") && (has_service(where) || getenv("PGHOSTADDR"));
}

/* As libpq pairs them: the address counts where there is one, else the host in its place. */
static bool stays_here(const struct pg_where *where)
{
    struct span hosts = span_of(option(where, "host"));
    struct span addresses = span_of(option(where, "hostaddr"));

    while (hosts.data || addresses.data) {
        struct span host = {NULL, 0}, address = {NULL, 0};
        bool is_here;

        (void)span_split(&hosts, ',', &host);
        (void)span_split(&addresses, ',', &address);
        if (address.len)
            is_here = is_loopback(address);
        else
            is_here = is_socket(host) ? !may_be_diverted(where) : is_loopback(host);
        if (!is_here)
            return false;
    }
    return true;
}

/* The other modes may take any certificate, or none. Only what the connection string says is sure: it has the last
 * word over service file and environment, which may be others when the daemon runs. */
bool pg_where_is_sure(const struct pg_where *where)
{
    const char *mode = option(where, "sslmode");

    return (mode && (strcmp(mode, "verify-full") == 0 || strcmp(mode, "verify-ca") == 0)) || stays_here(where);
}

/* ---- names ---- */

static bool is_name(struct span host)
{
    struct ip ip;

    return host.len && !is_socket(host) && ip_parse(host, &ip) != 0;
}

bool pg_where_has_names(const struct pg_where *where)
{
    struct span rest = span_of(option(where, "host"));
    struct span host;

    if (option(where, "hostaddr"))
        return false;
    while (span_split(&rest, ',', &host))
        if (is_name(host))
            return true;
    return false;
}

struct list_of_places {
    struct buf hosts, addresses, ports;
    size_t count;
};

static void add_place(struct list_of_places *list, struct span host, struct span address, struct span port)
{
    const char *comma = list->count ? "," : "";

    if (list->count == PLACES_MOST)
        return;
    list->count++;
    /* PLACES_MOST of the longest names fit */
    MUST(!buf_appendf(&list->hosts, "%s%.*s", comma, SPAN_ARG(host)));
    MUST(!buf_appendf(&list->addresses, "%s%.*s", comma, SPAN_ARG(address)));
    MUST(!buf_appendf(&list->ports, "%s%.*s", comma, SPAN_ARG(port)));
}

static int add_name(struct list_of_places *list, struct span host, struct span port, struct error *error)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char *name = span_dup(host);
    struct addrinfo *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);

    if (status)
        error_set(error, ERROR_TEMP, "cannot find the address of %s: %s", name, gai_strerror(status));
    for (const struct addrinfo *at = found; at; at = at->ai_next) {
        struct ip ip = ip_of_sockaddr(at->ai_addr);
        char text[INET6_ADDRSTRLEN];

        ip_format(&ip, text);
        add_place(list, host, span_of(text), port);
    }
    if (found)
        freeaddrinfo(found);
    free(name);
    return status ? -1 : 0;
}

static int add_hosts(const struct pg_where *where, struct list_of_places *list, struct error *error)
{
    const char *port_list = option(where, "port");
    struct span hosts = span_of(option(where, "host"));
    struct span ports = span_of(port_list ? port_list : "");
    struct span host, port = {"", 0};
    int status = -1;

    /* one port is for all hosts; an empty one is the usual one */
    while (span_split(&hosts, ',', &host)) {
        struct span next;

        if (span_split(&ports, ',', &next))
            port = next;
        if (host.len > NI_MAXHOST || port.len > NI_MAXSERV)
            return error_set(error, ERROR_PERM, "a host or a port is too long");
        if (is_name(host)) {
            status &= add_name(list, host, port, error);
            continue;
        }
        add_place(list, host, is_socket(host) ? SPAN_LIT("") : host, port);
        status = 0;
    }
    return status;
}

int pg_where_resolve(const struct pg_where *where, struct pg_places *places_out, struct error *error)
{
    struct list_of_places list = {.count = 0};
    int status;

    if (option(where, "hostaddr")) { /* libpq has all it needs */
        *places_out = (struct pg_places){0};
        return 0;
    }
    buf_init(&list.hosts, PLACES_MOST * (NI_MAXHOST + 1) + 1);
    buf_init(&list.addresses, PLACES_MOST * (NI_MAXHOST + 1) + 1);
    buf_init(&list.ports, PLACES_MOST * (NI_MAXSERV + 1) + 1);
    status = add_hosts(where, &list, error);
    if (!status)
        *places_out = (struct pg_places){.hosts = span_dup(buf_span(&list.hosts)),
                                         .addresses = span_dup(buf_span(&list.addresses)),
                                         .ports = span_dup(buf_span(&list.ports))};
    buf_done(&list.hosts);
    buf_done(&list.addresses);
    buf_done(&list.ports);
    return status;
}

void pg_places_done(struct pg_places *places)
{
    free(places->hosts);
    free(places->addresses);
    free(places->ports);
    *places = (struct pg_places){0};
}

/* ---- connecting ---- */

struct parameters {
    const char *keywords[PARAMETERS_MOST + 1];
    const char *values[PARAMETERS_MOST + 1];
    size_t count;
};

/* Of a keyword given twice libpq takes the later one. */
static void put(struct parameters *parameters, const char *keyword, const char *value)
{
    if (!value)
        return;
    MUST(parameters->count < PARAMETERS_MOST);
    parameters->keywords[parameters->count] = keyword;
    parameters->values[parameters->count++] = value;
}

/* libpq looks for a certificate of ours in the home folder, and gives up on TLS where it may not look: in root's, when
 * the daemon was started by root and became somebody else. */
static const char *no_own_certificate(const struct pg_where *where)
{
    const char *home = getenv("HOME");
    char *path;
    bool is_shut;

    if (!home || has_service(where) || getenv("PGSSLCERT"))
        return NULL;
    path = mem_printf("%s/.postgresql/postgresql.crt", home);
    is_shut = access(path, F_OK) && errno == EACCES;
    free(path);
    return is_shut ? NO_FILE : NULL;
}

PGconn *pg_where_connect(const struct pg_where *where, const struct pg_places *places)
{
    struct parameters parameters = {.count = 0};

    /* what the operator may say otherwise: looking for Kerberos tickets would block */
    put(&parameters, "gssencmode", "disable");
    put(&parameters, "application_name", "gatepost");
    put(&parameters, "sslcert", no_own_certificate(where));
    put(&parameters, "tcp_user_timeout", where->tcp_timeout_ms);
    for (const PQconninfoOption *at = where->options; at->keyword; at++)
        put(&parameters, at->keyword, at->val);
    put(&parameters, "client_encoding", "UTF8");
    put(&parameters, "options", where->session);
    put(&parameters, "password", where->password);
    put(&parameters, "host", places->hosts);
    put(&parameters, "hostaddr", places->addresses);
    put(&parameters, "port", places->ports);
    return PQconnectStartParams(parameters.keywords, parameters.values, 0);
}
