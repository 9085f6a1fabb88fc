/* SPDX-License-Identifier: Apache-2.0
 *
 * Records from many threads through the log thread into segments and back; what happens
 * when the log is full, small, or on a disk that is.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <signal.h>
#include <cmocka.h>

#include "log/diag.h"
#include "log/log_private.h"
#include "metrics/metrics.h"
#include "support.h"

static void open_log(const char *more)
{
    char json[1024];
    struct log_config config;
    struct error error = {0};
    json_t *params;

    snprintf(json, sizeof json, "{\"log_dir\":\"%s\",\"min_free_space\":0,\"min_free_inodes\":0%s%s}", support_dir,
             *more ? "," : "", more);
    params = json_loads(json, 0, NULL);
    assert_non_null(params);
    if (log_config_from_json(params, &config, &error) < 0 || log_open(&config, &error) < 0)
        fail_msg("%s", error.sentence);
    log_config_done(&config);
    json_decref(params);
}

static int submit(enum record_type type, const char *id, struct error *error)
{
    struct record record = {.type = type, .id = id};

    return record_submit(&record, error);
}

/* Over all files, which must be finished and hold nothing but JSON lines. */
static size_t count_lines(const char *type)
{
    char *names[256];
    size_t count = list_files(names, 256), lines = 0;

    for (size_t i = 0; i < count; i++) {
        bool whole;
        char *text = read_segment(names[i], &whole), *rest = text, *line;

        while ((line = strsep(&rest, "\n"))) {
            json_t *object = *line ? json_loads(line, 0, NULL) : NULL;

            if (*line && !object)
                fail_msg("not JSON: %s", line);
            if (object && strcmp(json_string_value(json_object_get(object, "type")), type) == 0)
                lines++;
            json_decref(object);
        }
        assert_true(whole);
        assert_int_equal(mode_of(names[i]), 0440);
        free(text);
        free(names[i]);
    }
    return lines;
}

static void *submit_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        if (submit(i % 2 ? RECORD_DELIVERY : RECORD_RECEPTION, arg, NULL) < 0)
            return NULL;
    return arg;
}

static void records_of_many_threads_arrive(void **state)
{
    pthread_t threads[4];
    int64_t before = metrics_get(METRIC_LOG_RECORDS);

    (void)state;
    open_log("");
    assert_true(record_is_wanted(RECORD_BOUNCE));
    assert_true(record_accepts());
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, submit_many, "id");
    for (size_t i = 0; i < 4; i++) {
        void *result;

        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    log_close();
    assert_int_equal(count_lines("Delivery"), 1000);
    assert_int_equal(count_lines("Reception"), 1000);
    assert_int_equal(metrics_get(METRIC_LOG_RECORDS) - before, 2000);
    assert_false(record_is_wanted(RECORD_BOUNCE));
}

static void segments_rotate_by_size(void **state)
{
    char *names[256];
    size_t count;

    (void)state;
    open_log("\"max_file_size\":4000");
    for (int i = 0; i < 100; i++)
        assert_int_equal(submit(RECORD_BOUNCE, "id", NULL), 0);
    log_close();
    count = list_files(names, 256);
    assert_true(count >= 10 && count <= 40);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    assert_int_equal(count_lines("Bounce"), 100);
}

static void per_record_settings(void **state)
{
    char *names[256];
    size_t count;

    (void)state;
    open_log("\"per_record\":{\"Reception\":{\"suffix\":\"_recv\"},\"Bounce\":{\"enable\":false}}");
    assert_false(record_is_wanted(RECORD_BOUNCE));
    assert_int_equal(submit(RECORD_RECEPTION, "id", NULL), 0);
    assert_int_equal(submit(RECORD_DELIVERY, "id", NULL), 0);
    assert_int_equal(submit(RECORD_BOUNCE, "id", NULL), 0);
    log_close();
    count = list_files(names, 256);
    assert_int_equal(count, 2);
    assert_int_equal(!!strstr(names[0], "_recv") + !!strstr(names[1], "_recv"), 1);
    free(names[0]);
    free(names[1]);
}

/* A file size limit of the process stands in for a full disk: write(2) fails, and heals. */
static void a_full_disk_keeps_records_and_stops_reception(void **state)
{
    struct rlimit none = {0, 0}, before;
    struct error error = {0};
    size_t refused = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    none.rlim_max = before.rlim_max;
    diag_set_level(DIAG_ERROR);
    open_log("\"back_pressure\":10");
    setrlimit(RLIMIT_FSIZE, &none);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(submit(RECORD_DELIVERY, "kept", NULL), 0);
    assert_false(record_accepts()); /* none of them can have been flushed */
    assert_int_equal(submit(RECORD_RECEPTION, "refused", &error), -1);
    assert_int_equal(error.kind, ERROR_AGAIN);
    assert_int_equal(submit(RECORD_DELIVERY, "kept", NULL), 0);
    for (size_t i = 0; i < 50; i++)
        refused += submit(RECORD_DELIVERY, "kept", NULL) < 0;
    assert_true(refused > 0);
    setrlimit(RLIMIT_FSIZE, &before);
    log_close();
    diag_set_level(DIAG_INFO);
    assert_int_equal(count_lines("Delivery"), 10 + 1 + 50 - refused);
}

static void below_the_floor_reception_stops(void **state)
{
    struct error error = {0};

    (void)state;
    diag_set_level(DIAG_ERROR + 1);
    open_log("\"min_free_space\":9000000000000000");
    assert_false(record_accepts());
    assert_int_equal(submit(RECORD_RECEPTION, "refused", &error), -1);
    assert_int_equal(error.kind, ERROR_AGAIN);
    assert_int_equal(submit(RECORD_DELIVERY, "kept", NULL), 0);
    log_close();
    diag_set_level(DIAG_INFO);
    assert_int_equal(count_lines("Delivery"), 1);
}

static void a_record_over_its_limit_is_dropped(void **state)
{
    static char huge[3000];
    int64_t lost = metrics_get(METRIC_LOG_RECORDS_LOST);

    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    diag_set_level(DIAG_ERROR + 1);
    open_log("\"max_record_size\":2000");
    assert_int_equal(submit(RECORD_BOUNCE, huge, NULL), 0);
    assert_int_equal(submit(RECORD_BOUNCE, "small", NULL), 0);
    log_close();
    diag_set_level(DIAG_INFO);
    assert_int_equal(count_lines("Bounce"), 1);
    assert_int_equal(metrics_get(METRIC_LOG_RECORDS_LOST) - lost, 1);
}

static void one_directory_one_log(void **state)
{
    struct log_config config;
    struct error error;
    json_t *params = json_pack("{s:s}", "log_dir", support_dir);

    (void)state;
    open_log("");
    assert_int_equal(log_config_from_json(params, &config, &error), 0);
    assert_int_equal(log_open(&config, &error), -1);
    assert_non_null(strstr(error.sentence, support_dir));
    log_config_done(&config);
    json_decref(params);
    log_close();
}

static void the_node_id_is_made_once(void **state)
{
    char first[LOG_NODE_ID_CHARS + 1];
    struct error error;

    (void)state;
    assert_int_equal(log_node_id_load(support_dir, &error), 0);
    memcpy(first, log_node_id(), sizeof first);
    assert_int_equal(strlen(first), LOG_NODE_ID_CHARS);
    assert_int_equal(log_node_id_load(support_dir, &error), 0);
    assert_string_equal(first, log_node_id());
    assert_int_equal(log_node_id_load("/nonexistent", &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_node_id_is_made_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(records_of_many_threads_arrive, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(segments_rotate_by_size, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(per_record_settings, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_full_disk_keeps_records_and_stops_reception, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(below_the_floor_reception_stops, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_record_over_its_limit_is_dropped, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(one_directory_one_log, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
