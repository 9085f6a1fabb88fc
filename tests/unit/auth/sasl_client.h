/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's side of an exchange for tests: lines in clear, encoded here, and SCRAM's proofs worked out with nothing
 * but digests, so that the server's own way of checking them is not what tests it.
 */
#ifndef GATEPOST_TESTS_SASL_CLIENT_H
#define GATEPOST_TESTS_SASL_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/exchange.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "password/password.h"

static inline struct auth_exchange *begin(const char *mechanism, const struct auth_channel *channel)
{
    const struct auth_mechanism *found = auth_mechanism_find(span_of(mechanism));

    assert_non_null(found);
    return auth_exchange_new(found, channel);
}

/* base64; the caller frees it */
static inline char *encode(struct span octets)
{
    struct buf text;
    char *copy;

    buf_init(&text, 65536);
    assert_int_equal(base64_encode(octets, &text), 0);
    copy = span_dup(buf_span(&text));
    buf_done(&text);
    return copy;
}

static inline enum auth_step first(struct auth_exchange *exchange, struct span octets)
{
    char *text = encode(octets);
    struct span line = span_of(octets.len > 0 ? text : "=");
    enum auth_step step = auth_exchange_start(exchange, &line);

    free(text);
    return step;
}

static inline enum auth_step next(struct auth_exchange *exchange, struct span octets)
{
    char *text = encode(octets);
    enum auth_step step = auth_exchange_line(exchange, span_of(text));

    free(text);
    return step;
}

/* The challenge in clear; the caller frees it. */
static inline char *challenge_of(const struct auth_exchange *exchange)
{
    struct buf octets;
    char *copy;

    buf_init(&octets, 65536);
    assert_int_equal(base64_decode(span_of(auth_exchange_challenge(exchange)), &octets), 0);
    copy = span_dup(buf_span(&octets));
    buf_done(&octets);
    return copy;
}

static inline void expect_challenge(const struct auth_exchange *exchange, const char *wanted)
{
    char *challenge = challenge_of(exchange);

    assert_string_equal(challenge, wanted);
    free(challenge);
}

static inline enum auth_step refuse(struct auth_exchange *exchange, enum auth_reason reason)
{
    return auth_exchange_answer(exchange, &(struct auth_answer){.reason = reason});
}

static inline enum auth_step grant(struct auth_exchange *exchange, const char *authcid)
{
    return auth_exchange_answer(exchange, &(struct auth_answer){.granted = true, .authcid = authcid});
}

/* ---- SCRAM ---- */

static inline struct span octets(const unsigned char *data, size_t len) { return span_make((const char *)data, len); }

/* RFC 5802, section 3: ClientKey, StoredKey and ServerKey from the salted password. */
static inline void make_keys(enum crypto_hash hash, const char *password, const char *salt64, uint32_t iterations,
                             unsigned char *client_key, struct scram_keys *keys)
{
    size_t bytes = crypto_hash_bytes(hash);
    unsigned char salted[CRYPTO_DIGEST_MOST_BYTES];
    unsigned char made[CRYPTO_DIGEST_MOST_BYTES];
    struct buf salt;

    buf_init(&salt, SCRAM_SALT_LIMIT);
    assert_int_equal(base64_decode(span_of(salt64), &salt), 0);
    *keys = (struct scram_keys){.hash = hash, .iterations = iterations, .salt_len = buf_len(&salt)};
    memcpy(keys->salt, buf_span(&salt).data, buf_len(&salt));
    crypto_pbkdf2(hash, span_of(password), buf_span(&salt), iterations, salted, bytes);
    buf_done(&salt);
    crypto_hmac(hash, octets(salted, bytes), SPAN_LIT("Client Key"), client_key);
    crypto_digest(hash, octets(client_key, bytes), made);
    memcpy(keys->stored_key, made, bytes);
    crypto_hmac(hash, octets(salted, bytes), SPAN_LIT("Server Key"), made);
    memcpy(keys->server_key, made, bytes);
}

/* "WITHOUT_PROOF,p=..."; the caller frees it. */
static inline char *prove(enum crypto_hash hash, const unsigned char *client_key, const struct scram_keys *keys,
                          const char *said)
{
    size_t bytes = crypto_hash_bytes(hash);
    unsigned char proof[CRYPTO_DIGEST_MOST_BYTES];

    crypto_hmac(hash, octets(keys->stored_key, bytes), span_of(said), proof);
    for (size_t i = 0; i < bytes; i++)
        proof[i] ^= client_key[i];
    return encode(octets(proof, bytes));
}

#endif
