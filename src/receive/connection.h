/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known about one inbound connection, and what policy noted about it: the object
 * that handlers get as conn_meta, whose content every message of the connection inherits.
 * It belongs to one worker's thread and is counted there, because a message that is being
 * stored may outlive its session.
 *
 * Nothing is built before it is asked for: a connection of no interest to the policy costs
 * this struct and no JSON.
 */
#ifndef GATEPOST_RECEIVE_CONNECTION_H
#define GATEPOST_RECEIVE_CONNECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/identity.h"
#include "base/cidr.h"
#include "receive/params.h"

struct gate_login;
struct gate_verdict;

#define RECEIVE_CONNECTION_CLASS "connectionmeta" /* the Lua class (policy/modules/mod_connection.c) */
#define RECEIVE_SESSION_ID_CHARS 36
#define RECEIVE_META_BYTES_LIMIT (64 * 1024) /* of one value, as JSON */
#define RECEIVE_META_KEYS_LIMIT 256

/* What the gate said when a handler asked it, in the attempt to log in that is under way (receive/auth_attempt.h). */
struct receive_checked {
    char *asked;        /* about whom; NULL: nobody has asked */
    char *user, *store; /* as in gate_verdict */
    bool is_known, is_cached;
    struct gate_login *login; /* NULL: it would not let him in, and `info` neither */
    struct auth_info *info;
};

struct receive_connection {
    unsigned refs;
    struct receive_params *params; /* those in force for this connection */

    /* who is talking, and to which of our addresses: PROXY and XCLIENT change them */
    struct ip remote_ip, local_ip;
    uint16_t remote_port, local_port;
    struct ip proxy_ip; /* who told us so; family 0: nobody */
    char *ehlo_domain;  /* NULL before EHLO */
    bool is_esmtp;      /* greeted with EHLO */

    /* NULL without TLS */
    char *tls_protocol;
    char *tls_cipher;
    char *tls_peer_subject; /* NULL too when the client showed no certificate we trust */

    /* NULL before a login */
    struct auth_info *auth;
    struct gate_login *login; /* NULL too when no gate has rules here */
    struct receive_checked checked;
    char *authz_id;
    char *authn_id;

    /* private: what policy set before the greeting, and after it (forgotten at STARTTLS) */
    json_t *greeting_meta;
    json_t *session_meta;
    bool is_greeted;
    json_t *all_meta; /* NULL: to be made when it is next asked for */
    char session_id[RECEIVE_SESSION_ID_CHARS + 1];
};

struct receive_connection *receive_connection_new(struct receive_params *params, const struct sockaddr *remote,
                                                  const struct sockaddr *local) __attribute__((returns_nonnull));
struct receive_connection *receive_connection_ref(struct receive_connection *connection);
void receive_connection_unref(struct receive_connection **connection);

/* "ip:port" of the client, of our side. */
void receive_connection_from(const struct receive_connection *connection, char out[SOCKADDR_TEXT_BYTES]);
void receive_connection_via(const struct receive_connection *connection, char out[SOCKADDR_TEXT_BYTES]);

/* A UUID, made when first asked for. */
const char *receive_connection_session_id(struct receive_connection *connection);

/* The protocol of the Received header: ESMTPSA, ESMTPS, ESMTPA, ESMTP, SMTP (RFC 3848). */
const char *receive_connection_protocol(const struct receive_connection *connection);

/* What policy set under `key`, else what we know by that name. A new reference, or NULL. */
json_t *receive_connection_get_meta(const struct receive_connection *connection, const char *key);

/* -1 when there is no room for more. */
int receive_connection_set_meta(struct receive_connection *connection, const char *key, json_t *value /* stolen */,
                                struct error *error) __attribute__((warn_unused_result));

/* All of it, for messages and records: borrowed, and made once. */
json_t *receive_connection_all_meta(struct receive_connection *connection);

/* After writing to the struct: what was made of it is made anew. */
void receive_connection_changed(struct receive_connection *connection);

/* What the client said or made policy note is forgotten, who it is too (RFC 3207, section 4.2). */
void receive_connection_forget(struct receive_connection *connection);

/* ---- auth_checked.c ---- */

void auth_checked_note(struct receive_connection *connection, const char *asked, const struct gate_verdict *verdict);
void auth_checked_forget(struct receive_connection *connection);

#endif
