/* SPDX-License-Identifier: Apache-2.0
 *
 * What [store.NAME] of the directory's two drivers may say.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/random.h"
#include "base/secret.h"
#include "credential/endpoint.h"
#include "credential/store_ldap.h"
#include "credential/template.h"

#define THREADS_USUAL 4
#define THREADS_MOST 64

static pthread_once_t started = PTHREAD_ONCE_INIT;

/* The first call of any of its functions sets the library up, and must be alone in that. */
static void start_library(void)
{
    int version;

    ldap_get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version);
}

static char *keep(const char *text) { return text && *text ? mem_strdup(text) : NULL; }

static void read_uris(struct store *store, struct settings *settings)
{
    struct directory *directory = &store->directory;
    const json_t *uris = settings_strings(settings, "uri");
    size_t count = json_array_size(uris);

    if (!count || count > DIRECTORY_URIS_MOST)
        settings_fault(settings, "uri", "must be given, and not more than %d of them", DIRECTORY_URIS_MOST);
    for (size_t i = 0; i < count && i < DIRECTORY_URIS_MOST; i++) {
        const char *uri = json_string_value(json_array_get(uris, i));
        bool is_tls = span_istarts_with(span_of(uri), SPAN_LIT("ldaps://"));
        bool is_local = span_istarts_with(span_of(uri), SPAN_LIT("ldapi://"));

        if (!ldap_is_ldap_url(uri) || strchr(uri, ' ') || strchr(uri, ','))
            settings_fault(settings, "uri", "must be ldap://host, ldaps://host or ldapi://path");
        else if (directory->start_tls && is_tls)
            settings_fault(settings, "start_tls", "cannot be true where the address is ldaps:// already");
        else
            endpoint_check_plain(settings, "uri", uri, is_tls || is_local || directory->start_tls);
        directory->uris[directory->uri_count++] = mem_strdup(uri);
    }
}

static void check_dn(struct settings *settings, const char *key, const char *text)
{
    LDAPDN dn = NULL;
    struct buf buf;

    if (!text)
        return;
    buf_init(&buf, DIRECTORY_TEXT_LIMIT_BYTES);
    if (template_put(text, SPAN_LIT("user"), template_put_dn, &buf) ||
        ldap_str2dn(buf_cstr(&buf), &dn, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
        settings_fault(settings, key, "is not a distinguished name (RFC 4514)");
    if (dn)
        ldap_dnfree(dn);
    buf_done(&buf);
}

static void read_account(struct store *store, struct settings *settings)
{
    struct directory *directory = &store->directory;

    directory->start_tls = settings_flag(settings, "start_tls", false);
    directory->ca_file = keep(settings_path(settings, "ca_file", NULL));
    endpoint_check_file(settings, "ca_file", directory->ca_file);
    directory->bind_dn = keep(settings_text(settings, "bind_dn", NULL));
    directory->bind_password = settings_secret(settings, "bind_password");
    directory->bind_password_len = directory->bind_password ? strlen(directory->bind_password) : 0;
    check_dn(settings, "bind_dn", directory->bind_dn);
    if (directory->bind_dn && !directory->bind_password_len)
        settings_fault(settings, "bind_password", "must be given where bind_dn is: without it, the login is anonymous");
    if (!directory->bind_dn && directory->bind_password)
        settings_fault(settings, "bind_dn", "must be given where bind_password is");
}

/* Parentheses alone: the rest is the server's to judge. */
static bool is_balanced(const char *filter)
{
    int depth = 0;

    if (*filter != '(')
        return false;
    for (const char *p = filter; *p; p++) {
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        if (depth < 0 || (depth == 0 && p[1]))
            return false;
    }
    return depth == 0;
}

static void read_search(struct store *store, struct settings *settings)
{
    static const char *const scopes[] = {"sub", "one", "base", NULL};
    static const int values[] = {LDAP_SCOPE_SUBTREE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_BASE};

    store->base = mem_strdup(settings_need_text(settings, "base"));
    store->filter = mem_strdup(settings_text(settings, "filter", "(uid={user})"));
    store->scope = values[settings_choice(settings, "scope", scopes, 0)];
    check_dn(settings, "base", store->base);
    if (!is_balanced(store->filter))
        settings_fault(settings, "filter", "must be a search filter in parentheses (RFC 4515)");
    if (!template_has_user(store->filter) && !template_has_user(store->base))
        settings_fault(settings, "filter", "must have {user} in it");
    store->name_count = directory_names_of(store->filter, store->base, store->scope == LDAP_SCOPE_BASE, store->names);
}

static bool is_attribute_name(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;") == strlen(name);
}

/* A directory that judges is not asked for what it judges by. */
static bool can_fill(const struct store *store, const char *field)
{
    bool is_judged = !strcmp(field, "password") || !strcmp(field, "secrets");

    return directory_field_is_known(field) && !(store->judges && is_judged);
}

static void add_attribute(struct store *store, const char *field, const char *name)
{
    store->attributes[store->attribute_count++] = (struct directory_attribute){mem_strdup(field), mem_strdup(name)};
}

static void read_attributes(struct store *store, struct settings *settings)
{
    static const char *const ways[] = {"name", "dn", NULL};
    const json_t *map = settings_value(settings, "attributes");
    const char *field;
    json_t *name;

    store->groups_by_name = settings_choice(settings, "groups_as", ways, 0) == 0;
    if (!map && !store->judges)
        add_attribute(store, "password", "userPassword");
    if (map && !json_is_object(map))
        settings_fault(settings, "attributes", "must be a table: field of the record = \"attribute\"");
    json_object_foreach((json_t *)(uintptr_t)map, field, name)
    {
        if (!can_fill(store, field))
            settings_fault(settings, "attributes", "has a field that no attribute can fill: %.40s", field);
        else if (!json_is_string(name) || !is_attribute_name(json_string_value(name)))
            settings_fault(settings, "attributes", "must name an attribute for %s", field);
        else if (store->attribute_count < DIRECTORY_ATTRIBUTES_MOST)
            add_attribute(store, field, json_string_value(name));
    }
}

void store_ldap_free(void *ctx)
{
    struct store *store = ctx;

    for (int use = 0; use < LINK_USES; use++) {
        struct list_node *node;

        while ((node = list_take_first(&store->idle[use])))
            directory_close(CONTAINER_OF(node, struct directory_link, node));
    }
    for (size_t i = 0; i < store->attribute_count; i++) {
        free(store->attributes[i].field);
        free(store->attributes[i].name);
    }
    directory_names_done(store->names, store->name_count);
    directory_done(&store->directory);
    pthread_mutex_destroy(&store->lock);
    pace_done(&store->pace);
    free(store->base);
    free(store->filter);
    free(store->dn);
    free(store->nobody);
    free(store);
}

static void read_dn(struct store *store, struct settings *settings)
{
    store->dn = keep(settings_text(settings, "dn", NULL));
    check_dn(settings, "dn", store->dn);
    if (store->dn && !template_has_user(store->dn))
        settings_fault(settings, "dn", "must have {user} in it");
}

static char *make_nobody(void)
{
    uint64_t draw[2];

    random_bytes(draw, sizeof draw);
    return mem_printf("cn=nobody-%016" PRIx64 "%016" PRIx64 ",", draw[0], draw[1]);
}

struct store *store_ldap_open(struct settings *settings, bool judges, struct error *error)
{
    struct store *store = mem_zalloc(sizeof *store);

    pthread_once(&started, start_library);
    pthread_mutex_init(&store->lock, NULL);
    pace_init(&store->pace);
    for (int use = 0; use < LINK_USES; use++)
        list_init(&store->idle[use]);
    store->judges = judges;
    store->nobody = make_nobody();
    read_account(store, settings);
    read_uris(store, settings);
    if (judges)
        read_dn(store, settings);
    if (!store->dn) {
        read_search(store, settings);
        read_attributes(store, settings);
    }
    store->limit_ms = endpoint_limit_ms(settings);
    store->threads = (size_t)settings_count(settings, "threads", THREADS_USUAL, 1, THREADS_MOST);
    if (!settings_end(settings, error))
        return store;
    store_ldap_free(store);
    return NULL;
}
