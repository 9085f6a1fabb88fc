/* SPDX-License-Identifier: Apache-2.0
 *
 * Every fault in a log's configuration is an error that names its key.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "log/segment.h"

static int parse(const char *json, struct log_config *config, struct error *error)
{
    json_t *params = json_loads(json, 0, NULL);
    int result;

    assert_non_null(params);
    result = log_config_from_json(params, config, error);
    json_decref(params);
    return result;
}

static void defaults(void **state)
{
    struct log_config config;
    struct error error;

    (void)state;
    assert_int_equal(parse("{\"log_dir\":\"/x\"}", &config, &error), 0);
    assert_string_equal(config.log_dir, "/x");
    assert_int_equal(config.max_file_bytes, 1000000000);
    assert_int_equal(config.max_record_bytes, 134217728);
    assert_int_equal(config.back_pressure, 128000);
    assert_int_equal(config.max_segment_ms, 0);
    assert_int_equal(config.min_free_space.percent, 10);
    assert_true(config.streams[RECORD_BOUNCE].enable);
    log_config_done(&config);
}

static void everything(void **state)
{
    struct log_config config;
    struct error error;

    (void)state;
    assert_int_equal(
        parse("{\"log_dir\":\"/x\",\"log_dir_timezone\":\"Local\",\"max_segment_duration\":\"5 minutes\","
              "\"max_file_size\":1000.0,\"max_record_size\":4096,\"back_pressure\":10,\"compression_level\":21,"
              "\"min_free_space\":12345,\"min_free_inodes\":\"3%\",\"headers\":[\"Subject\",\"X-*\"],\"meta\":{},"
              "\"per_record\":{\"Reception\":{\"suffix\":\"_recv\",\"segment_header\":\"# hi\\n\"},"
              "\"Any\":{\"enable\":false},\"Bounce\":{\"log_dir\":\"/y\"}}}",
              &config, &error),
        0);
    assert_int_equal(config.max_segment_ms, 300000);
    assert_int_equal(config.max_file_bytes, 1000);
    assert_int_equal(config.compression_level, 21);
    assert_int_equal(config.min_free_space.count, 12345);
    assert_int_equal(config.min_free_space.percent, 0);
    assert_int_equal(config.min_free_inodes.percent, 3);
    assert_string_equal(config.headers[1], "X-*");
    assert_null(config.headers[2]);
    assert_string_equal(config.streams[RECORD_RECEPTION].suffix, "_recv");
    assert_string_equal(config.streams[RECORD_RECEPTION].segment_header, "# hi\n");
    assert_true(config.streams[RECORD_RECEPTION].enable);
    assert_false(config.streams[RECORD_DELIVERY].enable);
    assert_true(config.streams[RECORD_BOUNCE].enable);
    assert_string_equal(config.streams[RECORD_BOUNCE].log_dir, "/y");
    log_config_done(&config);
}

static void faults_name_their_key(void **state)
{
    static const struct {
        const char *json;
        const char *named;
    } cases[] = {
        {"{}", "'log_dir' is missing"},
        {"{\"log_dir\":1}", "'log_dir'"},
        {"{\"log_dir\":\"\"}", "'log_dir'"},
        {"{\"log_dir\":\"/x/%Y\"}", "'log_dir'"},
        {"{\"log_dir\":\"/x\",\"logdir\":1}", "unknown key 'logdir'"},
        {"{\"log_dir\":\"/x\",\"max_file_size\":\"big\"}", "'max_file_size'"},
        {"{\"log_dir\":\"/x\",\"max_file_size\":1.5}", "'max_file_size'"},
        {"{\"log_dir\":\"/x\",\"max_file_size\":0}", "'max_file_size'"},
        {"{\"log_dir\":\"/x\",\"max_segment_duration\":\"soon\"}", "'max_segment_duration'"},
        {"{\"log_dir\":\"/x\",\"max_segment_duration\":true}", "'max_segment_duration'"},
        {"{\"log_dir\":\"/x\",\"compression_level\":22}", "'compression_level'"},
        {"{\"log_dir\":\"/x\",\"back_pressure\":0}", "'back_pressure'"},
        {"{\"log_dir\":\"/x\",\"min_free_space\":\"101%\"}", "'min_free_space'"},
        {"{\"log_dir\":\"/x\",\"min_free_inodes\":\"lots\"}", "'min_free_inodes'"},
        {"{\"log_dir\":\"/x\",\"headers\":\"Subject\"}", "'headers'"},
        {"{\"log_dir\":\"/x\",\"meta\":[1]}", "'meta'"},
        {"{\"log_dir\":\"/x\",\"log_dir_timezone\":\"CET\"}", "'log_dir_timezone'"},
        {"{\"log_dir\":\"/x\",\"filter_event\":\"f\"}", "'filter_event' is not supported"},
        {"{\"log_dir\":\"/x\",\"per_record\":true}", "'per_record'"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Receptoin\":{}}}", "per_record.Receptoin"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Bounce\":1,\"Any\":{\"suffix\":\"x\"}}}", "per_record.Bounce"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Bounce\":{\"enable\":1}}}", "per_record.Bounce.enable"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Bounce\":{\"suffix\":\"a/b\"}}}", "per_record.Bounce.suffix"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Bounce\":{\"template\":\"x\"}}}", "per_record.Bounce.template"},
        {"{\"log_dir\":\"/x\",\"per_record\":{\"Bounce\":{\"sufix\":\"x\"}}}", "unknown key 'per_record.Bounce.sufix'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct log_config config;
        struct error error = {0};

        if (parse(cases[i].json, &config, &error) != -1)
            fail_msg("accepted: %s", cases[i].json);
        assert_int_equal(error.kind, ERROR_PERM);
        if (!strstr(error.sentence, cases[i].named))
            fail_msg("%s gave: %s", cases[i].json, error.sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(everything),
        cmocka_unit_test(faults_name_their_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
