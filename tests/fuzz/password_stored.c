/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored passwords: whatever one holds, it is read within its limits, is not matched by itself unless it is plain,
 * and its dummy is of the same scheme. Computed are only those that take little time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "password/password_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Rounds mean another thing to each scheme. */
static bool takes_little_time(const char *stored)
{
    struct form form;
    bool is_little = false;

    if (form_parse(stored, &form, NULL) == 0) {
        uint32_t rounds = form.scheme == PASSWORD_BCRYPT || form.scheme == PASSWORD_YESCRYPT ? 4 : 5000;

        is_little = form.cost.rounds <= (form.cost.memory_kib ? 4 : rounds) && form.cost.memory_kib <= 1024 &&
                    form.cost.parallelism <= 4;
    }
    form_wipe(&form);
    return is_little;
}

static void verify(const char *stored, enum password_scheme scheme)
{
    if (!takes_little_time(stored))
        return;
    MUST(password_verify(SPAN_LIT(""), stored) != PASSWORD_MATCHES || scheme != PASSWORD_PLAIN);
    if (scheme != PASSWORD_PLAIN)
        MUST(password_verify(span_of(stored), stored) != PASSWORD_MATCHES);
}

static void check_dummy(const char *stored, enum password_scheme scheme)
{
    char *dummy = password_dummy(stored);

    MUST(password_scheme_of(dummy) == scheme);
    MUST(password_is_cheap(dummy) == password_is_cheap(stored));
    free(dummy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *stored = mem_strndup((const char *)data, size);
    enum password_scheme scheme = password_scheme_of(stored);
    struct scram_keys keys;
    struct error error;

    MUST((scheme == PASSWORD_SCHEME_COUNT) == (password_check(stored, &error) != 0));
    if (scheme < PASSWORD_SCHEME_COUNT) {
        check_dummy(stored, scheme);
        verify(stored, scheme);
    } else {
        MUST(password_verify(span_of(stored), stored) ==
             (password_is_locked(stored) ? PASSWORD_LOCKED : PASSWORD_UNUSABLE));
    }
    if (scram_keys_parse(stored, &keys) == 0)
        MUST(keys.salt_len > 0 && keys.salt_len <= SCRAM_SALT_LIMIT && keys.iterations > 0);
    free(stored);
    return 0;
}
