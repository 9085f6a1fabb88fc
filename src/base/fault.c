/* SPDX-License-Identifier: Apache-2.0
 *
 * See fault.h. Passes are counted over all threads.
 */
#include "base/fault.h"

#ifdef GATEPOST_FAULT_POINTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/span.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *point; /* NULL: none */
static uint64_t wanted_pass;
static bool kills;
static atomic_uint_fast64_t passes;

static void parse(const char *setting)
{
    struct span rest = span_of(setting), name, number, action = SPAN_LIT("kill");

    free(point);
    point = NULL;
    if (!setting || !span_split(&rest, ':', &name) || !span_split(&rest, ':', &number) ||
        span_to_u64(number, &wanted_pass))
        return;
    if (rest.data)
        action = rest;
    kills = !span_eq(action, SPAN_LIT("error"));
    atomic_store(&passes, 0);
    point = span_dup(name);
}

static void read_environment(void) { parse(getenv("GATEPOST_FAULT")); }

void fault_set(const char *setting)
{
    pthread_once(&once, read_environment);
    parse(setting);
}

bool fault_point(const char *name)
{
    pthread_once(&once, read_environment);
    if (!point || strcmp(name, point) || atomic_fetch_add(&passes, 1) + 1 != wanted_pass)
        return false;
    if (kills)
        raise(SIGKILL);
    fprintf(stderr, "fault point %s fails\n", name); /* or a test would not know that it got there */
    errno = EIO;
    return true;
}

uint64_t fault_size(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    uint64_t size;

    return text && span_to_u64(span_of(text), &size) == 0 ? size : usual;
}

#endif
