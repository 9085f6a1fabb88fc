/* SPDX-License-Identifier: Apache-2.0
 *
 * Logins in the accounting log and on the diagnostic log's line: what is in them, and that what strangers wrote stays
 * in its place.
 */
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/audit.h"
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
    if (log_config_from_acct_json(params, &config, &error) < 0 || log_open(&config, &error) < 0)
        fail_msg("%s", error.sentence);
    log_config_done(&config);
    json_decref(params);
}

static struct audit refused(const char *authcid)
{
    return (struct audit){.session_id = "6b1e",
                          .listener = "127.0.0.1:25",
                          .peer = "192.0.2.7",
                          .ehlo_domain = "client.example",
                          .mechanism = "PLAIN",
                          .authcid = authcid,
                          .context = "SmtpAuthPlainAuthentication",
                          .outcome = "refused",
                          .reason = "bad_password",
                          .store = "people",
                          .took_us = 1234};
}

static struct audit accepted(const char *authcid)
{
    struct audit audit = refused(authcid);

    audit.is_ok = true;
    audit.outcome = audit.reason = "ok";
    audit.is_cached = true;
    audit.secret_label = "laptop";
    audit.tls_protocol = "TLSv1.3";
    audit.tls_cipher = "TLS_AES_256_GCM_SHA384";
    return audit;
}

/* All lines that were written, as an array. */
static json_t *take_records(void)
{
    json_t *records = json_array();
    char *names[16];
    size_t count;

    log_close();
    count = list_files(names, 16);
    for (size_t i = 0; i < count; i++) {
        bool whole;
        char *text = read_segment(names[i], &whole), *rest = text, *line;

        while ((line = strsep(&rest, "\n")))
            if (*line)
                assert_int_equal(json_array_append_new(records, json_loads(line, 0, NULL)), 0);
        assert_true(whole);
        free(text);
        free(names[i]);
    }
    return records;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void every_field_is_there(void **state)
{
    struct audit ok = accepted("scott"), no = refused("tiger");
    json_t *identities = json_pack("[{s:s,s:s}]", "identity", "scott", "context", "SmtpAuthPlainAuthentication");
    json_t *records, *record, *info;

    (void)state;
    open_log("");
    ok.identities = identities;
    assert_int_equal(audit_submit(&ok, NULL), 0);
    assert_int_equal(audit_submit(&no, NULL), 0);
    records = take_records();
    assert_int_equal(json_array_size(records), 2);
    record = json_array_get(records, 0);
    info = json_object_get(record, "auth_info");
    assert_string_equal(text_of(record, "type"), "Authentication");
    assert_int_equal(strlen(text_of(record, "timestamp")), strlen("2026-11-22T22:00:00.000000Z"));
    assert_true(json_is_true(json_object_get(record, "success")));
    assert_string_equal(text_of(json_object_get(record, "attempted_identity"), "identity"), "scott");
    assert_string_equal(text_of(info, "peer_address"), "192.0.2.7");
    assert_true(json_equal(json_object_get(info, "identities"), identities));
    assert_int_equal(json_array_size(json_object_get(info, "groups")), 0);
    assert_string_equal(text_of(record, "tls_protocol_version"), "TLSv1.3");
    assert_string_equal(text_of(record, "secret_label"), "laptop");
    assert_true(json_is_true(json_object_get(record, "cache_hit")));
    record = json_array_get(records, 1);
    assert_true(json_is_false(json_object_get(record, "success")));
    assert_string_equal(text_of(record, "result"), "refused");
    assert_string_equal(text_of(record, "reason"), "bad_password");
    assert_string_equal(text_of(record, "listener"), "127.0.0.1:25");
    assert_string_equal(text_of(record, "session_id"), "6b1e");
    assert_true(json_is_null(json_object_get(record, "tls_cipher")));
    assert_true(json_is_null(json_object_get(record, "proxy_address")));
    assert_int_equal(json_integer_value(json_object_get(record, "latency_us")), 1234);
    assert_int_equal(json_array_size(json_object_get(json_object_get(record, "auth_info"), "identities")), 0);
    json_decref(records);
    json_decref(identities);
}

static void either_kind_can_be_left_out(void **state)
{
    struct audit ok = accepted("scott"), no = refused("tiger");
    json_t *records;

    (void)state;
    open_log("\"log_authn_ok\":false,\"log_authz_allow\":false");
    assert_int_equal(audit_submit(&ok, NULL), 0);
    assert_int_equal(audit_submit(&no, NULL), 0);
    records = take_records();
    assert_int_equal(json_array_size(records), 1);
    assert_string_equal(text_of(json_array_get(records, 0), "authcid"), "tiger");
    json_decref(records);
}

static void a_log_of_messages_has_no_logins_nor_the_other_way_round(void **state)
{
    struct audit ok = accepted("scott");
    struct record reception = {.type = RECORD_RECEPTION, .id = "x"};
    json_t *records;

    (void)state;
    open_log("");
    assert_false(record_is_wanted(RECORD_RECEPTION));
    assert_int_equal(record_submit(&reception, NULL), 0);
    assert_int_equal(audit_submit(&ok, NULL), 0);
    records = take_records();
    assert_int_equal(json_array_size(records), 1);
    json_decref(records);
    assert_int_equal(audit_submit(&ok, NULL), 0); /* no log, no error */
}

static void one_accounting_log_and_only_its_own_keys(void **state)
{
    static const char *const faults[][2] = {
        {"{\"log_dir\":\"/x\",\"per_record\":{}}", "unknown key 'per_record'"},
        {"{\"log_dir\":\"/x\",\"log_authn_ok\":1}", "'log_authn_ok' must be true or false"},
        {"{\"log_authn_ok\":true}", "'log_dir' is missing"},
        {"{\"log_dir\":\"/x\",\"meta\":[]}", "unknown key 'meta'"},
    };
    struct log_config config;
    struct error error;

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        json_t *params = json_loads(faults[i][0], 0, NULL);

        assert_int_equal(log_config_from_acct_json(params, &config, &error), -1);
        assert_string_equal(error.sentence, faults[i][1]);
        json_decref(params);
    }
    open_log("");
    json_t *params = json_pack("{s:s}", "log_dir", "/nonexistent/other");
    assert_int_equal(log_config_from_acct_json(params, &config, &error), 0);
    assert_int_equal(log_open(&config, &error), -1);
    assert_non_null(strstr(error.sentence, "an accounting log already"));
    log_config_done(&config);
    json_decref(params);
    json_decref(take_records());
}

/* ---- the line ---- */

static char captured[16384];

static void capture(const struct audit *audit)
{
    int saved = dup(STDERR_FILENO), pipes[2];
    ssize_t got;

    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    audit_tell(audit, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    got = read(pipes[0], captured, sizeof captured - 1);
    captured[got > 0 ? got : 0] = '\0';
    close(pipes[0]);
}

static void assert_tells(const struct audit *audit, const char *expected)
{
    capture(audit);
    if (!strstr(captured, expected))
        fail_msg("'%s' is not in: %s", expected, captured);
}

static void the_line_is_fixed(void **state)
{
    struct audit no = refused("tiger"), proxied = refused(NULL), own = refused("");

    (void)state;
    assert_tells(&no, " INFO login mechanism=PLAIN client=192.0.2.7 proxy=- authcid=tiger authzid=- "
                      "result=bad_password session=6b1e\n");
    proxied.proxy = "10.0.0.1";
    proxied.authzid = "scott";
    assert_tells(&proxied, "client=192.0.2.7 proxy=10.0.0.1 authcid=- authzid=scott result=");
    own.is_proxys_own = true;
    assert_tells(&own, "client=192.0.2.7 proxy=self authcid=- authzid=- result=");
}

static void a_name_is_one_word(void **state)
{
    static const char *const names[][2] = {
        {"a b", "a%20b"},
        {"x result=ok client=1.2.3.4", "x%20result%3Dok%20client%3D1.2.3.4"},
        {"100%", "100%25"},
        {"-", "%2D"},
        {"--", "--"},
        {"\"q\"\\", "%22q%22%5C"},
        {"a\r\nb\tc", "a%0D%0Ab%09c"},
        {"j\xc3\xbcrgen@example.com", "j%C3%BCrgen@example.com"},
        {"\xff\x01", "%FF%01"},
        {"a+tag.b_c@example.com", "a+tag.b_c@example.com"},
    };
    char expected[256];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct audit no = refused(names[i][0]);

        snprintf(expected, sizeof expected, " authcid=%s authzid=- result=bad_password ", names[i][1]);
        assert_tells(&no, expected);
    }
}

static void a_long_name_is_cut_and_the_line_stays_whole(void **state)
{
    char name[2049];
    struct audit no = refused(name);

    (void)state;
    memset(name, ' ', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    no.authzid = name;
    capture(&no);
    assert_true(strlen(captured) < 2000);
    assert_non_null(strstr(captured, "%20 result=bad_password session=6b1e\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_is_there, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(either_kind_can_be_left_out, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_log_of_messages_has_no_logins_nor_the_other_way_round, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(one_accounting_log_and_only_its_own_keys, make_dir, remove_dir),
        cmocka_unit_test(the_line_is_fixed),
        cmocka_unit_test(a_name_is_one_word),
        cmocka_unit_test(a_long_name_is_cut_and_the_line_stays_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
