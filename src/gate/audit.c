/* SPDX-License-Identifier: Apache-2.0
 *
 *   [audit]
 *   unknown_users = "keep"    # or "hash", or "drop"
 *   key_file = "audit.key"    # for the hashes; without one they differ from start to start
 *
 * The default is to keep: who looks into failed logins mostly looks for a name that was mistyped. With "hash" the same
 * name has the same hash, so that one can still see whether somebody tries one name or thousands; the hash is keyed,
 * since passwords can be guessed from plain ones.
 */
#include "gate/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/secret.h"
#include "gate/gate_private.h"

#define KEY_BYTES_LEAST 16
#define SHOWN_BYTES 8 /* of the digest */

static unsigned char process_key[CRYPTO_SHA256_BYTES];
static pthread_once_t process_key_made = PTHREAD_ONCE_INIT;

static void make_process_key(void) { random_bytes(process_key, sizeof process_key); }

void gate_audit_read(struct gate_audit *audit, struct settings *table)
{
    static const char *const words[] = {"keep", "hash", "drop", NULL};

    audit->unknown_users = (enum gate_unknown_users)settings_choice(table, "unknown_users", words, 0);
    audit->key = settings_secret(table, "key");
    if (audit->key && strlen(audit->key) < KEY_BYTES_LEAST)
        settings_fault(table, "key", "a key has %d bytes or more", KEY_BYTES_LEAST);
}

void gate_audit_done(struct gate_audit *audit)
{
    secret_free(audit->key);
    audit->key = NULL;
}

static struct span key_of(const struct gate_audit *audit)
{
    if (audit->key)
        return span_of(audit->key);
    pthread_once(&process_key_made, make_process_key);
    return span_make((const char *)process_key, sizeof process_key);
}

static const char *hash(const struct gate_audit *audit, const char *name, char out[GATE_AUDIT_NAME_BYTES])
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    size_t used = (size_t)snprintf(out, GATE_AUDIT_NAME_BYTES, "unknown:");

    crypto_hmac(CRYPTO_SHA256, key_of(audit), span_of(name), digest);
    for (size_t i = 0; i < SHOWN_BYTES; i++)
        used += (size_t)snprintf(out + used, GATE_AUDIT_NAME_BYTES - used, "%02x", digest[i]);
    return out;
}

const char *gate_audit_name(const struct gate_rules *rules, const struct gate_attempt *attempt, const char *name,
                            char out[GATE_AUDIT_NAME_BYTES])
{
    if (!rules || !name || !*name || attempt->is_known || rules->audit.unknown_users == GATE_UNKNOWN_KEEP)
        return name;
    return rules->audit.unknown_users == GATE_UNKNOWN_DROP ? NULL : hash(&rules->audit, name, out);
}
