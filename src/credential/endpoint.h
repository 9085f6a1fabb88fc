/* SPDX-License-Identifier: Apache-2.0
 *
 * What the settings of every store on the network have in common: how far an address may be trusted with secrets, and
 * how long it may take.
 */
#ifndef GATEPOST_CREDENTIAL_ENDPOINT_H
#define GATEPOST_CREDENTIAL_ENDPOINT_H

#include <stdbool.h>

#include "data/settings.h"

/* Checks the address of an HTTP server at `key`: in clear only on this machine, or when `allow_plain = true` asks for
 * it by name, which is warned about. `ca_file` (may be NULL) must be readable. */
void endpoint_check(struct settings *settings, const char *key, const char *url, const char *ca_file, bool is_base);

/* The rule about text in clear alone, for addresses of any scheme. `is_secure`: TLS is used. */
void endpoint_check_plain(struct settings *settings, const char *key, const char *url, bool is_secure);
void endpoint_check_file(struct settings *settings, const char *key, const char *path);

/* `timeout` of the store; the asker keeps the same time. */
uint64_t endpoint_limit_ms(struct settings *settings);

#endif
