/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords that were right, so that a client that logs in every minute does not cost a hash each time. Kept is a
 * digest of user, stored form and password, keyed with a secret that this process made at its start and tells nobody:
 * so an entry dies with the record it was made from (another stored form is another digest), when the user is purged,
 * and after [password] remember. Only right passwords are kept; a wrong one costs its hash every time, and can evict
 * nobody.
 *
 * The awkward truth: whoever can read this process's memory can try guesses against these digests faster than against
 * the stored hashes. remember = 0 keeps nothing.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/secret.h"
#include "gate/gate_private.h"

#define MEMOS_MOST 65536

struct entry {
    struct list_node node; /* by last use, the latest first */
    struct gate_memo memo;
    uint64_t asked, name; /* hashes of what the client called the user, and of what the record does: to forget by */
    uint64_t until_ms;
};

static struct {
    unsigned char key[CRYPTO_SHA256_BYTES]; /* fixed after start */
    /* under lock */
    pthread_mutex_t lock;
    struct map entries;
    struct list by_use;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct span key_of(const struct gate_memo *memo)
{
    return span_make((const char *)memo->digest, sizeof memo->digest);
}

void gate_remember_start(void)
{
    random_bytes(memory.key, sizeof memory.key);
    map_init(&memory.entries);
    list_init(&memory.by_use);
}

static void drop(struct entry *entry)
{
    map_remove(&memory.entries, key_of(&entry->memo));
    list_remove(&memory.by_use, &entry->node);
    secret_wipe(entry, sizeof *entry);
    free(entry);
}

void gate_remember_stop(void)
{
    if (!memory.by_use.head.next) /* never started */
        return;
    gate_forget(NULL);
    map_done(&memory.entries, NULL);
    secret_wipe(memory.key, sizeof memory.key);
}

/* Each part with its NUL, which none of them has within: no two different lists of parts are one text. */
void gate_memo_make(const char *user, const char *stored, const char *password, struct gate_memo *memo_out)
{
    const char *parts[] = {user, stored, password};
    unsigned char out[CRYPTO_DIGEST_MOST_BYTES];
    size_t len = strlen(user) + strlen(stored) + strlen(password) + 3, at = 0;
    char *text = mem_alloc(len);

    for (size_t i = 0; i < 3; at += strlen(parts[i++]) + 1)
        memcpy(text + at, parts[i], strlen(parts[i]) + 1);
    crypto_hmac(CRYPTO_SHA256, span_make((const char *)memory.key, sizeof memory.key), span_make(text, len), out);
    memcpy(memo_out->digest, out, sizeof memo_out->digest);
    secret_wipe(text, len);
    free(text);
}

bool gate_remembers(const struct gate_memo *memo)
{
    struct entry *entry;
    bool known = false;

    pthread_mutex_lock(&memory.lock);
    entry = map_find(&memory.entries, key_of(memo));
    if (entry && entry->until_ms <= clock_mono_ms()) {
        drop(entry);
    } else if (entry) {
        list_remove(&memory.by_use, &entry->node);
        list_push_front(&memory.by_use, &entry->node);
        known = true;
    }
    pthread_mutex_unlock(&memory.lock);
    return known;
}

void gate_remember(const struct gate_memo *memo, const char *asked, const char *name, uint64_t for_ms)
{
    struct entry *entry;

    if (!for_ms)
        return;
    pthread_mutex_lock(&memory.lock);
    entry = map_find(&memory.entries, key_of(memo));
    if (!entry) {
        if (memory.entries.count >= MEMOS_MOST)
            drop(CONTAINER_OF(list_last(&memory.by_use), struct entry, node));
        entry = mem_zalloc(sizeof *entry);
        entry->memo = *memo;
        entry->asked = credential_name_hash(asked);
        entry->name = credential_name_hash(name);
        map_put(&memory.entries, key_of(memo), entry);
        list_push_front(&memory.by_use, &entry->node);
    }
    entry->until_ms = clock_mono_ms() + for_ms;
    pthread_mutex_unlock(&memory.lock);
}

void gate_forget(const char *user)
{
    uint64_t hash = user ? credential_name_hash(user) : 0;
    struct list_node *node, *next;

    pthread_mutex_lock(&memory.lock);
    for (node = list_first(&memory.by_use); node; node = next) {
        struct entry *entry = CONTAINER_OF(node, struct entry, node);

        next = list_next(&memory.by_use, node);
        if (!user || entry->asked == hash || entry->name == hash)
            drop(entry);
    }
    pthread_mutex_unlock(&memory.lock);
}
