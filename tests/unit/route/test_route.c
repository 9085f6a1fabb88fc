/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameter tables: defaults, units, refusals that name the key, smart hosts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "route/route.h"

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    assert_non_null(value);
    return value;
}

typedef void *make_fn(const json_t *params, struct error *error);

static void *make_queue(const json_t *params, struct error *error) { return route_queue_config_new(params, error); }

static void *make_pool(const json_t *params, struct error *error) { return route_pool_new(params, error); }

static void *make_source(const json_t *params, struct error *error) { return route_source_new(params, error); }

static void *make_path(const json_t *params, struct error *error) { return route_path_new(params, error); }

static void *make(make_fn *fn, const char *text, struct error *error)
{
    json_t *params = parse(text);
    void *made = fn(params, error);

    json_decref(params);
    return made;
}

static void queue_config_defaults(void **state)
{
    struct error error = {0};
    struct route_queue_config *config = make(make_queue, "{}", &error);

    (void)state;
    assert_non_null(config);
    assert_string_equal(config->egress_pool, "unspecified");
    assert_int_equal(config->max_age_ms, 7 * 86400000ULL);
    assert_int_equal(config->retry_interval_ms, 1200000);
    assert_int_equal(config->max_retry_interval_ms, 0);
    assert_int_equal(config->refresh_interval_ms, 60000);
    assert_int_equal(config->protocol, ROUTE_SMTP);
    assert_false(config->has_max_message_rate);
    route_queue_config_unref(&config);
    assert_null(config);
    config = make(make_queue, "[]", &error); /* an empty Lua table */
    assert_non_null(config);
    route_queue_config_unref(&config);
}

static void queue_config_reads_everything(void **state)
{
    struct error error = {0};
    struct route_queue_config *config =
        make(make_queue,
             "{\"egress_pool\":\"a\",\"max_age\":\"2 days\",\"retry_interval\":90,\"max_retry_interval\":\"1h30m\","
             "\"max_message_rate\":\"1,000/min\",\"refresh_strategy\":\"Epoch\",\"strategy\":\"TimerWheel\","
             "\"overall_max_message_rate\":\"5/s\",\"overall_max_message_rate_key\":\"tenant-a\","
             "\"protocol\":{\"smtp\":{\"mx_list\":[\"smart.example:587\",\"[::1]:2525\","
             "{\"name\":\"mx.example.com\",\"addr\":\"10.0.0.1\"}]}}}",
             &error);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->retry_interval_ms, 90000);
    assert_int_equal(config->max_retry_interval_ms, 5400000);
    assert_int_equal(config->max_message_rate.limit, 1000);
    assert_true(config->refresh_by_epoch);
    assert_string_equal(config->overall_key, "tenant-a");
    assert_int_equal(config->mx_count, 3);
    assert_string_equal(config->mx_list[0].name, "smart.example");
    assert_int_equal(config->mx_list[0].port, 587);
    assert_false(config->mx_list[0].has_address);
    assert_string_equal(config->mx_list[1].name, "[::1]");
    assert_int_equal(config->mx_list[1].port, 2525);
    assert_string_equal(config->mx_list[2].name, "mx.example.com");
    assert_true(config->mx_list[2].has_address);
    route_queue_config_unref(&config);
}

static void null_protocol(void **state)
{
    struct error error = {0};
    struct route_queue_config *config = make(make_queue, "{\"protocol\":\"null\"}", &error);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->protocol, ROUTE_NULL);
    route_queue_config_unref(&config);
}

static void hosts_of_an_mx_list(void **state)
{
    static const struct {
        const char *entry, *name;
        int port;
        bool literal;
    } good[] = {
        {"\"Smart.Example.\"", "smart.example", 0, false},
        {"\"localhost\"", "localhost", 0, false},
        {"\"a.b:25\"", "a.b", 25, false},
        {"\"10.0.0.1\"", "[10.0.0.1]", 0, true},
        {"\"10.0.0.1:26\"", "[10.0.0.1]", 26, true},
        {"\"[10.0.0.1]\"", "[10.0.0.1]", 0, true},
        {"\"[10.0.0.1]:65535\"", "[10.0.0.1]", 65535, true},
        {"\"[IPv6:2001:db8::1]\"", "[2001:db8::1]", 0, true},
        {"\"2001:db8::1\"", "[2001:db8::1]", 0, true},
        {"{\"name\":\"x.y\",\"addr\":\"[::1]:99\"}", "x.y", 99, true},
        {"{\"name\":\"x.y\",\"addr\":\"127.0.0.1:99\"}", "x.y", 99, true},
    };
    static const char *const bad[] = {
        "\"\"",
        "\":25\"",
        "\"a:0\"",
        "\"a:65536\"",
        "\"a:b\"",
        "\"a b\"",
        "\"[a]\"",
        "\"[1.2.3.4\"",
        "\"[1.2.3.4]x\"",
        "\"[1.2.3.4]:\"",
        "7",
        "{\"name\":\"a\"}",
        "\"-a\"",
        "\"a\\r\\nb\"",
        "[]",
        "{\"name\":\"a\",\"addr\":\"b.c\"}",
        "{\"name\":\"a b\",\"addr\":\"::1\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_t *entry = parse(good[i].entry);
        struct route_host host = {0};
        struct error error = {0};

        assert_int_equal(route_host_parse(entry, &host, &error), 0);
        assert_string_equal(host.name, good[i].name);
        assert_int_equal(host.port, good[i].port);
        assert_int_equal(host.has_address, good[i].literal);
        free(host.name);
        json_decref(entry);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *entry = parse(bad[i]);
        struct route_host host;
        struct error error = {0};

        assert_int_equal(route_host_parse(entry, &host, &error), -1);
        assert_non_null(strstr(error.sentence, "mx_list"));
        json_decref(entry);
    }
}

static void pools(void **state)
{
    struct error error = {0};
    struct route_pool *pool = make(
        make_pool, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\"},{\"name\":\"b\",\"weight\":0}],\"ttl\":5}", &error);

    (void)state;
    assert_non_null(pool);
    assert_int_equal(pool->count, 2);
    assert_int_equal(pool->entries[0].weight, 1);
    assert_int_equal(pool->entries[1].weight, 0);
    assert_int_equal(pool->ttl_ms, 5000);
    route_pool_unref(&pool);
}

static void sources(void **state)
{
    struct error error = {0};
    struct route_source *source =
        make(make_source,
             "{\"name\":\"s\",\"source_address\":\"127.0.0.2\",\"remote_port\":2525,\"ehlo_domain\":\"e\"}", &error);

    (void)state;
    assert_non_null(source);
    assert_true(source->has_address);
    assert_int_equal(source->remote_port, 2525);
    assert_int_equal(source->ttl_ms, 60000);
    route_source_unref(&source);
}

static void path_defaults(void **state)
{
    struct error error = {0};
    struct route_path *path = make(make_path, "{}", &error);
    struct ip loopback;

    (void)state;
    assert_non_null(path);
    assert_int_equal(path->connection_limit, 32);
    assert_int_equal(path->max_ready, 1024);
    assert_int_equal(path->idle_timeout_ms, 60000);
    assert_int_equal(path->data_timeout_ms, 30000);
    assert_int_equal(path->data_dot_timeout_ms, 60000);
    assert_int_equal(path->enable_tls, ROUTE_TLS_OPPORTUNISTIC);
    assert_int_equal(path->smtp_port, 25);
    assert_int_equal(ip_parse(span_of("127.1.2.3"), &loopback), 0);
    assert_true(cidr_contains(&path->prohibited_hosts[0], &loopback));
    route_path_unref(&path);
}

static void path_overrides(void **state)
{
    struct error error = {0};
    struct route_path *path = make(
        make_path,
        "{\"connection_limit\":\"local:1,000\",\"max_connection_rate\":\"10/s\",\"prohibited_hosts\":[],"
        "\"skip_hosts\":[\"::/0\",\"10.0.0.1\"],\"enable_tls\":\"RequiredInsecure\",\"enable_mta_sts\":false,"
        "\"smtp_auth_plain_username\":\"u\",\"smtp_auth_plain_password\":\"p\",\"additional_connection_limits\":{}}",
        &error);

    (void)state;
    assert_non_null(path);
    assert_int_equal(path->connection_limit, 1000);
    assert_int_equal(path->prohibited_count, 0);
    assert_int_equal(path->skip_count, 2);
    assert_int_equal(path->enable_tls, ROUTE_TLS_REQUIRED_INSECURE);
    assert_string_equal(path->auth_password, "p");
    route_path_unref(&path);
}

static void refusals_name_the_key(void **state)
{
    static const struct {
        make_fn *fn;
        const char *params, *named;
    } cases[] = {
        {make_queue, "{\"max_agee\":1}", "max_agee"},
        {make_queue, "{\"max_age\":true}", "'max_age': expected a duration"},
        {make_queue, "{\"max_age\":\"5 parsecs\"}", "max_age"},
        {make_queue, "{\"max_age\":-1}", "max_age"},
        {make_queue, "{\"retry_interval\":0}", "retry_interval"},
        {make_queue, "{\"egress_pool\":5}", "'egress_pool': expected a string, not a number"},
        {make_queue, "{\"egress_pool\":\"a\\u0000b\"}", "egress_pool"},
        {make_queue, "{\"max_message_rate\":10}", "max_message_rate"},
        {make_queue, "{\"max_message_rate\":\"fast\"}", "max_message_rate"},
        {make_queue, "{\"overall_max_message_rate\":\"1/s\"}", "overall_max_message_rate_key"},
        {make_queue, "{\"refresh_strategy\":\"Never\"}", "expected one of Ttl, Epoch"},
        {make_queue, "{\"protocol\":{\"custom_lua\":{\"constructor\":\"x\"}}}", "custom_lua"},
        {make_queue, "{\"protocol\":{\"maildir_path\":\"/x\"}}", "maildir_path"},
        {make_queue, "{\"protocol\":{\"smtp\":{\"mx\":[]}}}", "'mx'"},
        {make_queue, "{\"protocol\":{\"smtp\":{\"mx_list\":[]}}}", "mx_list"},
        {make_queue, "{\"protocol\":{\"smtp\":{\"mx_list\":[\"ok\",\"not ok\"]}}}", "mx_list"},
        {make_queue, "{\"protocol\":{\"pigeon\":{}}}", "pigeon"},
        {make_queue, "{\"protocol\":7}", "protocol"},
        {make_queue, "\"text\"", "expected a table"},
        {make_queue, "[1]", "expected a table"},
        {make_pool, "{\"entries\":[{\"name\":\"a\"}]}", "name"},
        {make_pool, "{\"name\":\"p\"}", "entries"},
        {make_pool, "{\"name\":\"p\",\"entries\":[{\"weight\":1}]}", "entries"},
        {make_pool, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\",\"weight\":-1}]}", "weight"},
        {make_pool, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\",\"weight\":0}]}", "entries"},
        {make_pool, "{\"name\":\"p\",\"entries\":[{\"name\":\"a\",\"wait\":0}]}", "wait"},
        {make_source, "{}", "name"},
        {make_source, "{\"name\":\"s\",\"source_address\":\"host\"}", "source_address"},
        {make_source, "{\"name\":\"s\",\"remote_port\":0}", "remote_port"},
        {make_source, "{\"name\":\"s\",\"socks5_proxy_server\":\"1.2.3.4:5\"}", "socks5_proxy_server"},
        {make_path, "{\"enable_tls\":\"Yes\"}", "expected one of Disabled"},
        {make_path, "{\"enable_dane\":true}", "enable_dane"},
        {make_path, "{\"enable_mta_sts\":true}", "enable_mta_sts"},
        {make_path, "{\"prohibited_hosts\":[\"10.0.0.0/33\"]}", "prohibited_hosts"},
        {make_path, "{\"connection_limit\":0}", "connection_limit"},
        {make_path, "{\"connection_limit\":\"many\"}", "connection_limit"},
        {make_path, "{\"additional_connection_limits\":{\"a\":1}}", "additional_"},
        {make_path, "{\"smtp_auth_plain_username\":\"u\"}", "smtp_auth_plain_password"},
        {make_path, "{\"smtp_auth_plain_password\":\"topsecret\"}", "smtp_auth_plain_username"},
        {make_path,
         "{\"smtp_auth_plain_username\":\"u\",\"smtp_auth_plain_password\":\"topsecret\",\"enable_tls\":\"Disabled\"}",
         "allow_smtp_auth_plain_without_tls"},
        {make_path, "{\"tls_certificate\":\"x\"}", "tls_certificate"},
        {make_path, "{\"use_lmtp\":true}", "use_lmtp"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};

        if (make(cases[i].fn, cases[i].params, &error))
            fail_msg("accepted: %s", cases[i].params);
        if (!strstr(error.sentence, cases[i].named))
            fail_msg("%s: '%s' does not say '%s'", cases[i].params, error.sentence, cases[i].named);
        assert_null(strstr(error.sentence, "topsecret"));
    }
}

static void *churn(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        struct route_path *path = route_path_ref(arg);

        route_path_unref(&path);
    }
    return NULL;
}

static void references_from_two_threads(void **state)
{
    struct route_path *path = make(make_path, "{}", NULL);
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, churn, path), 0);
    churn(path);
    pthread_join(thread, NULL);
    assert_int_equal(path->refs, 1);
    route_path_unref(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_config_defaults),
        cmocka_unit_test(queue_config_reads_everything),
        cmocka_unit_test(null_protocol),
        cmocka_unit_test(hosts_of_an_mx_list),
        cmocka_unit_test(pools),
        cmocka_unit_test(sources),
        cmocka_unit_test(path_defaults),
        cmocka_unit_test(path_overrides),
        cmocka_unit_test(refusals_name_the_key),
        cmocka_unit_test(references_from_two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
