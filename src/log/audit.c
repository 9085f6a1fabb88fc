/* SPDX-License-Identifier: Apache-2.0
 *
 * A login as one line of JSON, and as one line of words. Both are full of what strangers wrote; neither lets them
 * write more than the value of their own field.
 */
#include "log/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "log/log_private.h"

/* ---- for the accounting log ---- */

static void write_identity(struct json_writer *writer, const struct audit *audit)
{
    json_key(writer, SPAN_LIT("attempted_identity"));
    json_open_object(writer);
    json_member_text(writer, "identity", audit->authcid);
    json_member_text(writer, "context", audit->context);
    json_close_object(writer);
}

static void write_list(struct json_writer *writer, const char *name, const json_t *list)
{
    json_key(writer, span_of(name));
    if (list)
        json_value(writer, list);
    else
        json_raw(writer, "[]");
}

static void write_auth_info(struct json_writer *writer, const struct audit *audit)
{
    json_key(writer, SPAN_LIT("auth_info"));
    json_open_object(writer);
    json_member_text_or_null(writer, "peer_address", audit->peer);
    write_list(writer, "identities", audit->identities);
    write_list(writer, "groups", audit->groups);
    json_close_object(writer);
}

static void write_origin(struct json_writer *writer, const struct audit *audit)
{
    json_member_text_or_null(writer, "session_id", audit->session_id);
    json_member_text_or_null(writer, "listener", audit->listener);
    json_member_text_or_null(writer, "peer_address", audit->peer);
    json_member_text_or_null(writer, "proxy_address", audit->proxy);
    json_member_flag(writer, "is_proxy", audit->is_proxys_own);
    json_member_text_or_null(writer, "ehlo_domain", audit->ehlo_domain);
    json_member_text_or_null(writer, "tls_protocol_version", audit->tls_protocol);
    json_member_text_or_null(writer, "tls_cipher", audit->tls_cipher);
    json_member_text_or_null(writer, "tls_peer_subject_name", audit->certificate_subject);
}

static void write_attempt(struct json_writer *writer, const struct audit *audit)
{
    json_member_text(writer, "mechanism", audit->mechanism);
    json_member_text_or_null(writer, "authcid", audit->authcid);
    json_member_text_or_null(writer, "authzid", audit->authzid);
    json_member_text_or_null(writer, "user", audit->user);
    json_member_text(writer, "result", audit->outcome);
    json_member_text(writer, "reason", audit->reason);
    json_member_text_or_null(writer, "store", audit->store);
    json_member_text_or_null(writer, "secret_label", audit->secret_label);
    json_member_flag(writer, "cache_hit", audit->is_cached);
    json_member_number(writer, "latency_us", (int64_t)audit->took_us);
}

static int format(const void *record, const struct log_fields *fields, int64_t now_us, struct buf *out)
{
    const struct audit *audit = record;
    struct json_writer writer = {.out = out};

    (void)fields;
    json_open_object(&writer);
    json_member_text(&writer, "type", record_type_name(RECORD_LOGIN));
    json_member_time(&writer, "timestamp", now_us);
    write_identity(&writer, audit);
    json_member_flag(&writer, "success", audit->is_ok);
    write_auth_info(&writer, audit);
    write_origin(&writer, audit);
    write_attempt(&writer, audit);
    json_member_text(&writer, "nodeid", log_node_id());
    json_raw(&writer, "}\n");
    return writer.failed ? -1 : 0;
}

int audit_submit(const struct audit *audit, struct error *error)
{
    struct log_submission submission = {audit->is_ok ? RECORD_LOGIN : RECORD_FAILED_LOGIN, audit, audit->session_id,
                                        format};

    return log_submit(&submission, error);
}

/* ---- for the diagnostic log ---- */

static bool is_plain(unsigned char c) { return c > ' ' && c < 0x7f && !strchr("%=\"\\", c); }

const char *audit_word(const char *text, char out[AUDIT_WORD_BYTES])
{
    size_t used = 0;

    if (!text || !*text)
        return "-";
    if (!strcmp(text, "-"))
        return "%2D";
    for (; *text && used + 4 < AUDIT_WORD_BYTES; text++) {
        if (is_plain((unsigned char)*text))
            out[used++] = *text;
        else
            used += (size_t)snprintf(out + used, 4, "%%%02X", (unsigned char)*text);
    }
    out[used] = '\0';
    return out;
}

void audit_tell(const struct audit *audit, const struct diag_scope *scope)
{
    char authcid[AUDIT_WORD_BYTES], authzid[AUDIT_WORD_BYTES];

    diag(DIAG_INFO, scope, "login mechanism=%s client=%s proxy=%s authcid=%s authzid=%s result=%s session=%s",
         audit->mechanism, audit->peer ? audit->peer : "-",
         audit->is_proxys_own ? "self"
         : audit->proxy       ? audit->proxy
                              : "-",
         audit_word(audit->authcid, authcid), audit_word(audit->authzid, authzid), audit->reason,
         audit->session_id ? audit->session_id : "-");
}
