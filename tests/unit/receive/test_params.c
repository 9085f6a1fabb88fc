/* SPDX-License-Identifier: Apache-2.0
 *
 * Listener parameters: defaults, mistakes that name their key, and what holds for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "auth/mechanism.h"
#include "receive/domain.h"
#include "receive/params.h"

static struct receive_params *parse(const char *text, struct error *error)
{
    json_t *table = json_loads(text, 0, NULL);
    struct receive_params *params;

    assert_non_null(table);
    params = receive_params_new(table, error);
    json_decref(table);
    return params;
}

static void defaults_are_the_manuals(void **state)
{
    struct receive_params *params = parse("{}", NULL);

    (void)state;
    assert_non_null(params);
    assert_int_equal(params->max_message_size, 20 * 1024 * 1024);
    assert_int_equal(params->client_timeout_ms, 60000);
    assert_int_equal(params->data_processing_timeout_ms, 300000);
    assert_int_equal(params->max_connections, 32768);
    assert_int_equal(params->line_length_hard_limit, 998);
    assert_int_equal(params->relay_hosts.count, 2);
    assert_int_equal(params->line_endings, SMTP_LINE_ENDINGS_DENY);
    assert_non_null(receive_params_tls_server(params));
    assert_int_equal(params->auth_mechanisms_in_clear, 0);
    for (size_t i = 0; auth_mechanism_at(i); i++)
        assert_int_equal(params->auth_mechanisms >> i & 1, !auth_mechanism_is_legacy(auth_mechanism_at(i)));
    receive_params_unref(&params);
}

static void mistakes_name_their_key(void **state)
{
    static const struct {
        const char *text;
        const char *named;
    } cases[] = {
        {"{\"lissen\": \"x\"}", "'lissen' is not a parameter"},
        {"{\"listen\": 25}", "'listen'"},
        {"{\"listen\": \"localhost:25\"}", "'listen'"},
        {"{\"hostname\": 1}", "'hostname': expected a string, not a number"},
        {"{\"banner\": \"a\\r\\nb\"}", "'banner'"},
        {"{\"relay_hosts\": \"10.0.0.1\"}", "'relay_hosts'"},
        {"{\"relay_hosts\": [\"10.0.0.0/33\"]}", "'relay_hosts': '10.0.0.0/33'"},
        {"{\"client_timeout\": \"5 parsecs\"}", "'client_timeout'"},
        {"{\"max_message_size\": -1}", "'max_message_size'"},
        {"{\"max_message_size\": 1.5}", "'max_message_size'"},
        {"{\"invalid_line_endings\": \"deny\"}", "'invalid_line_endings'"},
        {"{\"trace_headers\": {\"nope\": 1}}", "'trace_headers': 'nope'"},
        {"{\"trace_headers\": {\"header_name\": \"a b\"}}", "header_name"},
        {"{\"trace_headers\": {\"client_address\": \"hide\"}}", "'trace_headers': 'client_address': expected one of"},
        {"{\"trace_headers\": {\"client_address_key\": \"short\"}}", "'client_address_key': a key has 16 bytes"},
        {"{\"trace_headers\": {\"authenticated_id\": true}}", "'authenticated_id': expected a string"},
        {"{\"trace_headers\": {\"authenticated_id\": \"X:\"}}", "'authenticated_id': not a header field name"},
        {"{\"trace_headers\": {\"authenticated_id\": \"received\"}}", "'authenticated_id': messages have"},
        {"{\"trace_headers\": {\"authenticated_id\": \"Content-Type\"}}", "'authenticated_id': messages have"},
        {"{\"trace_headers\": [1]}", "'trace_headers': expected a table, not a list"},
        {"{\"trace_headers\": {\"include_meta_names\": \"x\"}}", "'include_meta_names': expected a list of names"},
        {"{\"trace_headers\": {\"include_meta_names\": [1]}}", "'include_meta_names'"},
        {"{\"trace_headers\": {\"client_address_key\": null}}", "expected a string, not nil"},
        {"{\"client_timeout\": {}}", "'client_timeout': expected a duration such as"},
        {"{\"client_timeout\": -1}", "'client_timeout': a duration cannot be negative"},
        {"{\"allow_xclient\": \"yes\"}", "'allow_xclient': expected true or false"},
        {"{\"implicit_tls\": 1}", "'implicit_tls'"},
        {"{\"peer\": 5}", "'peer': expected a table"},
        {"{\"meta\": 5}", "'meta': expected a table"},
        {"{\"tls_certificates\": {\"x\": 1}}", "'tls_certificates': expected a list"},
        {"{\"tls_certificate\": 5, \"tls_private_key\": \"x\"}", "'tls_certificate': expected a path or {key_data"},
        {"{\"tls_mode\": \"none\"}", "'tls_mode'"},
        {"{\"tls_certificate\": \"/no/such/file\", \"tls_private_key\": \"/no/such/file\"}", "'tls_certificate'"},
        {"{\"tls_certificate\": \"/no/such/file\"}", "go together"},
        {"{\"tls_certificates\": [{\"certificate\": \"x\"}]}", "tls_certificates[1].server_name"},
        {"{\"deferred_queue\": true}", "'deferred_queue'"},
        {"{\"peer\": {\"x\": {}}}", "'peer': 'x'"},
        {"{\"peer\": {\"10.0.0.0/8\": {\"nope\": 1}}}", "'peer': '10.0.0.0/8': 'nope'"},
        {"{\"via\": {\"10.0.0.0/8\": {\"listen\": \"0:25\"}}}", "'listen' holds for the whole listener"},
        {"{\"via\": {\"10.0.0.0/8\": {\"peer\": {}}}}", "cannot be nested"},
        {"{\"auth_mechanisms\": \"PLAIN\"}", "'auth_mechanisms': expected a list"},
        {"{\"auth_mechanisms\": [\"CRAM-MD5\"]}", "'auth_mechanisms': 'CRAM-MD5'"},
        {"{\"auth_mechanisms_in_clear\": [\"PLAIN\"]}", "'auth_mechanisms_in_clear': PLAIN needs TLS"},
        {"{\"via\": {\"10.0.0.0/8\": {\"auth_mechanisms\": [1]}}}", "'auth_mechanisms'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};
        struct receive_params *params = parse(cases[i].text, &error);

        if (params || !strstr(error.sentence, cases[i].named))
            fail_msg("%s: '%s'", cases[i].text, params ? "taken" : error.sentence);
    }
}

static struct ip ip_of(const char *text)
{
    struct ip ip;

    assert_int_equal(ip_parse(span_of(text), &ip), 0);
    return ip;
}

static void the_most_specific_row_wins_and_peer_beats_via(void **state)
{
    struct receive_params *base = parse("{\"hostname\": \"base\", \"meta\": {\"a\": 1, \"b\": 1},"
                                        "\"via\": {\"10.0.0.0/8\": {\"hostname\": \"via\", \"banner\": \"v\"}},"
                                        "\"peer\": {\"192.0.2.0/24\": {\"hostname\": \"wide\", \"meta\": {\"b\": 2}},"
                                        "\"192.0.2.7\": {\"hostname\": \"narrow\"}}}",
                                        NULL);
    struct ip local = ip_of("10.1.1.1"), other = ip_of("127.0.0.1"), wide = ip_of("192.0.2.1"),
              narrow = ip_of("192.0.2.7");
    struct receive_params *params;
    json_t *dynamic = json_pack("{ss s{s{ss}}}", "hostname", "dynamic", "peer", "192.0.2.1", "banner", "dp");

    (void)state;
    assert_non_null(base);
    params = receive_params_for(base, &other, &other);
    assert_ptr_equal(params, base);
    receive_params_unref(&params);
    params = receive_params_for(base, &local, &other);
    assert_string_equal(params->hostname, "via");
    receive_params_unref(&params);
    params = receive_params_for(base, &local, &wide);
    assert_string_equal(params->hostname, "wide");
    assert_string_equal(params->banner, "v");
    assert_int_equal(json_integer_value(json_object_get(params->meta, "a")), 1);
    assert_int_equal(json_integer_value(json_object_get(params->meta, "b")), 2);
    receive_params_unref(&params);
    params = receive_params_for(base, &other, &narrow);
    assert_string_equal(params->hostname, "narrow");
    receive_params_unref(&params);
    params = receive_params_override(base, dynamic, &other, &wide, NULL);
    assert_string_equal(params->hostname, "dynamic");
    assert_string_equal(params->banner, "dp");
    receive_params_unref(&params);
    json_decref(dynamic);
    receive_params_unref(&base);
}

static void listener_domains_are_checked(void **state)
{
    json_t *good = json_pack("{sb s[s] ss so}", "relay_to", 1, "relay_from", "10.0.0.0/8", "log_oob", "LogThenDrop",
                             "log_arf", json_true());
    json_t *bad = json_pack("{sb}", "relay", 1);
    struct receive_domain *domain = receive_domain_new(good, NULL);
    struct error error = {0};

    (void)state;
    assert_true(domain->relay_to);
    assert_int_equal(domain->log_oob, RECEIVE_REPORT_LOG_THEN_DROP);
    assert_int_equal(domain->log_arf, RECEIVE_REPORT_LOG_THEN_RELAY);
    receive_domain_unref(&domain);
    assert_null(receive_domain_new(bad, &error));
    assert_non_null(strstr(error.sentence, "'relay'"));
    json_decref(good);
    json_decref(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_manuals),
        cmocka_unit_test(mistakes_name_their_key),
        cmocka_unit_test(the_most_specific_row_wins_and_peer_beats_via),
        cmocka_unit_test(listener_domains_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
