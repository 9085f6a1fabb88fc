/* SPDX-License-Identifier: Apache-2.0
 *
 * What the params_*.c files share: the reading of single values, and the TLS part.
 */
#ifndef GATEPOST_RECEIVE_PARAMS_PRIVATE_H
#define GATEPOST_RECEIVE_PARAMS_PRIVATE_H

#include "base/span.h"
#include "data/data.h"
#include "receive/params.h"

/* ---- params_values.c: each names `key` in its error ---- */

int params_read_string(const char *key, const json_t *value, char **out, struct error *error)
    __attribute__((warn_unused_result));
int params_read_duration(const char *key, const json_t *value, uint64_t *out, struct error *error)
    __attribute__((warn_unused_result));
int params_read_count(const char *key, const json_t *value, uint64_t least, uint64_t most, uint64_t *out,
                      struct error *error) __attribute__((warn_unused_result));
int params_read_bool(const char *key, const json_t *value, bool *out, struct error *error)
    __attribute__((warn_unused_result));
int params_read_cidrs(const char *key, const json_t *value, struct receive_cidrs *out, struct error *error)
    __attribute__((warn_unused_result));
int params_read_names(const char *key, const json_t *value, struct receive_names *out, struct error *error)
    __attribute__((warn_unused_result));
int params_wrong_type(const char *key, const json_t *value, const char *expected, struct error *error);

/* ---- params_trace.c ---- */

int params_read_trace(struct receive_params *params, const char *key, const json_t *value, struct error *error)
    __attribute__((warn_unused_result));

/* ---- params_auth.c ---- */

int params_read_mechanisms(struct receive_params *params, const char *key, const json_t *value, struct error *error)
    __attribute__((warn_unused_result));
int params_read_mechanisms_in_clear(struct receive_params *params, const char *key, const json_t *value,
                                    struct error *error) __attribute__((warn_unused_result));
uint32_t params_default_mechanisms(void);
/* Logins in clear are the operator's wish: he is reminded of it at every start. */
void params_warn_of_clear_logins(const struct receive_params *params, const char *name);

/* ---- params_open.c ---- */

/* So is he where anybody may relay. */
void params_warn_of_open_relay(const struct receive_params *params, const char *name);

void params_free_cidrs(struct receive_cidrs *cidrs);
void params_free_names(struct receive_names *names);

/* ---- params_tls.c ---- */

/* Reads the key sources of `table` (tls_ keys only) and makes a context. */
struct receive_tls *params_tls_new(const json_t *table, const char *name, const char *hostname, struct error *error);
struct receive_tls *params_tls_ref(struct receive_tls *tls);
void params_tls_unref(struct receive_tls **tls);
int params_tls_reload(struct receive_tls *tls, struct error *error) __attribute__((warn_unused_result));
struct tls_server *params_tls_server(const struct receive_tls *tls);

/* ---- params.c ---- */

/* One of `words` (NULL-terminated): its index. */
int params_choose(const char *key, const json_t *value, const char *const *words, int *choice_out, struct error *error)
    __attribute__((warn_unused_result));

/* Applies the keys of `table`; `overriding`: those of the listener itself are refused. */
int params_apply(struct receive_params *params, const json_t *table, bool overriding, struct error *error)
    __attribute__((warn_unused_result));
bool params_is_tls_key(const char *key);
struct receive_params *params_clone(const struct receive_params *params) __attribute__((returns_nonnull));

/* ---- params_override.c ---- */

int params_read_overrides(const char *key, const json_t *value, struct receive_params *params,
                          struct receive_overrides *out, struct error *error) __attribute__((warn_unused_result));
void params_free_overrides(struct receive_overrides *overrides);

#endif
