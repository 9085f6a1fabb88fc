/* SPDX-License-Identifier: Apache-2.0
 *
 * AuthInfo to and from JSON, and the rule about authorization identities. Comparing is by
 * octet: two names that only look alike are two people.
 */
#include "auth/identity.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"

struct identity {
    char *name;
    enum auth_context context;
};

struct auth_info {
    atomic_uint refs;
    struct identity *identities;
    size_t identity_count;
    char **groups;
    size_t group_count;
    char *tenant;
    json_t *limits;
};

static const char *const context_names[AUTH_CONTEXT_COUNT] = {
    [AUTH_CONTEXT_SMTP_AUTHORIZATION] = "SmtpAuthPlainAuthorization",
    [AUTH_CONTEXT_SMTP_AUTHENTICATION] = "SmtpAuthPlainAuthentication",
    [AUTH_CONTEXT_HTTP_BASIC] = "HttpBasicAuth",
    [AUTH_CONTEXT_BEARER_TOKEN] = "BearerToken",
    [AUTH_CONTEXT_PROXY] = "ProxyAuthRfc1929",
    [AUTH_CONTEXT_LOCAL_SYSTEM] = "LocalSystem",
    [AUTH_CONTEXT_GENERIC] = "GenericAuth",
};

const char *auth_context_name(enum auth_context context)
{
    MUST(context < AUTH_CONTEXT_COUNT);
    return context_names[context];
}

static struct auth_info *new_info(size_t identities, size_t groups)
{
    struct auth_info *info = mem_zalloc(sizeof *info);

    atomic_init(&info->refs, 1);
    info->identities = mem_zalloc((identities + 1) * sizeof *info->identities);
    info->groups = mem_zalloc((groups + 1) * sizeof *info->groups);
    return info;
}

static void add_identity(struct auth_info *info, const char *name, enum auth_context context)
{
    info->identities[info->identity_count++] = (struct identity){mem_strdup(name), context};
}

struct auth_info *auth_info_of_member(const char *authzid, const char *authcid, const char *const *groups,
                                      size_t group_count)
{
    struct auth_info *info = new_info(2, group_count);

    add_identity(info, authzid, AUTH_CONTEXT_SMTP_AUTHORIZATION);
    add_identity(info, authcid, AUTH_CONTEXT_SMTP_AUTHENTICATION);
    for (; info->group_count < group_count; info->group_count++)
        info->groups[info->group_count] = mem_strdup(groups[info->group_count]);
    return info;
}

struct auth_info *auth_info_of_user(const char *authzid, const char *authcid)
{
    return auth_info_of_member(authzid, authcid, NULL, 0);
}

struct auth_info *auth_info_ref(struct auth_info *info)
{
    if (info)
        atomic_fetch_add_explicit(&info->refs, 1, memory_order_relaxed);
    return info;
}

void auth_info_unref(struct auth_info **info_at)
{
    struct auth_info *info = *info_at;

    *info_at = NULL;
    if (!info || atomic_fetch_sub_explicit(&info->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < info->identity_count; i++)
        free(info->identities[i].name);
    for (size_t i = 0; i < info->group_count; i++)
        free(info->groups[i]);
    free(info->identities);
    free(info->groups);
    free(info->tenant);
    json_decref(info->limits);
    free(info);
}

/* ---- JSON ---- */

static int parse_context(const json_t *value, enum auth_context *context_out, struct error *error)
{
    for (int i = 0; i < AUTH_CONTEXT_COUNT; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), context_names[i]) == 0) {
            *context_out = (enum auth_context)i;
            return 0;
        }
    return error_set(error, ERROR_PERM, "an AuthInfo identity has no context, or one that is not known");
}

static int parse_identities(struct auth_info *info, const json_t *list, struct error *error)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *name = json_object_get(entry, "identity");
        enum auth_context context = AUTH_CONTEXT_GENERIC;

        if (!json_is_string(name) || json_string_length(name) == 0)
            return error_set(error, ERROR_PERM, "AuthInfo identities[%zu] has no identity", i + 1);
        if (parse_context(json_object_get(entry, "context"), &context, error))
            return -1;
        add_identity(info, json_string_value(name), context);
    }
    return 0;
}

static int parse_groups(struct auth_info *info, const json_t *list, struct error *error)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(list, i);

        if (!json_is_string(name))
            return error_set(error, ERROR_PERM, "AuthInfo groups[%zu] is not a string", i + 1);
        info->groups[info->group_count++] = mem_strdup(json_string_value(name));
    }
    return 0;
}

static int parse_rest(struct auth_info *info, const json_t *value, struct error *error)
{
    const json_t *tenant = json_object_get(value, "tenant");
    const json_t *limits = json_object_get(value, "limits");

    if (tenant && !json_is_null(tenant)) {
        if (!json_is_string(tenant) || json_string_length(tenant) == 0)
            return error_set(error, ERROR_PERM, "tenant of an AuthInfo is not a name");
        info->tenant = mem_strdup(json_string_value(tenant));
    }
    if (limits && !json_is_null(limits)) {
        if (!json_is_object(limits))
            return error_set(error, ERROR_PERM, "limits of an AuthInfo is not a table");
        info->limits = json_deep_copy(limits);
    }
    return 0;
}

/* An empty Lua table may have become an object; as a list it is just as empty. */
static bool is_list(const json_t *value)
{
    return json_is_array(value) || (json_is_object(value) && json_object_size(value) == 0);
}

struct auth_info *auth_info_from_json(const json_t *value, struct error *error)
{
    const json_t *identities = json_object_get(value, "identities");
    const json_t *groups = json_object_get(value, "groups");
    struct auth_info *info;

    if (!is_list(identities) || json_array_size(identities) == 0) {
        error_set(error, ERROR_PERM, "an AuthInfo needs a list of identities that is not empty");
        return NULL;
    }
    if (json_array_size(identities) > AUTH_IDENTITIES_MAX || json_array_size(groups) > AUTH_GROUPS_MAX) {
        error_set(error, ERROR_PERM, "an AuthInfo may have %d identities and %d groups at most", AUTH_IDENTITIES_MAX,
                  AUTH_GROUPS_MAX);
        return NULL;
    }
    if (groups && !json_is_null(groups) && !is_list(groups)) {
        error_set(error, ERROR_PERM, "groups of an AuthInfo is not a list");
        return NULL;
    }
    info = new_info(json_array_size(identities), json_array_size(groups));
    if (parse_identities(info, identities, error) || parse_groups(info, groups, error) ||
        parse_rest(info, value, error))
        auth_info_unref(&info);
    return info;
}

json_t *auth_info_to_json(const struct auth_info *info)
{
    json_t *identities = json_array();
    json_t *groups = json_array();
    json_t *value = json_pack("{so so}", "identities", identities, "groups", groups);

    for (size_t i = 0; i < info->identity_count; i++)
        json_array_append_new(identities, json_pack("{ss ss}", "identity", info->identities[i].name, "context",
                                                    context_names[info->identities[i].context]));
    for (size_t i = 0; i < info->group_count; i++)
        json_array_append_new(groups, json_string(info->groups[i]));
    if (info->tenant)
        json_object_set_new(value, "tenant", json_string(info->tenant));
    if (info->limits)
        json_object_set_new(value, "limits", json_deep_copy(info->limits));
    return value;
}

static int add_more(json_t *all, const char *key, json_t *value, struct error *error)
{
    if (strcmp(key, "tenant") == 0 || strcmp(key, "limits") == 0)
        return json_object_set(all, key, value);
    if (strcmp(key, "identities") != 0 && strcmp(key, "groups") != 0)
        return error_set(error, ERROR_PERM, "'%.100s' is not a member of an AuthInfo", key);
    if (json_is_array(value))
        return json_array_extend(json_object_get(all, key), value);
    return is_list(value) ? 0 : error_set(error, ERROR_PERM, "%s of an AuthInfo is not a list", key);
}

struct auth_info *auth_info_with(const struct auth_info *info, const json_t *more, struct error *error)
{
    json_t *all = auth_info_to_json(info);
    struct auth_info *made = NULL;
    const char *key;
    json_t *value;
    int failed = 0;

    if (!json_is_object(more))
        failed = error_set(error, ERROR_PERM, "what is to be added to an AuthInfo is not a table");
    json_object_foreach((json_t *)(uintptr_t)more, key, value) if (!failed) failed = add_more(all, key, value, error);
    if (!failed)
        made = auth_info_from_json(all, error);
    json_decref(all);
    return made;
}

/* ---- rules ---- */

const char *auth_info_identity(const struct auth_info *info, enum auth_context context)
{
    for (size_t i = 0; i < info->identity_count; i++)
        if (info->identities[i].context == context)
            return info->identities[i].name;
    return NULL;
}

const char *auth_info_first_identity(const struct auth_info *info) { return info->identities[0].name; }

const char *auth_info_group_at(const struct auth_info *info, size_t index)
{
    return index < info->group_count ? info->groups[index] : NULL;
}

const char *auth_info_tenant(const struct auth_info *info) { return info->tenant; }

const json_t *auth_info_limits(const struct auth_info *info) { return info->limits; }

bool auth_identity_is_sound(struct span text)
{
    if (text.len > AUTH_IDENTITY_LIMIT || !span_is_utf8(text))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

bool auth_info_has_identity(const struct auth_info *info, const char *identity, enum auth_context context)
{
    for (size_t i = 0; i < info->identity_count; i++)
        if (info->identities[i].context == context && strcmp(info->identities[i].name, identity) == 0)
            return true;
    return false;
}

bool auth_may_act_as(const char *authzid, const char *authcid, const struct auth_info *info)
{
    if (strcmp(authzid, authcid) == 0)
        return true;
    return info && auth_info_has_identity(info, authzid, AUTH_CONTEXT_SMTP_AUTHORIZATION);
}
