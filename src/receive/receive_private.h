/* SPDX-License-Identifier: Apache-2.0
 *
 * The session and what its files share. A session is driven by the bytes of its peer: lines
 * are taken one by one, each by the handler of its verb, and each is answered before the next
 * is looked at. Where an answer has to wait (for policy, for the spool, for a delay on
 * purpose) the session is `waiting` and the rest of the input stays where it is.
 *
 * The rule that keeps this file's users out of trouble: a session is never freed within a
 * call; session_close lets go of everything and the memory follows at the end of the turn. So
 * every function may go on to use its session after any call, if it looks at the state.
 */
#ifndef GATEPOST_RECEIVE_RECEIVE_PRIVATE_H
#define GATEPOST_RECEIVE_RECEIVE_PRIVATE_H

#include "auth/exchange.h"
#include "base/buf.h"
#include "base/map.h"
#include "log/diag.h"
#include "loop/listener.h"
#include "loop/socket.h"
#include "receive/domain.h"
#include "receive/receive.h"
#include "smtp/command.h"
#include "smtp/data.h"
#include "smtp/params.h"

#define SCRATCH_BYTES ((size_t)64 * 1024)
#define COMMAND_READ_BYTES ((size_t)8 * 1024) /* read at a time while commands come in */
#define INPUT_LIMIT_BYTES (2 * SCRATCH_BYTES) /* pipelined commands that have to wait */
#define WRITE_LIMIT_BYTES ((size_t)256 * 1024)
#define CLOSE_LINGER_MS 2000
#define CR_LF_BYTES 2

enum session_state {
    SESSION_PROXY,     /* the balancer's PROXY header comes first */
    SESSION_HANDSHAKE, /* TLS */
    SESSION_GREETING,  /* policy decides whether there is a 220 */
    SESSION_COMMAND,
    SESSION_AUTH, /* a response line of a SASL exchange comes next */
    SESSION_DATA, /* the text after 354 */
    SESSION_BDAT, /* the bytes of a chunk */
    SESSION_CLOSED,
    SESSION_STATE_COUNT,
};

enum session_waiting {
    WAITING_NOT,
    WAITING_POLICY,
    WAITING_GATE, /* for the gate, or for keys that are being made */
    WAITING_STORE,
    WAITING_DELAY,
};

struct auth_attempt;
struct gate_guess;
struct relay_memory;
struct session_budget;
struct live;
struct transaction;
struct session;

typedef void session_then_fn(struct session *session);
typedef void session_policy_fn(struct session *session, const struct policy_result *result);
typedef int session_push_fn(lua_State *L, struct session *session);

struct receive_share {
    atomic_uint refs;
    atomic_ullong connections;
};

struct receive_listener {
    struct loop *loop;
    struct policy_vm *vm;
    struct receive_params *params;
    struct receive_share *share;
    const struct receive_ops *ops;
    void *ctx;
    struct listener *listener; /* NULL once stopped */
    struct list sessions;
    struct list suspicions; /* that handlers are being told of */
    void (*on_drained)(void *ctx);
    void *drained_ctx;
    bool stopping;
    char *scratch; /* what any session reads into: so that an idle one needs no room */
};

struct session {
    struct list_node node;
    struct receive_listener *listener;
    struct socket *socket; /* NULL once closed */
    struct receive_connection *connection;
    enum session_state state;

    /* input */
    struct buf input; /* read, but not looked at yet; empty most of the time */
    struct smtp_line_reader lines;
    bool is_auth_line;      /* the line that comes in may hold a password */
    bool is_behind_bare_lf; /* the next line may be the rest of one that should not have ended yet */
    bool is_chunk_line;     /* it begins as BDAT does: where it cannot be read, what follows may be its chunk */
    bool is_pumping;
    size_t bytes_behind; /* while pumping: how many stand behind the line in hand */
    bool is_at_eof;
    uint64_t line_began_ms; /* when the first byte of an unfinished line came; 0: no such line */
    uint64_t last_input_ms;
    struct timer timeout;

    /* waiting */
    enum session_waiting waiting;
    struct policy_call *call;
    session_policy_fn *then_policy;
    session_then_fn *then_delay;
    struct gate_guess *welcome; /* while it is asked whether the address is blocked */
    session_then_fn *then_welcome;
    struct timer delay;
    struct deferred resume;

    /* the answer that is on its way */
    struct smtp_reply *rewriting; /* held while policy may rewrite it */
    enum session_state after_reply;
    bool close_after_reply;
    session_then_fn *then_reply;

    /* the command in hand */
    char *command;    /* the line, for records; secrets left out */
    char *ehlo_asked; /* the name that policy is asked about */
    bool ehlo_is_esmtp;
    uint32_t announced_mechanisms; /* by their index: those that the last EHLO was answered with */
    char *rcpt_asked;
    struct smtp_reply *held_reply; /* said after a delay */
    uint64_t chunk_left;           /* bytes of a BDAT chunk still to come */
    uint64_t chunk_began_ms;
    struct smtp_reply *chunk_refusal; /* they are dropped, then this is said */

    /* what came before */
    struct transaction *transaction;
    struct receive_reception *reception; /* from the end of data to its answer */
    struct auth_attempt *attempt;        /* a login under way */
    struct relay_memory *relay_memory;
    struct session_budget *budget; /* NULL: nothing limits it */
    struct live *live;             /* while it is logged in */
    bool is_dismissed;             /* it has to go as soon as it can */
    unsigned auth_failures;
    unsigned junk_commands;
    uint64_t idle_commands;
    uint64_t messages; /* MAIL commands accepted */

    struct diag_scope scope;
    char peer_text[SOCKADDR_TEXT_BYTES];
    struct deferred reaper;
};

/* ---- session.c: birth, states, death ---- */

void session_start(struct receive_listener *listener, int fd, const struct sockaddr *remote);
/* Who the client is, is settled: the handshake, or the greeting. */
void session_open(struct session *session);
/* The only writer of the state. */
void session_enter(struct session *session, enum session_state state);
/* Ends it at once; what was written is still sent. Harmless when it has ended. */
void session_close(struct session *session, const char *why);
void session_arm_timeout(struct session *session);
/* Parameters as via, peer, and policy have them, for the addresses that now hold. */
void session_use_params(struct session *session, struct receive_params *params /* stolen */);
void session_drop_transaction(struct session *session);

/* ---- session_io.c: bytes in ---- */

extern const struct socket_handler session_socket_handler;
/* Goes on with what was read while the session waited. */
void session_resume_soon(struct session *session);
/* True when bytes of the client's are in hand that were not looked at. */
bool session_has_input(const struct session *session);
bool session_has_bytes_behind(const struct session *session);
void session_drop_input(struct session *session);

/* ---- welcome.c: whose address is blocked for guessing gets no further ---- */

/* Turns the client away or goes on with `then`. Without asking policy, and before TLS. */
void session_welcome(struct session *session, session_then_fn *then);
void session_abandon_welcome(struct session *session);

/* ---- greeting.c: from accept to 220 ---- */

void session_greet(struct session *session); /* dynamic parameters, connection_accepted, 220 */
size_t session_take_proxy(struct session *session, struct span input);
/* How many bytes may be read so that none of what follows the header is. */
size_t session_proxy_wanted(struct span have);

/* ---- session_reply.c: answers ---- */

/* Answers the command in hand and goes on in `next`. 421 closes, whatever `next` is and whatever
 * smtp_server_rewrite_response makes of it. The last act of a handler. */
void session_reply(struct session *session, const struct smtp_reply *reply, enum session_state next);
void session_replyf(struct session *session, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Text of any length, lines separated by '\n'. */
void session_reply_text(struct session *session, int code, struct span text);
/* Answers, then closes. */
void session_reply_close(struct session *session, const struct smtp_reply *reply);
/* The same with a 421 of ours in between. */
void session_reply_421_close(struct session *session, const struct smtp_reply *reply);
void session_replyf_close(struct session *session, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* We are shutting down: 421, and the end. */
void session_say_goodbye(struct session *session);
/* Says it and closes, without asking policy and without a record: cheap enough for a flood. */
void session_turn_away(struct session *session, const char *text);
/* Answers, then calls `then` (still within the command). */
void session_reply_then(struct session *session, const struct smtp_reply *reply, session_then_fn *then);

/* ---- session_policy.c ---- */

/* Asks policy; `then` gets the result, at once when nobody handles the event. */
void session_ask(struct session *session, enum policy_event event, policy_push_fn *push, session_policy_fn *then);
void session_cancel_ask(struct session *session);
/* The usual meaning of a result that is no plain success: answers and returns true. */
bool session_refused(struct session *session, const struct policy_result *result);
/* A result as data; NULL with `error`. Absent and nil give JSON null. */
json_t *session_result_json(const struct policy_result *result, struct error *error);
int session_push_connection(lua_State *L, struct session *session);
/* Pushes an EnvelopeAddress. */
void session_push_address(lua_State *L, const char *mailbox);
/* The text of an EnvelopeAddress or a string; its data is NULL when it is neither. */
struct span session_address_text(lua_State *L, int index);
/* What stands behind the last @. */
struct span address_domain(struct span mailbox);
/* Waits on purpose, then calls `then`. */
void session_delay(struct session *session, uint64_t delay_ms, session_then_fn *then);

/* ---- commands.c ---- */

void session_command(struct session *session, struct span line);
void session_bad_line(struct session *session, enum smtp_line_progress fault);
/* A BDAT whose size is unknown: where its chunk ends is anybody's guess, and its bytes are not commands. */
void session_chunk_unknown(struct session *session);
/* Answers a command that makes no sense: slowed after some, 421 after more. */
void session_junk(struct session *session, int code, const char *text);
void session_set_command(struct session *session, struct span line);

typedef void command_fn(struct session *session, const struct smtp_command *command);
command_fn cmd_ehlo, cmd_starttls, cmd_auth, cmd_mail, cmd_rcpt, cmd_data, cmd_bdat, cmd_rset, cmd_noop, cmd_vrfy,
    cmd_quit, cmd_xclient;

/* cmd_starttls.c */
void session_start_tls(struct session *session);

/* cmd_auth.c: a line of an exchange, without CRLF; too long: NULL */
void session_auth_line(struct session *session, const struct span *line);
/* When the login under way began. */
uint64_t session_auth_began_ms(const struct session *session);
void session_abandon_auth(struct session *session);

/* auth_suspect.c: their handlers are left where they are */
void auth_drop_suspicions(struct receive_listener *listener);

/* auth_offer.c: may this session use the mechanism now? */
enum session_offer {
    OFFER_MADE,
    OFFER_VAIN,      /* all is well but that nobody is there who could say yes: not announced, and always refused */
    OFFER_UNDER_TLS, /* not in clear */
    OFFER_NONE,
};
enum session_offer session_offer_of(struct session *session, const struct auth_mechanism *mechanism);
bool session_offers(struct session *session, const struct auth_mechanism *mechanism);
/* The last EHLO was answered with it (cmd_ehlo.c). */
bool session_announced(const struct session *session, const struct auth_mechanism *mechanism);

/* cmd_data.c, cmd_bdat.c: each returns how many bytes of `input` it took */
size_t session_take_data(struct session *session, struct span input);
size_t session_take_chunk(struct session *session, struct span input);

/* end_of_data.c: all of the message is in the transaction's body */
void session_end_of_data(struct session *session);
/* The session ends: what is being stored goes on alone, the rest is dropped. */
void session_abandon_reception(struct session *session);

/* ---- sessions.c: those that are logged in ---- */

void session_register(struct session *session);
void session_unregister(struct session *session);
/* The operator wants it closed. */
void session_dismiss(struct session *session);
void session_say_dismissed(struct session *session);

/* ---- relay_check.c: may mail go from `sender_domain` to `recipient_domain`? ---- */

enum relay_verdict {
    RELAY_REFUSED,
    RELAY_ALLOWED,
    RELAY_LOG_ONLY, /* taken for its reports; never sent on */
    RELAY_ANSWERED, /* policy failed or rejected: the answer is `reply` */
};

typedef void relay_then_fn(struct session *session, enum relay_verdict verdict, const struct smtp_reply *reply);
/* Both domains may be empty (the null sender). One at a time per session. */
void relay_check(struct session *session, struct span sender_domain, struct span recipient_domain, relay_then_fn *then);
void relay_forget(struct session *session);
void relay_memory_free(struct relay_memory *memory);

#endif
