/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole auth.toml: users, stores, rules and limits. What is not taken is refused with a sentence that names
 * the file; what is taken can be used and let go. Stores are started and closed on the lookup thread: it is waited for,
 * so that each input has let go of all it had, and libFuzzer looks for a leak only where there is one.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "credential/credential_private.h"
#include "gate/gate_private.h"
#include "log/diag.h"
#include "password/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory: on a disk, each new content of the file waits for the blocks of the last. */
static char path[] = "/dev/shm/gatepost-fuzz-XXXXXX.toml";

static void leave(void) { unlink(path); }

/* ---- the lookup thread ---- */

static struct loop *lookup_loop;
static sem_t is_settled;

static void on_mail(struct mail *mail)
{
    (void)mail;
    sem_post(&is_settled);
}

static void on_start(struct store *store, const struct store_house *house)
{
    (void)store;
    lookup_loop = house->loop;
    sem_post(&is_settled);
}

static void on_close(struct store *store) { (void)store; }

/* Mail is read in its order: what was posted before this has been done after it. */
static void settle(void)
{
    static struct mail mail = {.deliver = on_mail};

    loop_post(lookup_loop, &mail);
    while (sem_wait(&is_settled))
        ;
}

/* The thread shows its loop to the stores alone, and so this is one. */
static void find_lookup_loop(void)
{
    static const struct store_driver driver = {.name = "loop", .start = on_start, .close = on_close};
    struct stores *stores;
    struct store_setup setup = {.name = "loop", .driver = &driver};
    struct cache_limits limits = {0};

    MUST(!sem_init(&is_settled, 0, 0));
    stores = stores_make(&setup, 1, &limits);
    while (sem_wait(&is_settled))
        ;
    stores_unref(&stores);
}

/* ---- an input ---- */

static void open_world(void)
{
    int fd = mkstemps(path, 5);
    struct error error;

    MUST(fd >= 0 && !password_pool_start(&error) && !gate_start(&error));
    close(fd);
    find_lookup_loop();
    atexit(leave);
    diag_set_level(DIAG_ERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_open;
    struct error error = {0};
    struct gate_rules *rules;
    int fd;

    if (!is_open)
        open_world();
    is_open = true;
    if (size > 8192)
        return 0;
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    rules = gate_rules_load((const char *const[]){path}, 1, NULL, NULL, &error);
    MUST(rules || strstr(error.sentence, path));
    gate_rules_unref(&rules);
    settle();
    return 0;
}
