/* SPDX-License-Identifier: Apache-2.0
 *
 * See journal.h. A record that no log wants costs one look-up and nothing else.
 */
#include "journal.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "log/diag.h"
#include "log/record.h"

#define RECIPIENTS_SHOWN 1000
#define QUEUE_NAME_LIMIT 2048

/* What a record borrows while it is written. */
struct page {
    struct record record;
    const char *recipients[RECIPIENTS_SHOWN];
    struct buf queue;
};

static const char *meta_string(const struct message *message, const char *key)
{
    return message_is_loaded(message) ? json_string_value(message_meta_get(message, key)) : NULL;
}

/* The header section: up to the first empty line. */
static struct span header_block(const struct message *message)
{
    struct span body = bytes_span(message_body(message));
    const char *end = body.len ? memmem(body.data, body.len, "\r\n\r\n", 4) : NULL;

    return end ? span_head(body, (size_t)(end - body.data) + 2) : body;
}

static void describe_message(struct page *page, enum record_type type, const struct message *message)
{
    struct record *record = &page->record;

    *record = (struct record){.type = type};
    record->id = message_id(message);
    record->sender = message_sender(message);
    for (size_t i = 0; i < message_recipient_count(message) && i < RECIPIENTS_SHOWN; i++)
        page->recipients[record->recipient_count++] = message_recipient(message, i);
    record->recipients = page->recipients;
    buf_init(&page->queue, QUEUE_NAME_LIMIT);
    record->queue = message_queue_name(message, &page->queue) ? "" : buf_cstr(&page->queue);
    record->size = message_body_bytes(message);
    record->created_ms = message_created_ms(message);
    record->num_attempts = message_attempts(message);
    record->reception_protocol = meta_string(message, "reception_protocol");
    if (message_is_loaded(message)) {
        record->meta = message_meta(message);
        record->header_block = header_block(message);
    }
}

static void describe_reply(struct record *record, const struct smtp_reply *reply)
{
    record->response_code = reply->code;
    record->response_enhanced[0] = reply->enhanced_class;
    record->response_enhanced[1] = reply->enhanced_subject;
    record->response_enhanced[2] = reply->enhanced_detail;
    record->response_content = reply->text;
}

static void write_page(struct page *page)
{
    struct error error;

    if (record_submit(&page->record, &error))
        diag_error(NULL, &error, "a %s record was not written", record_type_name(page->record.type));
    buf_done(&page->queue);
}

/* What is known of the client that handed it in, or was refused. */
static void describe_client(struct record *record, struct receive_connection *connection,
                            char from[SOCKADDR_TEXT_BYTES])
{
    receive_connection_from(connection, from);
    record->peer_name = connection->ehlo_domain ? connection->ehlo_domain : "";
    record->peer_addr = from;
    record->reception_protocol = receive_connection_protocol(connection);
    record->session_id = receive_connection_session_id(connection);
    record->tls_cipher = connection->tls_cipher;
    record->tls_protocol_version = connection->tls_protocol;
    record->tls_peer_subject_name = connection->tls_peer_subject;
}

void journal_reception(const struct message *message, struct receive_connection *connection)
{
    struct page page;
    char from[SOCKADDR_TEXT_BYTES];

    if (!record_is_wanted(RECORD_RECEPTION))
        return;
    describe_message(&page, RECORD_RECEPTION, message);
    describe_client(&page.record, connection, from);
    page.record.response_code = 250;
    write_page(&page);
}

void journal_rejection(const struct receive_rejection *rejection)
{
    struct page page = {.record = {.type = RECORD_REJECTION}};
    char from[SOCKADDR_TEXT_BYTES];

    if (!record_is_wanted(RECORD_REJECTION))
        return;
    describe_client(&page.record, rejection->connection, from);
    describe_reply(&page.record, rejection->reply);
    page.record.response_command = rejection->command;
    page.record.sender = rejection->sender;
    page.record.recipients = rejection->recipients;
    page.record.recipient_count = rejection->recipient_count;
    page.record.meta = receive_connection_all_meta(rejection->connection);
    write_page(&page);
}

static enum record_type type_of(enum deliver_verdict verdict)
{
    return verdict == DELIVER_OK          ? RECORD_DELIVERY
           : verdict == DELIVER_PERMANENT ? RECORD_BOUNCE
                                          : RECORD_TRANSIENT_FAILURE;
}

void journal_outcome(const struct message *message, const char *recipient, const struct route_plan *plan,
                     const struct deliver_outcome *outcome)
{
    struct page page;
    struct record *record = &page.record;

    if (!record_is_wanted(type_of(outcome->verdict)))
        return;
    describe_message(&page, type_of(outcome->verdict), message);
    if (recipient) {
        page.recipients[0] = recipient;
        record->recipient_count = 1;
    }
    describe_reply(record, &outcome->reply);
    record->response_command = outcome->command;
    record->site = plan->site_name;
    record->egress_pool = plan->pool_name;
    record->egress_source = plan->source->name;
    record->delivery_protocol = "ESMTP";
    if (outcome->peer_name && outcome->peer_name[0]) {
        record->peer_name = outcome->peer_name;
        record->peer_addr = outcome->peer_address;
        record->source_address = outcome->source_address;
    }
    record->tls_cipher = outcome->tls_cipher;
    record->tls_protocol_version = outcome->tls_protocol;
    record->tls_peer_subject_name = outcome->tls_peer_subject;
    write_page(&page);
}

static void write_plain(enum record_type type, const struct message *message, const struct smtp_reply *reply)
{
    struct page page;

    if (!record_is_wanted(type))
        return;
    describe_message(&page, type, message);
    if (reply)
        describe_reply(&page.record, reply);
    write_page(&page);
}

void journal_given_up(const struct message *message, const struct smtp_reply *reply, bool expired)
{
    write_plain(expired ? RECORD_EXPIRATION : RECORD_BOUNCE, message, reply);
}

void journal_put_off(const struct message *message, const struct smtp_reply *reply)
{
    write_plain(reply ? RECORD_TRANSIENT_FAILURE : RECORD_DELAYED, message, reply);
}
