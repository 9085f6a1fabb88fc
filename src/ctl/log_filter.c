/* SPDX-License-Identifier: Apache-2.0
 *
 * Filtering and printing records. It reads what it is given with care: the directory may
 * hold records of another version, or of another program.
 */
#include "ctl/log_filter.h"

#include <fnmatch.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/span.h"
#include "ctl/ctl.h"

static const char *const known_types[] = {"Reception",  "Delivery",    "Bounce",  "TransientFailure",
                                          "Expiration", "AdminBounce", "OOB",     "Feedback",
                                          "Rejection",  "AdminRebind", "Delayed", "Authentication"};

bool log_filter_types_are_known(const char *types, struct error *error)
{
    struct span rest = span_of(types), type;

    while (span_split(&rest, ',', &type)) {
        size_t i = 0;

        while (i < sizeof known_types / sizeof *known_types && !span_ieq(span_of(known_types[i]), type))
            i++;
        if (i == sizeof known_types / sizeof *known_types) {
            error_set(error, ERROR_PERM, "there is no record type '%.*s'", SPAN_ARG(span_head(type, 64)));
            return false;
        }
    }
    return true;
}

int log_filter_since(const char *text, int64_t now, int64_t *since_out, struct error *error)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    uint64_t number;

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i], &parts);

        if (end && *end == '\0') {
            *since_out = (int64_t)timegm(&parts);
            return 0;
        }
    }
    /* A bare number is a moment, when it can be one; a short one is a duration in seconds. */
    if (span_to_u64(span_of(text), &number) == 0 && number > 1000000000) {
        *since_out = (int64_t)number;
        return 0;
    }
    if (duration_parse(span_of(text), &number, error) < 0)
        return error_prefix(error, "'%s' is neither a time nor a duration", text);
    *since_out = now - (int64_t)(number / 1000);
    return 0;
}

/* ---- matching ---- */

static bool type_matches(const char *types, const char *type)
{
    struct span rest = span_of(types), wanted;

    while (span_split(&rest, ',', &wanted))
        if (span_ieq(wanted, span_of(type)))
            return true;
    return false;
}

static bool text_matches(const char *pattern, const json_t *value)
{
    const char *text = json_string_value(value);

    return text && fnmatch(pattern, text, FNM_CASEFOLD) == 0;
}

static bool recipient_matches(const char *pattern, const json_t *value)
{
    size_t index;
    json_t *one;

    if (!json_is_array(value))
        return text_matches(pattern, value);
    json_array_foreach(value, index, one)
    {
        if (text_matches(pattern, one))
            return true;
    }
    return false;
}

/* From the logged metadata or, when that was not configured, from the queue's name:
 * campaign:tenant@domain, or tenant@domain. */
static bool tenant_matches(const char *pattern, const json_t *record)
{
    const json_t *meta = json_object_get(json_object_get(record, "meta"), "tenant");
    const char *queue = json_string_value(json_object_get(record, "queue"));
    const char *at = queue ? strrchr(queue, '@') : NULL, *colon;
    char tenant[256];
    size_t len;

    if (meta)
        return text_matches(pattern, meta);
    if (!at)
        return false;
    colon = memchr(queue, ':', (size_t)(at - queue));
    queue = colon ? colon + 1 : queue;
    len = (size_t)(at - queue);
    if (len >= sizeof tenant)
        return false;
    memcpy(tenant, queue, len);
    tenant[len] = '\0';
    return fnmatch(pattern, tenant, FNM_CASEFOLD) == 0;
}

static bool word_matches(const char *words, const json_t *value)
{
    const char *text = json_string_value(value);

    return text && type_matches(words, text);
}

static bool address_matches(const struct cidr *addresses, const json_t *value)
{
    const char *text = json_string_value(value);
    struct ip ip;

    return text && !ip_parse(span_of(text), &ip) && cidr_contains(addresses, &ip);
}

/* What is asked of logins leaves out everything else. */
static bool login_matches(const struct log_filter *filter, const json_t *record)
{
    if (filter->user && !text_matches(filter->user, json_object_get(record, "authcid")) &&
        !text_matches(filter->user, json_object_get(record, "user")))
        return false;
    if (filter->reason && !word_matches(filter->reason, json_object_get(record, "reason")) &&
        !word_matches(filter->reason, json_object_get(record, "result")))
        return false;
    return !filter->addresses.base.family ||
           address_matches(&filter->addresses, json_object_get(record, "peer_address"));
}

/* Unix seconds; records of logins have it as RFC 3339. */
static int64_t time_of(const json_t *record)
{
    const json_t *value = json_object_get(record, "timestamp");
    const char *text = json_string_value(value);
    struct tm parts = {0};

    if (!text)
        return json_integer_value(value);
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) ? (int64_t)timegm(&parts) : 0;
}

bool log_filter_matches(const struct log_filter *filter, const json_t *record)
{
    const char *type = json_string_value(json_object_get(record, "type"));

    if (!type)
        return false;
    if (filter->since && time_of(record) < filter->since)
        return false;
    if (filter->types && !type_matches(filter->types, type))
        return false;
    if (!login_matches(filter, record))
        return false;
    if (filter->sender && !text_matches(filter->sender, json_object_get(record, "sender")))
        return false;
    if (filter->recipient && !recipient_matches(filter->recipient, json_object_get(record, "recipient")))
        return false;
    return !filter->tenant || tenant_matches(filter->tenant, record);
}

/* ---- printing ---- */

static void print_time(const json_t *record)
{
    time_t seconds = (time_t)time_of(record);
    struct tm parts;
    char text[64];

    localtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    fputs(text, stdout);
}

static void print_text(const json_t *object, const char *key, const char *before)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (!text || !*text)
        return;
    fputs(before, stdout);
    ctl_print_safe(text);
}

static void print_recipients(const json_t *value)
{
    size_t index;
    json_t *one;

    if (json_is_string(value))
        ctl_print_safe(json_string_value(value));
    json_array_foreach(value, index, one)
    {
        if (index > 0)
            putchar(',');
        ctl_print_safe(json_is_string(one) ? json_string_value(one) : "?");
    }
}

static void print_response(const json_t *response)
{
    const json_t *enhanced = json_object_get(response, "enhanced_code");

    if (json_integer_value(json_object_get(response, "code")) == 0)
        return;
    printf(" %lld", (long long)json_integer_value(json_object_get(response, "code")));
    if (json_is_object(enhanced))
        printf(" %lld.%lld.%lld", (long long)json_integer_value(json_object_get(enhanced, "class")),
               (long long)json_integer_value(json_object_get(enhanced, "subject")),
               (long long)json_integer_value(json_object_get(enhanced, "detail")));
    print_text(response, "content", " ");
    print_text(response, "command", " to: ");
}

static void print_login(const json_t *record)
{
    double latency_ms = (double)json_integer_value(json_object_get(record, "latency_us")) / 1000;

    fputs(" Login", stdout);
    print_text(record, "result", " ");
    print_text(record, "reason", ": ");
    print_text(record, "authcid", " user ");
    print_text(record, "authzid", " as ");
    print_text(record, "peer_address", " from ");
    print_text(record, "proxy_address", " by way of ");
    print_text(record, "ehlo_domain", " (");
    fputs(json_is_string(json_object_get(record, "ehlo_domain")) ? ")" : "", stdout);
    print_text(record, "mechanism", " ");
    print_text(record, "tls_protocol_version", " ");
    print_text(record, "store", " store ");
    fputs(json_is_true(json_object_get(record, "cache_hit")) ? " (cached)" : "", stdout);
    print_text(record, "secret_label", " secret ");
    printf(" %.1f ms", latency_ms);
    print_text(record, "session_id", " session ");
    putchar('\n');
}

static void print_disposition(const json_t *record)
{
    const char *type = json_string_value(json_object_get(record, "type"));
    const json_t *peer = json_object_get(record, "peer_address");

    putchar(' ');
    ctl_print_safe(type ? type : "?");
    print_text(record, "id", " ");
    fputs(" <", stdout);
    print_text(record, "sender", "");
    fputs("> -> <", stdout);
    print_recipients(json_object_get(record, "recipient"));
    putchar('>');
    print_text(record, "queue", " queue ");
    print_text(peer, "name", " peer ");
    print_text(peer, "addr", " ");
    print_response(json_object_get(record, "response"));
    putchar('\n');
}

void log_record_print(const json_t *record)
{
    print_time(record);
    if (text_matches("Authentication", json_object_get(record, "type")))
        print_login(record);
    else
        print_disposition(record);
}
