/* SPDX-License-Identifier: Apache-2.0
 *
 * From the text of a transaction to a message: is it text that may be taken, and what in it is
 * forged.
 */
#include "message/edit.h"
#include "receive/budget.h"
#include "receive/end_of_data.h"
#include "receive/text_check.h"
#include "smtp/scan.h"

/* Chunks are not decoded, so what DATA's decoder would have found in them is looked for here. */
static void inspect_chunks(struct transaction *transaction)
{
    struct smtp_data_decoder *found = &transaction->decoder;
    struct span body = buf_span(&transaction->body);
    const char *end = body.data + body.len;
    const char *line = body.data;

    for (const char *at = smtp_scan(body.data, end); at < end; at = smtp_scan(at + 1, end)) {
        if (*at == '\0') {
            found->has_nul = true;
        } else if (*at == '\n') {
            found->has_bare_lf = true;
        } else if (at + 1 == end || at[1] != '\n') {
            found->has_bare_cr = true;
        } else {
            found->has_long_line |= found->line_limit_bytes && (size_t)(at - line) > found->line_limit_bytes;
            line = ++at + 1;
        }
    }
    found->has_long_line |= found->line_limit_bytes && (size_t)(end - line) > found->line_limit_bytes;
}

/* With "Fix", what DATA's decoder does as it goes, done to chunks at their end. */
static int fix_chunks(struct transaction *transaction)
{
    struct buf fixed;
    struct span body = buf_span(&transaction->body);
    const char *end = body.data + body.len;
    const char *from = body.data;
    int failed = 0;

    buf_init(&fixed, transaction->body.limit_bytes);
    for (const char *at = smtp_scan(from, end); at < end && !failed; at = smtp_scan(from, end)) {
        size_t skip = at + 1 < end && at[0] == '\r' && at[1] == '\n' ? 2 : 1;

        failed = buf_append(&fixed, from, (size_t)(at - from)) ||
                 (*at == '\0' ? buf_append(&fixed, at, 1) : buf_append(&fixed, "\r\n", 2));
        from = at + skip;
    }
    failed = failed || buf_append(&fixed, from, (size_t)(end - from));
    if (failed) {
        buf_done(&fixed);
        return -1;
    }
    buf_done(&transaction->body);
    transaction->body = fixed;
    return 0;
}

/* What is wrong with the text, worst first; NULL when it may be taken. */
static const char *fault_of(const struct transaction *transaction, int *code_out)
{
    const struct smtp_data_decoder *found = &transaction->decoder;
    bool strict = found->line_endings == SMTP_LINE_ENDINGS_DENY;

    *code_out = 552;
    if (transaction->over_budget || found->has_no_memory) {
        *code_out = 452;
        return "4.3.1 too much mail is coming in just now; try again later";
    }
    if (found->is_too_big)
        return "5.3.4 the message is too big";
    if (strict && (found->has_bare_cr || found->has_bare_lf))
        return "5.6.0 lines of a message end with CRLF, and only with it";
    if (strict && found->has_nul)
        return "5.6.0 a message must not hold NUL";
    if (found->has_long_line) {
        *code_out = 500;
        return "5.2.3 line too long";
    }
    return NULL;
}

/* The header with the name of who logged in is believed by whoever comes after us: only we write it. */
static bool is_forged(const struct header *header, void *ctx)
{
    const struct receive_params *params = ctx;

    if (params->trace_id_header && header_is_named(header, span_of(params->trace_id_header)))
        return true;
    return text_is_forged(header, params->hostname);
}

static void describe(struct message *message, const struct receive_reception *reception,
                     const struct transaction *transaction)
{
    json_t *watchers = budget_watchers(reception->session);

    message_inherit_meta(message, receive_connection_all_meta(reception->connection));
    message_set_sender(message, span_of(transaction->sender));
    message_set_smtputf8(message, transaction->smtputf8);
    for (size_t i = 0; i < transaction->recipient_count; i++)
        message_add_recipient(message, span_of(transaction->recipients[i]));
    if (watchers)
        message_meta_set(message, GATE_WATCHERS_META, watchers);
}

int reception_check_first_line(struct span text, struct smtp_reply *refusal_out)
{
    if (!headers_begin_folded(text))
        return 0;
    smtp_reply_setf(refusal_out, 554, "5.6.0 the first line of a message must not begin with a blank");
    return -1;
}

/* Loops, headers with more fields than can be searched, and a first line that continues what is not there. */
static int check_header(struct receive_reception *reception, struct span text, struct smtp_reply *refusal_out)
{
    struct headers headers;
    struct error error;
    size_t hops;

    if (reception_check_first_line(text, refusal_out))
        return -1;
    if (headers_parse(text, &headers, &error)) {
        smtp_reply_setf(refusal_out, 554, "5.6.0 the message has too many header fields");
        return -1;
    }
    hops = headers_count(&headers, SPAN_LIT("Received"));
    headers_done(&headers);
    if (hops <= reception->connection->params->max_received_headers)
        return 0;
    smtp_reply_setf(refusal_out, 554, "5.4.6 too many hops: this message is in a loop");
    return -1;
}

int reception_make_message(struct receive_reception *reception, struct transaction *transaction,
                           struct smtp_reply *refusal_out)
{
    const char *fault;
    char *body;
    size_t room;
    size_t len;
    int code;
    struct error error;

    if (transaction->uses_bdat)
        inspect_chunks(transaction);
    if (transaction->uses_bdat && transaction->decoder.line_endings == SMTP_LINE_ENDINGS_FIX && fix_chunks(transaction))
        transaction->decoder.is_too_big = true;
    fault = fault_of(transaction, &code);
    if (fault) {
        smtp_reply_set(refusal_out, code, span_of(fault));
        return -1;
    }
    if (check_header(reception, buf_span(&transaction->body), refusal_out))
        return -1;
    reception->message = message_new();
    describe(reception->message, reception, transaction);
    body = buf_take_block(&transaction->body, &room, &len);
    message_set_body(reception->message, bytes_take_after(body, body ? room : 0, body ? len : 0));
    if (message_remove_headers(reception->message, is_forged, reception->connection->params, &error)) {
        smtp_reply_setf(refusal_out, 452, "4.3.1 no memory for the message");
        return -1;
    }
    return 0;
}
