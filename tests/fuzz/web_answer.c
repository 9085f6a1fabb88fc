/* SPDX-License-Identifier: Apache-2.0
 *
 * What a web service or Vault answers about a user; the first byte chooses the status. A record only from a 200 with a
 * JSON object, "not found" and "refused" only from the statuses that say so, and a fault has a sentence.
 */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "credential/store_http.h"
#include "http/vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_service(bool judges, const struct http_response *response)
{
    struct error error = {0};
    json_t *fields = NULL;

    switch (store_http_read(judges, response, &fields, &error)) {
    case STORE_FOUND:
        MUST(response->status == 200 && json_is_object(fields));
        break;
    case STORE_NOT_FOUND:
        MUST(response->status == 404);
        break;
    case STORE_REFUSED:
        MUST(judges && (response->status == 401 || response->status == 403));
        break;
    default:
        MUST(error.sentence[0]);
    }
    json_decref(fields);
}

static void ask_vault(unsigned version, const struct http_response *response)
{
    struct vault_source source = {.address = "https://vault.test",
                                  .token = "t",
                                  .mount = SPAN_LIT("secret"),
                                  .path = SPAN_LIT("users/x"),
                                  .key = SPAN_LIT("password"),
                                  .version = version};
    struct error error = {0};
    struct buf secret;

    buf_init(&secret, 1 << 20);
    switch (vault_read(&source, response, &secret, &error)) {
    case VAULT_FOUND:
        MUST(response->status == 200);
        break;
    case VAULT_NOT_FOUND:
        MUST(response->status == 404 || response->status == 200);
        break;
    default:
        MUST(error.sentence[0]);
    }
    buf_done(&secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 404, 401, 403, 500, 302, 204, 0};
    struct http_response response;

    if (size == 0)
        return 0;
    response.status = statuses[data[0] % (sizeof statuses / sizeof statuses[0])];
    buf_init(&response.body, 1 << 20);
    MUST(buf_append(&response.body, (const char *)data + 1, size - 1) == 0);
    ask_service(true, &response);
    ask_service(false, &response);
    ask_vault(1, &response);
    ask_vault(2, &response);
    buf_done(&response.body);
    return 0;
}
