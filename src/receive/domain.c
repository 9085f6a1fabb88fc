/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a listener domain's parameters.
 */
#include "receive/domain.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "receive/params_private.h"

static int read_handling(const char *key, const json_t *value, enum receive_report_handling *out, struct error *error)
{
    const char *word = json_string_value(value);

    if (json_is_boolean(value))
        *out = json_is_true(value) ? RECEIVE_REPORT_LOG_THEN_RELAY : RECEIVE_REPORT_IGNORE;
    else if (word && strcmp(word, "Ignore") == 0)
        *out = RECEIVE_REPORT_IGNORE;
    else if (word && strcmp(word, "LogThenRelay") == 0)
        *out = RECEIVE_REPORT_LOG_THEN_RELAY;
    else if (word && strcmp(word, "LogThenDrop") == 0)
        *out = RECEIVE_REPORT_LOG_THEN_DROP;
    else
        return error_set(error, ERROR_PERM, "'%s': expected true, false, 'Ignore', 'LogThenRelay' or 'LogThenDrop'",
                         key);
    return 0;
}

static int read_key(struct receive_domain *domain, const char *key, const json_t *value, struct error *error)
{
    if (strcmp(key, "relay_to") == 0)
        return params_read_bool(key, value, &domain->relay_to, error);
    if (strcmp(key, "relay_from") == 0)
        return params_read_cidrs(key, value, &domain->relay_from, error);
    if (strcmp(key, "log_oob") == 0)
        return read_handling(key, value, &domain->log_oob, error);
    if (strcmp(key, "log_arf") == 0)
        return read_handling(key, value, &domain->log_arf, error);
    return error_set(error, ERROR_PERM, "'%.100s' is not a parameter of a listener domain", key);
}

static void free_domain(struct policy_shared *shared)
{
    struct receive_domain *domain = CONTAINER_OF(shared, struct receive_domain, shared);

    params_free_cidrs(&domain->relay_from);
    free(domain);
}

static const struct policy_shared_class class = {.name = RECEIVE_DOMAIN_CLASS, .free = free_domain};

struct receive_domain *receive_domain_new(const json_t *table, struct error *error)
{
    struct receive_domain *domain = mem_zalloc(sizeof *domain);
    const char *key;
    json_t *value;

    policy_shared_init(&domain->shared, &class);
    if (!data_is_table(table)) {
        error_set(error, ERROR_PERM, "a listener domain is made from a table");
        receive_domain_unref(&domain);
        return NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)table, key, value)
    {
        if (!json_is_null(value) && read_key(domain, key, value, error)) {
            receive_domain_unref(&domain);
            return NULL;
        }
    }
    return domain;
}

struct receive_domain *receive_domain_ref(struct receive_domain *domain)
{
    policy_shared_ref(&domain->shared);
    return domain;
}

void receive_domain_unref(struct receive_domain **domain_at)
{
    struct policy_shared *shared = *domain_at ? &(*domain_at)->shared : NULL;

    *domain_at = NULL;
    policy_shared_unref(&shared);
}
