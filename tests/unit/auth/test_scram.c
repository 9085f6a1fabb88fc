/* SPDX-License-Identifier: Apache-2.0
 *
 * SCRAM: the exchanges that the RFCs publish, octet by octet; then what a client may get wrong, and what somebody in
 * the middle may try.
 */
#include "sasl_client.h"

#define NONCE "r=abc,"
#define SALT "QSXCR+Q6sek8bf92"

static int bind_channel(void *ctx, enum auth_binding binding, struct buf *out)
{
    if (ctx) /* a connection without an exporter */
        return binding == AUTH_BINDING_TLS_EXPORTER ? -1 : buf_append_span(out, SPAN_LIT("END-POINT"));
    return buf_append_span(out, binding == AUTH_BINDING_TLS_EXPORTER ? SPAN_LIT("EXPORTED") : SPAN_LIT("END-POINT"));
}

static const struct auth_channel channel = {.binding = bind_channel, .nonce = "XYZ"};

/* ---- what is published ---- */

struct published {
    const char *mechanism;
    enum crypto_hash hash;
    const char *our_nonce, *salt;
    const char *client_first, *server_first, *client_final, *server_final;
};

static const struct published published[] = {
    {"SCRAM-SHA-1", CRYPTO_SHA1, "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="}, /* RFC 5802, section 5 */
    {"SCRAM-SHA-256", CRYPTO_SHA256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="}, /* RFC 7677, section 3 */
};

static void published_exchanges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const struct published *row = &published[i];
        struct auth_channel with_nonce = {.nonce = row->our_nonce};
        struct auth_exchange *exchange = begin(row->mechanism, &with_nonce);
        unsigned char client_key[CRYPTO_DIGEST_MOST_BYTES];
        struct scram_keys keys;

        make_keys(row->hash, "pencil", row->salt, 4096, client_key, &keys);
        assert_int_equal(first(exchange, span_of(row->client_first)), AUTH_STEP_ASK);
        assert_int_equal(auth_exchange_question(exchange)->kind, AUTH_ASK_SCRAM_KEYS);
        assert_int_equal(auth_exchange_question(exchange)->scram_hash, row->hash);
        assert_string_equal(auth_exchange_question(exchange)->authcid, "user");
        assert_string_equal(auth_exchange_question(exchange)->authzid, "user");
        assert_int_equal(auth_exchange_answer(
                             exchange, &(struct auth_answer){.granted = true,
                                                             .keys = &(struct scram_set){.keys = {keys}, .count = 1}}),
                         AUTH_STEP_CHALLENGE);
        expect_challenge(exchange, row->server_first);
        assert_int_equal(next(exchange, span_of(row->client_final)), AUTH_STEP_ASK);
        assert_int_equal(auth_exchange_question(exchange)->kind, AUTH_ASK_PROVED);
        assert_true(auth_exchange_question(exchange)->is_proved);
        assert_int_equal(grant(exchange, NULL), AUTH_STEP_CHALLENGE);
        expect_challenge(exchange, row->server_final);
        assert_int_equal(next(exchange, SPAN_LIT("")), AUTH_STEP_DONE);
        auth_exchange_free(exchange);
    }
}

/* ---- the first message ---- */

struct first_case {
    const char *mechanism;
    struct span message;
    bool offers_plus;
    enum auth_reason reason; /* OK: the keys of authcid are asked for */
    const char *authcid, *authzid;
};

#define S256 "SCRAM-SHA-256"
#define PLUS "SCRAM-SHA-256-PLUS"

static const struct first_case first_cases[] = {
    {S256, SPAN_LIT("n,,n=a,r=x"), true, AUTH_REASON_OK, "a", "a"},
    {S256, SPAN_LIT("y,,n=a,r=x"), false, AUTH_REASON_OK, "a", "a"},
    {S256, SPAN_LIT("n,a=b,n=a,r=x"), false, AUTH_REASON_OK, "a", "b"},
    {S256, SPAN_LIT("n,a=,n=a,r=x"), false, AUTH_REASON_OK, "a", "a"}, /* GNU SASL */
    {S256, SPAN_LIT("n,a=b=2Cc=3Dd,n==3D=2C,r=x,e=ext"), false, AUTH_REASON_OK, "=,", "b,c=d"},
    {S256, SPAN_LIT("n,,n=\xc3\xa4,r=~!"), false, AUTH_REASON_OK, "\xc3\xa4", "\xc3\xa4"},
    {PLUS, SPAN_LIT("p=tls-exporter,,n=a,r=x"), false, AUTH_REASON_OK, "a", "a"},
    {PLUS, SPAN_LIT("p=tls-server-end-point,a=b,n=a,r=x"), false, AUTH_REASON_OK, "a", "b"},
    /* somebody took the -PLUS out of what we announced */
    {S256, SPAN_LIT("y,,n=a,r=x"), true, AUTH_REASON_BINDING_DOWNGRADE, NULL, NULL},
    {PLUS, SPAN_LIT("p=tls-unique,,n=a,r=x"), false, AUTH_REASON_BINDING_UNSUPPORTED, NULL, NULL},
    {PLUS, SPAN_LIT("p=TLS-EXPORTER,,n=a,r=x"), false, AUTH_REASON_BINDING_UNSUPPORTED, NULL, NULL},
    {PLUS, SPAN_LIT("n,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {PLUS, SPAN_LIT("y,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {PLUS, SPAN_LIT("p=,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {PLUS, SPAN_LIT("p=tls exporter,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("p=tls-exporter,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT(""), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a,"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a,r="), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,r=x,n=a"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("N,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("F,n,,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,b,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,a=b=,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a=2,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a=2c,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a=00,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,m=now,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a\0b,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a,r=x\0y"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a,r=x,z=\0"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a,r=x y"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=a\r\nb,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,,n=\xff,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
    {S256, SPAN_LIT("n,a=\xff,n=a,r=x"), false, AUTH_REASON_MALFORMED, NULL, NULL},
};

static void first_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof first_cases / sizeof first_cases[0]; i++) {
        const struct first_case *row = &first_cases[i];
        struct auth_channel with_plus = channel;
        struct auth_exchange *exchange;
        enum auth_step step;

        with_plus.offers_bound_twin = row->offers_plus;
        exchange = begin(row->mechanism, &with_plus);
        step = first(exchange, row->message);
        if (auth_exchange_reason(exchange) != row->reason)
            fail_msg("'%.*s': %s", SPAN_ARG(row->message), auth_reason_name(auth_exchange_reason(exchange)));
        assert_int_equal(step, row->authcid ? AUTH_STEP_ASK : AUTH_STEP_FAIL);
        if (row->authcid) {
            assert_string_equal(auth_exchange_question(exchange)->authcid, row->authcid);
            assert_string_equal(auth_exchange_question(exchange)->authzid, row->authzid);
        }
        auth_exchange_free(exchange);
    }
}

static void long_names_and_nonces_are_malformed(void **state)
{
    static const char *const formats[] = {"n,,n=%s,r=x", "n,,n=a,r=%s", "n,a=%s,n=a,r=x"};
    char *name = mem_alloc(AUTH_IDENTITY_LIMIT + 2);

    (void)state;
    memset(name, 'a', AUTH_IDENTITY_LIMIT + 1);
    name[AUTH_IDENTITY_LIMIT + 1] = '\0';
    for (size_t i = 0; i < 3; i++) {
        struct auth_exchange *exchange = begin(S256, &channel);
        char *message = mem_printf(formats[i], name);

        assert_int_equal(first(exchange, span_of(message)), AUTH_STEP_FAIL);
        assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_MALFORMED);
        free(message);
        auth_exchange_free(exchange);
    }
    free(name);
}

static void a_binding_that_the_connection_lacks_is_refused(void **state)
{
    struct auth_channel without = channel;
    struct auth_exchange *exchange;

    (void)state;
    without.ctx = &without;
    exchange = begin(PLUS, &without);
    assert_int_equal(first(exchange, SPAN_LIT("p=tls-exporter,,n=a,r=x")), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_BINDING_UNSUPPORTED);
    auth_exchange_free(exchange);
    exchange = begin(PLUS, NULL);
    assert_int_equal(first(exchange, SPAN_LIT("p=tls-exporter,,n=a,r=x")), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_BINDING_UNSUPPORTED);
    auth_exchange_free(exchange);
}

static void nonces_are_never_the_same(void **state)
{
    struct scram_keys keys = {.hash = CRYPTO_SHA256, .iterations = 1, .salt_len = 1};
    char *seen[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct auth_exchange *exchange = begin(S256, NULL);

        assert_int_equal(first(exchange, SPAN_LIT("n,,n=a,r=x")), AUTH_STEP_ASK);
        auth_exchange_answer(
            exchange, &(struct auth_answer){.granted = true, .keys = &(struct scram_set){.keys = {keys}, .count = 1}});
        seen[i] = challenge_of(exchange);
        assert_true(strlen(seen[i]) > strlen("r=x,s=AA==,i=1") + 20);
        auth_exchange_free(exchange);
    }
    assert_string_not_equal(seen[0], seen[1]);
    free(seen[0]);
    free(seen[1]);
}

/* ---- the proof ---- */

enum twist { TWIST_NONE, TWIST_PASSWORD, TWIST_SHORT_PROOF, TWIST_NOT_BASE64, TWIST_NO_PROOF, TWIST_TAIL };

struct final_case {
    const char *mechanism;
    const char *header;  /* as the client sends it */
    const char *binding; /* what it binds to, behind the header */
    const char *nonce;
    enum twist twist;
    enum auth_reason reason; /* OK: proved, or not, as `is_proved` says */
    bool is_proved;
};

static const struct final_case final_cases[] = {
    {S256, "n,,", "", "xXYZ", TWIST_NONE, AUTH_REASON_OK, true},
    {S256, "n,a=b,", "", "xXYZ", TWIST_NONE, AUTH_REASON_OK, true},
    {PLUS, "p=tls-exporter,,", "EXPORTED", "xXYZ", TWIST_NONE, AUTH_REASON_OK, true},
    {PLUS, "p=tls-server-end-point,,", "END-POINT", "xXYZ", TWIST_NONE, AUTH_REASON_OK, true},
    {S256, "n,,", "", "xXYZ", TWIST_PASSWORD, AUTH_REASON_OK, false},
    {PLUS, "p=tls-exporter,,", "EXPORTED", "xXYZ", TWIST_PASSWORD, AUTH_REASON_OK, false},
    /* the client talks TLS with somebody else */
    {PLUS, "p=tls-exporter,,", "ELSEWHERE", "xXYZ", TWIST_NONE, AUTH_REASON_BINDING_MISMATCH, false},
    {PLUS, "p=tls-exporter,,", "END-POINT", "xXYZ", TWIST_NONE, AUTH_REASON_BINDING_MISMATCH, false},
    {PLUS, "p=tls-exporter,,", "", "xXYZ", TWIST_NONE, AUTH_REASON_BINDING_MISMATCH, false},
    {S256, "n,,", "more", "xXYZ", TWIST_NONE, AUTH_REASON_BINDING_MISMATCH, false},
    {S256, "n,,", "", "xXYA", TWIST_NONE, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "x", TWIST_NONE, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "", TWIST_NONE, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "xXYZ", TWIST_SHORT_PROOF, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "xXYZ", TWIST_NOT_BASE64, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "xXYZ", TWIST_NO_PROOF, AUTH_REASON_MALFORMED, false},
    {S256, "n,,", "", "xXYZ", TWIST_TAIL, AUTH_REASON_MALFORMED, false},
};

static char *make_final(const struct final_case *row, const char *first_bare, const char *server_first,
                        const unsigned char *client_key, const struct scram_keys *keys)
{
    char *bound = mem_printf("%s%s", row->header, row->binding);
    char *bound64 = encode(span_of(bound));
    char *without = mem_printf("c=%s,r=%s", bound64, row->nonce);
    char *said = mem_printf("%s,%s,%s", first_bare, server_first, without);
    char *proof = prove(CRYPTO_SHA256, client_key, keys, said);
    char *final;

    if (row->twist == TWIST_NO_PROOF)
        final = mem_strdup(without);
    else if (row->twist == TWIST_SHORT_PROOF)
        final = mem_printf("%s,p=%.8s", without, proof);
    else
        final = mem_printf("%s,p=%s%s", without, row->twist == TWIST_NOT_BASE64 ? "!" : proof,
                           row->twist == TWIST_TAIL ? ",x=y" : "");
    free(bound);
    free(bound64);
    free(without);
    free(said);
    free(proof);
    return final;
}

static void final_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof final_cases / sizeof final_cases[0]; i++) {
        const struct final_case *row = &final_cases[i];
        struct auth_exchange *exchange = begin(row->mechanism, &channel);
        unsigned char client_key[CRYPTO_DIGEST_MOST_BYTES];
        struct scram_keys keys;
        char *message = mem_printf("%sn=a,r=x", row->header);
        char *server_first;
        char *final;
        enum auth_step step;

        make_keys(CRYPTO_SHA256, "secret", SALT, 10, client_key, &keys);
        if (row->twist == TWIST_PASSWORD)
            client_key[0] ^= 1;
        assert_int_equal(first(exchange, span_of(message)), AUTH_STEP_ASK);
        auth_exchange_answer(
            exchange, &(struct auth_answer){.granted = true, .keys = &(struct scram_set){.keys = {keys}, .count = 1}});
        server_first = challenge_of(exchange);
        final = make_final(row, message + strlen(row->header), server_first, client_key, &keys);
        step = next(exchange, span_of(final));
        if (auth_exchange_reason(exchange) != row->reason)
            fail_msg("case %zu: %s", i, auth_reason_name(auth_exchange_reason(exchange)));
        assert_int_equal(step, row->reason == AUTH_REASON_OK ? AUTH_STEP_ASK : AUTH_STEP_FAIL);
        assert_int_equal(auth_exchange_question(exchange)->is_proved, row->is_proved);
        free(message);
        free(server_first);
        free(final);
        auth_exchange_free(exchange);
    }
}

/* ---- the end ---- */

static struct auth_exchange *proved(void)
{
    static const struct final_case row = {S256, "n,,", "", "xXYZ", TWIST_NONE, AUTH_REASON_OK, true};
    struct auth_exchange *exchange = begin(S256, &channel);
    unsigned char client_key[CRYPTO_DIGEST_MOST_BYTES];
    struct scram_keys keys;
    char *server_first;
    char *final;

    make_keys(CRYPTO_SHA256, "secret", SALT, 10, client_key, &keys);
    assert_int_equal(first(exchange, SPAN_LIT("n,,n=a,r=x")), AUTH_STEP_ASK);
    auth_exchange_answer(
        exchange, &(struct auth_answer){.granted = true, .keys = &(struct scram_set){.keys = {keys}, .count = 1}});
    server_first = challenge_of(exchange);
    final = make_final(&row, "n=a,r=x", server_first, client_key, &keys);
    assert_int_equal(next(exchange, span_of(final)), AUTH_STEP_ASK);
    free(server_first);
    free(final);
    return exchange;
}

static void nobody_is_in_before_the_client_has_confirmed(void **state)
{
    struct auth_exchange *exchange = proved();

    (void)state;
    assert_int_equal(grant(exchange, NULL), AUTH_STEP_CHALLENGE);
    assert_int_equal(auth_exchange_line(exchange, SPAN_LIT("*")), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_CANCELLED);
    auth_exchange_free(exchange);
    exchange = proved();
    assert_int_equal(grant(exchange, NULL), AUTH_STEP_CHALLENGE);
    assert_int_equal(next(exchange, SPAN_LIT("more")), AUTH_STEP_FAIL);
    auth_exchange_free(exchange);
}

static void a_right_proof_may_still_be_refused(void **state)
{
    struct auth_exchange *exchange = proved();

    (void)state;
    assert_int_equal(refuse(exchange, AUTH_REASON_REFUSED), AUTH_STEP_FAIL);
    assert_int_equal(auth_exchange_reason(exchange), AUTH_REASON_REFUSED);
    auth_exchange_free(exchange);
}

static void keys_may_be_refused(void **state)
{
    struct auth_exchange *exchange = begin(S256, &channel);

    (void)state;
    assert_int_equal(auth_exchange_start(exchange, NULL), AUTH_STEP_CHALLENGE);
    assert_string_equal(auth_exchange_challenge(exchange), "");
    assert_int_equal(next(exchange, SPAN_LIT("n,,n=a,r=x")), AUTH_STEP_ASK);
    assert_int_equal(refuse(exchange, AUTH_REASON_NO_HANDLER), AUTH_STEP_FAIL);
    auth_exchange_free(exchange);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_exchanges),
        cmocka_unit_test(first_messages),
        cmocka_unit_test(long_names_and_nonces_are_malformed),
        cmocka_unit_test(a_binding_that_the_connection_lacks_is_refused),
        cmocka_unit_test(nonces_are_never_the_same),
        cmocka_unit_test(final_messages),
        cmocka_unit_test(nobody_is_in_before_the_client_has_confirmed),
        cmocka_unit_test(a_right_proof_may_still_be_refused),
        cmocka_unit_test(keys_may_be_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
