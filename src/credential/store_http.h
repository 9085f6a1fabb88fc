/* SPDX-License-Identifier: Apache-2.0
 *
 * What an HTTP service's answer means; apart, so that every status can be tried.
 */
#ifndef GATEPOST_CREDENTIAL_STORE_HTTP_H
#define GATEPOST_CREDENTIAL_STORE_HTTP_H

#include "credential/store.h"
#include "http/http.h"

/* FOUND gives a new reference to an object. `judges`: it was asked about a password, and may refuse. */
enum store_outcome store_http_read(bool judges, const struct http_response *response, json_t **fields_out,
                                   struct error *error);

#endif
