/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages: envelope, metadata, their record for the spool, queue names, shrinking; and
 * schedules and trace headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>

#include "message/message.h"
#include "message/schedule.h"
#include "message/timestamp.h"
#include "message/trace.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct bytes *body_of(const char *text) { return bytes_copy(span_of(text)); }

static struct message *sample(void)
{
    struct message *message = message_new();

    message_set_sender(message, SPAN_LIT("a@example.com"));
    message_add_recipient(message, SPAN_LIT("b@Example.NET"));
    message_meta_set(message, "tenant", json_string("t1"));
    message_meta_set(message, "x_note", json_string("n"));
    message_set_body(message, body_of("Subject: x\r\n\r\nbody\r\n"));
    return message;
}

static void ids_sort_by_age_and_tell_it(void **state)
{
    struct message *first = message_new();
    struct message *fork = message_fork(first);

    (void)state;
    assert_int_equal(strlen(message_id(first)), MESSAGE_ID_CHARS);
    assert_string_not_equal(message_id(first), message_id(fork));
    assert_true(message_created_ms(first) > 1600000000000);
    message_free(first);
    message_free(fork);
    message_free(NULL);
}

static void recipients_are_kept_in_order(void **state)
{
    struct message *message = message_new();
    char text[32];

    (void)state;
    for (int i = 0; i < 70; i++) {
        snprintf(text, sizeof text, "r%d@x", i);
        message_add_recipient(message, span_of(text));
    }
    assert_int_equal(message_recipient_count(message), 70);
    for (int i = 0; i < 70; i++) {
        snprintf(text, sizeof text, "r%d@x", i);
        assert_string_equal(message_recipient(message, (size_t)i), text);
    }
    message_clear_recipients(message);
    assert_int_equal(message_recipient_domain(message).len, 0);
    message_add_recipient(message, SPAN_LIT("\"a@b\"@c"));
    assert_true(span_eq(message_recipient_domain(message), SPAN_LIT("c")));
    message_free(message);
}

static void a_fork_shares_the_body_and_nothing_else(void **state)
{
    struct message *message = sample();
    struct message *fork = message_fork(message);

    (void)state;
    assert_ptr_equal(message_body(message), message_body(fork));
    assert_int_equal(message_recipient_count(fork), 0);
    message_meta_set(fork, "tenant", json_string("t2"));
    assert_string_equal(json_string_value(message_meta_get(message, "tenant")), "t1");
    message_free(message);
    message_free(fork);
}

static void queue_names(void **state)
{
    static const struct {
        const char *campaign, *tenant, *routing, *queue, *name;
    } cases[] = {
        {NULL, NULL, NULL, NULL, "example.net"},
        {NULL, "t", NULL, NULL, "t@example.net"},
        {"c", "t", NULL, NULL, "c:t@example.net"},
        {"c", NULL, NULL, NULL, "c:@example.net"},
        {"c", "t", "Route.x", NULL, "c:t@example.net!route.x"},
        {NULL, NULL, "r", NULL, "example.net!r"},
        {"c", "t", "r", "my.queue", "my.queue"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct message *message = message_new();
        struct buf name;

        buf_init(&name, 1000);
        message_add_recipient(message, SPAN_LIT("b@Example.NET"));
        if (cases[i].campaign)
            message_meta_set(message, "campaign", json_string(cases[i].campaign));
        if (cases[i].tenant)
            message_meta_set(message, "tenant", json_string(cases[i].tenant));
        if (cases[i].routing)
            message_meta_set(message, "routing_domain", json_string(cases[i].routing));
        if (cases[i].queue)
            message_meta_set(message, "queue", json_string(cases[i].queue));
        assert_int_equal(message_queue_name(message, &name), 0);
        assert_string_equal(buf_cstr(&name), cases[i].name);
        buf_done(&name);
        message_free(message);
    }
}

static void a_record_brings_everything_back_but_the_body(void **state)
{
    struct message *message = sample();
    struct message *back;
    struct error error;
    struct buf record;
    json_t *schedule =
        json_pack("{s:s, s:s, s:s, s:s}", "dow", "Mon", "tz", "UTC", "start", "09:00:00", "end", "17:00:00");

    (void)state;
    message_add_recipient(message, SPAN_LIT("c@d"));
    message_set_attempts(message, 7);
    message_set_due_ms(message, 1234567890123);
    message_set_smtputf8(message, true);
    message_set_schedule(message, message_schedule_from_json(schedule, &error));
    json_decref(schedule);
    buf_init(&record, 100000);
    assert_int_equal(message_encode(message, &record), 0);
    back = message_decode(buf_span(&record), &error);
    assert_non_null(back);
    assert_string_equal(message_id(back), message_id(message));
    assert_string_equal(message_sender(back), "a@example.com");
    assert_string_equal(message_recipient(back, 1), "c@d");
    assert_int_equal(message_attempts(back), 7);
    assert_true(message_due_ms(back) == 1234567890123 && message_is_smtputf8(back));
    assert_int_equal(message_schedule(back)->start_s, 9 * 3600);
    assert_true(json_equal(message_meta(back), message_meta(message)));
    assert_int_equal(message_body_bytes(back), message_body_bytes(message));
    assert_null(message_body(back));
    assert_false(message_is_dirty(back));
    message_free(back);
    for (size_t cut = 0; cut < buf_len(&record); cut++)
        assert_null(message_decode(span_head(buf_span(&record), cut), &error));
    record.data[0] = 2;
    assert_null(message_decode(buf_span(&record), &error));
    assert_string_equal(error.sentence, "message record has format 2, this program reads 1");
    buf_done(&record);
    message_free(message);
}

static void a_shrunk_message_still_knows_its_queue(void **state)
{
    struct message *message = sample();
    struct message *twin = sample();
    struct error error;
    struct buf record;
    struct buf name;

    (void)state;
    buf_init(&record, 100000);
    buf_init(&name, 1000);
    assert_true(message_is_dirty(message) && message_is_body_dirty(message));
    assert_int_equal(message_encode(message, &record), 0);
    message_set_spool_ref(message, 1);
    message_set_spool_ref(twin, 2);
    message_mark_clean(message);
    message_mark_clean(twin);
    message_shrink(message);
    message_shrink(twin);
    assert_false(message_is_loaded(message));
    assert_null(message_meta(message));
    assert_ptr_equal(message_meta_get(message, "tenant"), message_meta_get(twin, "tenant"));
    assert_int_equal(message_queue_name(message, &name), 0);
    assert_string_equal(buf_cstr(&name), "t1@example.net");
    assert_int_equal(message_restore(twin, buf_span(&record), body_of("x"), &error), -1); /* another's record */
    assert_int_equal(message_restore(message, buf_span(&record), body_of("x"), &error), 0);
    assert_true(message_is_loaded(message));
    assert_string_equal(json_string_value(message_meta_get(message, "x_note")), "n");
    message_free(message);
    message_free(twin);
    buf_done(&record);
    buf_done(&name);
}

static void assert_text(const struct message *message, const char *key, const char *text)
{
    const char *value = json_string_value(message_meta_get(message, key));

    if (text)
        assert_string_equal(value, text);
    else
        assert_null(value);
}

/* As after a new record that the disk did not take. */
static void an_older_record_does_not_move_a_message_back(void **state)
{
    static const char *const tenants[] = {"t2", NULL};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct message *message = sample();
        struct error error;
        struct buf record;

        buf_init(&record, 100000);
        message_meta_set(message, "campaign", json_string("c1"));
        assert_int_equal(message_encode(message, &record), 0);
        json_object_del(message_meta(message), "campaign");
        json_object_del(message_meta(message), "tenant");
        if (tenants[i])
            message_meta_set(message, "tenant", json_string(tenants[i]));
        message_set_attempts(message, 3);
        message_set_due_ms(message, 77);
        message_set_spool_ref(message, 1);
        message_mark_clean(message);
        message_shrink(message);
        assert_int_equal(message_restore(message, buf_span(&record), body_of("x"), &error), 0);
        assert_text(message, "tenant", tenants[i]);
        assert_text(message, "campaign", NULL);
        assert_text(message, "x_note", "n");
        assert_int_equal(message_attempts(message), 3);
        assert_int_equal(message_due_ms(message), 77);
        message_free(message);
        buf_done(&record);
    }
}

static void a_message_is_being_saved_until_its_last_record_is_answered(void **state)
{
    struct message *message = sample();
    struct message_saving *first, *second;

    (void)state;
    message_set_spool_ref(message, 1);
    message_mark_clean(message);
    assert_false(message_is_being_saved(message));
    message_meta_set(message, "x_note", json_string("o"));
    first = message_save_begin(message);
    assert_true(message_is_being_saved(message) && !message_is_dirty(message));
    message_meta_set(message, "x_note", json_string("p"));
    assert_true(message_is_dirty(message));
    second = message_save_begin(message);
    message_save_end(&first);
    assert_null(first);
    assert_true(message_is_being_saved(message));
    message_save_end(&second);
    assert_false(message_is_being_saved(message) || message_is_dirty(message));
    message_shrink(message);
    message_free(message);
}

static void what_the_spool_has_lost_is_only_here(void **state)
{
    struct message *message = sample();
    struct message_saving *saving;

    (void)state;
    message_mark_clean(message);
    assert_false(message_is_only_here(message));
    saving = message_save_begin(message);
    message_save_end_gone(&saving);
    assert_true(message_is_only_here(message) && !message_is_being_saved(message));
    saving = message_save_begin(message);
    message_save_end(&saving);
    assert_false(message_is_only_here(message));
    message_free(message);
}

static void an_answer_may_find_no_message_and_no_record_holds_a_body(void **state)
{
    struct message *message = sample(); /* its body was set */
    struct message_saving *saving = message_save_begin(message);

    (void)state;
    assert_true(message_is_dirty(message) && message_is_body_dirty(message));
    message_free(message);
    message_save_end(&saving);
}

static void assert_waits_in_its_queue(const char *meta, bool is_shared)
{
    struct message *whole = message_new(), *waiting, *twin;
    json_t *object = json_loads(meta, 0, NULL);
    const char *key;
    json_t *value;
    struct error error;
    struct buf record, name, whole_name;

    message_add_recipient(whole, SPAN_LIT("b@Example.net"));
    json_object_foreach(object, key, value) message_meta_set(whole, key, json_incref(value));
    buf_init(&record, 100000);
    buf_init(&name, 5000);
    buf_init(&whole_name, 5000);
    assert_int_equal(message_encode(whole, &record), 0);
    waiting = message_decode_waiting(buf_span(&record), 1, &error);
    twin = message_decode_waiting(buf_span(&record), 2, &error);
    assert_non_null(waiting);
    assert_null(message_meta(waiting));
    assert_int_equal(message_spool_ref(waiting), 1);
    assert_int_equal(message_queue_name(waiting, &name), message_queue_name(whole, &whole_name));
    assert_string_equal(buf_cstr(&name), buf_cstr(&whole_name));
    if (is_shared)
        assert_ptr_equal(message_meta_get(waiting, "tenant"), message_meta_get(twin, "tenant"));
    message_free(waiting);
    message_free(twin);
    message_free(whole);
    json_decref(object);
    buf_done(&record);
    buf_done(&name);
    buf_done(&whole_name);
}

static void a_waiting_message_is_read_for_its_queue_alone(void **state)
{
    struct error error;

    (void)state;
    assert_waits_in_its_queue("{}", false);
    assert_waits_in_its_queue("{\"tenant\":\"t1\"}", true);
    assert_waits_in_its_queue("{\"x\":\"y\",\"tenant\":\"t1\",\"campaign\":\"c\",\"routing_domain\":\"R.example\"}",
                              true);
    assert_waits_in_its_queue("{\"queue\":\"q\",\"tenant\":\"t1\"}", true);
    /* what takes a real parser */
    assert_waits_in_its_queue("{\"tenant\":\"t\\\"1\\u0001\",\"x\":[1,{\"queue\":\"no\"}]}", true);
    assert_waits_in_its_queue("{\"tenant\":7,\"campaign\":null,\"x\":true}", true);
    assert_null(message_decode_waiting(SPAN_LIT("\1"), 1, &error));
    assert_null(message_decode_waiting(SPAN_LIT(""), 1, &error));
}

static void a_waiting_message_costs_at_most_300_bytes(void **state)
{
    struct message *message = sample();
    size_t bytes = malloc_usable_size(message) + malloc_usable_size((void *)(uintptr_t)message_sender(message)) +
                   malloc_usable_size((void *)(uintptr_t)message_recipient(message, 0)) + 3 * sizeof(size_t);

    (void)state;
    assert_in_range(bytes, 100, 300);
    message_free(message);
}

static void inherited_metadata_is_a_copy(void **state)
{
    json_t *common = json_pack("{s:s, s:s}", "hostname", "mx", "colour", "blue");
    struct message *message = message_new();

    (void)state;
    message_meta_set(message, "former", json_string("gone"));
    message_inherit_meta(message, common);
    message_meta_set(message, "colour", json_string("red"));
    assert_null(message_meta_get(message, "former"));
    assert_string_equal(json_string_value(message_meta_get(message, "hostname")), "mx");
    assert_string_equal(json_string_value(json_object_get(common, "colour")), "blue");
    assert_int_equal(json_object_get(common, "hostname")->refcount, 1);
    message_free(message);
    json_decref(common);
}

static void *free_them(void *arg)
{
    struct message **messages = arg;

    for (size_t i = 0; messages[i]; i++)
        message_free(messages[i]);
    return NULL;
}

/* What another thread is done with is still there, unseen, until its maker makes the next one; large bodies are not,
 * and there is an end to how many wait. */
static void the_dead_are_buried_where_they_were_made(void **state)
{
    enum { MANY = 1000 };
    static struct message *messages[MANY + 1];
    struct bytes *small = body_of("x"), *large;
    char *block = malloc(100000);
    json_t *value = json_string("shared");
    pthread_t other;

    (void)state;
    memset(block, 'x', 100000);
    large = bytes_take(block, 100000);
    for (size_t i = 0; i < MANY; i++) {
        messages[i] = message_new();
        message_meta_set(messages[i], "note", json_incref(value));
        message_set_body(messages[i], bytes_ref(i % 2 ? small : large));
    }
    assert_int_equal(pthread_create(&other, NULL, free_them, messages), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_in_range(value->refcount, 2, 1 + 256);
    assert_true(bytes_prepend(large, SPAN_LIT("")));  /* nobody else has it */
    assert_false(bytes_prepend(small, SPAN_LIT(""))); /* somebody has */
    message_free(message_new());
    assert_int_equal(value->refcount, 1);
    assert_true(bytes_prepend(small, SPAN_LIT("")));
    json_decref(value);
    bytes_unref(&small);
    bytes_unref(&large);
}

static void timestamps(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2023-03-01T17:00:00-08:00", 1677718800000},
        {"2024-03-08T17:51:42.481711Z", 1709920302481},
        {"2024-02-29 00:00:00+00:00", 1709164800000},
        {"2023-02-29T00:00:00Z", -1},
        {"2023-03-01T17:00:00:00-08:00", -1},
        {"2023-03-01T24:00:00Z", -1},
        {"2023-03-01T17:00:00", -1},
        {"2023-03-01", -1},
        {"", -1},
        {"2023-13-01T00:00:00Z", -1},
        {"2023-03-01T17:00:00.Z", -1},
    };
    char out[TIMESTAMP_RFC5322_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = -1;

        assert_int_equal(timestamp_parse_rfc3339(span_of(cases[i].text), &ms), cases[i].ms < 0 ? -1 : 0);
        assert_int_equal(ms, cases[i].ms);
    }
    timestamp_format_rfc5322(1677718800000, out);
    assert_string_equal(out, "Thu, 02 Mar 2023 01:00:00 +0000");
}

static struct message_schedule *schedule_of(const char *json, struct error *error)
{
    json_t *object = json_loads(json, 0, NULL);
    struct message_schedule *schedule = message_schedule_from_json(object, error);

    json_decref(object);
    return schedule;
}

static void schedules_move_a_due_time_to_where_it_is_allowed(void **state)
{
    static const struct {
        const char *schedule, *due, *next;
    } cases[] = {
        {"{}", "2023-03-01T00:00:00Z", "2023-03-01T00:00:00Z"},
        {"{\"first_attempt\":\"2023-03-01T17:00:00-08:00\"}", "2023-03-01T00:00:00Z", "2023-03-02T01:00:00Z"},
        {"{\"first_attempt\":\"2023-03-01T17:00:00-08:00\"}", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z"},
#define PHOENIX "{\"dow\":\"Mon,Wednesday\",\"tz\":\"America/Phoenix\",\"start\":\"09:00:00\",\"end\":\"17:00:00\"}"
        {PHOENIX, "2023-03-01T16:30:00Z", "2023-03-01T16:30:00Z"}, /* a Wednesday, 09:30 there */
        {PHOENIX, "2023-03-01T15:59:59Z", "2023-03-01T16:00:00Z"},
        {PHOENIX, "2023-03-02T00:00:00Z", "2023-03-06T16:00:00Z"}, /* 17:00 there: over */
        {PHOENIX, "2023-03-02T12:00:00Z", "2023-03-06T16:00:00Z"},
#define NIGHT "{\"dow\":\"Sat\",\"tz\":\"Europe/Berlin\",\"start\":\"22:00:00\",\"end\":\"02:00:00\"}"
        {NIGHT, "2023-07-01T20:30:00Z", "2023-07-01T20:30:00Z"}, /* Saturday 22:30, summer time */
        {NIGHT, "2023-07-01T23:30:00Z", "2023-07-01T23:30:00Z"}, /* Sunday 01:30: still Saturday's night */
        {NIGHT, "2023-07-02T00:30:00Z", "2023-07-08T20:00:00Z"},
        {NIGHT, "2023-10-28T22:00:00Z", "2023-10-28T22:00:00Z"}, /* the clock goes back this night */
        {NIGHT, "2023-10-29T12:00:00Z", "2023-11-04T21:00:00Z"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error;
        struct message_schedule *schedule = schedule_of(cases[i].schedule, &error);
        int64_t due = 0;
        int64_t next = 0;

        assert_non_null(schedule);
        assert_int_equal(timestamp_parse_rfc3339(span_of(cases[i].due), &due), 0);
        assert_int_equal(timestamp_parse_rfc3339(span_of(cases[i].next), &next), 0);
        if (message_schedule_next_ms(schedule, due) != next)
            fail_msg("case %zu: off by %ld s", i, (long)(message_schedule_next_ms(schedule, due) - next) / 1000);
        message_schedule_free(schedule);
    }
}

static void schedules_that_make_no_sense_are_refused(void **state)
{
    static const char *const cases[] = {
        "{\"dow\":\"Mon\"}",
        "{\"dow\":\"Mon\",\"tz\":\"PST\",\"start\":\"09:00:00\",\"end\":\"17:00:00\"}",
        "{\"dow\":\"Mon\",\"tz\":\"../../etc/passwd\",\"start\":\"09:00:00\",\"end\":\"17:00:00\"}",
        "{\"dow\":\"Moon\",\"tz\":\"UTC\",\"start\":\"09:00:00\",\"end\":\"17:00:00\"}",
        "{\"dow\":\"Mon\",\"tz\":\"UTC\",\"start\":\"9:00\",\"end\":\"17:00:00\"}",
        "{\"dow\":\"Mon\",\"tz\":\"UTC\",\"start\":\"09:00:00\",\"end\":\"24:00:00\"}",
        "{\"first_attempt\":\"tomorrow\"}",
        "{\"first_attempt\":5}",
        "{\"when\":\"now\"}",
        "[]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error error = {0};

        if (schedule_of(cases[i], &error))
            fail_msg("%s", cases[i]);
        assert_true(error.sentence[0]);
    }
}

static void received_says_how_and_cannot_be_broken_out_of(void **state)
{
    struct trace_reception reception = {.helo = "evil)\r\nX: y",
                                        .peer = "2001:db8::1",
                                        .hostname = "mx.example",
                                        .is_esmtp = true,
                                        .is_tls = true,
                                        .is_authenticated = true,
                                        .tls_cipher = "AES",
                                        .tls_protocol = "TLSv1.3"};
    struct message *message = sample();
    struct buf out;
    char expected[512];

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(trace_received(message, &reception, true, 1677718800000, &out), 0);
    snprintf(expected, sizeof expected,
             "Received: from evil???X:?y ([IPv6:2001:db8::1])\r\n\tby mx.example (Gatepost) with ESMTPSA (TLSv1.3 AES)"
             "\r\n\tid %s\r\n\tfor <b@Example.NET>;\r\n\tThu, 02 Mar 2023 01:00:00 +0000\r\n",
             message_id(message));
    assert_string_equal(buf_cstr(&out), expected);
    assert_string_equal(trace_protocol(&reception, true), "UTF8SMTPSA");
    reception.is_tls = reception.is_authenticated = false;
    assert_string_equal(trace_protocol(&reception, false), "ESMTP");
    reception.is_esmtp = false;
    assert_string_equal(trace_protocol(&reception, false), "SMTP");
    buf_clear(&out);
    message_add_recipient(message, SPAN_LIT("secret@x"));
    assert_int_equal(trace_received(message, &reception, true, 0, &out), 0);
    assert_null(strstr(buf_cstr(&out), "for <"));
    buf_done(&out);
    message_free(message);
}

static void the_supplemental_header_carries_chosen_metadata(void **state)
{
    static const char *const names[] = {"tenant", "absent"};
    struct message *message = sample();
    struct error error;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(trace_supplemental(message, "X-KumoRef", names, 2, &out, &error), 0);
    /* {"_@_":"\\_/","recipient":"b@Example.NET","tenant":"t1"} */
    assert_string_equal(buf_cstr(&out), "X-KumoRef: eyJfQF8iOiJcXF8vIiwicmVjaXBpZW50IjoiYkBFeGFtcGxlLk5FVCIsInRlbmFu"
                                        "\r\n\tdCI6InQxIn0=\r\n");
    assert_int_equal(trace_supplemental(message, "X Y", names, 1, &out, &error), -1);
    buf_done(&out);
    message_free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_sort_by_age_and_tell_it),
        cmocka_unit_test(recipients_are_kept_in_order),
        cmocka_unit_test(a_fork_shares_the_body_and_nothing_else),
        cmocka_unit_test(queue_names),
        cmocka_unit_test(a_record_brings_everything_back_but_the_body),
        cmocka_unit_test(a_shrunk_message_still_knows_its_queue),
        cmocka_unit_test(an_older_record_does_not_move_a_message_back),
        cmocka_unit_test(a_message_is_being_saved_until_its_last_record_is_answered),
        cmocka_unit_test(what_the_spool_has_lost_is_only_here),
        cmocka_unit_test(an_answer_may_find_no_message_and_no_record_holds_a_body),
        cmocka_unit_test(a_waiting_message_is_read_for_its_queue_alone),
        cmocka_unit_test(a_waiting_message_costs_at_most_300_bytes),
        cmocka_unit_test(inherited_metadata_is_a_copy),
        cmocka_unit_test(the_dead_are_buried_where_they_were_made),
        cmocka_unit_test(timestamps),
        cmocka_unit_test(schedules_move_a_due_time_to_where_it_is_allowed),
        cmocka_unit_test(schedules_that_make_no_sense_are_refused),
        cmocka_unit_test(received_says_how_and_cannot_be_broken_out_of),
        cmocka_unit_test(the_supplemental_header_carries_chosen_metadata),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
