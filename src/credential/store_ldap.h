/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the LDAP stores: connections to a directory (RFC 4511) and what is asked over them. All of it
 * blocks, up to a limit, and runs on threads of the store's pool; a link is used by one thread at a time.
 */
#ifndef GATEPOST_CREDENTIAL_STORE_LDAP_H
#define GATEPOST_CREDENTIAL_STORE_LDAP_H

#include <jansson.h>
#include <lber.h>
#include <ldap.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "base/span.h"
#include "credential/pace.h"

#define DIRECTORY_URIS_MOST 16
#define DIRECTORY_ATTRIBUTES_MOST 16
#define DIRECTORY_NAMES_MOST 4
#define DIRECTORY_TEXT_LIMIT_BYTES 16384 /* of a filter or a name with the user in it */

/* Where the directory is, and who we are there. Fixed after open. */
struct directory {
    char *uris[DIRECTORY_URIS_MOST];
    size_t uri_count;
    atomic_size_t first; /* to be tried: the one after the last that failed */
    bool start_tls;
    char *ca_file;       /* or NULL: the system's authorities */
    char *bind_dn;       /* or NULL: anonymous */
    char *bind_password; /* a secret */
    size_t bind_password_len;
};

void directory_done(struct directory *directory);

/* The connection that a question uses just now, for whoever wants to cut it from another thread: the library waits
 * without end in a TLS handshake, whatever limit it is given. */
struct directory_wire {
    pthread_mutex_t lock;
    int fd; /* -1: none. Of our own (dup), so that the number cannot come to mean something else */
    bool is_cut;
};

void directory_wire_init(struct directory_wire *wire);
void directory_wire_done(struct directory_wire *wire);
void directory_wire_cut(struct directory_wire *wire); /* from any thread; what waits on it ends, now and later */

/* How long one may wait, and the wire, which may be cut before. */
struct directory_limit {
    uint64_t until_ms; /* monotonic */
    struct directory_wire *wire;
};

/* A connection: up, secured as configured. */
struct directory_link {
    struct list_node node;
    LDAP *ld;
    struct ldap_conncb on_connect; /* the library's */
    int fd;                        /* its socket, once more: see directory_wire */
    bool is_used;                  /* has served before: the server may have closed it meanwhile */
};

/* Tries the addresses in turn. `as_account`: logs in as bind_dn. NULL with an error that holds no secret. */
struct directory_link *directory_open(struct directory *directory, bool as_account, const struct directory_limit *limit,
                                      struct error *error);
void directory_close(struct directory_link *link); /* NULL is fine */

/* Around each use: `wire` is this link's meanwhile. */
void directory_attach(struct directory_link *link, struct directory_wire *wire);
void directory_detach(struct directory_wire *wire);

enum directory_outcome {
    DIRECTORY_DONE,
    DIRECTORY_NONE,    /* no such entry */
    DIRECTORY_REFUSED, /* the password is wrong */
    DIRECTORY_FAILED,  /* an answer that is no verdict; the link is good */
    DIRECTORY_LOST,    /* the link has broken; another may do better */
    DIRECTORY_LATE,    /* no answer in time; the link must go */
};

/* ---- entries ---- */

struct directory_attribute {
    char *field; /* of the record: "groups" */
    char *name;  /* in the directory: "memberOf" */
};

/* An attribute by which the entry is found, and what of its value is not the user's name: "smtp:" before it, say. */
struct directory_name {
    char *attribute, *before, *after;
};

/* Of "(uid={user})" in a filter, and, with scope "base", of "cn={user},..." in a base. Returns how many. */
size_t directory_names_of(const char *filter, const char *base, bool is_base,
                          struct directory_name names_out[DIRECTORY_NAMES_MOST]);
void directory_names_done(struct directory_name *names, size_t count);

struct directory_search {
    const char *base, *filter;
    int scope; /* LDAP_SCOPE_... */
    const struct directory_attribute *attributes;
    size_t attribute_count;
    const struct directory_name *names;
    size_t name_count;
    const char *user;
    bool base_is_of_user; /* no such base is then no such user */
    bool groups_by_name;  /* of a group that is a DN, the value of its first part */
};

/* Finds the one entry there is: its DN (the caller's, free) and its record. */
enum directory_outcome directory_find(struct directory_link *link, const struct directory_search *search,
                                      const struct directory_limit *limit, char **dn_out, json_t **fields_out,
                                      struct error *error);

/* `password` must not be empty: that would be an anonymous login, which always succeeds (RFC 4513, section 5.1.2). */
enum directory_outcome directory_bind(struct directory_link *link, const char *dn, struct span password,
                                      const struct directory_limit *limit, struct error *error);

/* Is `name` a field of the record that an attribute can fill? */
bool directory_field_is_known(const char *name);
/* The record from an entry's attributes; NULL when they do not fit. */
json_t *directory_record(LDAP *ld, LDAPMessage *entry, const struct directory_search *search, struct error *error);
/* The user's name as the entry writes it, the caller's; NULL: it has another one, or (is_shown_out) shows us none. */
char *directory_name_find(LDAP *ld, LDAPMessage *entry, const struct directory_search *search, bool *is_shown_out);
/* The same for one value. NULL: it is no spelling of `user`, whatever the directory makes of it. Pure. */
char *directory_name_in(const struct directory_name *name, struct span value, struct span user);
/* Where the entry's name is made and not looked for: a name that the directory cannot take for another one, but for the
 * case of its letters. */
bool directory_name_is_plain(const char *user);
/* One field from its values; NULL when they do not fit. Pure. */
json_t *directory_field(const char *field, struct berval *const *values, size_t count, bool groups_by_name,
                        struct error *error);

/* ---- the stores ---- */

enum link_use { LINK_SEARCH, LINK_BIND, LINK_USES };

struct store {
    /* fixed after open */
    struct directory directory;
    struct directory_attribute attributes[DIRECTORY_ATTRIBUTES_MOST];
    size_t attribute_count;
    struct directory_name names[DIRECTORY_NAMES_MOST];
    size_t name_count;
    char *base, *filter, *dn; /* templates; dn is NULL when the entry is searched for */
    int scope;
    bool groups_by_name;
    bool judges;  /* "ldap-bind" */
    char *nobody; /* "cn=...,": the first part of a name that no entry has */
    uint64_t limit_ms;
    size_t threads;

    /* of the lookup thread */
    struct loop *loop;
    struct store_pool *pool;

    /* shared */
    struct pace pace;

    /* shared, under lock */
    pthread_mutex_t lock;
    struct list idle[LINK_USES]; /* connections that nobody uses */
};

struct settings;

struct store *store_ldap_open(struct settings *settings, bool judges, struct error *error);
void store_ldap_free(void *store);

#endif
