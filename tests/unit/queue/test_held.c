/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose mail is held: on stable storage when it was promised, and never half.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "queue/held.h"

static char folder[] = "/tmp/held-test-XXXXXX";

static char *path_of(const char *name) { return mem_printf("%s/%s", folder, name); }

static void write_file(const char *text)
{
    char *path = path_of("held");
    FILE *file = fopen(path, "w");

    MUST(file && fputs(text, file) >= 0 && fclose(file) == 0);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"held", "held.new/x", "held.new"};

    (void)state;
    held_close();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_of(names[i]);

        remove(path);
        free(path);
    }
    return rmdir(folder);
}

static void open_again(void)
{
    struct error error;

    held_close();
    assert_int_equal(held_open(folder, &error), 0);
}

static void what_is_held_is_held_in_the_next_life(void **state)
{
    struct error error;

    (void)state;
    assert_int_equal(held_open(folder, &error), 0);
    assert_int_equal(held_add("ada", &error), 0);
    assert_int_equal(held_add("ada", &error), 0);
    assert_int_equal(held_add("mia", &error), 0);
    open_again();
    assert_true(held_has("ada") && held_has("mia") && !held_has("bob"));
    assert_int_equal(held_remove("ada", &error), 0);
    assert_int_equal(held_remove("ada", &error), 0);
    open_again();
    assert_false(held_has("ada"));
    assert_true(held_has("mia"));
}

static void assert_listed(const char *name)
{
    json_t *list = held_list();

    assert_int_equal(json_array_size(list), name ? 1 : 0);
    if (name)
        assert_string_equal(json_string_value(json_array_get(list, 0)), name);
    json_decref(list);
}

static void a_name_is_one_however_it_is_capitalized(void **state)
{
    struct error error;

    (void)state;
    write_file("[\"Ann\", \"ANN\"]");
    assert_int_equal(held_open(folder, &error), 0);
    assert_int_equal(held_remove("ann", &error), 0);
    assert_false(held_has("Ann") || held_has("ANN"));
    assert_int_equal(held_add("Ann", &error), 0);
    assert_int_equal(held_add("ann", &error), 0);
    assert_listed("Ann");
    open_again();
    assert_true(held_has("ann") && held_has("aNN") && !held_has("anna"));
    assert_listed("Ann");
    assert_int_equal(held_remove("ANN", &error), 0);
    open_again();
    assert_false(held_has("Ann"));
    assert_listed(NULL);
}

/* A folder stands where the file is to be written. */
static void what_cannot_be_written_down_is_not_promised(void **state)
{
    char *in_the_way = path_of("held.new");
    struct error error;

    (void)state;
    assert_int_equal(held_open(folder, &error), 0);
    assert_int_equal(held_add("ada", &error), 0);
    assert_int_equal(mkdir(in_the_way, 0700), 0);
    assert_int_equal(held_add("mia", &error), -1);
    assert_non_null(strstr(error.sentence, "held"));
    assert_false(held_has("mia"));
    assert_int_equal(held_remove("ada", &error), -1);
    assert_true(held_has("ada"));
    rmdir(in_the_way);
    free(in_the_way);
    open_again();
    assert_true(held_has("ada"));
    assert_false(held_has("mia"));
}

/* Without it we would deliver what somebody wanted held. */
static void a_list_that_cannot_be_understood_is_an_error(void **state)
{
    static const char *const lists[] = {"[\"ada\", 5]", "{}", "[\"ada\"", "", "\"ada\""};
    struct error error;

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_file(lists[i]);
        assert_int_equal(held_open(folder, &error), -1);
        assert_non_null(strstr(error.sentence, "not a list of users"));
        held_close();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_held_is_held_in_the_next_life),
        TEST(a_name_is_one_however_it_is_capitalized),
        TEST(what_cannot_be_written_down_is_not_promised),
        TEST(a_list_that_cannot_be_understood_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
