/* SPDX-License-Identifier: Apache-2.0
 *
 * SCRAM's keys against the exchanges that RFC 5802 and RFC 7677 print: the keys verify the client's proof there and
 * give the server's signature.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "base/base64.h"
#include "password/password.h"

struct published {
    enum crypto_hash hash;
    size_t key_len;
    const char *salt, *auth_message, *proof, *signature;
};

static const struct published rfc_5802 = {
    .hash = CRYPTO_SHA1,
    .key_len = 20,
    .salt = "QSXCR+Q6sek8bf92",
    .auth_message = "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,"
                    "i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
    .proof = "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    .signature = "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
};

static const struct published rfc_7677 = {
    .hash = CRYPTO_SHA256,
    .key_len = 32,
    .salt = "W22ZaJ0SNY7soEsUEjb6gQ==",
    .auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,"
                    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    .proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    .signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

static size_t decode(const char *text, unsigned char *out, size_t most)
{
    struct buf bytes;
    size_t len;

    buf_init(&bytes, 2 * most);
    assert_int_equal(base64_decode(span_of(text), &bytes), 0);
    len = buf_len(&bytes);
    memcpy(out, buf_span(&bytes).data, len);
    buf_done(&bytes);
    return len;
}

static struct span bytes(const unsigned char *data, size_t len) { return span_make((const char *)data, len); }

/* RFC 5802, section 3: ClientKey = proof XOR HMAC(StoredKey, AuthMessage), and its hash is the stored key. */
static void check_keys(const struct published *published, const struct scram_keys *keys)
{
    size_t len = published->key_len;
    unsigned char out[CRYPTO_DIGEST_MOST_BYTES], given[SCRAM_KEY_BYTES];

    assert_int_equal(decode(published->signature, given, sizeof given), len);
    crypto_hmac(published->hash, bytes(keys->server_key, len), span_of(published->auth_message), out);
    assert_memory_equal(out, given, len);

    assert_int_equal(decode(published->proof, given, sizeof given), len);
    crypto_hmac(published->hash, bytes(keys->stored_key, len), span_of(published->auth_message), out);
    for (size_t i = 0; i < len; i++)
        given[i] ^= out[i];
    crypto_digest(published->hash, bytes(given, len), out);
    assert_memory_equal(out, keys->stored_key, len);
}

static void check_published(const struct published *published)
{
    unsigned char salt[SCRAM_SALT_LIMIT];
    size_t salt_len = decode(published->salt, salt, sizeof salt);
    struct scram_keys keys;

    scram_keys_derive(published->hash, SPAN_LIT("pencil"), bytes(salt, salt_len), 4096, &keys);
    assert_int_equal(keys.iterations, 4096);
    assert_int_equal(keys.salt_len, salt_len);
    assert_memory_equal(keys.salt, salt, salt_len);
    check_keys(published, &keys);
}

static void keys_are_those_of_rfc_5802(void **state)
{
    (void)state;
    check_published(&rfc_5802);
}

static void keys_are_those_of_rfc_7677(void **state)
{
    (void)state;
    check_published(&rfc_7677);
}

/* PostgreSQL's keys for the same password and salt, in both notations. */
static void stored_keys_are_read(void **state)
{
    static const char *const notations[] = {
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "{SCRAM-SHA-256}SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    };
    struct scram_keys keys;

    (void)state;
    for (size_t i = 0; i < sizeof notations / sizeof *notations; i++) {
        assert_int_equal(scram_keys_parse(notations[i], &keys), 0);
        assert_int_equal(keys.hash, CRYPTO_SHA256);
        assert_int_equal(keys.iterations, 4096);
        assert_int_equal(keys.salt_len, 16);
        check_keys(&rfc_7677, &keys);
        assert_int_equal(password_verify(SPAN_LIT("pencil"), notations[i]), PASSWORD_MATCHES);
    }
}

static void what_is_no_set_of_keys(void **state)
{
    static const char *const broken[] = {
        "",
        "pencil",
        "{PLAIN}pencil",
        "$2b$05$Go416hbCG06Uqr2VDh/oFulR3WUpe4kete/R3PivJwyIpuYKqxl7m",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        "SCRAM-SHA-256$:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:AAAA",
        "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    };
    struct scram_keys keys;

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(scram_keys_parse(broken[i], &keys), -1);
}

static void assert_same_keys(struct span one, struct span other, bool same)
{
    struct scram_keys a, b;

    scram_keys_derive(CRYPTO_SHA256, one, SPAN_LIT("salt"), 1, &a);
    scram_keys_derive(CRYPTO_SHA256, other, SPAN_LIT("salt"), 1, &b);
    assert_int_equal(memcmp(a.stored_key, b.stored_key, sizeof a.stored_key) == 0, same);
}

/* The examples of RFC 4013, section 3. */
static void passwords_are_prepared(void **state)
{
    (void)state;
    assert_same_keys(SPAN_LIT("I\302\255X"), SPAN_LIT("IX"), true);
    assert_same_keys(SPAN_LIT("\342\205\250"), SPAN_LIT("IX"), true);
    assert_same_keys(SPAN_LIT("\302\252"), SPAN_LIT("a"), true);
    assert_same_keys(SPAN_LIT("USER"), SPAN_LIT("user"), false);
    assert_same_keys(SPAN_LIT("a\314\210"), SPAN_LIT("\303\244"), true);
    assert_same_keys(SPAN_LIT("\302\240x"), SPAN_LIT(" x"), true);
    /* what it refuses is taken as it is: a control, mixed directions, what is no UTF-8 */
    assert_same_keys(SPAN_LIT("\302\252\a"), SPAN_LIT("a\a"), false);
    assert_same_keys(SPAN_LIT("\330\247"
                              "1"),
                     SPAN_LIT("1"), false);
    assert_same_keys(SPAN_LIT("\377\302\255"), SPAN_LIT("\377"), false);
    /* one character may become eighteen */
    assert_same_keys(SPAN_LIT("\357\267\272\357\267\272\357\267\272"), SPAN_LIT(""), false);
}

static void dummies_are_the_same_each_time(void **state)
{
    struct scram_keys a, again, other_user, other_key;

    (void)state;
    scram_keys_dummy(CRYPTO_SHA256, SPAN_LIT("mallory"), SPAN_LIT("key"), 20000, &a);
    scram_keys_dummy(CRYPTO_SHA256, SPAN_LIT("mallory"), SPAN_LIT("key"), 20000, &again);
    scram_keys_dummy(CRYPTO_SHA256, SPAN_LIT("trudy"), SPAN_LIT("key"), 20000, &other_user);
    scram_keys_dummy(CRYPTO_SHA256, SPAN_LIT("mallory"), SPAN_LIT("another"), 20000, &other_key);
    assert_int_equal(a.iterations, 20000);
    assert_int_equal(a.salt_len, 16);
    assert_memory_equal(a.salt, again.salt, 16);
    assert_memory_equal(a.stored_key, again.stored_key, SCRAM_KEY_BYTES);
    assert_memory_equal(a.server_key, again.server_key, SCRAM_KEY_BYTES);
    assert_memory_not_equal(a.salt, other_user.salt, 16);
    assert_memory_not_equal(a.salt, other_key.salt, 16);
    assert_memory_not_equal(a.stored_key, other_user.stored_key, SCRAM_KEY_BYTES);
    assert_memory_not_equal(a.stored_key, a.server_key, SCRAM_KEY_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_rfc_5802), cmocka_unit_test(keys_are_those_of_rfc_7677),
        cmocka_unit_test(stored_keys_are_read),       cmocka_unit_test(what_is_no_set_of_keys),
        cmocka_unit_test(passwords_are_prepared),     cmocka_unit_test(dummies_are_the_same_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
