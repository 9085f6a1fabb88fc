/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests and derived keys against published values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>
#include <stdio.h>

#include "crypto/digest.h"

static void expect(const unsigned char *given, size_t len, const char *hex)
{
    assert_int_equal(len * 2, strlen(hex));
    for (size_t i = 0; i < len; i++) {
        char text[3];

        snprintf(text, sizeof text, "%02x", given[i]);
        assert_memory_equal(text, hex + 2 * i, 2);
    }
}

static void hmac_is_that_of_rfc_4231(void **state)
{
    struct span key = SPAN_LIT("Jefe"), data = SPAN_LIT("what do ya want for nothing?");
    unsigned char out[CRYPTO_DIGEST_MOST_BYTES];

    (void)state;
    expect(out, crypto_hmac(CRYPTO_SHA256, key, data, out),
           "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    expect(out, crypto_hmac(CRYPTO_SHA224, key, data, out), "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44");
    expect(out, crypto_hmac(CRYPTO_SHA512, key, data, out),
           "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
           "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
}

static void digests_are_those_of_fips_180(void **state)
{
    unsigned char out[CRYPTO_DIGEST_MOST_BYTES];

    (void)state;
    assert_int_equal((int)crypto_digest(CRYPTO_SHA1, SPAN_LIT("abc"), out), 20);
    assert_memory_equal(out, "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d", 20);
    assert_int_equal((int)crypto_digest(CRYPTO_SHA512, SPAN_LIT(""), out), 64);
    assert_int_equal(out[0], 0xcf);
}

static void pbkdf2_is_that_of_rfc_6070(void **state)
{
    unsigned char out[20];

    (void)state;
    crypto_pbkdf2(CRYPTO_SHA1, SPAN_LIT("password"), SPAN_LIT("salt"), 2, out, sizeof out);
    assert_memory_equal(out, "\xea\x6c\x01\x4d\xc7\x2d\x6f\x8c\xcd\x1e\xd9\x2a\xce\x1d\x41\xf0\xd8\xde\x89\x57", 20);
}

static void scrypt_refuses_what_needs_too_much_memory(void **state)
{
    unsigned char out[64];
    struct error error;

    (void)state;
    assert_int_equal(crypto_scrypt(SPAN_LIT(""), SPAN_LIT(""), 16, 1, 1, 1 << 20, out, sizeof out, &error), 0);
    expect(out, sizeof out, /* RFC 7914, section 12 */
           "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
           "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
    assert_int_equal(
        crypto_scrypt(SPAN_LIT("password"), SPAN_LIT("NaCl"), 1024, 8, 16, 64 << 20, out, sizeof out, &error), 0);
    expect(out, sizeof out,
           "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
           "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
    assert_int_equal(crypto_scrypt(SPAN_LIT("x"), SPAN_LIT("y"), 1000, 8, 1, 64 << 20, out, sizeof out, &error), -1);
    assert_int_equal(crypto_scrypt(SPAN_LIT(""), SPAN_LIT(""), 1 << 20, 8, 1, 1 << 20, out, sizeof out, &error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(digests_are_those_of_fips_180),
        cmocka_unit_test(pbkdf2_is_that_of_rfc_6070),
        cmocka_unit_test(scrypt_refuses_what_needs_too_much_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
