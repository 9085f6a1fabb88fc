/* SPDX-License-Identifier: Apache-2.0
 *
 * Schedules: reading what policy wrote, and moving a due time to where it is allowed.
 */
#include "message/schedule.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "message/timestamp.h"

#define DAY_S 86400

static const char *const day_names[7] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/* ---- reading ---- */

static int read_moment(const json_t *object, const char *key, int64_t *ms_out, struct error *error)
{
    const json_t *value = json_object_get(object, key);

    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) || timestamp_parse_rfc3339(span_of(json_string_value(value)), ms_out))
        return error_set(error, ERROR_PERM, "%s must be an RFC 3339 date and time", key);
    return 0;
}

static int read_day(struct span word, unsigned char *days, struct error *error)
{
    word = span_trim(word);
    for (int day = 0; day < 7; day++) {
        struct span name = span_of(day_names[day]);

        if (span_ieq(word, name) || span_ieq(word, span_head(name, 3))) {
            *days = (unsigned char)(*days | 1U << day);
            return 0;
        }
    }
    return error_set(error, ERROR_PERM, "dow must list days such as Mon or Monday");
}

static int read_days(const char *text, unsigned char *days_out, struct error *error)
{
    struct span rest = span_of(text);
    struct span word;

    while (span_split(&rest, ',', &word))
        if (read_day(word, days_out, error))
            return -1;
    return 0;
}

static int read_time_of_day(const char *key, const char *text, int32_t *seconds_out, struct error *error)
{
    struct span rest = span_of(text);
    struct span part;
    uint64_t parts[3] = {0};
    size_t count = 0;

    while (count < 3 && span_split(&rest, ':', &part))
        if (part.len != 2 || span_to_u64(part, &parts[count++]))
            count = 4;
    if (count != 3 || rest.data || parts[0] > 23 || parts[1] > 59 || parts[2] > 59)
        return error_set(error, ERROR_PERM, "%s must be HH:MM:SS", key);
    *seconds_out = (int32_t)(parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return 0;
}

static int read_window(struct message_schedule *schedule, const json_t *object, struct error *error)
{
    static const char *const keys[4] = {"dow", "tz", "start", "end"};
    const char *texts[4];
    int present = 0;

    for (int i = 0; i < 4; i++) {
        const json_t *value = json_object_get(object, keys[i]);

        texts[i] = json_string_value(value);
        if (value && !json_is_null(value) && !texts[i])
            return error_set(error, ERROR_PERM, "%s must be a string", keys[i]);
        present += texts[i] != NULL;
    }
    if (present == 0)
        return 0;
    if (present != 4)
        return error_set(error, ERROR_PERM, "dow, tz, start and end must be given together or not at all");
    schedule->zone = zone_find(span_of(texts[1]), error);
    if (!schedule->zone || read_days(texts[0], &schedule->days, error) ||
        read_time_of_day("start", texts[2], &schedule->start_s, error) ||
        read_time_of_day("end", texts[3], &schedule->end_s, error))
        return -1;
    return 0;
}

static int check_keys(const json_t *object, struct error *error)
{
    static const char known[] = " first_attempt expires dow tz start end ";
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return error_set(error, ERROR_PERM, "a schedule must be a table");
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char word[32];

        snprintf(word, sizeof word, " %s ", key);
        if (strchr(key, ' ') || !strstr(known, word))
            return error_set(error, ERROR_PERM, "a schedule has no field %.40s", key);
    }
    return 0;
}

struct message_schedule *message_schedule_from_json(const json_t *object, struct error *error)
{
    struct message_schedule *schedule = mem_zalloc(sizeof *schedule);

    if (check_keys(object, error) || read_moment(object, "first_attempt", &schedule->first_attempt_ms, error) ||
        read_moment(object, "expires", &schedule->expires_ms, error) || read_window(schedule, object, error)) {
        message_schedule_free(schedule);
        return NULL;
    }
    return schedule;
}

/* ---- writing ---- */

static void put_moment(json_t *object, const char *key, int64_t ms)
{
    char text[TIMESTAMP_RFC3339_BYTES];

    if (ms == 0)
        return;
    timestamp_format_rfc3339(ms, text);
    json_object_set_new(object, key, json_string(text));
}

static void put_time_of_day(json_t *object, const char *key, int32_t seconds)
{
    json_object_set_new(object, key, json_sprintf("%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60));
}

json_t *message_schedule_to_json(const struct message_schedule *schedule)
{
    json_t *object = json_object();
    char days[32] = "";
    size_t len = 0;

    put_moment(object, "first_attempt", schedule->first_attempt_ms);
    put_moment(object, "expires", schedule->expires_ms);
    if (schedule->days == 0)
        return object;
    for (int day = 0; day < 7; day++)
        if (schedule->days & 1U << day)
            len += (size_t)snprintf(days + len, sizeof days - len, "%s%.3s", len ? "," : "", day_names[day]);
    json_object_set_new(object, "dow", json_string(days));
    json_object_set_new(object, "tz", json_string(zone_name(schedule->zone)));
    put_time_of_day(object, "start", schedule->start_s);
    put_time_of_day(object, "end", schedule->end_s);
    return object;
}

struct message_schedule *message_schedule_copy(const struct message_schedule *schedule)
{
    struct message_schedule *copy = mem_alloc(sizeof *copy);

    *copy = *schedule;
    return copy;
}

void message_schedule_free(struct message_schedule *schedule) { free(schedule); }

/* ---- when ---- */

/* A local time of day as UTC. Where the clock is put forward over it, the time after. */
static int64_t utc_of_local(const struct zone *zone, int64_t local_s)
{
    int64_t guess = local_s - zone_offset_s(zone, local_s);

    return local_s - zone_offset_s(zone, guess);
}

static int64_t floor_day(int64_t local_s) { return (local_s >= 0 ? local_s : local_s - DAY_S + 1) / DAY_S; }

static int64_t next_in_window_s(const struct message_schedule *schedule, int64_t due_s)
{
    int64_t today = floor_day(due_s + zone_offset_s(schedule->zone, due_s));
    int64_t length_s = schedule->end_s - schedule->start_s;

    if (length_s <= 0)
        length_s += DAY_S;
    for (int64_t day = today - 1; day <= today + 8; day++) {
        int64_t weekday = ((day + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        int64_t start_s = day * DAY_S + schedule->start_s;

        if (!(schedule->days & 1U << weekday))
            continue;
        if (due_s < utc_of_local(schedule->zone, start_s))
            return utc_of_local(schedule->zone, start_s);
        if (due_s < utc_of_local(schedule->zone, start_s + length_s))
            return due_s;
    }
    return due_s;
}

int64_t message_schedule_next_ms(const struct message_schedule *schedule, int64_t due_ms)
{
    int64_t next_s;

    if (!schedule)
        return due_ms;
    if (due_ms < schedule->first_attempt_ms)
        due_ms = schedule->first_attempt_ms;
    if (schedule->days == 0)
        return due_ms;
    next_s = next_in_window_s(schedule, due_ms / 1000);
    return next_s == due_ms / 1000 ? due_ms : next_s * 1000;
}
