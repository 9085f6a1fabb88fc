/* SPDX-License-Identifier: Apache-2.0
 *
 * Every route over a real socket, and what is refused.
 */
#include <curl/curl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/admin_private.h"
#include "log/diag.h"
#include "metrics/metrics.h"

static bool live = true;
static int bumps;

static int describe_queues(void *ctx, size_t most, struct buf *out)
{
    (void)ctx;
    return most == 13 ? -1 : buf_appendf(out, "{\"scheduled\":[{\"name\":\"a@b\",\"length\":%zu}],\"ready\":[]}", most);
}

static bool is_live(void *ctx)
{
    (void)ctx;
    return live;
}

static void bump(void *ctx)
{
    (void)ctx;
    bumps++;
}

static json_t *ask_auth(void *ctx, const char *verb, const json_t *question, struct error *error)
{
    (void)ctx;
    if (json_object_get(question, "who") && !json_is_string(json_object_get(question, "who"))) {
        error_set(error, ERROR_PERM, "who is no text");
        return NULL;
    }
    if (!json_object_get(question, "who")) {
        error_set(error, ERROR_TEMP, "not now");
        return NULL;
    }
    return json_pack("{s:s, s:O}", "verb", verb, "question", question);
}

static const struct admin_ops ops = {
    .describe_queues = describe_queues, .is_live = is_live, .bump_config_epoch = bump, .ask_auth = ask_auth};
static const struct admin_ops no_ops;

static struct admin *admin;
static char base[128];

static int parse(const char *json, struct admin_params *params, struct error *error)
{
    json_t *table = json_loads(json, 0, NULL);
    int result;

    assert_non_null(table);
    result = admin_params_from_json(table, params, error);
    json_decref(table);
    return result;
}

static void listen_with(const char *json, const struct admin_ops *with)
{
    struct admin_params params;
    struct error error = {0};
    char text[SOCKADDR_TEXT_BYTES];

    bumps = 0;
    live = true;
    if (parse(json, &params, &error) < 0)
        fail_msg("%s", error.sentence);
    admin = admin_new(with, NULL, &error);
    assert_non_null(admin);
    if (admin_listen(admin, &params, &error) < 0)
        fail_msg("%s", error.sentence);
    sockaddr_format(admin_address(admin, 0), text);
    snprintf(base, sizeof base, "http://%s", text);
    assert_true(sockaddr_port(admin_address(admin, 0)) != 0);
}

static int start(void **state)
{
    (void)state;
    listen_with("{\"listen\":\"127.0.0.1:0\"}", &ops);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    admin_free(admin);
    admin = NULL;
    return 0;
}

/* ---- a client ---- */

static struct buf body;
static char allow[64];

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    (void)ctx;
    return buf_append(&body, data, size * count) == 0 ? size * count : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct span line = span_trim(span_make(data, size * count));

    (void)ctx;
    if (span_istarts_with(line, SPAN_LIT("allow: ")))
        snprintf(allow, sizeof allow, "%.*s", SPAN_ARG(span_from(line, 7)));
    return size * count;
}

/* The HTTP status; the body is in `body`. */
static long ask(const char *method, const char *path, const char *header, const char *data, size_t len)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, header ? header : "X-None: 1");
    char url[256];
    long status = 0;

    headers = curl_slist_append(headers, "Expect:");
    snprintf(url, sizeof url, "%s%s", base, path);
    buf_release(&body);
    buf_init(&body, 1 << 20);
    *allow = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    if (data) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data);
    }
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

static json_t *answer(void)
{
    json_t *value = json_loadb(buf_span(&body).data, buf_len(&body), 0, NULL);

    if (!value)
        fail_msg("not JSON: %s", buf_cstr(&body));
    return value;
}

static void expect_error(void)
{
    json_t *value = answer();

    assert_true(json_is_string(json_object_get(value, "error")));
    json_decref(value);
}

/* ---- the routes ---- */

static void metrics_as_text_and_json(void **state)
{
    json_t *all, *value;

    (void)state;
    metrics_add(METRIC_AUTH_OK, 3);
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, 0), 200);
    assert_non_null(strstr(buf_cstr(&body), "gatepost_auth_total{result=\"ok\"} 3\n"));
    assert_int_equal(ask("GET", "/metrics.json", NULL, NULL, 0), 200);
    all = answer();
    value = json_object_get(all, "gatepost_auth_total");
    assert_string_equal(json_string_value(json_object_get(value, "type")), "counter");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json_object_get(value, "value"), "result"), "ok")), 3);
    json_decref(all);
    metrics_add(METRIC_AUTH_OK, -3);
}

static void metrics_json_of_any_labels(void **state)
{
    json_t *all = metrics_json(SPAN_LIT("# HELP a some words\n# TYPE a gauge\na 1.5\nb{x=\"q\\\"\\\\\\n\",y=\"\"} 7\n"
                                        "c{z=\"}\"} +Inf\n")),
           *b;

    (void)state;
    assert_non_null(all);
    assert_string_equal(json_string_value(json_object_get(json_object_get(all, "a"), "help")), "some words");
    assert_true(json_real_value(json_object_get(json_object_get(all, "a"), "value")) > 1.4);
    b = json_array_get(json_object_get(json_object_get(all, "b"), "value"), 0);
    assert_int_equal(json_integer_value(json_object_get(b, "@")), 7);
    assert_string_equal(json_string_value(json_object_get(b, "x")), "q\"\\\n");
    json_decref(all);
    assert_null(metrics_json(SPAN_LIT("a{x=\"unfinished} 1\n")));
    assert_null(metrics_json(SPAN_LIT("a one\n")));
}

static void liveness(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/api/check-liveness/v1", NULL, NULL, 0), 200);
    live = false;
    assert_int_equal(ask("GET", "/api/check-liveness/v1", NULL, NULL, 0), 503);
    expect_error();
}

static void status(void **state)
{
    json_t *value;

    (void)state;
    assert_int_equal(ask("GET", "/api/gatepost/status/v1", NULL, NULL, 0), 200);
    value = answer();
    assert_string_equal(json_string_value(json_object_get(value, "version")), GATEPOST_VERSION);
    assert_int_equal(json_integer_value(json_object_get(value, "pid")), getpid());
    assert_true(json_is_integer(json_object_get(value, "uptime_seconds")));
    assert_true(json_is_true(json_object_get(value, "takes_mail")));
    assert_true(json_is_integer(json_object_get(json_object_get(value, "counts"), "messages_received")));
    json_decref(value);
}

static void queues(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1", NULL, NULL, 0), 200);
    assert_non_null(strstr(buf_cstr(&body), "\"length\":100"));
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1?limit=5", NULL, NULL, 0), 200);
    assert_non_null(strstr(buf_cstr(&body), "\"length\":5"));
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1?limit=13", NULL, NULL, 0), 503);
    expect_error();
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1?limit=-1", NULL, NULL, 0), 400);
    expect_error();
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1?limit=0", NULL, NULL, 0), 400);
}

static void bump_epoch(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, "", 0), 200);
    assert_int_equal(bumps, 1);
    assert_int_equal(ask("GET", "/api/admin/bump-config-epoch", NULL, NULL, 0), 405);
    expect_error();
    assert_string_equal(allow, "POST");
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", "Origin: http://evil.example", "", 0), 403);
    expect_error();
    assert_int_equal(bumps, 1);
}

#define JSON "Content-Type: application/json"

static long post(const char *path, const char *type, const char *text)
{
    return ask("POST", path, type, text, strlen(text));
}

static void questions_about_logins(void **state)
{
    static const char *const verbs[] = {"unlock", "block", "purge", "test"};

    (void)state;
    assert_int_equal(ask("GET", "/api/gatepost/auth/show/v1?who=a%40b%20%C3%A9", NULL, NULL, 0), 200);
    assert_non_null(strstr(buf_cstr(&body), "\"verb\":\"show\""));
    assert_non_null(strstr(buf_cstr(&body), "{\"who\":\"a@b \xc3\xa9\"}"));
    assert_int_equal(ask("GET", "/api/gatepost/auth/show/v1?who=%FF", NULL, NULL, 0), 400);
    expect_error();
    assert_int_equal(ask("GET", "/api/gatepost/auth/show/v1", NULL, NULL, 0), 503);
    expect_error();
    assert_int_equal(ask("POST", "/api/gatepost/auth/show/v1", JSON, "{}", 2), 405);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char path[64], verb[32];

        snprintf(path, sizeof path, "/api/gatepost/auth/%s/v1", verbs[i]);
        snprintf(verb, sizeof verb, "\"verb\":\"%s\"", verbs[i]);
        assert_int_equal(post(path, JSON, "{\"who\":\"ann\"}"), 200);
        assert_non_null(strstr(buf_cstr(&body), verb));
        assert_int_equal(ask("GET", path, NULL, NULL, 0), 405);
        assert_int_equal(post(path, JSON, "{\"who\":1}"), 400);
        expect_error();
    }
}

static void bodies_that_are_not_taken(void **state)
{
    static const char path[] = "/api/gatepost/auth/unlock/v1";
    static char large[ADMIN_BODY_BYTES + 1];

    (void)state;
    assert_int_equal(post(path, JSON "; charset=utf-8", "{\"who\":\"ann\"}"), 200);
    assert_int_equal(post(path, NULL, "{\"who\":\"ann\"}"), 415); /* what a form of a web page can send */
    assert_int_equal(post(path, "Content-Type: text/plain", "{\"who\":\"ann\"}"), 415);
    assert_int_equal(post(path, "Content-Type: application/jsonx", "{\"who\":\"ann\"}"), 415);
    assert_int_equal(post(path, JSON, ""), 400);
    assert_int_equal(post(path, JSON, "[]"), 400);
    assert_int_equal(post(path, JSON, "{\"who\":"), 400);
    assert_int_equal(post(path, JSON, "{\"who\":\"a\",\"who\":\"b\"}"), 400);
    assert_int_equal(post(path, JSON, "{\"who\":\"\xff\"}"), 400);
    expect_error();
    memset(large, ' ', sizeof large);
    memcpy(large, "{\"who\":\"ann\"}", 13);
    assert_int_equal(ask("POST", path, JSON, large, ADMIN_BODY_BYTES), 200);
    assert_int_equal(ask("POST", path, JSON, large, ADMIN_BODY_BYTES + 1), 413);
    expect_error();
}

static void unknown_paths_and_methods(void **state)
{
    (void)state;
    assert_int_equal(ask("GET", "/", NULL, NULL, 0), 404);
    expect_error();
    assert_int_equal(ask("GET", "/metrics/../metrics2", NULL, NULL, 0), 404);
    assert_int_equal(ask("DELETE", "/metrics", NULL, NULL, 0), 405);
    assert_string_equal(allow, "GET");
}

/* IPv6 where the machine has it. */
static const char *on_loopback(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    if (fd >= 0)
        close(fd);
    return has_ipv6 ? "{\"listen\":\"[::1]:0\"}" : "{\"listen\":\"127.0.0.1:0\"}";
}

static void nothing_behind_the_routes(void **state)
{
    (void)state;
    listen_with(on_loopback(), &no_ops);
    assert_int_equal(ask("GET", "/api/gatepost/queues/v1", NULL, NULL, 0), 501);
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, "", 0), 501);
    assert_int_equal(post("/api/gatepost/auth/unlock/v1", JSON, "{}"), 501);
    assert_int_equal(ask("GET", "/api/check-liveness/v1", NULL, NULL, 0), 200);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    listen_with("{\"listen\":\"127.0.0.1:0\",\"trusted_hosts\":[\"192.0.2.0/24\"]}", &ops);
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, 0), 403);
    expect_error();
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, "", 0), 403);
    assert_int_equal(bumps, 0);
}

static void large_bodies_are_refused(void **state)
{
    static char large[300000];

    (void)state;
    memset(large, 'x', sizeof large);
    listen_with("{\"listen\":\"127.0.0.1:0\",\"request_body_limit\":100000}", &ops);
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, large, 100000), 200);
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, large, 150000), 413);
    expect_error();
    assert_int_equal(ask("POST", "/api/admin/bump-config-epoch", NULL, large, sizeof large), 0); /* closed */
    assert_int_equal(bumps, 1);
}

static void idle_clients_do_not_keep_others_out(void **state)
{
    int idle[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        idle[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(idle[i], admin_address(admin, 0), sockaddr_length(admin_address(admin, 0))), 0);
        (void)!write(idle[i], "GET /met", 8);
    }
    assert_int_equal(ask("GET", "/metrics", NULL, NULL, 0), 200);
    for (size_t i = 0; i < 200; i++)
        close(idle[i]);
}

static void a_port_in_use_is_an_error(void **state)
{
    struct admin_params params;
    struct error error = {0};
    char json[128];

    (void)state;
    snprintf(json, sizeof json, "{\"listen\":\"127.0.0.1:%u\"}", sockaddr_port(admin_address(admin, 0)));
    assert_int_equal(parse(json, &params, &error), 0);
    assert_int_equal(admin_listen(admin, &params, &error), -1);
    assert_non_null(strstr(error.sentence, "http listener on 127.0.0.1:"));
}

static void faults_in_parameters_name_their_key(void **state)
{
    static const struct {
        const char *json;
        const char *named;
    } cases[] = {
        {"{\"listen\":8000}", "'listen'"},
        {"{\"listen\":\"nowhere\"}", "'listen'"},
        {"{\"trusted_hosts\":\"127.0.0.1\"}", "'trusted_hosts'"},
        {"{\"trusted_hosts\":[\"127.0.0.1/33\"]}", "'trusted_hosts'"},
        {"{\"trusted_hosts\":[1]}", "'trusted_hosts'"},
        {"{\"use_tls\":true}", "'use_tls' is not supported"},
        {"{\"use_tls\":1}", "'use_tls'"},
        {"{\"request_body_limit\":-1}", "'request_body_limit'"},
        {"{\"hostname\":1}", "'hostname'"},
        {"{\"lisen\":\"127.0.0.1:1\"}", "unknown key 'lisen'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct admin_params params;
        struct error error = {0};

        if (parse(cases[i].json, &params, &error) != -1)
            fail_msg("accepted: %s", cases[i].json);
        if (!strstr(error.sentence, cases[i].named))
            fail_msg("%s gave: %s", cases[i].json, error.sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metrics_as_text_and_json, start, stop),
        cmocka_unit_test(metrics_json_of_any_labels),
        cmocka_unit_test_setup_teardown(liveness, start, stop),
        cmocka_unit_test_setup_teardown(status, start, stop),
        cmocka_unit_test_setup_teardown(queues, start, stop),
        cmocka_unit_test_setup_teardown(bump_epoch, start, stop),
        cmocka_unit_test_setup_teardown(questions_about_logins, start, stop),
        cmocka_unit_test_setup_teardown(bodies_that_are_not_taken, start, stop),
        cmocka_unit_test_setup_teardown(unknown_paths_and_methods, start, stop),
        cmocka_unit_test_setup_teardown(nothing_behind_the_routes, NULL, stop),
        cmocka_unit_test_setup_teardown(strangers_are_refused, NULL, stop),
        cmocka_unit_test_setup_teardown(large_bodies_are_refused, NULL, stop),
        cmocka_unit_test_setup_teardown(idle_clients_do_not_keep_others_out, start, stop),
        cmocka_unit_test_setup_teardown(a_port_in_use_is_an_error, start, stop),
        cmocka_unit_test(faults_in_parameters_name_their_key),
    };
    int failed;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    diag_set_level(DIAG_ERROR);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_done(&body);
    curl_global_cleanup();
    return failed;
}
