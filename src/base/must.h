/* SPDX-License-Identifier: Apache-2.0
 *
 * MUST(cond): an assertion that is always compiled in. A relay that no longer
 * knows its own state must not answer 250, so it dies, saying where.
 */
#ifndef GATEPOST_BASE_MUST_H
#define GATEPOST_BASE_MUST_H

#include <stddef.h>

#define MUST(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__, __func__))

/* Where control never comes; `why` says so in words. */
#define MUST_NOT_REACH(why) must_failed(why, __FILE__, __LINE__, __func__)

/* The enclosing struct of a member: the one macro that intrusive lists need. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

_Noreturn void must_failed(const char *cond, const char *file, int line, const char *func);

#endif
