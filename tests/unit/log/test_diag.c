/* SPDX-License-Identifier: Apache-2.0
 *
 * One event is one line, and the line is what it claims to be, whatever bytes went in.
 */
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/span.h"
#include "log/diag.h"

static char captured[1 << 20];

/* Runs `emit` with stderr in a file and reads what it wrote. */
static struct span capture(void (*emit)(void *), void *ctx)
{
    char path[] = "/tmp/gatepost-diag-XXXXXX";
    int fd = mkstemp(path), saved = dup(STDERR_FILENO);
    ssize_t got;

    assert_true(fd >= 0 && saved >= 0);
    unlink(path);
    fcntl(fd, F_SETFL, O_APPEND);
    dup2(fd, STDERR_FILENO);
    emit(ctx);
    dup2(saved, STDERR_FILENO);
    close(saved);
    got = pread(fd, captured, sizeof captured - 1, 0);
    close(fd);
    assert_true(got >= 0);
    captured[got] = '\0';
    return span_make(captured, (size_t)got);
}

static void emit_text(void *ctx)
{
    struct diag_scope outer, inner;

    diag_scope_init(&outer, NULL);
    diag_scope_add(&outer, "listener", "127.0.0.1:25");
    diag_scope_add(&outer, "peer", "hidden");
    diag_scope_init(&inner, &outer);
    diag_scope_add(&inner, "peer", "10.0.0.1");
    diag_scope_add(&inner, "helo", "two words");
    diag(DIAG_INFO, &inner, "%s", (const char *)ctx);
}

static void text_shows_fields_of_all_scopes(void **state)
{
    struct span line = capture(emit_text, "hello");

    (void)state;
    assert_true(
        span_ends_with(line, SPAN_LIT(" INFO hello listener=127.0.0.1:25 helo=\"two words\" peer=10.0.0.1\n")) ||
        span_ends_with(line, SPAN_LIT(" INFO hello listener=127.0.0.1:25 peer=10.0.0.1 helo=\"two words\"\n")));
    assert_true(line.data[4] == '-' && line.data[10] == 'T');
}

static void text_escapes_what_moves_a_terminal(void **state)
{
    struct span line = capture(emit_text, "a\r\nINFO forged\x1b[2J \xc2\x9b \xe2\x80\xae \xff ü");

    (void)state;
    assert_int_equal(span_find(line, '\n'), line.len - 1);
    assert_non_null(strstr(captured, "a\\r\\nINFO forged\\u001b[2J \\u009b \\u202e \\xff ü"));
}

static void words_come_last_without_a_scope_helper(void *ctx)
{
    diag(DIAG_INFO, NULL, "http listener on %s", (const char *)ctx);
}

static void words_come_last_without_a_scope(void **state)
{
    (void)state;
    assert_true(span_ends_with(capture(words_come_last_without_a_scope_helper, "127.0.0.1:8000"),
                               SPAN_LIT("http listener on 127.0.0.1:8000\n")));
}

static void json_is_valid_whatever_the_bytes(void **state)
{
    unsigned seed = 1;

    (void)state;
    diag_set_format(DIAG_JSON);
    for (int round = 0; round < 300; round++) {
        char bytes[6000];
        size_t len = 1 + (size_t)round * 19;
        json_error_t why;
        struct span line;
        json_t *object;

        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245 + 12345;
            bytes[i] = (char)(1 + (seed >> 16) % 255);
        }
        bytes[len] = '\0';
        line = capture(emit_text, bytes);
        assert_true(line.len <= 8192);
        assert_int_equal(span_find(line, '\n'), line.len - 1);
        object = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, &why);
        if (!object)
            fail_msg("round %d: %s at %d: %s", round, why.text, why.position, line.data);
        assert_string_equal(json_string_value(json_object_get(object, "level")), "INFO");
        assert_string_equal(json_string_value(json_object_get(object, "peer")), "10.0.0.1");
        json_decref(object);
    }
    diag_set_format(DIAG_TEXT);
}

static void emit_large_fields(void *ctx)
{
    struct diag_scope scopes[8];

    for (int i = 0; i < 8; i++) {
        diag_scope_init(&scopes[i], i > 0 ? &scopes[i - 1] : NULL);
        for (int j = 0; j < DIAG_FIELDS; j++) {
            static const char *const names[8][DIAG_FIELDS] = {
                {"a", "b", "c", "d", "e", "f"},       {"g", "h", "i", "j", "k", "l"},
                {"m", "n", "o", "p", "q", "r"},       {"s", "t", "u", "v", "w", "x"},
                {"a1", "b1", "c1", "d1", "e1", "f1"}, {"g1", "h1", "i1", "j1", "k1", "l1"},
                {"m1", "n1", "o1", "p1", "q1", "r1"}, {"s1", "t1", "u1", "v1", "w1", "x1"}};
            diag_scope_add(&scopes[i], names[i][j], ctx);
        }
    }
    diag(DIAG_ERROR, &scopes[7], "%s", (const char *)ctx);
}

static void a_line_is_cut_at_8_kib_and_stays_valid(void **state)
{
    static char huge[20000];
    struct span line;
    json_t *object;

    (void)state;
    memset(huge, 0xfe, sizeof huge - 1);
    line = capture(emit_large_fields, huge);
    assert_true(line.len > 8000 && line.len <= 8192);
    assert_int_equal(line.data[line.len - 1], '\n');
    diag_set_format(DIAG_JSON);
    line = capture(emit_large_fields, huge);
    diag_set_format(DIAG_TEXT);
    assert_true(line.len > 6000 && line.len <= 8192);
    object = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    json_decref(object);
}

static void *chatter(void *arg)
{
    for (int i = 0; i < 200; i++)
        diag(DIAG_INFO, NULL, "%s", (const char *)arg);
    return NULL;
}

static void emit_from_threads(void *ctx)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, ctx), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void threads_do_not_mix_lines(void **state)
{
    struct span rest = capture(emit_from_threads, "the quick brown fox"), line;
    size_t count = 0;

    (void)state;
    while (span_split(&rest, '\n', &line)) {
        if (line.len == 0)
            continue;
        assert_true(span_ends_with(line, SPAN_LIT("Z INFO the quick brown fox")));
        count++;
    }
    assert_int_equal(count, 800);
}

static void emit_error(void *ctx) { diag_error(NULL, ctx, "opening %s", "x.lua"); }

static void levels_and_errors(void **state)
{
    struct error error;
    enum diag_level level;

    (void)state;
    error_set(&error, ERROR_PERM, "no such file");
    capture(emit_error, &error);
    assert_non_null(strstr(captured, " ERROR opening x.lua: no such file\n"));
    error_set(&error, ERROR_TEMP, "busy");
    capture(emit_error, &error);
    assert_non_null(strstr(captured, " WARN opening x.lua: busy\n"));
    assert_int_equal(diag_level_parse("warn", &level), 0);
    diag_set_level(DIAG_ERROR);
    assert_false(diag_is_on(level));
    assert_int_equal(capture(emit_error, &error).len, 0);
    diag_set_level(DIAG_INFO);
    assert_int_equal(diag_level_parse("loud", &level), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_shows_fields_of_all_scopes),
        cmocka_unit_test(text_escapes_what_moves_a_terminal),
        cmocka_unit_test(words_come_last_without_a_scope),
        cmocka_unit_test(json_is_valid_whatever_the_bytes),
        cmocka_unit_test(a_line_is_cut_at_8_kib_and_stays_valid),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(levels_and_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
