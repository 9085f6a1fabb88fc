/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a bearer token: taken apart or not, never good, for nobody has signed them.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "token/claims.h"
#include "token/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The public keys of RFC 7517, appendix A.1 and RFC 8037, appendix A.2. */
static const char set[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"kid\":\"1\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void look_at_claims(json_t *claims)
{
    static const struct claims_rules rules = {.needs_expiry = true,
                                              .user_claims = {"email", "sub"},
                                              .groups_claim = "a.b",
                                              .tenant_claim = "tenant",
                                              .senders_claim = "senders"};
    json_t *fields = NULL;

    (void)claims_check(&rules, claims, 1000000);
    if (claims_record(&rules, claims, &fields) == TOKEN_GOOD)
        MUST(json_is_string(json_object_get(fields, "name")));
    json_decref(fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwks *keys;
    struct jwt jwt;

    if (!keys)
        keys = jwks_parse(SPAN_LIT(set), NULL);
    MUST(keys);
    if (jwt_parse(span_make((const char *)data, size), &jwt))
        return 0;
    MUST(jwt_verify(&jwt, (1u << CRYPTO_SIGNATURE_COUNT) - 1, keys) != TOKEN_GOOD);
    look_at_claims(jwt.claims);
    jwt_done(&jwt);
    return 0;
}
