/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's insides, shared by the files of this room. The way of a connection is the way
 * through them: session.c (birth, hunger, death), walk.c (hosts and addresses), greeting.c
 * (until the peer is ready for mail), transaction.c (one message), body.c (its text);
 * state.c keeps the states, replies.c reads, outcome.c says what a failure means.
 */
#ifndef GATEPOST_DELIVER_PRIVATE_H
#define GATEPOST_DELIVER_PRIVATE_H

#include "base/buf.h"
#include "deliver/deliver.h"
#include "loop/socket.h"
#include "smtp/data.h"
#include "smtp/ehlo.h"
#include "tls/tls.h"

/* The reply whose answer is awaited, or what else is being waited for. */
enum deliver_state {
    STATE_WALKING, /* between two attempts: the next step runs from the loop */
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_BANNER,
    STATE_EHLO,
    STATE_HELO,
    STATE_STARTTLS,
    STATE_HANDSHAKE,
    STATE_AUTH,
    STATE_IDLE, /* the peer is ready; from here on the connection "stands" */
    STATE_MAIL,
    STATE_RCPT,
    STATE_DATA,
    STATE_BODY,
    STATE_DOT,
    STATE_RSET,
    STATE_ENDED, /* only on_end is still to come */
};

/* Why the site could not be used so far. A transient reason outlives a refusal: as long as
 * one host might take the mail later, the mail is not bounced. */
struct site_reason {
    struct smtp_reply *reply; /* NULL: none yet */
    bool is_refusal;          /* a host said 5xx to all mail, and no other host left hope */
};

/* Where the walk through the plan's hosts stands. */
struct walk {
    size_t host; /* the next host; the current one is the one before */
    struct dns_question *question;
    struct ip addresses[DNS_ADDRESSES_LIMIT];
    size_t address_count;
    size_t next_address;
    size_t tries;
    bool saw_skipped, saw_other_family, saw_ourselves;
    bool again_in_clear; /* the next address is the last one once more, without TLS */
    struct site_reason reason;
};

/* A reply that recipients share; freed with the transaction. */
struct saved_reply {
    struct saved_reply *next;
    struct smtp_reply reply;
};

/* One message on its way. Its commands are numbered: 0 is MAIL, then one RCPT for each
 * recipient, then DATA; replies come in the same order. */
struct transaction {
    struct message *message;
    size_t count;    /* recipients */
    size_t sent;     /* commands */
    size_t answered; /* replies to them */
    bool mail_accepted;
    size_t accepted;                      /* recipients */
    bool is_8bit, is_utf8;                /* what it needs of the peer */
    struct deliver_recipient *recipients; /* no reply: not decided yet */
    struct saved_reply *replies;          /* latest first */
    struct smtp_data_encoder encoder;
    size_t encoded; /* bytes of the body that were handed to the socket */
};

struct deliver_session {
    /* fixed after start */
    struct loop *loop;
    struct dns *dns;
    struct route_plan *plan;
    const struct deliver_handler *handler;
    void *ctx;

    enum deliver_state state; /* written by deliver_session_enter alone */
    struct timer timer;
    struct deferred kick; /* the next step, outside of everybody's stack */
    unsigned telling;     /* inside a callback of the owner's */

    struct walk walk;

    /* the connection */
    struct socket *socket;
    struct buf input;
    struct smtp_capabilities capabilities;
    bool in_clear;     /* this connection does without TLS after a failed handshake */
    bool tls_given_up; /* the peer offered STARTTLS, refused it, and the path does not insist */
    bool is_authenticated;
    bool stands;
    char peer_address[SOCKADDR_TEXT_BYTES];
    char source_address[SOCKADDR_TEXT_BYTES];

    /* messages */
    struct list waiting;
    struct transaction *transaction;
    size_t done; /* messages that this connection has seen the end of */
    bool is_hungry;
    bool is_finishing;

    enum deliver_end end;
    struct smtp_reply *end_reply;
};

/* ---- state.c ---- */

void deliver_session_enter(struct deliver_session *session, enum deliver_state state);
const char *session_doing(const struct deliver_session *session); /* phrase for people */
bool session_awaits_reply(const struct deliver_session *session);
const char *deliver_session_command(const struct deliver_session *session); /* whose reply is awaited; or "" */

/* ---- session.c ---- */

const struct socket_handler *deliver_session_socket_handler(void);
void session_on_timer(void *ctx);
/* The peer is ready: sends the next message, asks for some, or ends. */
void session_ready(struct deliver_session *session);
/* Ends it all; on_end follows from the loop. The transaction must be over. */
void session_end(struct deliver_session *session, enum deliver_end end, const struct smtp_reply *reply);
/* The connection is of no more use. Before it stood, the walk goes on; after, the message in
 * flight comes back, with `reply` where nothing else is known, and the session ends. */
void session_lost(struct deliver_session *session, const struct smtp_reply *reply);
/* "451 4.4.2 <what happened>, <what we were doing>" */
void session_lost_because(struct deliver_session *session, const char *happened);
void session_close_socket(struct deliver_session *session);
/* 0, or -1 when the connection is lost (which is then already dealt with). */
int session_send(struct deliver_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- replies.c ---- */

void session_read(struct deliver_session *session);

/* ---- walk.c ---- */

void walk_next(struct deliver_session *session);
void walk_stop(struct deliver_session *session);
const struct route_plan_host *walk_host(const struct deliver_session *session);
/* This attempt came to nothing because of `reply`: remembers it, closes, goes on. */
void walk_failed(struct deliver_session *session, const struct smtp_reply *reply);

/* ---- greeting.c ---- */

void greeting_start(struct deliver_session *session); /* the connection is up */
/* A server may quote the AUTH line it refuses: its words are for logs, and our password is not. */
void greeting_hush(const struct deliver_session *session, struct smtp_reply *reply);
void greeting_on_reply(struct deliver_session *session, const struct smtp_reply *reply);

/* ---- transaction.c ---- */

/* Begins with the next message; one that cannot go to this peer is refused, and the session is idle still. */
void transaction_start(struct deliver_session *session, struct message *message);
void transaction_on_reply(struct deliver_session *session, const struct smtp_reply *reply);
/* Replies that are still to come. */
size_t transaction_expected(const struct deliver_session *session);
/* Ends it: whoever is undecided gets `verdict` and `reply`. */
void transaction_finish(struct deliver_session *session, enum deliver_verdict verdict, const struct smtp_reply *reply,
                        const char *command);
/* Does the peer know nothing of this message yet? */
bool transaction_is_untouched(const struct deliver_session *session);

/* ---- body.c ---- */

/* Sends as much as the socket should hold; ends in STATE_DOT. */
void body_send(struct deliver_session *session);
bool body_is_8bit(const struct message *message);
bool body_needs_utf8(const struct message *message);

/* ---- outcome.c ---- */

enum deliver_verdict outcome_of_reply(const struct smtp_reply *reply);
enum deliver_verdict outcome_of_rcpt_reply(const struct smtp_reply *reply);
bool outcome_closes(const struct smtp_reply *reply); /* 421, RFC 5321 section 3.8 */
void outcome_note_site(struct site_reason *reason, enum deliver_state state, const struct smtp_reply *reply);
/* Why no host of the plan could be used. */
void outcome_of_walk(const struct walk *walk, struct smtp_reply *reply_out);
/* Why this message cannot go to this peer at all; false when it can. */
bool outcome_forbids(const struct transaction *transaction, const struct smtp_capabilities *capabilities,
                     struct smtp_reply *reply_out);

/* ---- settings.c ---- */

#define HOSTNAME_BYTES 256
void settings_hostname(char out[HOSTNAME_BYTES]);
bool settings_is_own_address(const struct sockaddr *address);
/* A reference, or NULL with `error` set. */
struct tls_client *settings_tls_client(enum tls_verify verify, struct error *error);

#endif
