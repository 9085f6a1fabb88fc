/* SPDX-License-Identifier: Apache-2.0
 *
 * A failed call: what kind of failure, the errno if the system gave one, and one
 * sentence for the operator. Bugs are not errors (see must.h), and an answer to a
 * peer is not an error either (see smtp/reply.h).
 */
#ifndef GATEPOST_BASE_ERROR_H
#define GATEPOST_BASE_ERROR_H

enum error_kind {
    ERROR_NONE = 0,
    ERROR_AGAIN,     /* a limit or queue is full just now; the same call may succeed soon */
    ERROR_TEMP,      /* the other side, a file or a service failed; later may be better */
    ERROR_PERM,      /* the input is wrong; trying again cannot help */
    ERROR_CANCELLED, /* the caller or a shutdown took it back */
};

#define ERROR_SENTENCE_BYTES 320

struct error {
    enum error_kind kind;
    int sys_errno; /* 0 when the system had no part in it */
    char sentence[ERROR_SENTENCE_BYTES];
};

/* Fills `error` (which may be NULL) and returns -1, so that a function can end in
 * `return error_set(...)`. Never pass credentials or message bytes in. */
int error_set(struct error *error, enum error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": <strerror>" added and `sys_errno` kept. */
int error_set_errno(struct error *error, enum error_kind kind, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "<prefix>: " before the sentence that is already there. Returns -1. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
