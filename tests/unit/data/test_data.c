/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with comments and TOML: what is accepted, what is refused, and where the operator is
 * told the fault is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"

static void expect_json(const char *text, const char *expected)
{
    struct error error = {0};
    json_t *value = data_parse_json(span_of(text), "t.json", &error);
    char *dump;

    if (!value)
        fail_msg("%s: %s", text, error.sentence);
    dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    assert_string_equal(dump, expected);
    free(dump);
    json_decref(value);
}

static void expect_fault(json_t *(*parse)(struct span, const char *, struct error *), const char *text,
                         const char *start)
{
    struct error error = {0};

    assert_null(parse(span_of(text), "f", &error));
    if (strncmp(error.sentence, start, strlen(start)) != 0)
        fail_msg("%s: said \"%s\", not \"%s\"", text, error.sentence, start);
}

static void test_json_comments(void **state)
{
    (void)state;
    expect_json("{\"a\":1}", "{\"a\":1}");
    expect_json("// head\n{ /* in */ \"a\": 1, # tail\n \"b\": [1,2,], }", "{\"a\":1,\"b\":[1,2]}");
    expect_json("{\"a\": \"// no, /* not */ # one\"}", "{\"a\":\"// no, /* not */ # one\"}");
    expect_json("{\"a\": \"quote \\\" // in\"} // x", "{\"a\":\"quote \\\" // in\"}");
    expect_json("[1, /* x */\n // y\n ]", "[1]");
    expect_json("\"\\u0000x\"", "\"\\u0000x\"");
    expect_json("3", "3");
    expect_json("/**/null/***/", "null");
}

static void test_json_faults(void **state)
{
    (void)state;
    expect_fault(data_parse_json, "{\n  \"a\": 1,\n  b: 2\n}", "f:3:");
    expect_fault(data_parse_json, "{\n /* never", "f:2:2: this comment is never closed");
    expect_fault(data_parse_json, "[,]", "f:1:");
    expect_fault(data_parse_json, "[1,,]", "f:1:");
    expect_fault(data_parse_json, "[1]]", "f:1:");
    expect_fault(data_parse_json, "", "f:");
    expect_fault(data_parse_json, "{\"a\":1", "f:1:");
    expect_fault(data_parse_json, "/", "f:1:");
    expect_fault(data_parse_json, "\"\xff\"", "f:1:");
}

/* What stands in a key file must not come back in an error. */
static void test_json_fault_keeps_secrets(void **state)
{
    struct error error = {0};

    (void)state;
    assert_null(data_parse_json(span_of("{\"password\" \"tiger\"}"), "f", &error));
    assert_null(strstr(error.sentence, "tiger"));
}

static void test_json_deep(void **state)
{
    size_t depth = 1000000;
    char *text = malloc(depth);
    struct error error = {0};

    (void)state;
    assert_non_null(text);
    memset(text, '[', depth);
    assert_null(data_parse_json(span_make(text, depth), "f", &error));
    assert_null(data_parse_toml(span_make(text, depth), "f", &error));
    free(text);
}

static void expect_toml(const char *text, const char *expected)
{
    struct error error = {0};
    json_t *value = data_parse_toml(span_of(text), "t.toml", &error);
    char *dump;

    if (!value)
        fail_msg("%s: %s", text, error.sentence);
    dump = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(dump, expected);
    free(dump);
    json_decref(value);
}

static void test_toml(void **state)
{
    (void)state;
    expect_toml("", "{}");
    expect_toml("a = 1 # x\nb = 'lit'\nc = true\nd = [1, 2]\n", "{\"a\":1,\"b\":\"lit\",\"c\":true,\"d\":[1,2]}");
    expect_toml("[tenant.'my.tenant']\nrequire_authz = [\"scott\"]\n",
                "{\"tenant\":{\"my.tenant\":{\"require_authz\":[\"scott\"]}}}");
    expect_toml("[[x]]\na=1\n[[x]]\na=2\n", "{\"x\":[{\"a\":1},{\"a\":2}]}");
    expect_toml("f = 1.5\ni = 0xff\n", "{\"f\":1.5,\"i\":255}");
    expect_toml("d = 2026-01-02\nt = 03:04:05\nx = 2026-01-02T03:04:05Z\n",
                "{\"d\":\"2026-01-02\",\"t\":\"03:04:05\",\"x\":\"2026-01-02T03:04:05Z\"}");
}

static void test_toml_faults(void **state)
{
    (void)state;
    expect_fault(data_parse_toml, "a = 1\nb = \n", "f:2:");
    expect_fault(data_parse_toml, "a = 1\na = 2\n", "f:2:");
    expect_fault(data_parse_toml, "x = inf\n", "f:1:");
    expect_fault(data_parse_toml, "x = \"\xff\"\n", "f:1:");
    expect_fault(data_parse_toml, "x", "f:1:");
    expect_fault(data_parse_toml, "\"a\\u0000b\" = 1", "f:1:");
}

static void round_trip(const char *text, bool pretty)
{
    struct error error = {0};
    struct buf out;
    json_t *value = data_parse_toml(span_of(text), "t", &error);
    json_t *again;

    buf_init(&out, 4096);
    assert_non_null(value);
    assert_int_equal(data_write_toml(value, pretty, &out, &error), 0);
    again = data_parse_toml(buf_span(&out), "again", &error);
    if (!again)
        fail_msg("%s\n%s", error.sentence, buf_cstr(&out));
    assert_true(json_equal(value, again));
    json_decref(value);
    json_decref(again);
    buf_done(&out);
}

static void test_toml_write(void **state)
{
    const char *text = "a = 1\n'b c' = \"x\\ny\\u0001\\\"\"\nf = 2.0\ng = [1, [2, {k = [3]}], 'z']\n[t]\nx = true\n"
                       "[t.'u.v']\ny = 1.25\n[[l]]\nq = 1\n[l.m]\nr = 2\n[[l]]\n[e]\n";
    json_t *wrong = json_pack("{s:{s:n}}", "k", "sub");
    json_t *list = json_array();
    struct error error = {0};
    struct buf out;

    (void)state;
    round_trip(text, false);
    round_trip(text, true);
    buf_init(&out, 16);
    assert_int_equal(data_write_toml(wrong, false, &out, &error), -1);
    assert_non_null(strstr(error.sentence, "'sub'"));
    assert_int_equal(data_write_toml(list, false, &out, &error), -1);
    json_decref(wrong);
    json_decref(list);
    wrong = json_pack("{s:s}", "key", "longer than the buffer");
    assert_int_equal(data_write_toml(wrong, false, &out, &error), -1);
    json_decref(wrong);
    buf_done(&out);
}

/* A buffer that grew has left what it held in memory that is nobody's, and it may be a secret. */
static void file_is_read_without_growing(const char *path)
{
    static char text[40000];
    struct error error;
    struct buf out;
    int fd = open(path, O_WRONLY | O_TRUNC, 0600);

    memset(text, 'x', sizeof text);
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    close(fd);
    buf_init(&out, 1 << 20);
    assert_int_equal(data_read_file(path, sizeof text, &out, &error), 0);
    assert_int_equal(buf_len(&out), sizeof text);
    assert_int_equal(out.capacity, 65536); /* the first that is large enough */
    buf_clear(&out);
    assert_int_equal(data_read_file(path, sizeof text - 1, &out, &error), -1);
    buf_done(&out);
}

static void test_files(void **state)
{
    char folder[] = "/tmp/gatepost-data-XXXXXX";
    char path[64];
    struct error error = {0};
    json_t *value;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.toml", folder);
    assert_int_equal(data_format_of(path), DATA_TOML);
    assert_int_equal(data_format_of("x.toml.json"), DATA_JSON);
    assert_null(data_load_file(path, DATA_TOML, &error));
    assert_int_equal(error.kind, ERROR_TEMP);
    assert_non_null(strstr(error.sentence, path));
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "a = 1\n", 6), 6);
    close(fd);
    value = data_load_file(path, DATA_TOML, &error);
    assert_int_equal(json_integer_value(json_object_get(value, "a")), 1);
    json_decref(value);
    file_is_read_without_growing(path);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(data_load_file(path, DATA_TOML, &error));
    assert_non_null(strstr(error.sentence, "not a regular file"));
    unlink(path);
    rmdir(folder);
    assert_null(data_load_file("/", DATA_JSON, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_comments),
        cmocka_unit_test(test_json_faults),
        cmocka_unit_test(test_json_fault_keeps_secrets),
        cmocka_unit_test(test_json_deep),
        cmocka_unit_test(test_toml),
        cmocka_unit_test(test_toml_faults),
        cmocka_unit_test(test_toml_write),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
