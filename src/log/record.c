/* SPDX-License-Identifier: Apache-2.0
 *
 * A disposition record as one line of JSON, with the field names of KumoMTA's log record
 * page. It is formatted on the thread where it happened, so that the log thread only
 * compresses and writes.
 */
#include "log/record.h"

#include "base/must.h"
#include "log/log_private.h"

static const char *const type_names[RECORD_TYPE_COUNT] = {
    [RECORD_RECEPTION] = "Reception",
    [RECORD_DELIVERY] = "Delivery",
    [RECORD_BOUNCE] = "Bounce",
    [RECORD_TRANSIENT_FAILURE] = "TransientFailure",
    [RECORD_EXPIRATION] = "Expiration",
    [RECORD_ADMIN_BOUNCE] = "AdminBounce",
    [RECORD_OOB] = "OOB",
    [RECORD_FEEDBACK] = "Feedback",
    [RECORD_REJECTION] = "Rejection",
    [RECORD_ADMIN_REBIND] = "AdminRebind",
    [RECORD_DELAYED] = "Delayed",
    [RECORD_LOGIN] = "Authentication",
    [RECORD_FAILED_LOGIN] = "Authentication",
};

const char *record_type_name(enum record_type type)
{
    MUST((int)type >= 0 && type < RECORD_TYPE_COUNT);
    return type_names[type];
}

static void write_recipient(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("recipient"));
    if (record->recipient_count == 1) {
        json_text(writer, span_of(record->recipients[0]));
        return;
    }
    if (record->recipient_count == 0) {
        json_text(writer, span_of(""));
        return;
    }
    json_raw(writer, "[");
    for (size_t i = 0; i < record->recipient_count; i++) {
        if (i > 0)
            json_raw(writer, ",");
        json_text(writer, span_of(record->recipients[i]));
    }
    json_raw(writer, "]");
}

static void write_response(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("response"));
    json_open_object(writer);
    json_member_number(writer, "code", record->response_code);
    json_key(writer, SPAN_LIT("enhanced_code"));
    if (record->response_enhanced[0] == 0) {
        json_raw(writer, "null");
    } else {
        json_open_object(writer);
        json_member_number(writer, "class", record->response_enhanced[0]);
        json_member_number(writer, "subject", record->response_enhanced[1]);
        json_member_number(writer, "detail", record->response_enhanced[2]);
        json_close_object(writer);
    }
    json_member_text(writer, "content", record->response_content);
    json_member_text_or_null(writer, "command", record->response_command);
    json_close_object(writer);
}

static void write_peer(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("peer_address"));
    if (!record->peer_name && !record->peer_addr) {
        json_raw(writer, "null");
        return;
    }
    json_open_object(writer);
    json_member_text(writer, "name", record->peer_name);
    json_member_text(writer, "addr", record->peer_addr);
    json_close_object(writer);
}

static void write_source_address(struct json_writer *writer, const struct record *record)
{
    json_key(writer, SPAN_LIT("source_address"));
    if (!record->source_address || !*record->source_address) {
        json_raw(writer, "null");
        return;
    }
    json_open_object(writer);
    json_member_text(writer, "address", record->source_address);
    json_member_text_or_null(writer, "protocol", NULL);
    json_member_text_or_null(writer, "server", NULL);
    json_close_object(writer);
}

static void write_times(struct json_writer *writer, const struct record *record, int64_t now_us)
{
    int64_t created_us = record->created_ms ? record->created_ms * 1000 : now_us;

    json_member_number(writer, "timestamp", now_us / 1000000);
    json_member_time(writer, "event_time", now_us);
    json_member_number(writer, "created", created_us / 1000000);
    json_member_time(writer, "created_time", created_us);
}

static void write_tls(struct json_writer *writer, const struct record *record)
{
    json_member_text_or_null(writer, "tls_cipher", record->tls_cipher);
    json_member_text_or_null(writer, "tls_protocol_version", record->tls_protocol_version);
    json_key(writer, SPAN_LIT("tls_peer_subject_name"));
    if (record->tls_peer_subject_name && *record->tls_peer_subject_name) {
        json_raw(writer, "[");
        json_text(writer, span_of(record->tls_peer_subject_name));
        json_raw(writer, "]");
    } else {
        json_raw(writer, "null");
    }
}

int record_format(const struct record *record, const struct log_fields *fields, const char *node_id, int64_t now_us,
                  struct buf *out)
{
    struct json_writer writer = {.out = out};

    json_open_object(&writer);
    json_member_text(&writer, "type", record_type_name(record->type));
    json_member_text(&writer, "id", record->id);
    json_member_text(&writer, "sender", record->sender);
    write_recipient(&writer, record);
    json_member_text(&writer, "queue", record->queue);
    json_member_text(&writer, "site", record->site);
    json_member_number(&writer, "size", (int64_t)record->size);
    write_response(&writer, record);
    write_peer(&writer, record);
    write_times(&writer, record, now_us);
    json_member_number(&writer, "num_attempts", record->num_attempts);
    json_member_text(&writer, "bounce_classification",
                     record->bounce_classification ? record->bounce_classification : "Uncategorized");
    json_member_text_or_null(&writer, "egress_pool", record->egress_pool);
    json_member_text_or_null(&writer, "egress_source", record->egress_source);
    write_source_address(&writer, record);
    json_member_text_or_null(&writer, "feedback_report", NULL);
    fields_write_meta(&writer, record->meta, fields->meta);
    fields_write_headers(&writer, record->header_block, fields->headers);
    json_member_text_or_null(&writer, "delivery_protocol", record->delivery_protocol);
    json_member_text_or_null(&writer, "reception_protocol", record->reception_protocol);
    json_member_text(&writer, "nodeid", node_id);
    write_tls(&writer, record);
    json_member_text_or_null(&writer, "provider_name", record->provider_name);
    json_member_text_or_null(&writer, "session_id", record->session_id);
    json_raw(&writer, "}\n");
    return writer.failed ? -1 : 0;
}
