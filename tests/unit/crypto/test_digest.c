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

#include "crypto/digest.h"

static void hmac_is_that_of_rfc_4231(void **state)
{
    static const unsigned char expected[4] = {0x5b, 0xdc, 0xc1, 0x46};
    unsigned char out[CRYPTO_DIGEST_MOST_BYTES];

    (void)state;
    crypto_hmac(CRYPTO_SHA256, SPAN_LIT("Jefe"), SPAN_LIT("what do ya want for nothing?"), out);
    assert_memory_equal(out, expected, sizeof expected);
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
    assert_memory_equal(out, "\x77\xd6\x57\x62", 4); /* RFC 7914, section 12 */
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
