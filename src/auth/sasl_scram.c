/* SPDX-License-Identifier: Apache-2.0
 *
 * SCRAM (RFC 5802, RFC 7677): both sides prove that they know keys made from the password, which itself never comes
 * here. The client speaks first; we ask for the user's keys and answer with our part of the nonce, the salt and the
 * iterations; the client proves; we ask for the last word and prove in turn; the client confirms with an empty line.
 *
 * The awkward truths: until the client has confirmed nobody is logged in, although the verdict is given; and a user who
 * does not exist must get keys as good as any (the caller's affair), or the salt tells.
 */
#include <stdlib.h>
#include <string.h>

#include "auth/auth_private.h"
#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "base/span.h"
#include "password/password.h"

#define OUR_NONCE_OCTETS 18
#define THEIR_NONCE_LIMIT 256
#define TEXT_LIMIT ((size_t)2 * AUTH_LINE_LIMIT)

enum stage { STAGE_FIRST, STAGE_FINAL, STAGE_CONFIRM };

struct scram {
    char *expected_binding; /* what "c=" has to be: base64 of the GS2 header and the channel's data */
    char *first_bare;       /* the client's first message without its header */
    char *server_first;
    char *nonce; /* theirs and ours */
    struct scram_set set;
    unsigned char signature[CRYPTO_DIGEST_MOST_BYTES]; /* our proof */
};

static void drop(void *state)
{
    struct scram *scram = state;

    free(scram->expected_binding);
    free(scram->first_bare);
    free(scram->server_first);
    free(scram->nonce);
    secret_wipe(scram, sizeof *scram);
    free(scram);
}

/* ---- the channel ---- */

static enum auth_reason read_channel(const struct auth_exchange *exchange, const struct gs2_header *header,
                                     struct buf *data)
{
    const struct auth_channel *channel = &exchange->channel;
    enum auth_binding binding = AUTH_BINDING_TLS_EXPORTER;

    if ((header->flag == 'p') != exchange->mechanism->is_bound)
        return AUTH_REASON_MALFORMED;
    if (header->flag == 'y' && channel->offers_bound_twin)
        return AUTH_REASON_BINDING_DOWNGRADE;
    if (header->flag != 'p')
        return AUTH_REASON_OK;
    if (span_eq(header->binding, SPAN_LIT("tls-server-end-point")))
        binding = AUTH_BINDING_TLS_SERVER_END_POINT;
    else if (!span_eq(header->binding, SPAN_LIT("tls-exporter")))
        return AUTH_REASON_BINDING_UNSUPPORTED;
    if (!channel->binding || channel->binding(channel->ctx, binding, data))
        return AUTH_REASON_BINDING_UNSUPPORTED;
    return AUTH_REASON_OK;
}

static enum auth_reason expect_binding(struct auth_exchange *exchange, struct span message,
                                       const struct gs2_header *header)
{
    struct scram *scram = exchange->state;
    struct buf plain;
    struct buf text;
    enum auth_reason reason;

    buf_init(&plain, TEXT_LIMIT);
    buf_init(&text, TEXT_LIMIT);
    MUST(buf_append_span(&plain, span_head(message, header->len)) == 0);
    reason = read_channel(exchange, header, &plain);
    if (reason == AUTH_REASON_OK) {
        MUST(base64_encode(buf_span(&plain), &text) == 0);
        scram->expected_binding = span_dup(buf_span(&text));
    }
    buf_done(&plain);
    buf_done(&text);
    return reason;
}

/* ---- client-first ---- */

static bool is_nonce(struct span nonce)
{
    for (size_t i = 0; i < nonce.len; i++)
        if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7e || nonce.data[i] == ',')
            return false;
    return nonce.len > 0 && nonce.len <= THEIR_NONCE_LIMIT;
}

static char *join_nonces(const struct auth_exchange *exchange, struct span theirs)
{
    char octets[OUR_NONCE_OCTETS];
    struct buf ours;
    char *joined;

    if (exchange->channel.nonce)
        return mem_printf("%.*s%s", SPAN_ARG(theirs), exchange->channel.nonce);
    random_bytes(octets, sizeof octets);
    buf_init(&ours, 2 * OUR_NONCE_OCTETS);
    MUST(base64_encode(span_make(octets, sizeof octets), &ours) == 0);
    joined = mem_printf("%.*s%.*s", SPAN_ARG(theirs), SPAN_ARG(buf_span(&ours)));
    buf_done(&ours);
    return joined;
}

/* "n=NAME,r=NONCE" and extensions, which mean nothing to us. A mandatory one ("m=") comes first and is no "n=". */
static int read_first(struct auth_exchange *exchange, struct span bare)
{
    struct scram *scram = exchange->state;
    struct span rest = bare;
    struct span name;
    struct span nonce;

    if (!span_split(&rest, ',', &name) || !rest.data || !span_split(&rest, ',', &nonce))
        return -1;
    if (!span_starts_with(name, SPAN_LIT("n=")) || !span_starts_with(nonce, SPAN_LIT("r=")) ||
        !is_nonce(span_from(nonce, 2)) || span_find(bare, '\0') < bare.len)
        return -1;
    exchange->question.authcid = gs2_decode_name(span_from(name, 2));
    if (!exchange->question.authcid)
        return -1;
    scram->nonce = join_nonces(exchange, span_from(nonce, 2));
    scram->first_bare = span_dup(bare);
    return 0;
}

static int read_authzid(struct auth_question *question, const struct gs2_header *header)
{
    if (header->authzid.data)
        question->authzid = gs2_decode_name(header->authzid);
    else
        question->authzid = mem_strdup(question->authcid);
    return question->authzid ? 0 : -1;
}

static enum auth_step take_first(struct auth_exchange *exchange, struct span message)
{
    struct auth_question *question = &exchange->question;
    struct gs2_header header;
    enum auth_reason reason;

    if (gs2_parse(message, &header))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    exchange->state = mem_zalloc(sizeof(struct scram));
    if (read_first(exchange, span_from(message, header.len)) || read_authzid(question, &header))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    reason = expect_binding(exchange, message, &header);
    if (reason != AUTH_REASON_OK)
        return auth_fail(exchange, reason);
    question->kind = AUTH_ASK_SCRAM_KEYS;
    question->scram_hash = exchange->mechanism->hash;
    return AUTH_STEP_ASK;
}

static enum auth_step send_first(struct auth_exchange *exchange, const struct scram_set *set)
{
    struct scram *scram = exchange->state;
    const struct scram_keys *keys = set->keys;
    struct buf salt;

    MUST(set->count >= 1 && set->count <= SCRAM_SET_MOST);
    MUST(keys->hash == exchange->mechanism->hash && keys->salt_len <= SCRAM_SALT_LIMIT);
    scram->set = *set;
    buf_init(&salt, (size_t)2 * SCRAM_SALT_LIMIT);
    MUST(base64_encode(span_make((const char *)keys->salt, keys->salt_len), &salt) == 0);
    scram->server_first =
        mem_printf("r=%s,s=%.*s,i=%u", scram->nonce, SPAN_ARG(buf_span(&salt)), (unsigned)keys->iterations);
    buf_done(&salt);
    exchange->stage = STAGE_FINAL;
    return auth_challenge(exchange, span_of(scram->server_first));
}

/* ---- client-final ---- */

struct final {
    struct span binding, nonce, proof; /* as sent, without "c=" and so on */
    struct span without_proof;
};

static int read_final(struct span message, struct final *final_out)
{
    struct final final;
    struct span rest = message;
    struct span last = {NULL, 0};

    if (!span_split(&rest, ',', &final.binding) || !rest.data || !span_split(&rest, ',', &final.nonce))
        return -1;
    while (rest.data && span_split(&rest, ',', &last))
        continue;
    if (!last.data || !span_starts_with(final.binding, SPAN_LIT("c=")) ||
        !span_starts_with(final.nonce, SPAN_LIT("r=")) || !span_starts_with(last, SPAN_LIT("p=")))
        return -1;
    final.without_proof = span_head(message, message.len - last.len - 1);
    final.binding = span_from(final.binding, 2);
    final.nonce = span_from(final.nonce, 2);
    final.proof = span_from(last, 2);
    *final_out = final;
    return 0;
}

static int decode_proof(struct span text, unsigned char *proof_out, size_t wanted)
{
    struct buf octets;
    int failed;

    buf_init(&octets, AUTH_LINE_LIMIT);
    failed = base64_decode(text, &octets) || buf_len(&octets) != wanted ? -1 : 0;
    if (!failed)
        memcpy(proof_out, buf_span(&octets).data, wanted);
    buf_done(&octets);
    return failed;
}

static struct span as_span(const unsigned char *octets, size_t len) { return span_make((const char *)octets, len); }

/* RFC 5802, section 3: the proof is right when what is left of it after the client's signature is taken off is a key
 * whose hash we hold. */
static bool is_proof_of(const struct scram_keys *keys, struct span said, const unsigned char *proof)
{
    size_t bytes = crypto_hash_bytes(keys->hash);
    unsigned char key[CRYPTO_DIGEST_MOST_BYTES];
    unsigned char stored[CRYPTO_DIGEST_MOST_BYTES];
    bool is_right;

    crypto_hmac(keys->hash, as_span(keys->stored_key, bytes), said, key);
    for (size_t i = 0; i < bytes; i++)
        key[i] ^= proof[i];
    crypto_digest(keys->hash, as_span(key, bytes), stored);
    is_right = secret_equal(as_span(stored, bytes), as_span(keys->stored_key, bytes));
    secret_wipe(key, sizeof key);
    secret_wipe(stored, sizeof stored);
    return is_right;
}

/* A small set is looked through several times: how many secrets somebody has is not told by the time it takes. */
static void check_proof(struct auth_exchange *exchange, struct span without_proof, const unsigned char *proof)
{
    struct scram *scram = exchange->state;
    struct auth_question *question = &exchange->question;
    char *said = mem_printf("%s,%s,%.*s", scram->first_bare, scram->server_first, SPAN_ARG(without_proof));
    struct scram_keys *keys = scram->set.keys;

    question->keys = &keys[0];
    for (size_t i = 0; i < SCRAM_SET_MOST; i++) {
        if (!is_proof_of(&keys[i % scram->set.count], span_of(said), proof))
            continue;
        question->keys = &keys[i % scram->set.count];
        question->is_proved = true;
    }
    crypto_hmac(keys->hash, as_span(question->keys->server_key, crypto_hash_bytes(keys->hash)), span_of(said),
                scram->signature);
    free(said);
}

static enum auth_step take_final(struct auth_exchange *exchange, struct span message)
{
    struct scram *scram = exchange->state;
    unsigned char proof[CRYPTO_DIGEST_MOST_BYTES];
    struct final final;

    if (span_find(message, '\0') < message.len || read_final(message, &final) ||
        !span_eq(final.nonce, span_of(scram->nonce)) ||
        decode_proof(final.proof, proof, crypto_hash_bytes(exchange->mechanism->hash)))
        return auth_fail(exchange, AUTH_REASON_MALFORMED);
    if (!span_eq(final.binding, span_of(scram->expected_binding)))
        return auth_fail(exchange, AUTH_REASON_BINDING_MISMATCH);
    exchange->question.kind = AUTH_ASK_PROVED;
    check_proof(exchange, final.without_proof, proof);
    return AUTH_STEP_ASK;
}

static enum auth_step send_final(struct auth_exchange *exchange)
{
    struct scram *scram = exchange->state;
    struct buf text;
    enum auth_step step;

    MUST(exchange->question.is_proved);
    buf_init(&text, AUTH_CHALLENGE_BYTES);
    MUST(buf_append_span(&text, SPAN_LIT("v=")) == 0);
    MUST(base64_encode(as_span(scram->signature, crypto_hash_bytes(exchange->mechanism->hash)), &text) == 0);
    step = auth_challenge(exchange, buf_span(&text));
    buf_done(&text);
    exchange->stage = STAGE_CONFIRM;
    return step;
}

/* ---- the mechanism ---- */

static enum auth_step step(struct auth_exchange *exchange, const struct span *response)
{
    switch ((enum stage)exchange->stage) {
    case STAGE_FIRST:
        return take_first(exchange, *response);
    case STAGE_FINAL:
        return take_final(exchange, *response);
    case STAGE_CONFIRM:
        return response->len == 0 ? AUTH_STEP_DONE : auth_fail(exchange, AUTH_REASON_MALFORMED);
    }
    MUST_NOT_REACH("a SCRAM exchange has three stages");
}

static enum auth_step answered(struct auth_exchange *exchange, const struct auth_answer *answer)
{
    if (!answer->granted)
        return AUTH_STEP_FAIL;
    return exchange->question.kind == AUTH_ASK_SCRAM_KEYS ? send_first(exchange, answer->keys) : send_final(exchange);
}

#define SCRAM .asks = AUTH_ASK_SCRAM_KEYS, .client_first = true, .step = step, .answered = answered, .drop = drop

const struct auth_mechanism auth_sasl_scram_sha_256_plus = {
    .name = "SCRAM-SHA-256-PLUS", .hash = CRYPTO_SHA256, .needs_tls = true, .is_bound = true, SCRAM};

const struct auth_mechanism auth_sasl_scram_sha_256 = {
    .name = "SCRAM-SHA-256", .hash = CRYPTO_SHA256, .bound_twin = &auth_sasl_scram_sha_256_plus, SCRAM};

const struct auth_mechanism auth_sasl_scram_sha_1 = {
    .name = "SCRAM-SHA-1", .hash = CRYPTO_SHA1, .is_legacy = true, SCRAM};
