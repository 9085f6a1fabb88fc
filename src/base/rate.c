/* SPDX-License-Identifier: Apache-2.0
 *
 * GCRA: one arrival each period/limit, a burst ahead of it allowed.
 */
#include "base/rate.h"

#include "base/duration.h"

/* A number that may be grouped with '_' or ','. */
static int parse_count(struct span text, uint64_t *count_out)
{
    char digits[24];
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '_' || text.data[i] == ',')
            continue;
        if (len == sizeof digits)
            return -1;
        digits[len++] = text.data[i];
    }
    return span_to_u64(span_make(digits, len), count_out);
}

static int parse_period(struct span text, uint64_t *period_ms_out, struct error *error)
{
    char with_number[64] = "1";

    if (text.len > 0 && text.data[0] >= '0' && text.data[0] <= '9')
        return duration_parse(text, period_ms_out, error);
    if (text.len > sizeof with_number - 2)
        return error_set(error, ERROR_PERM, "'%.*s' is not a period", SPAN_ARG(text));
    memcpy(with_number + 1, text.data, text.len);
    return duration_parse(span_make(with_number, text.len + 1), period_ms_out, error);
}

int rate_spec_parse(struct span text, struct rate_spec *spec_out, struct error *error)
{
    struct span rest = span_trim(text);
    struct rate_spec spec = {0};
    struct span period;
    uint64_t period_ms;
    size_t slash;
    size_t comma;

    if (span_starts_with(rest, SPAN_LIT("local:"))) {
        spec.local = true;
        rest = span_from(rest, 6);
    }
    slash = span_find(rest, '/');
    if (slash == rest.len || parse_count(span_trim(span_head(rest, slash)), &spec.limit) || spec.limit == 0)
        return error_set(error, ERROR_PERM, "'%.*s' is not a rate: write for example '100/minute'", SPAN_ARG(text));
    period = span_from(rest, slash + 1);
    spec.burst = spec.limit;
    comma = span_find(period, ',');
    if (comma < period.len) {
        struct span option = span_trim(span_from(period, comma + 1));

        if (!span_starts_with(option, SPAN_LIT("max_burst=")) || parse_count(span_from(option, 10), &spec.burst) ||
            spec.burst == 0)
            return error_set(error, ERROR_PERM, "'%.*s' is not a rate: only max_burst=N may follow the comma",
                             SPAN_ARG(text));
        period = span_head(period, comma);
    }
    if (parse_period(span_trim(period), &period_ms, error) || period_ms == 0)
        return error_set(error, ERROR_PERM, "'%.*s' is not a rate: the period is wrong", SPAN_ARG(text));
    spec.period_us = period_ms * 1000;
    *spec_out = spec;
    return 0;
}

bool rate_take(struct rate *rate, const struct rate_spec *spec, uint64_t cost, uint64_t now_us,
               uint64_t *retry_after_us_out)
{
    double interval = (double)spec->period_us / (double)spec->limit;
    uint64_t burst_us = (uint64_t)(interval * (double)spec->burst);
    uint64_t start = rate->full_at_us > now_us ? rate->full_at_us : now_us;
    uint64_t full_at = start + (uint64_t)(interval * (double)cost);

    if (full_at > now_us + burst_us) {
        *retry_after_us_out = full_at - now_us - burst_us;
        return false;
    }
    rate->full_at_us = full_at;
    return true;
}
