/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes in. They are read into a scratch buffer that all sessions of a worker share and
 * looked at where they lie; only what cannot be used yet is copied into the session. While a
 * session waits for something of ours it goes on reading up to a ceiling, for one reason: so
 * that a client's departure is noticed.
 */
#include <string.h>

#include "base/must.h"
#include "base/secret.h"
#include "receive/receive_private.h"

#define TLS_RECORD_HANDSHAKE 0x16
/* Then it is the others' turn, however fast this client is. Commands are read in smaller pieces: they are more work. */
#define TURN_BYTES (128 << 10)
#define TURN_READS 8

bool session_has_input(const struct session *session) { return buf_len(&session->input) > 0; }

bool session_has_bytes_behind(const struct session *session)
{
    return session->is_pumping ? session->bytes_behind > 0 : session_has_input(session);
}

/* Pipelined input may hold a password: it is wiped before its memory goes back. */
void session_drop_input(struct session *session)
{
    if (session->input.data)
        secret_wipe(session->input.data, session->input.capacity);
    buf_release(&session->input);
}

/* ---- one step: how many bytes of `view` were taken; 0: more are needed ---- */

static bool is_first_of_http(struct span view)
{
    static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PRI "};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_istarts_with(view, span_of(methods[i])))
            return true;
    return false;
}

/* Another protocol's client: whatever it says next could be read as commands that somebody
 * else wrote for it (a browser can be made to send mail that way). */
static bool is_another_protocol(struct session *session, struct span view)
{
    const char *what = NULL;

    if (view.data[0] == TLS_RECORD_HANDSHAKE)
        what = "TLS bytes where commands in clear were expected";
    else if (is_first_of_http(view))
        what = "an HTTP request";
    if (!what)
        return false;
    diag(DIAG_WARN, &session->scope, "%s: closing", what);
    session_close(session, what);
    return true;
}

/* At the first byte of a line. Whether it is an AUTH command decides how long it may be, and
 * that it is wiped after. */
static void begin_line(struct session *session, struct span view)
{
    size_t limit = (size_t)session->connection->params->line_length_hard_limit;

    session->is_auth_line = session->state == SESSION_AUTH || span_istarts_with(view, SPAN_LIT("AUTH "));
    session->is_chunk_line = session->state == SESSION_COMMAND && span_istarts_with(view, SPAN_LIT("BDAT"));
    if (session->is_auth_line && limit < AUTH_LINE_LIMIT)
        limit = AUTH_LINE_LIMIT;
    session->lines.limit_bytes = limit + CR_LF_BYTES;
}

static void take_auth_line(struct session *session, enum smtp_line_progress progress, struct span line)
{
    if (progress == SMTP_LINE_TOO_LONG)
        session_auth_line(session, NULL);
    else if (progress == SMTP_LINE_DONE)
        session_auth_line(session, &line);
    else
        session_auth_line(session, &SPAN_LIT("!")); /* not base64 either */
}

/* What was typed for a password does not stay in the buffer that all sessions share. */
static void wipe_secret_line(struct span line)
{
    if (line.len > 0)
        secret_wipe((char *)(uintptr_t)line.data, line.len);
}

static bool ends_in_bare_lf(struct span line) { return line.len < 2 || line.data[line.len - 2] != '\r'; }

/* What stands behind a bare LF, up to the next CRLF, was perhaps meant by somebody as part of the same line, and is not
 * run. Where a network cut the stream that part is still to come. */
static size_t skip_tail(struct session *session, struct span tail)
{
    const char *end = memmem(tail.data, tail.len, "\r\n", 2);

    session->is_behind_bare_lf = !end;
    return end ? (size_t)(end - tail.data) + 2 : 0;
}

/* It may be such a part, or a client's next command. These say nothing about mail, so nobody gains by having them run.
 */
static bool is_harmless(struct span line)
{
    static const char *const verbs[] = {"NOOP", "RSET", "QUIT", "EHLO", "HELO"};

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (span_istarts_with(line, span_of(verbs[i])) && (line.len == 4 || line.data[4] == ' '))
            return true;
    return false;
}

static void take_whole_line(struct session *session, enum smtp_line_progress progress, struct span line)
{
    bool may_be_tail = session->is_behind_bare_lf;

    session->is_behind_bare_lf = false;
    if (session->state == SESSION_AUTH)
        take_auth_line(session, progress, line);
    else if (progress != SMTP_LINE_DONE)
        session_bad_line(session, progress);
    else if (may_be_tail && !is_harmless(line))
        session_bad_line(session, SMTP_LINE_BAD_END);
    else
        session_command(session, line);
}

static size_t take_line(struct session *session, struct span view)
{
    struct span line = SPAN_LIT("");
    size_t used;
    enum smtp_line_progress progress;
    bool is_bare_lf;

    /* at each look at a line, whose first word may come in pieces */
    if (!session->lines.skipping && session->state == SESSION_COMMAND && is_another_protocol(session, view))
        return 0;
    if (!session->lines.skipping)
        begin_line(session, view);
    if (!session->line_began_ms)
        session->line_began_ms = loop_now_ms(session->listener->loop);
    progress = smtp_line_take(&session->lines, view, &line, &used);
    if (progress == SMTP_LINE_MORE)
        return used;
    session->line_began_ms = 0;
    session->bytes_behind = view.len - used;
    is_bare_lf = ends_in_bare_lf(span_head(view, used));
    take_whole_line(session, is_bare_lf && session->state != SESSION_AUTH ? SMTP_LINE_BAD_END : progress, line);
    if (session->is_auth_line)
        wipe_secret_line(line);
    return is_bare_lf ? used + skip_tail(session, span_from(view, used)) : used;
}

static size_t take(struct session *session, struct span view)
{
    switch (session->state) {
    case SESSION_PROXY:
        return session_take_proxy(session, view);
    case SESSION_COMMAND:
    case SESSION_AUTH:
        return take_line(session, view);
    case SESSION_DATA:
        return session_take_data(session, view);
    case SESSION_BDAT:
        return session_take_chunk(session, view);
    case SESSION_HANDSHAKE:
    case SESSION_GREETING:
    case SESSION_CLOSED:
    case SESSION_STATE_COUNT:
        break;
    }
    return 0;
}

static bool may_take(const struct session *session)
{
    return session->waiting == WAITING_NOT && session->state != SESSION_CLOSED && session->state != SESSION_GREETING &&
           session->state != SESSION_HANDSHAKE;
}

static size_t take_all(struct session *session, struct span view)
{
    size_t used = 0;

    session->is_pumping = true;
    while (may_take(session) && used < view.len) {
        size_t took = take(session, span_from(view, used));

        if (took == 0)
            break;
        used += took;
    }
    session->is_pumping = false;
    return used;
}

/* A buffer that grew would leave its former memory behind, unwiped, and what it holds may be half of a password, seen
 * to be one or not. */
static int move_input(struct session *session, size_t len)
{
    struct buf wider;

    buf_init(&wider, session->input.limit_bytes);
    if (!buf_reserve(&wider, buf_len(&session->input) + len))
        return -1;
    MUST(!buf_append_span(&wider, buf_span(&session->input)));
    session_drop_input(session);
    session->input = wider;
    return 0;
}

/* For a login there is room for the whole line at once. */
static int make_room(struct session *session, size_t len)
{
    if (session->is_auth_line && buf_len(&session->input) == 0 && len < AUTH_LINE_LIMIT)
        len = AUTH_LINE_LIMIT + CR_LF_BYTES;
    if (session->input.data && session->input.capacity - buf_len(&session->input) < len)
        return move_input(session, len);
    return buf_reserve(&session->input, len) ? 0 : -1;
}

static void keep(struct session *session, struct span rest)
{
    if (rest.len == 0 || session->state == SESSION_CLOSED)
        return;
    if (make_room(session, rest.len) || buf_append_span(&session->input, rest))
        session_close(session, "more pipelined input than we keep");
}

/* Goes on with what was kept. */
static void take_from_input(struct session *session)
{
    size_t used;

    if (!session_has_input(session) || !may_take(session))
        return;
    used = take_all(session, buf_span(&session->input));
    buf_consume(&session->input, used);
    if (!session_has_input(session))
        session_drop_input(session);
}

/* Bytes from the scratch buffer. What is copied from there is wiped: it may be half of a password. */
static void feed(struct session *session, struct span fresh)
{
    bool is_message = session->state == SESSION_DATA || session->state == SESSION_BDAT;
    bool is_behind = session_has_input(session);
    struct span rest = fresh;

    if (!is_behind && may_take(session))
        rest = span_from(fresh, take_all(session, fresh));
    keep(session, rest);
    if (is_behind)
        take_from_input(session);
    if (!is_message && rest.len > 0)
        secret_wipe((char *)(uintptr_t)rest.data, rest.len);
}

/* ---- the socket ---- */

static size_t read_size(const struct session *session)
{
    size_t wanted = COMMAND_READ_BYTES;

    if (session->state == SESSION_PROXY)
        return session_proxy_wanted(buf_span(&session->input));
    if (session->state == SESSION_DATA || session->state == SESSION_BDAT)
        wanted = (size_t)session->connection->params->data_buffer_size;
    return wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES;
}

static bool has_room(const struct session *session)
{
    return buf_len(&session->input) + SCRATCH_BYTES <= INPUT_LIMIT_BYTES;
}

static void after_reading(struct session *session)
{
    if (session->state == SESSION_CLOSED)
        return;
    if (session->is_at_eof && session->waiting == WAITING_NOT)
        session_close(session, "the client has gone away");
    else
        session_arm_timeout(session);
}

static void on_end(struct session *session)
{
    session->is_at_eof = true;
    socket_pause(session->socket); /* a socket at its end stays readable for ever */
    /* what it sent before may still be answered; half a line or half a message never is */
    session_arm_timeout(session);
}

static void on_readable(void *ctx)
{
    struct session *session = ctx;
    char *scratch = session->listener->scratch;
    ssize_t got = SOCKET_WAIT;
    size_t taken = 0, reads = 0;

    while (session->state != SESSION_CLOSED && session->state != SESSION_HANDSHAKE) {
        if (!has_room(session)) {
            socket_pause(session->socket);
            break;
        }
        if (taken >= TURN_BYTES || reads++ == TURN_READS) {
            socket_poke(session->socket);
            break;
        }
        got = socket_read(session->socket, scratch, read_size(session));
        if (got <= 0)
            break;
        taken += (size_t)got;
        session->last_input_ms = loop_now_ms(session->listener->loop);
        feed(session, span_make(scratch, (size_t)got));
    }
    if (session->state == SESSION_CLOSED || session->state == SESSION_HANDSHAKE)
        return;
    if (got == SOCKET_EOF)
        on_end(session);
    else if (got == SOCKET_ERROR)
        session_close(session, socket_error(session->socket)->sentence);
    after_reading(session);
}

static void resume(struct deferred *deferred)
{
    struct session *session = CONTAINER_OF(deferred, struct session, resume);

    if (session->state == SESSION_CLOSED || session->is_pumping)
        return;
    take_from_input(session);
    if (session->state != SESSION_CLOSED && session->state != SESSION_HANDSHAKE && !session->is_at_eof &&
        has_room(session))
        socket_resume(session->socket);
    after_reading(session);
}

void session_resume_soon(struct session *session)
{
    if (session->state == SESSION_CLOSED || session->is_pumping)
        return;
    session->resume.run = resume;
    loop_defer(session->listener->loop, &session->resume);
}

const struct socket_handler session_socket_handler = {.on_readable = on_readable};
