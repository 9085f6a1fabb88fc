/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment can be read while it is open, after it is finished, and after a crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/syscall.h>

#include "log/log_private.h"
#include "support.h"

static bool disk_fails;
static int reads_before; /* it does */

/* In place of the C library's, also for what is tested. */
ssize_t read(int fd, void *data, size_t len)
{
    if (disk_fails && reads_before-- == 0) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_read, fd, data, len);
}

static struct segment *open_one(const char *header)
{
    struct segment_options options = {support_dir, "_x", header, 0};
    struct error error;
    struct segment *segment = segment_open(&options, &error);

    assert_non_null(segment);
    return segment;
}

static void add(struct segment *segment, const char *line)
{
    struct error error;

    assert_int_equal(log_segment_add(segment, span_of(line), &error), 0);
}

static void flush(struct segment *segment)
{
    struct error error;

    assert_int_equal(segment_flush(segment, &error), 0);
}

static char *only_file(void)
{
    char *names[4];

    assert_int_equal(list_files(names, 4), 1);
    return names[0];
}

static void expect_text(const char *name, const char *expected, bool whole)
{
    bool is_whole;
    char *text = read_segment(name, &is_whole);

    assert_string_equal(text, expected);
    assert_int_equal(is_whole, whole);
    free(text);
}

static void open_segments_can_be_read(void **state)
{
    struct segment *segment = open_one("# header\n");
    struct error error;
    char *name = only_file();

    (void)state;
    assert_true(segment_is_name(name));
    assert_non_null(strstr(name, "_x"));
    add(segment, "one\n");
    flush(segment);
    expect_text(name, "# header\none\n", false);
    assert_int_equal(mode_of(name), 0640);
    add(segment, "two\n");
    assert_int_equal(segment_raw_bytes(segment), 8);
    assert_int_equal(segment_finish(segment, &error), 0);
    expect_text(name, "# header\none\ntwo\n", true);
    assert_int_equal(mode_of(name), 0440);
    free(name);
}

static void an_abandoned_segment_keeps_what_was_flushed(void **state)
{
    struct segment *segment = open_one("");
    char *name = only_file();

    (void)state;
    add(segment, "kept\n");
    flush(segment);
    add(segment, "lost\n");
    segment_abandon(segment);
    expect_text(name, "kept\n", true);
    assert_int_equal(mode_of(name), 0440);
    free(name);
}

static void an_abandoned_segment_without_a_flush_goes(void **state)
{
    struct segment *segment = open_one("");
    char *names[4];

    (void)state;
    add(segment, "lost\n");
    segment_abandon(segment);
    assert_int_equal(list_files(names, 4), 0);
}

/* What a kill leaves: the file as it is, without an end, unlocked. */
static char *leave_open(const char *const *lines, size_t cut_bytes)
{
    struct segment *segment = open_one("");
    struct error error;
    char *name = only_file(), path[512], copy[512];
    char data[1 << 16];
    ssize_t len;
    int fd;

    for (; *lines; lines++) {
        add(segment, *lines);
        flush(segment);
    }
    snprintf(path, sizeof path, "%s/%s", support_dir, name);
    fd = open(path, O_RDONLY);
    len = read(fd, data, sizeof data);
    close(fd);
    segment_finish(segment, &error);
    unlink(path);
    snprintf(copy, sizeof copy, "%s/20260101-000000.000001", support_dir);
    fd = open(copy, O_WRONLY | O_CREAT, 0640);
    assert_int_equal(write(fd, data, (size_t)len - cut_bytes), len - (ssize_t)cut_bytes);
    close(fd);
    free(name);
    return strdup("20260101-000000.000001");
}

static void recovery_ends_what_a_crash_left_open(void **state)
{
    const char *lines[] = {"one\n", "two\n", "three\n", NULL};
    char *name = leave_open(lines, 0);

    (void)state;
    expect_text(name, "one\ntwo\nthree\n", false);
    assert_int_equal(recover_directory(support_dir), 1);
    expect_text(name, "one\ntwo\nthree\n", true);
    assert_int_equal(mode_of(name), 0440);
    assert_int_equal(recover_directory(support_dir), 0);
    free(name);
}

static void recovery_drops_a_line_that_was_cut(void **state)
{
    const char *lines[] = {"one\n", "two\n", "half of thr", NULL};
    char *name = leave_open(lines, 0);

    assert_int_equal(recover_directory(support_dir), 1);
    expect_text(name, "one\ntwo\n", true);
    free(name);
    remove_dir(state);
    make_dir(state);
    name = leave_open(lines, 4);
    assert_int_equal(recover_directory(support_dir), 1);
    expect_text(name, "one\ntwo\n", true);
    free(name);
}

static void recovery_leaves_strangers_and_the_living_alone(void **state)
{
    struct segment *segment = open_one("");
    struct error error;
    char *name = only_file(), path[512];
    int fd;

    (void)state;
    add(segment, "mine\n");
    flush(segment);
    snprintf(path, sizeof path, "%s/notes.txt", support_dir);
    fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    assert_int_equal(recover_directory(support_dir), 0);
    assert_int_equal(mode_of("notes.txt"), 0644);
    add(segment, "still mine\n");
    assert_int_equal(segment_finish(segment, &error), 0);
    expect_text(name, "mine\nstill mine\n", true);
    free(name);
}

static void recovery_marks_a_whole_one_and_removes_an_empty_one(void **state)
{
    struct segment *segment = open_one("");
    struct error error;
    char *name = only_file(), path[512];
    int fd;

    (void)state;
    add(segment, "whole\n");
    segment_finish(segment, &error);
    snprintf(path, sizeof path, "%s/%s", support_dir, name);
    chmod(path, 0640);
    snprintf(path, sizeof path, "%s/20260101-000000", support_dir);
    fd = open(path, O_WRONLY | O_CREAT, 0640);
    close(fd);
    assert_int_equal(recover_directory(support_dir), 2);
    free(name);
    name = only_file();
    assert_int_equal(mode_of(name), 0440);
    expect_text(name, "whole\n", true);
    free(name);
}

static void recovery_leaves_what_the_disk_does_not_give(void **state)
{
    const char *lines[] = {"one\n", "two\n", "half of thr", NULL};
    char *name = leave_open(lines, 0);

    (void)state;
    for (int n = 0; n < 4; n++) { /* twice it is read to its end: looked through, and copied */
        disk_fails = true;
        reads_before = n;
        assert_int_equal(recover_directory(support_dir), 0);
        assert_int_equal(reads_before, -1);
        disk_fails = false;
        expect_text(name, "one\ntwo\nhalf of thr", false);
        assert_int_equal(mode_of(name), 0640);
    }
    assert_int_equal(recover_directory(support_dir), 1);
    expect_text(name, "one\ntwo\n", true);
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_segments_can_be_read, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_abandoned_segment_keeps_what_was_flushed, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_abandoned_segment_without_a_flush_goes, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(recovery_ends_what_a_crash_left_open, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(recovery_drops_a_line_that_was_cut, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(recovery_leaves_strangers_and_the_living_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(recovery_leaves_what_the_disk_does_not_give, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(recovery_marks_a_whole_one_and_removes_an_empty_one, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
