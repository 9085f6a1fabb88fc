/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of commands: which verb goes where, when it is allowed, and whether it brings
 * mail forward. Whatever does not is counted: a client that only makes noise is slowed, then
 * sent away.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "receive/receive_private.h"
#include "receive/transaction.h"

#define COMMAND_SHOWN_BYTES 256

enum where {
    ANYWHERE = 0,
    AFTER_EHLO = 1,
    OUTSIDE_TRANSACTION = 2,
    INSIDE_TRANSACTION = 4,
};

static const struct row {
    command_fn *run; /* NULL: a verb we know of and do not have */
    unsigned where;
    bool is_idle; /* fine, but brings nothing forward */
} rows[SMTP_VERB_COUNT] = {
    [SMTP_VERB_EHLO] = {cmd_ehlo, ANYWHERE, true},
    [SMTP_VERB_HELO] = {cmd_ehlo, ANYWHERE, true},
    [SMTP_VERB_STARTTLS] = {cmd_starttls, ANYWHERE, false},
    [SMTP_VERB_AUTH] = {cmd_auth, ANYWHERE, false}, /* has an order of checks of its own */
    [SMTP_VERB_MAIL] = {cmd_mail, AFTER_EHLO | OUTSIDE_TRANSACTION, false},
    [SMTP_VERB_RCPT] = {cmd_rcpt, INSIDE_TRANSACTION, false},
    [SMTP_VERB_DATA] = {cmd_data, INSIDE_TRANSACTION, false},
    [SMTP_VERB_BDAT] = {cmd_bdat, ANYWHERE, false}, /* its bytes follow at once: it must eat them */
    [SMTP_VERB_RSET] = {cmd_rset, ANYWHERE, true},
    [SMTP_VERB_NOOP] = {cmd_noop, ANYWHERE, true},
    [SMTP_VERB_VRFY] = {cmd_vrfy, ANYWHERE, true},
    [SMTP_VERB_QUIT] = {cmd_quit, ANYWHERE, false},
    [SMTP_VERB_XCLIENT] = {cmd_xclient, ANYWHERE, false},
};

/* ---- noise ---- */

static void say_enough(struct session *session)
{
    session_replyf_close(session, 421, "4.7.0 %s too many commands that lead nowhere; closing",
                         session->connection->params->hostname);
}

static void say_held_back(struct session *session)
{
    struct smtp_reply reply = *session->held_reply;

    free(session->held_reply);
    session->held_reply = NULL;
    session_reply(session, &reply, SESSION_COMMAND);
}

void session_junk(struct session *session, int code, const char *text)
{
    const struct receive_params *params = session->connection->params;

    session->junk_commands++;
    if (session->junk_commands > params->junk_command_limit) {
        diag(DIAG_INFO, &session->scope, "too many commands that make no sense: closing");
        say_enough(session);
        return;
    }
    if (session->junk_commands <= params->junk_command_limit / 2) {
        session_replyf(session, code, "%s", text);
        return;
    }
    session->held_reply = mem_alloc(sizeof *session->held_reply);
    smtp_reply_set(session->held_reply, code, span_of(text));
    session_delay(session, params->junk_command_delay_ms, say_held_back);
}

/* Ten of these weigh as much as one command that makes no sense. */
#define IDLE_PER_JUNK 10

static bool is_too_idle(struct session *session)
{
    session->idle_commands++;
    return session->idle_commands > session->connection->params->junk_command_limit * IDLE_PER_JUNK;
}

/* ---- the line ---- */

/* Kept for records: never a line of an AUTH, which may hold a password wherever the client
 * has put it. */
void session_set_command(struct session *session, struct span line)
{
    struct smtp_command command;
    const struct auth_mechanism *mechanism;
    struct span word;

    free(session->command);
    session->command = NULL;
    smtp_command_parse(line, &command);
    if (command.verb != SMTP_VERB_AUTH) {
        session->command = span_dup(span_head(line, COMMAND_SHOWN_BYTES));
        return;
    }
    word = span_head(command.args, span_find(command.args, ' '));
    mechanism = auth_mechanism_find(word);
    session->command = mechanism ? mem_printf("AUTH %s", auth_mechanism_name(mechanism)) : mem_strdup("AUTH");
}

static bool is_in_place(struct session *session, const struct row *row)
{
    if ((row->where & AFTER_EHLO) && !session->connection->ehlo_domain)
        session_junk(session, 503, "5.5.1 say EHLO first");
    else if ((row->where & OUTSIDE_TRANSACTION) && session->transaction)
        session_junk(session, 503, "5.5.1 a transaction is under way");
    else if ((row->where & INSIDE_TRANSACTION) && !session->transaction)
        session_junk(session, 503, "5.5.1 MAIL comes first");
    else
        return true;
    return false;
}

static void run(struct session *session, const struct smtp_command *command)
{
    const struct row *row = &rows[command->verb];

    /* here, or the rules would be the former ones until policy itself is asked */
    policy_notice_epoch(session->listener->vm);
    if (!row->run)
        session_junk(session, 502, "5.5.1 command not implemented");
    else if (row->is_idle && is_too_idle(session))
        say_enough(session);
    else if (is_in_place(session, row))
        row->run(session, command);
}

/* Shutting down: whoever is in the middle of a message may finish it. */
static bool is_leaving(struct session *session)
{
    if (session->is_dismissed) {
        session_say_dismissed(session);
        return true;
    }
    if (!session->listener->stopping || session->transaction)
        return false;
    session_replyf_close(session, 421, "4.3.2 %s is shutting down", session->connection->params->hostname);
    return true;
}

void session_command(struct session *session, struct span line)
{
    struct smtp_command command;
    enum smtp_command_fault fault = smtp_command_parse(line, &command);

    session_set_command(session, line);
    if (fault != SMTP_COMMAND_FINE && session->is_chunk_line) {
        session_chunk_unknown(session);
        return;
    }
    switch (fault) {
    case SMTP_COMMAND_FINE:
        if (command.verb == SMTP_VERB_QUIT || !is_leaving(session))
            run(session, &command);
        return;
    case SMTP_COMMAND_UNKNOWN:
        session_junk(session, 502, "5.5.1 unknown command");
        return;
    case SMTP_COMMAND_8BIT:
        session_junk(session, 500, "5.5.2 8-bit bytes in a command");
        return;
    case SMTP_COMMAND_NO_ARGUMENTS:
        session_junk(session, 501, "5.5.4 an argument is missing");
        return;
    case SMTP_COMMAND_ARGUMENTS:
        session_junk(session, 501, "5.5.4 no arguments are allowed here");
        return;
    }
}

void session_bad_line(struct session *session, enum smtp_line_progress fault)
{
    free(session->command);
    session->command = NULL;
    if (session->is_chunk_line)
        session_chunk_unknown(session);
    else if (fault == SMTP_LINE_TOO_LONG && session->is_auth_line)
        session_junk(session, 500, "5.5.6 authentication exchange line is too long");
    else if (fault == SMTP_LINE_TOO_LONG)
        session_junk(session, 500, "5.2.3 line too long");
    else if (fault == SMTP_LINE_BAD_END)
        session_junk(session, 500, "5.5.2 lines end with CRLF, and only with it");
    else
        session_junk(session, 500, "5.5.2 control characters in a command");
}
