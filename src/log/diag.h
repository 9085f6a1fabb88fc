/* SPDX-License-Identifier: Apache-2.0
 *
 * Diagnostic events for the operator, on stderr: one event, one line, as text or JSON.
 * An event carries the fields of its scope and of the scopes above it (session, listener,
 * tenant...). Whatever a peer sent is escaped; a credential is never a field.
 */
#ifndef GATEPOST_LOG_DIAG_H
#define GATEPOST_LOG_DIAG_H

#include <stdbool.h>

#include "base/error.h"

enum diag_level { DIAG_TRACE, DIAG_DEBUG, DIAG_INFO, DIAG_WARN, DIAG_ERROR };
enum diag_format { DIAG_TEXT, DIAG_JSON };

void diag_set_format(enum diag_format format);
void diag_set_level(enum diag_level lowest);
int diag_level_parse(const char *name, enum diag_level *level_out) __attribute__((warn_unused_result));
bool diag_is_on(enum diag_level level);

#define DIAG_FIELDS 6

struct diag_field {
    const char *name;
    const char *value; /* borrowed for the life of the scope */
};

struct diag_scope {
    const struct diag_scope *parent; /* may be NULL */
    struct diag_field fields[DIAG_FIELDS];
    int count;
};

void diag_scope_init(struct diag_scope *scope, const struct diag_scope *parent);
void diag_scope_add(struct diag_scope *scope, const char *name, const char *value);

/* From any thread. `scope` may be NULL. */
void diag(enum diag_level level, const struct diag_scope *scope, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "<what>: <the error's sentence>" at WARN or, for ERROR_PERM, ERROR. */
void diag_error(const struct diag_scope *scope, const struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
