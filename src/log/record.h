/* SPDX-License-Identifier: Apache-2.0
 *
 * Disposition records: one JSON line per thing that happened to a message, with the
 * field names of KumoMTA's log record page. Written by the log thread into
 * zstd-compressed segments (log/segment.h).
 */
#ifndef GATEPOST_LOG_RECORD_H
#define GATEPOST_LOG_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

enum record_type {
    RECORD_RECEPTION,
    RECORD_DELIVERY,
    RECORD_BOUNCE,
    RECORD_TRANSIENT_FAILURE,
    RECORD_EXPIRATION,
    RECORD_ADMIN_BOUNCE,
    RECORD_OOB,
    RECORD_FEEDBACK,
    RECORD_REJECTION,
    RECORD_ADMIN_REBIND,
    RECORD_DELAYED,
    RECORD_DISPOSITION_COUNT,
    /* of the accounting log (log/audit.h) */
    RECORD_LOGIN = RECORD_DISPOSITION_COUNT,
    RECORD_FAILED_LOGIN,
    RECORD_TYPE_COUNT,
};

const char *record_type_name(enum record_type type); /* "Reception", ... */

/* All pointers are borrowed for the call; NULL or 0 leaves a field at its empty form.
 * Nobody may put credentials in here: `response_command` of an AUTH is the verb and the
 * mechanism only. */
struct record {
    enum record_type type;
    const char *id;
    const char *sender;
    const char *const *recipients; /* one: a string in JSON; several: a list */
    size_t recipient_count;
    const char *queue;
    const char *site;
    uint64_t size;

    int response_code;        /* 0: no response */
    int response_enhanced[3]; /* class 0: none */
    const char *response_content;
    const char *response_command;

    const char *peer_name; /* NULL: no peer address */
    const char *peer_addr;

    int64_t created_ms; /* wall clock; 0: unset */
    unsigned num_attempts;
    const char *bounce_classification;
    const char *egress_pool;
    const char *egress_source;
    const char *source_address; /* "ip:port" we sent from */
    const char *delivery_protocol;
    const char *reception_protocol;
    const char *provider_name;
    const char *tls_cipher;
    const char *tls_protocol_version;
    const char *tls_peer_subject_name;
    const char *session_id;

    json_t *meta;             /* the message's metadata: the writer picks what is configured */
    struct span header_block; /* the message's header section, likewise; may be empty */
};

/* True when some configured log wants this type: ask before gathering fields. */
bool record_is_wanted(enum record_type type);

/* Formats and queues for the log thread. ERROR_AGAIN when the log is full or cannot be
 * written and its configuration says to stop (back_pressure): reception then answers
 * 4xx. From any thread; never blocks. */
int record_submit(const struct record *record, struct error *error);

/* False while logs cannot take more: asked at MAIL. */
bool record_accepts(void);

#endif
