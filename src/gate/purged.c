/* SPDX-License-Identifier: Apache-2.0
 *
 * Who was purged lately. A login that was under way then has been judged by what the caches knew before, and its
 * session is in no list yet from which it could be closed: whoever lets it in looks here last.
 */
#include <string.h>

#include "gate/gate_private.h"

#define PURGES_KEPT 64 /* for a login that began before more than these the answer is yes, to be safe */

static struct {
    pthread_mutex_t lock;
    /* under lock */
    uint64_t count;
    uint64_t names[PURGES_KEPT]; /* hashes; EVERYBODY */
} purges = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define EVERYBODY 0

void gate_purged_note(const char *user)
{
    pthread_mutex_lock(&purges.lock);
    purges.names[purges.count++ % PURGES_KEPT] = user ? credential_name_hash(user) : EVERYBODY;
    pthread_mutex_unlock(&purges.lock);
}

uint64_t gate_purged_count(void)
{
    uint64_t count;

    pthread_mutex_lock(&purges.lock);
    count = purges.count;
    pthread_mutex_unlock(&purges.lock);
    return count;
}

bool gate_purged_since(uint64_t count, const char *authcid, const char *name)
{
    uint64_t asked = credential_name_hash(authcid), known = credential_name_hash(name);
    bool is_purged;

    pthread_mutex_lock(&purges.lock);
    is_purged = purges.count - count > PURGES_KEPT;
    for (; count < purges.count && !is_purged; count++) {
        uint64_t purged = purges.names[count % PURGES_KEPT];

        is_purged = purged == EVERYBODY || purged == asked || purged == known;
    }
    pthread_mutex_unlock(&purges.lock);
    return is_purged;
}
