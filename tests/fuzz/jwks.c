/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a set of keys: keys that can be held against a signature, or an error.
 */
#include <stdint.h>

#include "base/must.h"
#include "token/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char signature[256] = {1};
    struct error error = {0};
    struct jwks *keys = jwks_parse(span_make((const char *)data, size), &error);

    MUST(keys || error.sentence[0]);
    for (unsigned i = 0; keys && i < CRYPTO_SIGNATURE_COUNT; i++) {
        const struct crypto_public_key *found[JWKS_CANDIDATES_MOST];
        size_t count = jwks_candidates(keys, (enum crypto_signature)i, NULL, found);

        for (size_t k = 0; k < count; k++)
            MUST(!crypto_verify(found[k], SPAN_LIT("text"), span_make(signature, i == CRYPTO_RS256 ? 256 : 64)));
    }
    jwks_free(keys);
    return 0;
}
