/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures of RFC 7515 and RFC 8037 are verified, nothing near them is, and numbers that make no
 * sound key make none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <stdlib.h>

#include "base/base64.h"
#include "crypto/signature.h"

/* RFC 7515, appendices A.2 and A.3: the same payload */
#define PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
static const char rsa_text[] = "eyJhbGciOiJSUzI1NiJ9." PAYLOAD;
static const char rsa_n[] =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCg"
    "NMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665x"
    "smtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpo"
    "Q";
static const char rsa_signature[] =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1"
    "dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDw"
    "usC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77R"
    "w";

static const char ec_text[] = "eyJhbGciOiJFUzI1NiJ9." PAYLOAD;
static const char ec_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char ec_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
static const char ec_signature[] =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/* RFC 8037, appendix A.4 */
static const char ed_text[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
static const char ed_x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
static const char ed_signature[] =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/* base64url as it stands in the RFCs; good for as long as `bytes` is */
struct bytes_of {
    unsigned char bytes[2048];
    size_t len;
};

static struct span decode(const char *text, struct bytes_of *out)
{
    size_t len = strlen(text);
    char *padded = calloc(1, len + 4);
    struct buf buf;

    memcpy(padded, text, len);
    for (char *p = padded; *p; p++)
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    while (len % 4)
        padded[len++] = '=';
    buf_init(&buf, sizeof out->bytes);
    assert_int_equal(base64_decode(span_of(padded), &buf), 0);
    out->len = buf_len(&buf);
    memcpy(out->bytes, buf_span(&buf).data, out->len);
    buf_done(&buf);
    free(padded);
    return span_make((const char *)out->bytes, out->len);
}

static struct crypto_public_key *rsa_key(void)
{
    struct bytes_of n;

    return crypto_key_rsa(decode(rsa_n, &n), SPAN_LIT("\x01\x00\x01"), NULL);
}

static struct crypto_public_key *ec_key(void)
{
    struct bytes_of x, y;

    return crypto_key_p256(decode(ec_x, &x), decode(ec_y, &y), NULL);
}

static struct crypto_public_key *ed_key(void)
{
    struct bytes_of x;

    return crypto_key_ed25519(decode(ed_x, &x), NULL);
}

/* The signature is right; no flipped bit of it, no shorter or longer form and no other text is. */
static void check_vector(struct crypto_public_key *key, const char *text, const char *signature_text)
{
    struct bytes_of signature;
    struct span good = decode(signature_text, &signature);
    char *other = strdup(text);

    assert_non_null(key);
    assert_true(crypto_verify(key, span_of(text), good));
    for (size_t i = 0; i < good.len; i += 7) {
        signature.bytes[i] ^= 0x10;
        assert_false(crypto_verify(key, span_of(text), good));
        signature.bytes[i] ^= 0x10;
    }
    assert_false(crypto_verify(key, span_of(text), span_head(good, good.len - 1)));
    assert_false(crypto_verify(key, span_of(text), span_make("", 0)));
    signature.bytes[good.len] = 0;
    assert_false(crypto_verify(key, span_of(text), span_make(good.data, good.len + 1)));
    other[3] ^= 1;
    assert_false(crypto_verify(key, span_of(other), good));
    free(other);
    crypto_key_free(key);
}

static void published_signatures_are_verified(void **state)
{
    (void)state;
    check_vector(rsa_key(), rsa_text, rsa_signature);
    check_vector(ec_key(), ec_text, ec_signature);
    check_vector(ed_key(), ed_text, ed_signature);
}

/* CVE-2022-21449 and its like: numbers that make the arithmetic true by themselves. */
static void zero_is_no_signature(void **state)
{
    struct crypto_public_key *keys[] = {rsa_key(), ec_key(), ed_key()};
    static const char zeros[CRYPTO_SIGNATURE_MOST_BYTES];
    static const size_t lengths[] = {256, 64, 64};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_false(crypto_verify(keys[i], SPAN_LIT("text"), span_make(zeros, lengths[i])));
        crypto_key_free(keys[i]);
    }
}

/* The same signature in DER, as other protocols write it, is not JOSE's. */
static void a_key_takes_its_own_form_only(void **state)
{
    struct crypto_public_key *ec = ec_key(), *rsa = rsa_key();
    struct bytes_of signature;

    (void)state;
    assert_false(crypto_verify(ec, span_of(rsa_text), decode(rsa_signature, &signature)));
    assert_false(crypto_verify(rsa, span_of(ec_text), decode(ec_signature, &signature)));
    assert_int_equal(crypto_key_signature(ec), CRYPTO_ES256);
    assert_int_equal(crypto_key_signature(rsa), CRYPTO_RS256);
    crypto_key_free(ec);
    crypto_key_free(rsa);
}

static void unsound_rsa_keys_are_refused(void **state)
{
    static unsigned char n[CRYPTO_SIGNATURE_MOST_BYTES + 1];
    const char *bytes = (const char *)n;
    static const struct {
        size_t n_len;
        struct span e;
    } bad[] = {
        {128, {"\x01\x00\x01", 3}}, /* 1024 bits */
        {255, {"\x01\x00\x01", 3}}, /* 2040 */
        {256, {"\x01", 1}},         /* everything is its own signature */
        {256, {"\x02", 1}},
        {256, {"", 0}},
        {256, {"\x01\x00\x00\x00\x00\x00\x00\x00\x01", 9}}, /* slow */
        {256, {"\x01\x00\x00\x00\x01", 5}},
        {0, {"\x01\x00\x01", 3}},
        {CRYPTO_SIGNATURE_MOST_BYTES + 1, {"\x01\x00\x01", 3}},
    };

    (void)state;
    memset(n, 0xff, sizeof n);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};

        assert_null(crypto_key_rsa(span_make(bytes, bad[i].n_len), bad[i].e, &error));
        assert_int_equal(error.kind, ERROR_PERM);
    }
    n[255] = 0xfe; /* even */
    assert_null(crypto_key_rsa(span_make(bytes, 256), SPAN_LIT("\x03"), NULL));
}

static void unsound_points_are_refused(void **state)
{
    struct bytes_of x, y;
    struct span good_x = decode(ec_x, &x), good_y = decode(ec_y, &y);
    static const char zeros[32];

    (void)state;
    y.bytes[31] ^= 1;
    assert_null(crypto_key_p256(good_x, good_y, NULL));
    y.bytes[31] ^= 1;
    assert_null(crypto_key_p256(good_x, span_head(good_y, 31), NULL));
    assert_null(crypto_key_p256(span_make(NULL, 0), span_make(NULL, 0), NULL));
    assert_null(crypto_key_p256(span_make(zeros, 32), span_make(zeros, 32), NULL));
    assert_null(crypto_key_ed25519(span_make(zeros, 31), NULL));
    assert_null(crypto_key_ed25519(span_make(NULL, 0), NULL));
}

static void names_are_exact(void **state)
{
    (void)state;
    assert_int_equal(crypto_signature_find(SPAN_LIT("RS256")), CRYPTO_RS256);
    assert_int_equal(crypto_signature_find(SPAN_LIT("EdDSA")), CRYPTO_EDDSA);
    assert_int_equal(crypto_signature_find(SPAN_LIT("rs256")), CRYPTO_SIGNATURE_COUNT);
    assert_int_equal(crypto_signature_find(SPAN_LIT("none")), CRYPTO_SIGNATURE_COUNT);
    assert_int_equal(crypto_signature_find(SPAN_LIT("HS256")), CRYPTO_SIGNATURE_COUNT);
    assert_int_equal(crypto_signature_find(SPAN_LIT("")), CRYPTO_SIGNATURE_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_signatures_are_verified), cmocka_unit_test(zero_is_no_signature),
        cmocka_unit_test(a_key_takes_its_own_form_only),     cmocka_unit_test(unsound_rsa_keys_are_refused),
        cmocka_unit_test(unsound_points_are_refused),        cmocka_unit_test(names_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
