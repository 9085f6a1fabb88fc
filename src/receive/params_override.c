/* SPDX-License-Identifier: Apache-2.0
 *
 * What holds for one connection only. Rows of `via` and `peer` are checked when the listener
 * starts, by applying them once to a copy, so that a mistake in one is found then and not
 * when the first client from there comes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/params_private.h"

static void free_row(struct receive_override *row)
{
    json_decref(row->table);
    params_tls_unref(&row->tls);
}

void params_free_overrides(struct receive_overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++)
        free_row(&overrides->rows[i]);
    free(overrides->rows);
    *overrides = (struct receive_overrides){0};
}

static bool has_tls_key(const json_t *table)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)table, key, value) if (params_is_tls_key(key)) return true;
    return false;
}

static json_t *without_tls_keys(const json_t *table)
{
    json_t *copy = json_object();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)table, key, value) if (!params_is_tls_key(key))
        json_object_set_new(copy, key, json_deep_copy(value));
    return copy;
}

/* Applies `table` to `clone` and gives the row, or the connection, a TLS context of its own if
 * the table has keys for one. */
static int apply_with_tls(struct receive_params *clone, const json_t *table, struct error *error)
{
    char name[SOCKADDR_TEXT_BYTES];
    struct receive_tls *tls;

    if (params_apply(clone, table, true, error))
        return -1;
    if (!has_tls_key(table))
        return 0;
    sockaddr_format((struct sockaddr *)&clone->listen, name);
    tls = params_tls_new(clone->tls_table, name, clone->hostname, error);
    if (!tls)
        return -1;
    params_tls_unref(&clone->tls);
    clone->tls = tls;
    return 0;
}

static int read_row(const char *block, const json_t *table, struct receive_params *params,
                    struct receive_override *row_out, struct error *error)
{
    struct receive_params *clone;

    if (cidr_parse(span_of(block), &row_out->block))
        return error_set(error, ERROR_PERM, "'%.80s' is not an address or CIDR block", block);
    if (json_object_get(table, "via") || json_object_get(table, "peer"))
        return error_set(error, ERROR_PERM, "'%.80s': via and peer cannot be nested", block);
    clone = params_clone(params);
    if (apply_with_tls(clone, table, error)) {
        receive_params_unref(&clone);
        return error_prefix(error, "'%.80s'", block);
    }
    row_out->table = without_tls_keys(table);
    row_out->tls = has_tls_key(table) ? params_tls_ref(clone->tls) : NULL;
    receive_params_unref(&clone);
    return 0;
}

int params_read_overrides(const char *key, const json_t *value, struct receive_params *params,
                          struct receive_overrides *out, struct error *error)
{
    struct receive_overrides overrides = {mem_zalloc((json_object_size(value) + 1) * sizeof *overrides.rows), 0};
    const char *block;
    json_t *table;

    if (!data_is_table(value)) {
        params_free_overrides(&overrides);
        return params_wrong_type(key, value, "a table of CIDR block to parameters", error);
    }
    json_object_foreach((json_t *)(uintptr_t)value, block, table)
    {
        if (read_row(block, table, params, &overrides.rows[overrides.count], error)) {
            params_free_overrides(&overrides);
            return error_prefix(error, "'%s'", key);
        }
        overrides.count++;
    }
    params_free_overrides(out);
    *out = overrides;
    return 0;
}

/* The most specific block that holds `ip`, or NULL. */
static const struct receive_override *find_row(const struct receive_overrides *overrides, const struct ip *ip)
{
    const struct receive_override *best = NULL;

    for (size_t i = 0; i < overrides->count; i++) {
        const struct receive_override *row = &overrides->rows[i];

        if (cidr_contains(&row->block, ip) && (!best || row->block.prefix_bits > best->block.prefix_bits))
            best = row;
    }
    return best;
}

static void apply_row(struct receive_params *clone, const struct receive_override *row)
{
    if (!row)
        return;
    MUST(params_apply(clone, row->table, true, NULL) == 0); /* it was tried when it was read */
    if (row->tls) {
        params_tls_unref(&clone->tls);
        clone->tls = params_tls_ref(row->tls);
    }
}

struct receive_params *receive_params_for(struct receive_params *base, const struct ip *local, const struct ip *remote)
{
    const struct receive_override *via = find_row(&base->via, local);
    const struct receive_override *peer = find_row(&base->peer, remote);
    struct receive_params *clone;

    if (!via && !peer)
        return receive_params_ref(base);
    clone = params_clone(base);
    apply_row(clone, via);
    apply_row(clone, peer);
    return clone;
}

/* What a handler decides for each connection cannot be known at the start: then it is told of once. */
static void warn_once_of_clear_logins(const struct receive_params *base, const struct receive_params *made)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT;

    if (made->auth_mechanisms_in_clear & ~base->auth_mechanisms_in_clear && !atomic_flag_test_and_set(&is_told))
        params_warn_of_clear_logins(made, "smtp_server_get_dynamic_parameters");
}

static void warn_once_of_open_relay(const struct receive_params *base, const struct receive_params *clone)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT;

    if (receive_cidrs_everybody(&clone->relay_hosts) && !receive_cidrs_everybody(&base->relay_hosts) &&
        !atomic_flag_test_and_set(&is_told))
        params_warn_of_open_relay(clone, "smtp_server_get_dynamic_parameters");
}

struct receive_params *receive_params_override(struct receive_params *base, const json_t *table, const struct ip *local,
                                               const struct ip *remote, struct error *error)
{
    struct receive_params *clone = params_clone(base);
    struct receive_params *made;

    if (apply_with_tls(clone, table, error)) {
        receive_params_unref(&clone);
        return NULL;
    }
    warn_once_of_open_relay(base, clone);
    made = receive_params_for(clone, local, remote);
    warn_once_of_clear_logins(base, made);
    receive_params_unref(&clone);
    return made;
}

static int reload_rows(struct receive_overrides *overrides, struct error *error)
{
    int failed = 0;

    for (size_t i = 0; i < overrides->count; i++)
        if (overrides->rows[i].tls && params_tls_reload(overrides->rows[i].tls, error))
            failed = -1;
    return failed;
}

int receive_params_reload_tls(struct receive_params *params, struct error *error)
{
    int failed = params_tls_reload(params->tls, error);

    if (reload_rows(&params->via, error))
        failed = -1;
    if (reload_rows(&params->peer, error))
        failed = -1;
    return failed;
}
