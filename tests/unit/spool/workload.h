/* SPDX-License-Identifier: Apache-2.0
 *
 * A workload that keeps account of what it was told, and the audit that holds a spool to
 * it afterwards. The account lies in shared memory, so that it survives a killed child.
 */
#ifndef GATEPOST_TESTS_SPOOL_WORKLOAD_H
#define GATEPOST_TESTS_SPOOL_WORKLOAD_H

#include <sys/mman.h>

#include "helper.h"

#define ACCOUNTS 6000
#define TRANSACTION_ITEMS 3

enum account_state { UNKNOWN, ASKED, STORED, REFUSED };

struct account {
    enum account_state state;
    unsigned first, items; /* its transaction */
    unsigned version_asked, version_done;
    bool remove_asked, gone;
    uint64_t ref;
};

struct accounts {
    unsigned used;
    struct account list[ACCOUNTS];
};

static struct accounts *accounts_new(void)
{
    void *shared = mmap(NULL, sizeof(struct accounts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    MUST(shared != MAP_FAILED);
    return shared;
}

static void accounts_free(struct accounts *accounts) { munmap(accounts, sizeof *accounts); }

static unsigned chance(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static struct span account_body(unsigned number)
{
    static char space[5000];
    size_t len = number * 997u % sizeof space;

    for (size_t i = 0; i < len; i++)
        space[i] = (char)(number + i);
    return span_make(space, len);
}

static void store_some(struct spool *spool, struct accounts *accounts, unsigned count)
{
    struct spool_item items[TRANSACTION_ITEMS] = {0};
    char records[TRANSACTION_ITEMS][32];
    unsigned first = accounts->used;
    enum error_kind kind;

    for (unsigned i = 0; i < count; i++) {
        snprintf(records[i], sizeof records[i], "%u 0", first + i);
        items[i].record = span_of(records[i]);
        items[i].body = bytes_copy(account_body(first + i));
        accounts->list[first + i] = (struct account){.state = ASKED, .first = first, .items = count};
    }
    accounts->used += count;
    kind = store_items(spool, items, count);
    for (unsigned i = 0; i < count; i++) {
        accounts->list[first + i].ref = items[i].ref;
        accounts->list[first + i].state = kind == ERROR_NONE ? STORED : REFUSED;
        bytes_unref(&items[i].body);
    }
}

static void touch_one(struct spool *spool, struct account *account, unsigned number, unsigned *seed)
{
    char record[32];

    if (account->state != STORED || account->remove_asked || account->gone)
        return;
    if (chance(seed) % 3) {
        if (number % 8 == 0 && chance(seed) % 20)
            return; /* some live long */
        account->remove_asked = true;
        spool_remove(spool, account->ref);
        return;
    }
    snprintf(record, sizeof record, "%u %u", number, ++account->version_asked);
    if (update_one(spool, &account->ref, record) == ERROR_NONE)
        account->version_done = account->version_asked;
}

__attribute__((unused)) static void work(struct spool *spool, struct accounts *accounts, unsigned steps, unsigned *seed)
{
    for (unsigned i = 0; i < steps && accounts->used + TRANSACTION_ITEMS < ACCOUNTS; i++) {
        unsigned number = accounts->used ? chance(seed) % accounts->used : 0;

        store_some(spool, accounts, 1 + chance(seed) % TRANSACTION_ITEMS);
        for (unsigned j = 0; j < 4; j++, number = accounts->used - 1 - chance(seed) % accounts->used % 60)
            touch_one(spool, &accounts->list[number], number, seed);
    }
}

static int complain(bool loud, const char *what, unsigned number)
{
    if (loud)
        fprintf(stderr, "message %u: %s\n", number, what);
    return 1;
}

static int audit_seen(struct accounts *accounts, const struct seen *seen, bool *was_seen, bool loud)
{
    unsigned number, version;
    struct account *account;

    if (sscanf(seen->record, "%u %u", &number, &version) != 2 || number >= accounts->used)
        return complain(loud, "was never sent", 0);
    account = &accounts->list[number];
    if (was_seen[number])
        return complain(loud, "exists twice", number);
    was_seen[number] = true;
    if (account->gone)
        return complain(loud, "came back", number);
    if (version > account->version_asked || seen->body_bytes != account_body(number).len)
        return complain(loud, "is not what was sent", number);
    if (account->state == STORED && version < account->version_done)
        return complain(loud, "lost an update", number);
    account->ref = seen->ref;
    account->version_done = account->version_asked = version;
    return 0;
}

static int audit_missing(const struct accounts *accounts, unsigned number, const bool *was_seen, bool loud)
{
    const struct account *account = &accounts->list[number];

    if (was_seen[number])
        return 0;
    if (account->state == STORED && !account->remove_asked && !account->gone)
        return complain(loud, "was answered 250 and is lost", number);
    for (unsigned i = account->first; account->state != STORED && !account->gone && i < account->first + account->items;
         i++)
        if (was_seen[i])
            return complain(loud, "is missing from a transaction of which the rest exists", number);
    return 0;
}

/* Opens the spool on `path` and counts broken promises. The account then says what is there. */
static int audit(const char *path, struct accounts *accounts, bool loud)
{
    struct spool *spool = open_small(path);
    bool *was_seen = mem_zalloc(ACCOUNTS);
    struct picture picture;
    int broken = 0;

    if (!spool) {
        free(was_seen);
        return complain(loud, "the spool cannot be opened", 0);
    }
    picture = enumerate(spool);
    if (picture.damaged)
        broken += complain(loud, "damage was found", 0);
    for (size_t i = 0; i < picture.count; i++)
        broken += audit_seen(accounts, &picture.list[i], was_seen, loud);
    for (unsigned i = 0; i < accounts->used; i++)
        broken += audit_missing(accounts, i, was_seen, loud);
    for (unsigned i = 0; i < accounts->used; i++) {
        struct account *account = &accounts->list[i];

        if (was_seen[i]) {
            struct waiting_read got = read_one(spool, account->ref);

            if (got.kind != ERROR_NONE || !span_eq(bytes_span(got.body), account_body(i)))
                broken += complain(loud, "cannot be read back", i);
            drop_read(&got);
            account->state = STORED;
            account->remove_asked = false;
        }
        account->gone = account->gone || !was_seen[i];
    }
    drop_picture(&picture);
    spool_close(spool);
    free(was_seen);
    return broken;
}

#endif
