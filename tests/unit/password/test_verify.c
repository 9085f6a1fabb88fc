/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored forms that other programs made (htpasswd, openssl passwd, mkpasswd, slappasswd, doveadm pw, argon2, passlib)
 * are matched by their password and by no other; what cannot be used is never taken for a password.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "password/password.h"

static const struct {
    enum password_scheme scheme;
    const char *stored;
} made_elsewhere[] = {
    /* all of "correct horse" */
    {PASSWORD_ARGON2ID, "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$HBMZ6iIOGeI6YFLuORlJUppB6tRx6cpAVHXXtN8Vxvw"},
    {PASSWORD_ARGON2ID,
     "{ARGON2ID}$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$+ZJfX2jq5oc/bq50fbRCCR0p/JIoQvxh+kgySP7nmwQ"},
    {PASSWORD_ARGON2ID, "{ARGON2}$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$+ZJfX2jq5oc/bq50fbRCCR0p/JIoQvxh+kgySP7nmwQ"},
    {PASSWORD_ARGON2I, "$argon2i$v=16$m=256,t=3,p=4$c29tZXNhbHQ$uZ1sHu8mMZHcrMopZSEVoZV3NXH1BYobHXPWFVsczaU"},
    {PASSWORD_ARGON2I, "$argon2i$m=256,t=3,p=4$c29tZXNhbHQ$uZ1sHu8mMZHcrMopZSEVoZV3NXH1BYobHXPWFVsczaU"},
    {PASSWORD_ARGON2I,
     "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$81RSl96cAx45sqG5s8coJg$+Udu148zw4TtHxlFj8rEVi2QR763O6TO1QcfcL/yamA"},
    {PASSWORD_BCRYPT, "$2y$05$RbDJZqcgoAvK2haQhUy9o.4URof8zo.pYyzQDVQ9PNxpjMBV1SKPW"},
    {PASSWORD_BCRYPT, "$2b$05$Go416hbCG06Uqr2VDh/oFulR3WUpe4kete/R3PivJwyIpuYKqxl7m"},
    {PASSWORD_BCRYPT, "{BLF-CRYPT}$2y$05$or1SdAvrUAa6REdLBlCbBuis7KLIS9Mda0FT5KJwDL4OW9gg8p49."},
    {PASSWORD_BCRYPT, "{CRYPT}$2a$05$wpIsQ8mEhuZ8xzdUdnJ81Oy1/D7017F8M0ysNc6vDcso.R/pI1veW"},
    {PASSWORD_YESCRYPT, "$y$j75$ZCRJThwHTqA9YXbNd9L0D1$GS7o33sf9W/GHrDqPflAVl/EQhl8UwIoNv/k8XZBZe1"},
    {PASSWORD_YESCRYPT, "$y$j9T$XDPT6HhpkhOVI.RSDUvUJ0$ZNMGRFtuw4nJqt1VWMEeRJGZIrerrx1tgcWTun3vmeB"},
    {PASSWORD_YESCRYPT, "{CRYPT}$y$j7T$sFKLBD/NONgs1z77MrqFy1$5AfLGBJ9zWjeB2FSJtbfXdHWK1mUTjo6kkBuHnxTqU8"},
    {PASSWORD_SCRYPT, "$scrypt$ln=4,r=8,p=1$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI"},
    {PASSWORD_SCRYPT,
     "{SCRYPT}$scrypt$ln=10,r=8,p=1$XgthrLVWSkkp5by39n7P2Q$rkceBekWb8WM5kjcCe3JJtAddz88mMjY+3J6ld9FIcY"},
    {PASSWORD_SCRYPT, "$7$BU..../....bPL4aW6Dgmy/FS8ioG8Ed.$ooHow8xnPdb6gHn4tXWyWpKOJ0x16EcDFnwyzTj0NW6"},
    {PASSWORD_SHA512_CRYPT,
     "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0"},
    {PASSWORD_SHA512_CRYPT,
     "$6$rounds=1000$o0kNORNu4oP/VRY0$VA9VWHu69y.BA2V7oOfuQFL85cKxL2EIGqM5nBmvMBHsOK6xbG0AfWa3I3yz2vNyMIPxo/"
     "Iu9SFMGrzxpEwf90"},
    {PASSWORD_SHA512_CRYPT, "{SHA512-CRYPT}$6$DKHjXfUomPkINFz.$HVoSGM.usjWqy5nZO2HDRV12b/"
                            "rmm6KFl7zblMH25TO.YX1oAkuHS51qNCcMVSbJghwmHnbSLyvkgyRW3wRO80"},
    {PASSWORD_SHA256_CRYPT, "$5$qtwl808QTtp1.5ZP$EG0FJgxcsU..PVEvMbSxv.ugR5EERVQimTJplXKvuy7"},
    {PASSWORD_PBKDF2_SHA256, "$pbkdf2-sha256$1000$Y4zRmtN6bw3hPKeUktJ67w$2c/FBRrT3IxcNaAk642MJvIAafaRvHgttERjEbOnu8I"},
    {PASSWORD_PBKDF2_SHA256, "pbkdf2_sha256$1000$W2vPyBkBzMml$TAnUwp75Kwp2F7kvfz19YFOANJrGaUMVKrRj5+ezEEw="},
    {PASSWORD_PBKDF2_SHA256, "{PBKDF2-SHA256}1000$vhfi/L.Xstaa01pLydm71w$UKjf/txoyciiFY53bDT0tB415gKCUIxFUHsqWzUvk7w"},
    {PASSWORD_PBKDF2_SHA512, "$pbkdf2-sha512$1000$A2DM.V9LSalVqhVCiJGytg$itp7FQckqMHU5jNWFQUrjHg4.nSca/"
                             "I9sd4e1sMCKmJpgyZE6hI1U7sYJ78dcdR78f/5aJMtqYiV20jHGTGV8Q"},
    {PASSWORD_PBKDF2_SHA1, "$pbkdf2$1000$bM35/19rbe1dKyWEcI6Rkg$KoeRiTsKp1BP/uFAi8EdvI8LAqA"},
    {PASSWORD_PBKDF2_SHA1, "pbkdf2_sha1$1000$5NQmxn5LUZWF$QNXjzOq3YUrKJWz6H7ECu+KVga0="},
    {PASSWORD_PBKDF2_SHA1, "{PBKDF2}$1$nGQjErE1KDry1AxM$5000$6fa96c3bf7a1e4e678fb24c1799d9ffe5b117659"},
    {PASSWORD_PBKDF2_SHA1, "{PBKDF2}1000$sfZey3kvhTBGSIkR4twbww$pAqGO/UV4ucZZHi.lk0Zk6BD4eM"},
    {PASSWORD_SCRAM_SHA_256,
     "{SCRAM-SHA-256}4096,/XGYchu6V8DYHrRjV1UU+w==,XZmd2+DO+MkT05xod9+5g1xtf0wk0GyxTjmPWpH2lUE=,cQ68tJEN+2HygD5m/"
     "Ap3HjA3f8KRVLR8kscI2vx5oM8="},
    {PASSWORD_SCRAM_SHA_256,
     "SCRAM-SHA-256$4096:/XGYchu6V8DYHrRjV1UU+w==$XZmd2+DO+MkT05xod9+5g1xtf0wk0GyxTjmPWpH2lUE=:cQ68tJEN+2HygD5m/"
     "Ap3HjA3f8KRVLR8kscI2vx5oM8="},
    {PASSWORD_SCRAM_SHA_1,
     "{SCRAM-SHA-1}4096,E3FMbfmVW94/KS5Qjrym3Q==,RADQ4+rm8HzBEUoQw2WxOuH0mOw=,7X2dkP6LxXVyc51wk8LSoGfaLbE="},
    {PASSWORD_APR1, "$apr1$LPtuBhqU$iKcPER5j4H/2E4IVJR5OY0"},
    {PASSWORD_APR1, "$apr1$xyz$d4P0ibuCEA5lkDozDZz320"},
    {PASSWORD_MD5_CRYPT, "{MD5-CRYPT}$1$fczBEKJX$xazzEY1Q1plOoRr0IcllP0"},
    {PASSWORD_MD5_CRYPT, "$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80"},
    {PASSWORD_SHA, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="},
    {PASSWORD_SSHA, "{SSHA}NmHRWcMZdkYOuHTPoaVx6B5/sWNHKgOy"},
    {PASSWORD_SSHA, "{ssha}cbODhjdoQJDsXovnmOhI8OOUbrvbGyOk"},
    {PASSWORD_SSHA256, "{SSHA256}1kY/af3b0levx8AzC3kWsQidqpgKxb/cNh+Zrf7nTbrkxhXc"},
    {PASSWORD_SSHA256, "{SSHA256}J8XTSAI/LWLvyk2pZ5kXivCaCibZcu8bTdDFQuZcrUMNgRDCOIfQ2g=="},
    {PASSWORD_SSHA512,
     "{SSHA512}wqRMKG5mrJfVcVPbago4KUbCEJR0uEcPapNWkwMBFm5JApV0MoO0Au6SAqdvU1rTSKGTwWaoDfwiG+k2D1kE0w6sYhM="},
    {PASSWORD_PLAIN, "{PLAIN}correct horse"},
    {PASSWORD_PLAIN, "{CLEARTEXT}correct horse"},
    {PASSWORD_PLAIN, "{clear}correct horse"},
    {PASSWORD_PLAIN, "correct horse"},
};
#define MADE_ELSEWHERE (sizeof made_elsewhere / sizeof *made_elsewhere)

static void what_others_made_is_matched_by_its_password_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE_ELSEWHERE; i++) {
        const char *stored = made_elsewhere[i].stored;

        print_message("%s\n", stored);
        assert_int_equal(password_scheme_of(stored), made_elsewhere[i].scheme);
        assert_int_equal(password_check(stored, NULL), 0);
        assert_int_equal(password_verify(SPAN_LIT("correct horse"), stored), PASSWORD_MATCHES);
        assert_int_equal(password_verify(SPAN_LIT("correct horsf"), stored), PASSWORD_DIFFERS);
        assert_int_equal(password_verify(SPAN_LIT("correct hors"), stored), PASSWORD_DIFFERS);
        assert_int_equal(password_verify(SPAN_LIT("correct horse\0"), stored), PASSWORD_DIFFERS);
        assert_int_equal(password_verify(SPAN_LIT(""), stored), PASSWORD_DIFFERS);
        assert_int_equal(password_verify(span_of(stored), stored),
                         stored[0] == 'c' ? PASSWORD_MATCHES : PASSWORD_DIFFERS);
    }
}

static void passwords_of_odd_lengths(void **state)
{
    char *longest = mem_alloc(PASSWORD_LIMIT + 1);

    (void)state;
    memset(longest, 'x', PASSWORD_LIMIT + 1);
    assert_int_equal(password_verify(SPAN_LIT(""), "$1$7YgCkfJZ$Sh13t7F05tECCmASIHjAc0"), PASSWORD_MATCHES);
    assert_int_equal(password_verify(SPAN_LIT("a much longer password than sixteen octets"),
                                     "$apr1$9R6zpu43$8OOZ2gXKgr1cE7vSGaM6F0"),
                     PASSWORD_MATCHES);
    for (size_t i = 0; i < MADE_ELSEWHERE; i++) {
        assert_int_equal(password_verify(span_make(longest, PASSWORD_LIMIT), made_elsewhere[i].stored),
                         PASSWORD_DIFFERS);
        assert_int_equal(password_verify(span_make(longest, PASSWORD_LIMIT + 1), made_elsewhere[i].stored),
                         PASSWORD_DIFFERS);
    }
    free(longest);
}

/* Cut anywhere, a hash does not become another one, let alone a password. */
static void a_hash_that_is_cut_is_unusable(void **state)
{
    char text[PASSWORD_STORED_LIMIT];

    (void)state;
    for (size_t i = 0; i < MADE_ELSEWHERE; i++) {
        size_t len = strlen(made_elsewhere[i].stored);

        if (made_elsewhere[i].scheme == PASSWORD_PLAIN || strncmp(made_elsewhere[i].stored, "{SSHA", 5) == 0 ||
            strncmp(made_elsewhere[i].stored, "{ssha", 5) == 0)
            continue; /* any beginning of these is as good as the whole */
        for (size_t cut = len - 4; cut > len - 20; cut--) {
            memcpy(text, made_elsewhere[i].stored, cut);
            text[cut] = '\0';
            assert_int_not_equal(password_verify(SPAN_LIT("correct horse"), text), PASSWORD_MATCHES);
            assert_int_not_equal(password_verify(span_make(text, cut), text), PASSWORD_MATCHES);
        }
    }
}

static const char *const unusable[] = {
    "",
    "{PLAIN}",
    "{CLEARTEXT}",
    "!",
    "*",
    "!!",
    "!*",
    "!$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    "*$6$",
    /* schemes we lack */
    "{SMD5}1YNOajiD/Vn2yn6pK2fjXPOKs8U=",
    "{MD5}X03MO1qnZdYdgyfeuILPmQ==",
    "{CRYPT}rgq7LKsDgNVAs",
    "{SSHA.HEX}00",
    "{GSSAPI}user",
    "$2x$05$RbDJZqcgoAvK2haQhUy9o.4URof8zo.pYyzQDVQ9PNxpjMBV1SKPW",
    "$gy$j9T$XDPT6HhpkhOVI.RSDUvUJ0$ZNMGRFtuw4nJqt1VWMEeRJGZIrerrx1tgcWTun3vmeB",
    "$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq",
    "$argon2d$v=19$m=64,t=1,p=2$c29tZXNhbHQ$+ZJfX2jq5oc/bq50fbRCCR0p/JIoQvxh+kgySP7nmwQ",
    "argon2$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$+ZJfX2jq5oc/bq50fbRCCR0p/JIoQvxh+kgySP7nmwQ",
    "bcrypt_sha256$$2b$12$whatever",
    /* prefix and shape disagree */
    "{ARGON2ID}$argon2i$v=16$m=256,t=3,p=4$c29tZXNhbHQ$uZ1sHu8mMZHcrMopZSEVoZV3NXH1BYobHXPWFVsczaU",
    "{BCRYPT}$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    "{SHA512-CRYPT}secret",
    "{SCRAM-SHA-1}4096,/XGYchu6V8DYHrRjV1UU+w==,XZmd2+DO+MkT05xod9+5g1xtf0wk0GyxTjmPWpH2lUE=,cQ68tJEN+2HygD5m/"
    "Ap3HjA3f8KRVLR8kscI2vx5oM8=",
    /* absurd costs */
    "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$HBMZ6iIOGeI6YFLuORlJUppB6tRx6cpAVHXXtN8Vxvw",
    "$argon2id$v=19$m=1024,t=4294967295,p=1$c29tZXNhbHQ$HBMZ6iIOGeI6YFLuORlJUppB6tRx6cpAVHXXtN8Vxvw",
    "$argon2id$v=19$m=1048576,t=5,p=1$c29tZXNhbHQ$HBMZ6iIOGeI6YFLuORlJUppB6tRx6cpAVHXXtN8Vxvw",
    "$argon2id$v=19$m=65536,t=1,p=65$c29tZXNhbHQ$HBMZ6iIOGeI6YFLuORlJUppB6tRx6cpAVHXXtN8Vxvw",
    "$2b$31$Go416hbCG06Uqr2VDh/oFulR3WUpe4kete/R3PivJwyIpuYKqxl7m",
    "$2b$17$Go416hbCG06Uqr2VDh/oFulR3WUpe4kete/R3PivJwyIpuYKqxl7m",
    "$y$jGT$XDPT6HhpkhOVI.RSDUvUJ0$ZNMGRFtuw4nJqt1VWMEeRJGZIrerrx1tgcWTun3vmeB",
    "$y$jzT$XDPT6HhpkhOVI.RSDUvUJ0$ZNMGRFtuw4nJqt1VWMEeRJGZIrerrx1tgcWTun3vmeB",
    "$y$j9T/1$XDPT6HhpkhOVI.RSDUvUJ0$ZNMGRFtuw4nJqt1VWMEeRJGZIrerrx1tgcWTun3vmeB",
    "$scrypt$ln=21,r=8,p=1$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI",
    "$scrypt$ln=4,r=8,p=4294967295$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI",
    "$scrypt$ln=64,r=8,p=1$tZaSktIao1SqNSaklNKakw$VeFsmkTSFrGk4R2gXyrpNUXC1BewZwz27ydlBMTYEMI",
    "$7$zU..../....bPL4aW6Dgmy/FS8ioG8Ed.$ooHow8xnPdb6gHn4tXWyWpKOJ0x16EcDFnwyzTj0NW6",
    "$6$rounds=999999999$o0kNORNu4oP/VRY0$VA9VWHu69y.BA2V7oOfuQFL85cKxL2EIGqM5nBmvMBHsOK6xbG0AfWa3I3yz2vNyMIPxo/"
    "Iu9SFMGrzxpEwf90",
    "$pbkdf2-sha256$4294967295$Y4zRmtN6bw3hPKeUktJ67w$2c/FBRrT3IxcNaAk642MJvIAafaRvHgttERjEbOnu8I",
    "$pbkdf2-sha256$0$Y4zRmtN6bw3hPKeUktJ67w$2c/FBRrT3IxcNaAk642MJvIAafaRvHgttERjEbOnu8I",
    "{PBKDF2}$1$salt$999999999$6fa96c3bf7a1e4e678fb24c1799d9ffe5b117659",
    "SCRAM-SHA-256$99999999:/XGYchu6V8DYHrRjV1UU+w==$XZmd2+DO+MkT05xod9+5g1xtf0wk0GyxTjmPWpH2lUE=:cQ68tJEN+2HygD5m/"
    "Ap3HjA3f8KRVLR8kscI2vx5oM8=",
    /* digests so short that chance could meet them */
    "$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$+ZJf",
    "$argon2id$v=19$m=8,t=1,p=2$c2FsdHNhbHRzYWx0c2FsdA$Cx45CT71wCso9UIq+qpxI5cmuktLZ6qYTy23uHWgquk",
    "$argon2id$v=19$m=8,t=1,p=0$c2FsdHNhbHRzYWx0c2FsdA$Cx45CT71wCso9UIq+qpxI5cmuktLZ6qYTy23uHWgquk",
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$Cx45CT71wCso9UIq+qpxI5cmuktLZ6qYTy23uHWgquk",
    "$pbkdf2-sha256$1000$Y4zRmtN6bw3hPKeUktJ67w$2c/F",
    "$pbkdf2-sha256$1000$Y4zRmtN6bw3hPKeUktJ67w$",
    "{SSHA}NmHRWcMZ",
    "{SHA}",
    "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
};

static void the_unusable_is_no_password_and_says_why(void **state)
{
    struct error error;

    (void)state;
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        enum password_verdict verdict = password_is_locked(unusable[i]) ? PASSWORD_LOCKED : PASSWORD_UNUSABLE;

        print_message("%s\n", unusable[i]);
        assert_int_equal(password_scheme_of(unusable[i]), PASSWORD_SCHEME_COUNT);
        assert_int_equal(password_verify(span_of(unusable[i]), unusable[i]), verdict);
        assert_int_equal(password_verify(SPAN_LIT("correct horse"), unusable[i]), verdict);
        assert_int_equal(password_verify(SPAN_LIT(""), unusable[i]), verdict);
        assert_true(password_is_cheap(unusable[i]));
        assert_false(password_is_weak(unusable[i]));
        assert_int_equal(password_check(unusable[i], &error), -1);
        assert_int_equal(error.kind, ERROR_PERM);
        if (strlen(unusable[i]) > 8) /* nothing of it is told */
            assert_null(strstr(error.sentence, unusable[i] + strlen(unusable[i]) - 8));
    }
}

static void the_locked_matches_nothing(void **state)
{
    static const char *const locked[] = {"!", "*", "!!", "!*", "!$6$o0kNORNu4oP/VRY0$x", "*$1$x$y"};
    static const char *const open[] = {"!secret", "*secret", "", "$6$o0kNORNu4oP/VRY0$x", "a!", "{PLAIN}!"};

    (void)state;
    for (size_t i = 0; i < sizeof locked / sizeof *locked; i++) {
        assert_true(password_is_locked(locked[i]));
        assert_int_equal(password_verify(span_of(locked[i]), locked[i]), PASSWORD_LOCKED);
    }
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_false(password_is_locked(open[i]));
}

static void a_form_beyond_the_limit_is_unusable(void **state)
{
    char *text = mem_alloc(PASSWORD_STORED_LIMIT + 2);

    (void)state;
    memset(text, 'x', PASSWORD_STORED_LIMIT + 1);
    text[PASSWORD_STORED_LIMIT + 1] = '\0';
    assert_int_equal(password_verify(span_of(text), text), PASSWORD_UNUSABLE);
    text[PASSWORD_STORED_LIMIT] = '\0';
    assert_int_equal(password_verify(span_of(text), text), PASSWORD_MATCHES);
    free(text);
}

static void plain_passwords_may_look_odd(void **state)
{
    static const char *const odd[] = {"$", "$$", "$5", "{", "{}", "{a b}c", "!secret", "*secret", "a$b$c", "{unclosed"};

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_int_equal(password_scheme_of(odd[i]), PASSWORD_PLAIN);
        assert_int_equal(password_verify(span_of(odd[i]), odd[i]), PASSWORD_MATCHES);
    }
    /* and with the prefix all of them may be any text */
    assert_int_equal(password_verify(SPAN_LIT("$6$x$y"), "{PLAIN}$6$x$y"), PASSWORD_MATCHES);
    assert_int_equal(password_verify(SPAN_LIT("{PLAIN}"), "{PLAIN}{PLAIN}"), PASSWORD_MATCHES);
}

static void names_are_found(void **state)
{
    (void)state;
    for (int i = 0; i < PASSWORD_SCHEME_COUNT; i++)
        assert_int_equal(password_scheme_find(span_of(password_scheme_name((enum password_scheme)i))), i);
    assert_int_equal(password_scheme_find(SPAN_LIT("BLF-CRYPT")), PASSWORD_BCRYPT);
    assert_int_equal(password_scheme_find(SPAN_LIT("Argon2ID")), PASSWORD_ARGON2ID);
    assert_int_equal(password_scheme_find(SPAN_LIT("")), PASSWORD_SCHEME_COUNT);
    assert_int_equal(password_scheme_find(SPAN_LIT("rot13")), PASSWORD_SCHEME_COUNT);
}

static void what_is_cheap_and_what_is_weak(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE_ELSEWHERE; i++) {
        enum password_scheme scheme = made_elsewhere[i].scheme;
        bool is_fast = scheme == PASSWORD_PLAIN || scheme >= PASSWORD_SHA;

        assert_int_equal(password_is_cheap(made_elsewhere[i].stored), is_fast);
        assert_int_equal(password_is_weak(made_elsewhere[i].stored), is_fast || scheme >= PASSWORD_APR1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_made_is_matched_by_its_password_alone),
        cmocka_unit_test(passwords_of_odd_lengths),
        cmocka_unit_test(a_hash_that_is_cut_is_unusable),
        cmocka_unit_test(the_unusable_is_no_password_and_says_why),
        cmocka_unit_test(the_locked_matches_nothing),
        cmocka_unit_test(a_form_beyond_the_limit_is_unusable),
        cmocka_unit_test(plain_passwords_may_look_odd),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(what_is_cheap_and_what_is_weak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
