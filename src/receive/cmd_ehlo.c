/* SPDX-License-Identifier: Apache-2.0
 *
 * EHLO and HELO (RFC 5321, section 4.1.1.1). What is announced is what this session may use
 * now: AUTH only where it would be taken, STARTTLS only where it has not happened yet. The
 * answer leaves in one write.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "receive/receive_private.h"
#include "smtp/address.h"
#include "tls/tls.h"

#define EXTENSIONS_BYTES 2048

/* What AUTH would take now; nothing when that is nothing. */
static int list_mechanisms(struct session *session, struct buf *out)
{
    bool is_first = true;
    int failed = 0;

    for (size_t i = 0; auth_mechanism_at(i); i++) {
        if (!session_offers(session, auth_mechanism_at(i)))
            continue;
        failed |= buf_appendf(out, "%s %s", is_first ? "\nAUTH" : "", auth_mechanism_name(auth_mechanism_at(i)));
        is_first = false;
    }
    return failed;
}

/* One extension per line, each behind a line break. */
static int list_extensions(struct session *session, struct buf *out)
{
    const struct receive_params *params = session->connection->params;
    int failed = buf_appendf(out, "\nPIPELINING\nSIZE %llu\nENHANCEDSTATUSCODES\n8BITMIME\nSMTPUTF8\nCHUNKING",
                             (unsigned long long)params->max_message_size);

    if (!tls_is_on(session->socket))
        failed |= buf_appendf(out, "\nSTARTTLS");
    if (!session->connection->auth)
        failed |= list_mechanisms(session, out);
    if (params->allow_xclient)
        failed |= buf_appendf(out, "\nXCLIENT ADDR PORT DESTADDR DESTPORT");
    return failed;
}

/* ---- smtp_server_ehlo(domain, conn_meta, extensions) ---- */

static int push_ehlo(lua_State *L, void *ctx)
{
    struct session *session = ctx;
    struct buf text;
    struct span rest;
    struct span line;
    int row = 0;

    lua_pushstring(L, session->ehlo_asked);
    session_push_connection(L, session);
    lua_newtable(L);
    buf_init(&text, EXTENSIONS_BYTES);
    if (list_extensions(session, &text) == 0) {
        rest = span_from(buf_span(&text), 1);
        while (span_split(&rest, '\n', &line)) {
            /* a table this small cannot run out of memory before its VM's limit, which the
             * text above does not belong to: a raise here would leak it for good */
            lua_pushlstring(L, line.data, line.len);
            lua_rawseti(L, -2, ++row);
        }
    }
    buf_done(&text);
    return 3;
}

/* A list of strings replaces what we would have announced. */
static int use_replaced(const struct policy_result *result, struct buf *out, struct error *error)
{
    json_t *list = session_result_json(result, error);
    int failed = list ? 0 : -1;

    out->start = out->end = 0;
    for (size_t i = 0; !failed && i < json_array_size(list); i++) {
        const char *line = json_string_value(json_array_get(list, i));

        if (!line)
            failed = error_set(error, ERROR_PERM, "extension %zu is not a string", i + 1);
        else if (buf_appendf(out, "\n%s", line))
            failed = error_set(error, ERROR_PERM, "the list of extensions is too long");
    }
    json_decref(list);
    return failed;
}

static bool has_replaced(const struct policy_result *result)
{
    return result->outcome == POLICY_RETURNED && result->count >= 1 && lua_istable(result->L, result->first);
}

/* ---- what was announced ---- */

static uint32_t mechanisms_in(struct span line)
{
    const struct auth_mechanism *mechanism;
    uint32_t found = 0;
    struct span word;

    while (span_split(&line, ' ', &word)) {
        mechanism = auth_mechanism_find(word);
        if (mechanism)
            found |= (uint32_t)1 << auth_mechanism_index(mechanism);
    }
    return found;
}

/* Policy may have left out some of them, or all. */
static void note_announced(struct session *session, struct span extensions)
{
    struct span line;

    session->announced_mechanisms = 0;
    while (span_split(&extensions, '\n', &line))
        if (span_istarts_with(line, SPAN_LIT("AUTH ")))
            session->announced_mechanisms |= mechanisms_in(span_from(line, 5));
}

bool session_announced(const struct session *session, const struct auth_mechanism *mechanism)
{
    return session->announced_mechanisms & (uint32_t)1 << auth_mechanism_index(mechanism);
}

/* ---- the answer ---- */

static void accept_ehlo(struct session *session, struct span extensions)
{
    struct smtp_reply reply = {.code = 250};
    char *text = mem_printf("%s%.*s", session->connection->params->hostname, SPAN_ARG(extensions));

    free(session->connection->ehlo_domain);
    session->connection->ehlo_domain = session->ehlo_asked;
    session->ehlo_asked = NULL;
    session->connection->is_esmtp = session->ehlo_is_esmtp;
    receive_connection_changed(session->connection);
    note_announced(session, extensions);
    session_drop_transaction(session); /* EHLO is a RSET too */
    smtp_reply_set(&reply, 250, span_of(text));
    free(text);
    session_reply(session, &reply, SESSION_COMMAND);
}

static void on_ehlo(struct session *session, const struct policy_result *result)
{
    struct buf extensions;
    struct error error;

    if (session_refused(session, result))
        return;
    buf_init(&extensions, EXTENSIONS_BYTES);
    if (session->ehlo_is_esmtp && has_replaced(result) && use_replaced(result, &extensions, &error)) {
        diag_error(&session->scope, &error, "smtp_server_ehlo");
        buf_done(&extensions);
        session_replyf(session, 451, "4.3.0 the server cannot decide about this now; try again later");
        return;
    }
    if (session->ehlo_is_esmtp && !has_replaced(result))
        (void)!list_extensions(session, &extensions);
    accept_ehlo(session, buf_span(&extensions));
    buf_done(&extensions);
}

/* Clients greet with all sorts of names, and mail from them is wanted: any one word that can
 * be shown in a header will do; what looks like an address literal has to be one. */
static bool is_a_name(struct span word)
{
    struct ip ip;

    if (word.len > 0 && word.data[0] == '[')
        return smtp_literal_parse(word, &ip) == 0;
    if (word.len == 0 || word.len > SMTP_DOMAIN_LIMIT || !span_is_utf8(word))
        return false;
    for (size_t i = 0; i < word.len; i++)
        if ((unsigned char)word.data[i] <= ' ' || word.data[i] == 0x7f || strchr("()<>\\\"", word.data[i]))
            return false;
    return true;
}

void cmd_ehlo(struct session *session, const struct smtp_command *command)
{
    struct span word = span_trim(command->args);

    if (!is_a_name(word)) {
        session_junk(session, 501, "5.5.4 that is not a host name");
        return;
    }
    free(session->ehlo_asked);
    session->ehlo_asked = span_dup(word);
    session->ehlo_is_esmtp = command->verb == SMTP_VERB_EHLO;
    session_ask(session, POLICY_EVENT_SMTP_EHLO, push_ehlo, on_ehlo);
}
