/* SPDX-License-Identifier: Apache-2.0
 *
 * Which SASL mechanisms a listener may offer. In clear only those may be named that never show the password: the others
 * are not even the operator's to allow.
 */
#include "auth/mechanism.h"
#include "log/diag.h"
#include "receive/params_private.h"

uint32_t params_default_mechanisms(void)
{
    uint32_t set = 0;

    for (size_t i = 0; auth_mechanism_at(i); i++)
        if (!auth_mechanism_is_legacy(auth_mechanism_at(i)))
            set |= (uint32_t)1 << i;
    return set;
}

static int read_set(const char *key, const json_t *value, bool is_clear, uint32_t *set_out, struct error *error)
{
    uint32_t set = 0;

    if (!data_is_list(value))
        return params_wrong_type(key, value, "a list of SASL mechanisms", error);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *name = json_string_value(json_array_get(value, i));
        const struct auth_mechanism *mechanism = name ? auth_mechanism_find(span_of(name)) : NULL;

        if (!mechanism)
            return error_set(error, ERROR_PERM, "'%s': '%.40s' is no SASL mechanism that we have", key,
                             name ? name : "(no string)");
        if (is_clear && auth_mechanism_needs_tls(mechanism))
            return error_set(error, ERROR_PERM, "'%s': %s needs TLS; only SCRAM-SHA-256 and SCRAM-SHA-1 can do without",
                             key, auth_mechanism_name(mechanism));
        set |= (uint32_t)1 << auth_mechanism_index(mechanism);
    }
    *set_out = set;
    return 0;
}

int params_read_mechanisms(struct receive_params *params, const char *key, const json_t *value, struct error *error)
{
    return read_set(key, value, false, &params->auth_mechanisms, error);
}

int params_read_mechanisms_in_clear(struct receive_params *params, const char *key, const json_t *value,
                                    struct error *error)
{
    return read_set(key, value, true, &params->auth_mechanisms_in_clear, error);
}

/* ---- the reminder ---- */

static bool any_row_in_clear(const struct receive_overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++)
        if (json_array_size(json_object_get(overrides->rows[i].table, "auth_mechanisms_in_clear")) > 0)
            return true;
    return false;
}

void params_warn_of_clear_logins(const struct receive_params *params, const char *name)
{
    if (params->auth_mechanisms_in_clear || any_row_in_clear(&params->via) || any_row_in_clear(&params->peer))
        diag(DIAG_WARN, NULL,
             "%s: auth_mechanisms_in_clear lets clients log in without TLS: whoever listens learns who they are, can "
             "try "
             "passwords against what he heard, and can take over what follows",
             name);
}
