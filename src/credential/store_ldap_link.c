/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections to an LDAP server with OpenLDAP's library. Each step has a time limit: the library's own for connecting,
 * ours for answers. The awkward truth is the TLS handshake, for which the library keeps no limit (with GnuTLS it even
 * spins when told to): there the socket blocks, and is shut down from outside when the time is over. What ldap.conf of
 * the machine says about certificates does not count: they are always checked.
 */
#include "credential/store_ldap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/secret.h"

#define CONNECT_LIMIT_MS 3000
#define LOOK_EVERY_MS 100
#define ANSWER_LIMIT_BYTES ((ber_len_t)1 << 20)

void directory_done(struct directory *directory)
{
    for (size_t i = 0; i < directory->uri_count; i++)
        free(directory->uris[i]);
    free(directory->ca_file);
    free(directory->bind_dn);
    if (directory->bind_password)
        secret_wipe(directory->bind_password, directory->bind_password_len);
    free(directory->bind_password);
}

static struct timeval timeval_of(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static bool is_cut(struct directory_wire *wire)
{
    bool answer;

    pthread_mutex_lock(&wire->lock);
    answer = wire->is_cut;
    pthread_mutex_unlock(&wire->lock);
    return answer;
}

static uint64_t left_of(const struct directory_limit *limit)
{
    uint64_t now_ms = clock_mono_ms();

    if (is_cut(limit->wire))
        return 0;
    return now_ms < limit->until_ms ? limit->until_ms - now_ms : 0;
}

/* ---- the wire ---- */

void directory_wire_init(struct directory_wire *wire)
{
    pthread_mutex_init(&wire->lock, NULL);
    wire->fd = -1;
    wire->is_cut = false;
}

void directory_wire_done(struct directory_wire *wire) { pthread_mutex_destroy(&wire->lock); }

void directory_wire_cut(struct directory_wire *wire)
{
    pthread_mutex_lock(&wire->lock);
    wire->is_cut = true;
    if (wire->fd >= 0)
        shutdown(wire->fd, SHUT_RDWR);
    pthread_mutex_unlock(&wire->lock);
}

static void attach_fd(struct directory_wire *wire, int fd)
{
    pthread_mutex_lock(&wire->lock);
    wire->fd = fd;
    if (fd >= 0 && wire->is_cut)
        shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&wire->lock);
}

void directory_attach(struct directory_link *link, struct directory_wire *wire) { attach_fd(wire, link->fd); }

void directory_detach(struct directory_wire *wire) { attach_fd(wire, -1); }

/* ---- answers ---- */

static int result_code_of(LDAP *ld)
{
    int code = LDAP_OTHER;

    ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
    return code;
}

/* The next message of the answer to `id`, DONE; else LOST or LATE. */
static enum directory_outcome wait_answer(LDAP *ld, int id, const struct directory_limit *limit,
                                          LDAPMessage **message_out, struct error *error)
{
    uint64_t left_ms;

    while ((left_ms = left_of(limit))) {
        struct timeval slice = timeval_of(left_ms < LOOK_EVERY_MS ? left_ms : LOOK_EVERY_MS);
        int type = ldap_result(ld, id, LDAP_MSG_ONE, &slice, message_out);

        if (type > 0)
            return DIRECTORY_DONE;
        if (type < 0) {
            error_set(error, ERROR_TEMP, "the directory has cut the connection: %s",
                      ldap_err2string(result_code_of(ld)));
            return DIRECTORY_LOST;
        }
    }
    ldap_abandon_ext(ld, id, NULL, NULL);
    error_set(error, ERROR_TEMP, "the directory did not answer in time");
    return DIRECTORY_LATE;
}

/* Takes the message. */
static int code_of(LDAP *ld, LDAPMessage *message)
{
    int code = LDAP_OTHER;
    int status = ldap_parse_result(ld, message, &code, NULL, NULL, NULL, NULL, 1);

    return status == LDAP_SUCCESS ? code : status;
}

/* A request that could not be sent. */
static enum directory_outcome not_sent(int code, struct error *error)
{
    error_set(error, ERROR_TEMP, "the directory cannot be asked: %s", ldap_err2string(code));
    return code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR || code == LDAP_TIMEOUT ? DIRECTORY_LOST
                                                                                          : DIRECTORY_FAILED;
}

/* ---- logging in ---- */

static enum directory_outcome simple_bind(LDAP *ld, const char *dn, struct span password,
                                          const struct directory_limit *limit, int *code_out, struct error *error)
{
    struct berval secret = {.bv_len = password.len, .bv_val = (char *)(uintptr_t)password.data};
    enum directory_outcome outcome;
    LDAPMessage *message;
    int id;
    int status = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &id);

    if (status != LDAP_SUCCESS)
        return not_sent(status, error);
    outcome = wait_answer(ld, id, limit, &message, error);
    if (outcome == DIRECTORY_DONE)
        *code_out = code_of(ld, message);
    return outcome;
}

enum directory_outcome directory_bind(struct directory_link *link, const char *dn, struct span password,
                                      const struct directory_limit *limit, struct error *error)
{
    enum directory_outcome outcome;
    int code = LDAP_OTHER;

    MUST(password.len > 0);
    if (!*dn) {
        error_set(error, ERROR_TEMP, "the directory gave an entry without a name");
        return DIRECTORY_FAILED;
    }
    outcome = simple_bind(link->ld, dn, password, limit, &code, error);
    if (outcome != DIRECTORY_DONE)
        return outcome;
    switch (code) {
    case LDAP_SUCCESS:
        return DIRECTORY_DONE;
    case LDAP_INVALID_CREDENTIALS:
        return DIRECTORY_REFUSED;
    case LDAP_NO_SUCH_OBJECT:
        return DIRECTORY_NONE;
    default:
        error_set(error, ERROR_TEMP, "the directory does not check the password: %s (%d)", ldap_err2string(code), code);
        return DIRECTORY_FAILED;
    }
}

static int log_in(struct directory *directory, LDAP *ld, const struct directory_limit *limit, struct error *error)
{
    int code = LDAP_OTHER;

    if (simple_bind(ld, directory->bind_dn, span_make(directory->bind_password, directory->bind_password_len), limit,
                    &code, error) != DIRECTORY_DONE)
        return -1;
    if (code == LDAP_SUCCESS)
        return 0;
    return error_set(error, ERROR_TEMP, "the directory refuses bind_dn and its password: %s (%d)",
                     ldap_err2string(code), code);
}

/* ---- connecting ---- */

static int set_tls(const struct directory *directory, LDAP *ld)
{
    int demand = LDAP_OPT_X_TLS_DEMAND, least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;

    if (ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) ||
        ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least))
        return -1;
    if (directory->ca_file && (ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, directory->ca_file) ||
                               ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTDIR, NULL)))
        return -1;
    return ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) ? -1 : 0;
}

static int set_options(LDAP *ld, const struct directory_limit *limit)
{
    uint64_t left_ms = left_of(limit);
    struct timeval connect = timeval_of(left_ms < CONNECT_LIMIT_MS ? left_ms : CONNECT_LIMIT_MS);
    struct timeval answer = timeval_of(left_ms);
    int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER;
    ber_len_t most = ANSWER_LIMIT_BYTES;
    Sockbuf *wire = NULL;

    if (ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) || ldap_set_option(ld, LDAP_OPT_DEREF, &never) ||
        ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) ||
        ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &connect) || ldap_set_option(ld, LDAP_OPT_TIMEOUT, &answer))
        return -1;
    if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &wire) || !wire)
        return -1;
    return ber_sockbuf_ctrl(wire, LBER_SB_OPT_SET_MAX_INCOMING, &most) < 0 ? -1 : 0;
}

static void say_unreachable(LDAP *ld, const char *uri, int status, struct error *error)
{
    char *why = NULL;

    if (status == LDAP_CONNECT_ERROR || status == LDAP_SERVER_DOWN)
        ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &why);
    error_set(error, ERROR_TEMP, "cannot connect to %s: %s%s%.120s", uri, ldap_err2string(status),
              why && *why ? ": " : "", why ? why : "");
    ldap_memfree(why);
}

static int start_tls(LDAP *ld, const char *uri, const struct directory_limit *limit, struct error *error)
{
    LDAPMessage *message;
    int id, code;
    int status = ldap_start_tls(ld, NULL, NULL, &id);

    if (status != LDAP_SUCCESS)
        return error_set(error, ERROR_TEMP, "cannot reach %s: %s", uri, ldap_err2string(status));
    if (wait_answer(ld, id, limit, &message, error) != DIRECTORY_DONE)
        return -1;
    code = code_of(ld, message);
    if (code != LDAP_SUCCESS)
        return error_set(error, ERROR_TEMP, "%s does not start TLS: %s", uri, ldap_err2string(code));
    status = ldap_install_tls(ld);
    if (status == LDAP_SUCCESS)
        return 0;
    say_unreachable(ld, uri, status, error);
    return -1;
}

static bool wants_tls(const struct directory *directory, const char *uri)
{
    return directory->start_tls || span_istarts_with(span_of(uri), SPAN_LIT("ldaps://"));
}

static void close_copy(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* The library has connected, and goes on to TLS. From here on its limit for connecting would do harm. */
static int on_connected(LDAP *ld, Sockbuf *socket, LDAPURLDesc *server, struct sockaddr *address,
                        struct ldap_conncb *callback)
{
    struct directory_link *link = CONTAINER_OF(callback, struct directory_link, on_connect);
    struct timeval none = {.tv_sec = -1};
    ber_socket_t fd = -1;

    (void)server;
    (void)address;
    if (ber_sockbuf_ctrl(socket, LBER_SB_OPT_GET_FD, &fd) < 0 || ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &none))
        return -1;
    close_copy(link->fd);
    link->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (link->fd < 0)
        return -1;
    directory_attach(link, callback->lc_arg);
    return 0;
}

static void on_disconnected(LDAP *ld, Sockbuf *socket, struct ldap_conncb *callback)
{
    (void)ld;
    (void)socket;
    (void)callback;
}

static int connect_and_log_in(struct directory *directory, LDAP *ld, const char *uri, bool as_account,
                              const struct directory_limit *limit, struct error *error)
{
    int status;

    if (directory->start_tls) {
        if (start_tls(ld, uri, limit, error))
            return -1;
    } else if ((status = ldap_connect(ld)) != LDAP_SUCCESS) {
        say_unreachable(ld, uri, status, error);
        return -1;
    }
    return as_account && directory->bind_dn ? log_in(directory, ld, limit, error) : 0;
}

static struct directory_link *open_one(struct directory *directory, const char *uri, bool as_account,
                                       const struct directory_limit *limit, struct error *error)
{
    struct directory_link *link = mem_zalloc(sizeof *link);
    int status = ldap_initialize(&link->ld, uri);

    link->fd = -1;
    link->on_connect = (struct ldap_conncb){.lc_add = on_connected, .lc_del = on_disconnected, .lc_arg = limit->wire};
    if (status != LDAP_SUCCESS)
        error_set(error, ERROR_TEMP, "cannot use %s: %s", uri, ldap_err2string(status));
    else if (set_options(link->ld, limit) || (wants_tls(directory, uri) && set_tls(directory, link->ld)) ||
             ldap_set_option(link->ld, LDAP_OPT_CONNECT_CB, &link->on_connect))
        error_set(error, ERROR_TEMP, "cannot prepare a connection to %s: is ca_file in order?", uri);
    else if (!connect_and_log_in(directory, link->ld, uri, as_account, limit, error)) {
        directory_detach(limit->wire);
        return link;
    }
    directory_detach(limit->wire);
    directory_close(link);
    return NULL;
}

struct directory_link *directory_open(struct directory *directory, bool as_account, const struct directory_limit *limit,
                                      struct error *error)
{
    size_t first = atomic_load(&directory->first);

    error_set(error, ERROR_TEMP, "the directory did not answer in time");
    for (size_t i = 0; i < directory->uri_count && left_of(limit); i++) {
        size_t index = (first + i) % directory->uri_count, expected = index;
        /* one that hangs leaves the others their share of the time */
        struct directory_limit share = {clock_mono_ms() + left_of(limit) / (directory->uri_count - i), limit->wire};
        struct directory_link *link = open_one(directory, directory->uris[index], as_account, &share, error);

        if (link)
            return link;
        /* the next question does not wait for this one again */
        atomic_compare_exchange_strong(&directory->first, &expected, (index + 1) % directory->uri_count);
    }
    return NULL;
}

void directory_close(struct directory_link *link)
{
    if (!link)
        return;
    if (link->ld)
        ldap_unbind_ext(link->ld, NULL, NULL);
    close_copy(link->fd);
    free(link);
}

/* ---- looking for an entry ---- */

static const char **names_of(const struct directory_search *search)
{
    const char **names = mem_zalloc((search->attribute_count + search->name_count + 2) * sizeof *names);
    size_t count = 0;

    for (size_t i = 0; i < search->attribute_count; i++)
        names[count++] = search->attributes[i].name;
    for (size_t i = 0; i < search->name_count; i++)
        names[count++] = search->names[i].attribute;
    if (!count)
        names[0] = LDAP_NO_ATTRS;
    return names;
}

struct finding {
    char *dn;
    json_t *fields;
    bool is_odd;     /* the entry does not fit: `error` says why */
    bool is_another; /* the directory takes two names for one: who asked is not whom it found */
};

/* A directory that looks for "ann" finds her also as "ANN", " ann" or in letters that look like these. Each would be a
 * user of his own to whoever counts guesses, limits or blocks: so the name is that of the entry, and what is more than
 * another case of it is nobody's. */
static void take_name(struct directory_link *link, LDAPMessage *entry, const struct directory_search *search,
                      struct finding *finding, struct error *error)
{
    bool is_shown = true;
    char *name = directory_name_find(link->ld, entry, search, &is_shown);

    if (name && !json_object_get(finding->fields, "name"))
        json_object_set_new(finding->fields, "name", json_string(name));
    if (!name && !is_shown)
        error_set(error, ERROR_TEMP, "the entry does not show its %s: bind_dn must be able to read that",
                  search->names[0].attribute);
    finding->is_odd = !name && !is_shown;
    finding->is_another = !name && is_shown;
    free(name);
}

static void take_entry(struct directory_link *link, LDAPMessage *entry, const struct directory_search *search,
                       struct finding *finding, struct error *error)
{
    char *dn = ldap_get_dn(link->ld, entry);

    finding->dn = mem_strdup(dn ? dn : "");
    ldap_memfree(dn);
    finding->fields = directory_record(link->ld, entry, search, error);
    finding->is_odd = !finding->fields;
    if (finding->fields && search->name_count)
        take_name(link, entry, search, finding, error);
}

static enum directory_outcome read_end(const struct directory_search *search, int code, const struct finding *finding,
                                       struct error *error)
{
    if (code == LDAP_NO_SUCH_OBJECT && search->base_is_of_user)
        return DIRECTORY_NONE;
    if (code == LDAP_SIZELIMIT_EXCEEDED)
        error_set(error, ERROR_TEMP, "the directory has more than one entry for this user: the filter is too wide");
    else if (code == LDAP_NO_SUCH_OBJECT)
        error_set(error, ERROR_TEMP, "the directory has no such base, or does not show it to us");
    else if (code != LDAP_SUCCESS)
        error_set(error, ERROR_TEMP, "the directory does not search: %s (%d)", ldap_err2string(code), code);
    else if (!finding->dn || finding->is_another)
        return DIRECTORY_NONE;
    else if (!finding->is_odd)
        return DIRECTORY_DONE;
    return DIRECTORY_FAILED;
}

/* Reads messages until the search is done or has found too much. */
static enum directory_outcome read_search(struct directory_link *link, int id, const struct directory_search *search,
                                          const struct directory_limit *limit, struct finding *finding,
                                          struct error *error)
{
    for (;;) {
        LDAPMessage *message;
        enum directory_outcome outcome = wait_answer(link->ld, id, limit, &message, error);

        if (outcome != DIRECTORY_DONE)
            return outcome;
        if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
            return read_end(search, code_of(link->ld, message), finding, error);
        if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY && finding->dn) {
            ldap_msgfree(message);
            ldap_abandon_ext(link->ld, id, NULL, NULL);
            return read_end(search, LDAP_SIZELIMIT_EXCEEDED, finding, error);
        }
        if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY)
            take_entry(link, message, search, finding, error);
        ldap_msgfree(message);
    }
}

enum directory_outcome directory_find(struct directory_link *link, const struct directory_search *search,
                                      const struct directory_limit *limit, char **dn_out, json_t **fields_out,
                                      struct error *error)
{
    const char **names = names_of(search);
    struct timeval server = timeval_of(left_of(limit) + 999); /* whole seconds; ours are the ones that count */
    struct finding finding = {0};
    enum directory_outcome outcome;
    int id;
    int status = ldap_search_ext(link->ld, search->base, search->scope, search->filter, (char **)(uintptr_t)names, 0,
                                 NULL, NULL, &server, 2, &id);

    free(names);
    outcome = status == LDAP_SUCCESS ? read_search(link, id, search, limit, &finding, error) : not_sent(status, error);
    if (outcome == DIRECTORY_DONE) {
        *dn_out = finding.dn;
        *fields_out = finding.fields;
        return outcome;
    }
    free(finding.dn);
    json_decref(finding.fields);
    return outcome;
}
