/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as a user's record, strictly and as of a store that knows only text: a record that keeps what a record
 * promises, or a fault. What is right strictly is right as text.
 */
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "credential/credential.h"
#include "data/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inspect(const struct credential *credential)
{
    MUST(credential->name[0] && span_is_utf8(span_of(credential->name)) && !strpbrk(credential->name, "\r\n"));
    MUST(credential->secret_count <= CREDENTIAL_SECRETS_MOST);
    for (size_t i = 0; i < credential->secret_count; i++) {
        MUST(credential->secrets[i].label && credential->secrets[i].stored && credential->secrets[i].stored[0]);
        MUST(credential->secrets[i].scopes);
    }
    MUST(credential->groups.count <= CREDENTIAL_LIST_MOST && credential->tenants.count <= CREDENTIAL_LIST_MOST);
    MUST(!credential->limits || json_is_object(credential->limits));
}

static bool read_as(const json_t *fields, bool is_lenient)
{
    struct error error = {0};
    struct credential *credential = credential_from_json("user", fields, is_lenient, &error);
    bool is_right = credential != NULL;

    MUST(is_right || error.sentence[0]);
    if (is_right)
        inspect(credential);
    credential_unref(&credential);
    return is_right;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    json_t *fields = data_parse_json(span_make((const char *)data, size), "input", &error);

    if (fields)
        MUST(!read_as(fields, false) || read_as(fields, true));
    json_decref(fields);
    return 0;
}
