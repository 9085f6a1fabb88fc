/* SPDX-License-Identifier: Apache-2.0
 *
 * Moments as text. No locale and no TZ has a say in it.
 */
#include "message/timestamp.h"

#include <stdio.h>
#include <time.h>

#include "base/digits.h"

/* Takes `digits` digits off the front. -1 when they are not there. */
static int take_digits(struct span *text, size_t digits)
{
    int value = 0;

    if (text->len < digits)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return -1;
        value = value * 10 + (text->data[i] - '0');
    }
    *text = span_from(*text, digits);
    return value;
}

static bool take_char(struct span *text, const char *any_of)
{
    if (text->len == 0 || text->data[0] == '\0' || !strchr(any_of, text->data[0]))
        return false;
    *text = span_from(*text, 1);
    return true;
}

static bool take_date(struct span *text, struct tm *tm)
{
    tm->tm_year = take_digits(text, 4) - 1900;
    if (!take_char(text, "-"))
        return false;
    tm->tm_mon = take_digits(text, 2) - 1;
    if (!take_char(text, "-"))
        return false;
    tm->tm_mday = take_digits(text, 2);
    return tm->tm_year >= 0 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 && tm->tm_mday <= 31;
}

static bool take_time(struct span *text, struct tm *tm)
{
    tm->tm_hour = take_digits(text, 2);
    if (!take_char(text, ":"))
        return false;
    tm->tm_min = take_digits(text, 2);
    if (!take_char(text, ":"))
        return false;
    tm->tm_sec = take_digits(text, 2);
    return tm->tm_hour >= 0 && tm->tm_hour < 24 && tm->tm_min >= 0 && tm->tm_min < 60 && tm->tm_sec >= 0 &&
           tm->tm_sec <= 60;
}

static bool take_fraction(struct span *text, int *ms_out)
{
    int scale = 100;
    int digit;

    *ms_out = 0;
    if (!take_char(text, "."))
        return true;
    if (text->len == 0 || text->data[0] < '0' || text->data[0] > '9')
        return false;
    while ((digit = take_digits(text, 1)) >= 0) {
        *ms_out += digit * scale;
        scale /= 10;
    }
    return true;
}

static bool take_offset(struct span *text, int *seconds_out)
{
    int sign = text->len > 0 && text->data[0] == '-' ? -1 : 1;
    int hours;
    int minutes;

    *seconds_out = 0;
    if (take_char(text, "Zz"))
        return true;
    if (!take_char(text, "+-"))
        return false;
    hours = take_digits(text, 2);
    if (!take_char(text, ":"))
        return false;
    minutes = take_digits(text, 2);
    *seconds_out = sign * (hours * 3600 + minutes * 60);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

int timestamp_parse_rfc3339(struct span text, int64_t *ms_out)
{
    struct tm tm = {0};
    int offset_s;
    int month;
    int ms;
    time_t seconds;

    if (!take_date(&text, &tm) || !take_char(&text, "Tt ") || !take_time(&text, &tm) || !take_fraction(&text, &ms) ||
        !take_offset(&text, &offset_s) || text.len > 0)
        return -1;
    month = tm.tm_mon;
    if (tm.tm_sec == 60) /* a leap second is the one before it */
        tm.tm_sec = 59;
    seconds = timegm(&tm);
    if (tm.tm_mon != month) /* 31 February */
        return -1;
    *ms_out = ((int64_t)seconds - offset_s) * 1000 + ms;
    return 0;
}

static struct tm utc(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm = {0};

    gmtime_r(&seconds, &tm);
    return tm;
}

void timestamp_format_rfc3339(int64_t ms, char out[TIMESTAMP_RFC3339_BYTES])
{
    struct tm tm = utc(ms);

    snprintf(out, TIMESTAMP_RFC3339_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

void timestamp_format_rfc5322(int64_t ms, char out[TIMESTAMP_RFC5322_BYTES])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char form[] = "Day, 00 Mon 0000 00:00:00 +0000";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = utc(ms);

    memcpy(out, form, sizeof form);
    memcpy(out, days + 3 * tm.tm_wday, 3);
    digits_before(out + 7, (uint64_t)tm.tm_mday, 2);
    memcpy(out + 8, months + 3 * tm.tm_mon, 3);
    digits_before(out + 16, (uint64_t)(tm.tm_year + 1900) % 10000, 4);
    digits_before(out + 19, (uint64_t)tm.tm_hour, 2);
    digits_before(out + 22, (uint64_t)tm.tm_min, 2);
    digits_before(out + 25, (uint64_t)tm.tm_sec, 2);
}
