/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored forms we make: that they verify, cost what was asked, and are imitated at the same cost for users who do
 * not exist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "password/password.h"

#define PASSWORD SPAN_LIT("Tr\303\274b und hei\303\237")

/* As cheap as may be, and what the stored form then begins with. */
static const struct {
    enum password_scheme scheme;
    struct password_cost cost, dearer;
    const char *beginning;
    size_t cost_chars; /* of the beginning and what else belongs to the cost; a dummy has them too */
} made_here[] = {
    {PASSWORD_PLAIN, {0}, {0}, "{PLAIN}Tr", 7},
    {PASSWORD_ARGON2ID, {64, 1, 2}, {64, 2, 2}, "$argon2id$v=19$m=64,t=1,p=2$", 28},
    {PASSWORD_ARGON2I, {64, 3, 1}, {65, 3, 1}, "$argon2i$v=19$m=64,t=3,p=1$", 27},
    {PASSWORD_BCRYPT, {0, 4, 0}, {0, 5, 0}, "$2b$04$", 7},
    {PASSWORD_YESCRYPT, {0, 1, 0}, {0, 2, 0}, "$y$j75$", 7},
    {PASSWORD_SCRYPT, {16, 0, 1}, {17, 0, 1}, "$scrypt$ln=4,r=8,p=1$", 21},
    {PASSWORD_SHA512_CRYPT, {0, 1000, 0}, {0, 1001, 0}, "$6$rounds=1000$", 15},
    {PASSWORD_SHA256_CRYPT, {0, 1000, 0}, {0, 1001, 0}, "$5$rounds=1000$", 15},
    {PASSWORD_PBKDF2_SHA256, {0, 1000, 0}, {0, 1001, 0}, "$pbkdf2-sha256$1000$", 20},
    {PASSWORD_PBKDF2_SHA512, {0, 1000, 0}, {0, 1001, 0}, "$pbkdf2-sha512$1000$", 20},
    {PASSWORD_PBKDF2_SHA1, {0, 1000, 0}, {0, 1001, 0}, "$pbkdf2$1000$", 13},
    {PASSWORD_SCRAM_SHA_256, {0, 4096, 0}, {0, 4097, 0}, "{SCRAM-SHA-256}4096,", 20},
    {PASSWORD_SCRAM_SHA_1, {0, 4096, 0}, {0, 4097, 0}, "{SCRAM-SHA-1}4096,", 18},
};
#define MADE_HERE (sizeof made_here / sizeof *made_here)

/* The caller frees it. */
static char *make(enum password_scheme scheme, const struct password_cost *cost, struct span password)
{
    struct buf stored;
    struct error error = {0};
    char *text;

    buf_init(&stored, PASSWORD_STORED_LIMIT);
    if (password_hash(scheme, cost, password, &stored, &error))
        fail_msg("%s: %s", password_scheme_name(scheme), error.sentence);
    text = span_dup(buf_span(&stored));
    buf_done(&stored);
    return text;
}

static void what_we_make_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE_HERE; i++) {
        enum password_scheme scheme = made_here[i].scheme;
        char *stored = make(scheme, &made_here[i].cost, PASSWORD);
        char *again = make(scheme, &made_here[i].cost, PASSWORD);

        print_message("%s\n", stored);
        assert_int_equal(strncmp(stored, made_here[i].beginning, strlen(made_here[i].beginning)), 0);
        assert_int_equal(password_scheme_of(stored), scheme);
        assert_int_equal(password_verify(PASSWORD, stored), PASSWORD_MATCHES);
        assert_int_equal(password_verify(SPAN_LIT("something else"), stored), PASSWORD_DIFFERS);
        assert_int_equal(strcmp(stored, again) != 0, scheme != PASSWORD_PLAIN); /* each has its own salt */
        free(stored);
        free(again);
    }
}

static void a_hash_is_made_anew_when_it_is_cheaper_or_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE_HERE; i++) {
        enum password_scheme scheme = made_here[i].scheme;
        enum password_scheme other = scheme == PASSWORD_BCRYPT ? PASSWORD_ARGON2ID : PASSWORD_BCRYPT;
        char *stored = make(scheme, &made_here[i].cost, PASSWORD);
        bool costs = made_here[i].dearer.rounds || made_here[i].dearer.memory_kib;

        assert_false(password_needs_rehash(stored, scheme, &made_here[i].cost));
        assert_int_equal(password_needs_rehash(stored, scheme, &made_here[i].dearer), costs);
        assert_int_equal(password_needs_rehash(stored, scheme, NULL), costs); /* our defaults cost more */
        assert_true(password_needs_rehash(stored, other, NULL));
        free(stored);
    }
    assert_true(password_needs_rehash("$2b$broken", PASSWORD_BCRYPT, NULL));
    assert_false(
        password_needs_rehash("$scrypt$ln=5,r=8,p=1$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI",
                              PASSWORD_SCRYPT, &(struct password_cost){.memory_kib = 16, .parallelism = 1}));
    assert_true(
        password_needs_rehash("$scrypt$ln=5,r=8,p=1$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI",
                              PASSWORD_SCRYPT, &(struct password_cost){.memory_kib = 16, .parallelism = 2}));
}

static void a_dummy_costs_the_same_and_matches_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE_HERE; i++) {
        enum password_scheme scheme = made_here[i].scheme;
        char *stored = make(scheme, &made_here[i].cost, PASSWORD);
        char *dummy = password_dummy(stored), *another = password_dummy(stored);

        print_message("%s\n", dummy);
        assert_int_equal(password_scheme_of(dummy), scheme);
        assert_int_equal(strncmp(dummy, stored, made_here[i].cost_chars), 0);
        assert_int_equal(strlen(dummy) == strlen(stored), scheme != PASSWORD_PLAIN);
        assert_false(password_needs_rehash(dummy, scheme, &made_here[i].cost));
        assert_int_equal(password_verify(PASSWORD, dummy), PASSWORD_DIFFERS);
        assert_int_equal(password_verify(SPAN_LIT(""), dummy), PASSWORD_DIFFERS);
        assert_string_not_equal(dummy, stored);
        assert_string_not_equal(dummy, another);
        free(stored);
        free(dummy);
        free(another);
    }
}

/* Forms that we only read have their dummies too, if need be in our own notation of the same scheme. */
static void a_dummy_of_a_foreign_notation(void **state)
{
    static const char *const foreign[] = {
        "$7$BU..../....bPL4aW6Dgmy/FS8ioG8Ed.$ooHow8xnPdb6gHn4tXWyWpKOJ0x16EcDFnwyzTj0NW6",
        "pbkdf2_sha256$1000$W2vPyBkBzMml$TAnUwp75Kwp2F7kvfz19YFOANJrGaUMVKrRj5+ezEEw=",
        "{PBKDF2}$1$nGQjErE1KDry1AxM$5000$6fa96c3bf7a1e4e678fb24c1799d9ffe5b117659",
        "{SSHA256}1kY/af3b0levx8AzC3kWsQidqpgKxb/cNh+Zrf7nTbrkxhXc",
        "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
        "$apr1$LPtuBhqU$iKcPER5j4H/2E4IVJR5OY0",
        "$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80",
        "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
        "{CRYPT}$2a$05$wpIsQ8mEhuZ8xzdUdnJ81Oy1/D7017F8M0ysNc6vDcso.R/pI1veW",
        "short",
    };

    (void)state;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char *dummy = password_dummy(foreign[i]);

        print_message("%s\n", dummy);
        assert_int_equal(password_scheme_of(dummy), password_scheme_of(foreign[i]));
        assert_int_equal(password_verify(SPAN_LIT("correct horse"), dummy), PASSWORD_DIFFERS);
        assert_true(strlen(dummy) > 20);
        free(dummy);
    }
}

static void a_dummy_of_nothing_is_of_our_defaults(void **state)
{
    char *of_null = password_dummy(NULL), *of_broken = password_dummy("$2b$broken");

    (void)state;
    assert_false(password_needs_rehash(of_null, PASSWORD_ARGON2ID, NULL));
    assert_false(password_needs_rehash(of_broken, PASSWORD_ARGON2ID, NULL));
    free(of_null);
    free(of_broken);
}

/* A relay reads its settings on the threads that mail waits for: what they say of costs is not tried out there. */
static void costs_are_checked_without_paying_them(void **state)
{
    static const struct {
        enum password_scheme scheme;
        struct password_cost cost;
    } dear[] = {
        {PASSWORD_ARGON2ID, {.memory_kib = 1 << 20, .rounds = 4}},
        {PASSWORD_BCRYPT, {.rounds = 16}},
        {PASSWORD_YESCRYPT, {.rounds = 11}},
        {PASSWORD_SCRYPT, {.memory_kib = 1 << 20, .parallelism = 4}},
        {PASSWORD_SHA512_CRYPT, {.rounds = 5000000}},
        {PASSWORD_SHA256_CRYPT, {.rounds = 5000000}},
        {PASSWORD_PBKDF2_SHA512, {.rounds = 10000000}},
        {PASSWORD_SCRAM_SHA_256, {.rounds = 10000000}},
    };
    struct timespec began, ended;

    (void)state;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
    for (size_t i = 0; i < sizeof dear / sizeof *dear; i++) {
        char *dummy = password_dummy_at(dear[i].scheme, &dear[i].cost);

        assert_int_equal(password_cost_check(dear[i].scheme, &dear[i].cost, NULL), 0);
        assert_int_equal(password_scheme_of(dummy), dear[i].scheme);
        assert_false(password_needs_rehash(dummy, dear[i].scheme, &dear[i].cost));
        free(dummy);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
    assert_true(ended.tv_sec - began.tv_sec < 2); /* any one of them takes longer */
}

static void refuse(enum password_scheme scheme, struct password_cost cost, struct span password)
{
    struct error error = {0};
    struct buf stored;

    buf_init(&stored, PASSWORD_STORED_LIMIT);
    assert_int_equal(password_hash(scheme, &cost, password, &stored, &error), -1);
    assert_int_equal(error.kind, ERROR_PERM);
    assert_int_equal(buf_len(&stored), 0);
    if (password.len == 1) /* the cost, then, or the scheme */
        assert_int_equal(password_cost_check(scheme, &cost, NULL), -1);
    print_message("%s\n", error.sentence);
    buf_done(&stored);
}

static void what_is_not_made(void **state)
{
    char long_text[600];

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    for (int scheme = PASSWORD_APR1; scheme < PASSWORD_SCHEME_COUNT; scheme++)
        refuse((enum password_scheme)scheme, (struct password_cost){0}, SPAN_LIT("x"));
    refuse(PASSWORD_BCRYPT, (struct password_cost){.rounds = 3}, SPAN_LIT("x"));
    refuse(PASSWORD_BCRYPT, (struct password_cost){.rounds = 17}, SPAN_LIT("x"));
    refuse(PASSWORD_BCRYPT, (struct password_cost){.memory_kib = 1024}, SPAN_LIT("x"));
    refuse(PASSWORD_ARGON2ID, (struct password_cost){.memory_kib = 1 << 21}, SPAN_LIT("x"));
    refuse(PASSWORD_ARGON2ID, (struct password_cost){.memory_kib = 1 << 20, .rounds = 5}, SPAN_LIT("x"));
    refuse(PASSWORD_ARGON2ID, (struct password_cost){.memory_kib = 15, .parallelism = 2}, SPAN_LIT("x"));
    refuse(PASSWORD_SCRYPT, (struct password_cost){.memory_kib = 1 << 20, .parallelism = 64}, SPAN_LIT("x"));
    refuse(PASSWORD_SCRAM_SHA_256, (struct password_cost){.rounds = 4095}, SPAN_LIT("x"));
    refuse(PASSWORD_PLAIN, (struct password_cost){.rounds = 1}, SPAN_LIT("x"));
    /* passwords that the scheme could not tell from others */
    refuse(PASSWORD_BCRYPT, (struct password_cost){.rounds = 4}, span_make(long_text, 73));
    refuse(PASSWORD_YESCRYPT, (struct password_cost){.rounds = 1}, span_make(long_text, 512));
    refuse(PASSWORD_ARGON2ID, (struct password_cost){.memory_kib = 64}, SPAN_LIT("a\0b"));
    refuse(PASSWORD_ARGON2ID, (struct password_cost){.memory_kib = 64}, SPAN_LIT(""));
}

static void a_buffer_that_is_too_small_is_an_error(void **state)
{
    struct password_cost cheap = {.rounds = 4};
    struct error error = {0};
    struct buf stored;

    (void)state;
    buf_init(&stored, 20);
    assert_int_equal(password_hash(PASSWORD_BCRYPT, &cheap, SPAN_LIT("x"), &stored, &error), -1);
    buf_done(&stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_make_verifies),
        cmocka_unit_test(a_hash_is_made_anew_when_it_is_cheaper_or_another),
        cmocka_unit_test(a_dummy_costs_the_same_and_matches_nothing),
        cmocka_unit_test(a_dummy_of_a_foreign_notation),
        cmocka_unit_test(a_dummy_of_nothing_is_of_our_defaults),
        cmocka_unit_test(costs_are_checked_without_paying_them),
        cmocka_unit_test(what_is_not_made),
        cmocka_unit_test(a_buffer_that_is_too_small_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
