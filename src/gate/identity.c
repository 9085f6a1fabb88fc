/* SPDX-License-Identifier: Apache-2.0
 *
 * What a user's record, groups and the [identity] table come to. Nothing is kept between calls: patterns are few, and
 * a group's rules that change hold from the next command on.
 */
#include "gate/identity.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gate/gate_private.h"
#include "message/headers.h"

#define ALL_CHECKS (GATE_CHECK_MAIL_FROM | GATE_CHECK_FROM | GATE_CHECK_SENDER)
#define TENANTS_MOST 256

static const struct gate_identity nothing_said = {.checks = ALL_CHECKS, .null_sender = true};

/* ---- reading ---- */

static void read_texts(struct credential_texts *texts, const json_t *list)
{
    size_t i;
    json_t *item;

    texts->texts = mem_zalloc((json_array_size(list) + 1) * sizeof *texts->texts);
    json_array_foreach((json_t *)list, i, item) texts->texts[texts->count++] = mem_strdup(json_string_value(item));
}

static void free_texts(struct credential_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->texts[i]);
    free(texts->texts);
    *texts = (struct credential_texts){0};
}

static void read_senders(struct credential_texts *texts, struct settings *table, const char *key)
{
    read_texts(texts, settings_strings(table, key));
    for (size_t i = 0; i < texts->count; i++)
        if (!gate_pattern_is_sound(texts->texts[i]))
            settings_fault(table, key, "\"%s\" is no address, no domain, no \"*.domain\" and not \"*\"",
                           texts->texts[i]);
}

/* The tenant becomes a part of queues' names, "campaign:tenant@domain!routing". */
static bool is_sound_tenant(const char *name)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr(":@!", *c))
            return false;
    return *name && span_is_utf8(span_of(name));
}

static void read_tenants(struct credential_texts *texts, struct settings *table, const char *key)
{
    read_texts(texts, settings_strings(table, key));
    for (size_t i = 0; i < texts->count; i++)
        if (!is_sound_tenant(texts->texts[i]))
            settings_fault(table, key, "\"%s\" cannot be a tenant's name", texts->texts[i]);
}

static void read_groups(struct map *groups, struct settings *table)
{
    const char *name;

    for (size_t i = 0; (name = settings_name_at(table, i)); i++) {
        struct settings *below = settings_table(table, name);
        struct gate_group *group = mem_zalloc(sizeof *group);

        read_senders(&group->senders, below, "senders");
        read_tenants(&group->tenants, below, "tenants");
        MUST(!map_put(groups, span_of(name), group));
    }
}

static unsigned read_checks(struct settings *table)
{
    const json_t *names = settings_strings(table, "checks");
    unsigned checks = 0;

    if (!settings_has(table, "checks"))
        return ALL_CHECKS;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (!strcmp(name, "mail_from"))
            checks |= GATE_CHECK_MAIL_FROM;
        else if (!strcmp(name, "from"))
            checks |= GATE_CHECK_FROM;
        else if (!strcmp(name, "sender"))
            checks |= GATE_CHECK_SENDER;
        else
            settings_fault(table, "checks", "there is no check \"%s\": mail_from, from, sender", name);
    }
    return checks;
}

static char *read_tenant_header(struct settings *table)
{
    const char *name = settings_text(table, "tenant_header", NULL);
    struct error error;

    if (name && header_check_name(span_of(name), &error))
        settings_fault(table, "tenant_header", "%s", error.sentence);
    return name ? mem_strdup(name) : NULL;
}

static char *read_rewrite_to(struct settings *table)
{
    const char *text = settings_text(table, "rewrite_to", NULL);
    struct gate_address address;

    if (text && gate_pattern_address(text, "user", &address))
        settings_fault(table, "rewrite_to", "\"%s\" is no address", text);
    return text ? mem_strdup(text) : NULL;
}

/* A pattern that covers nothing would only be noticed by the user who cannot send. */
static void check_users(struct settings *root)
{
    const char *name;
    json_t *user;

    json_object_foreach((json_t *)settings_peek(root, "user"), name, user)
    {
        const json_t *senders = json_object_get(user, "senders");
        size_t count = json_is_string(senders) ? 1 : json_array_size(senders);

        for (size_t i = 0; i < count; i++) {
            const char *pattern = json_string_value(json_is_string(senders) ? senders : json_array_get(senders, i));

            if (pattern && !gate_pattern_is_sound(pattern))
                settings_fault(root, "user", "%s: senders: \"%s\" is no address, no domain, no \"*.domain\"", name,
                               pattern);
        }
    }
}

void gate_identity_read(struct gate_identity *identity, struct settings *root)
{
    static const char *const modes[] = {"off", "log", "reject", "rewrite", NULL};
    struct settings *table = settings_table(root, "identity");

    identity->is_said = table != NULL;
    identity->says_mode = table && settings_has(table, "mode");
    identity->mode = (enum gate_identity_mode)settings_choice(table, "mode", modes, GATE_IDENTITY_REJECT);
    identity->checks = table ? read_checks(table) : ALL_CHECKS;
    identity->null_sender = settings_flag(table, "null_sender", true);
    read_senders(&identity->senders, table, "senders");
    identity->says_senders = table && settings_has(table, "senders");
    identity->tenant_header = read_tenant_header(table);
    identity->rewrite_to = read_rewrite_to(table);
    if (table && settings_has(table, "relay"))
        identity->relay = settings_flag(table, "relay", false) ? GATE_RELAY_YES : GATE_RELAY_NO;
    read_groups(&identity->groups, settings_table(root, "group"));
    check_users(root);
}

static void free_group(void *value)
{
    struct gate_group *group = value;

    free_texts(&group->senders);
    free_texts(&group->tenants);
    free(group);
}

void gate_identity_done(struct gate_identity *identity)
{
    map_done(&identity->groups, free_group);
    free_texts(&identity->senders);
    free(identity->tenant_header);
    free(identity->rewrite_to);
}

/* ---- a user's lists ---- */

typedef bool visit_fn(void *ctx, const char *text); /* true: enough */

static const struct gate_identity *identity_of(const struct gate_who *who)
{
    return who->rules ? &who->rules->identity : &nothing_said;
}

static bool visit_texts(const struct credential_texts *texts, visit_fn *visit, void *ctx)
{
    for (size_t i = 0; i < texts->count; i++)
        if (visit(ctx, texts->texts[i]))
            return true;
    return false;
}

static bool visit_group(const struct gate_who *who, const char *name, bool tenants, visit_fn *visit, void *ctx)
{
    const struct gate_group *group = map_find(&identity_of(who)->groups, span_of(name));

    return group && visit_texts(tenants ? &group->tenants : &group->senders, visit, ctx);
}

static bool visit_groups(const struct gate_who *who, bool tenants, visit_fn *visit, void *ctx)
{
    const struct credential *credential = who->login ? who->login->credential : NULL;
    const char *name;

    for (size_t i = 0; credential && i < credential->groups.count; i++)
        if (visit_group(who, credential->groups.texts[i], tenants, visit, ctx))
            return true;
    for (size_t i = 0; who->info && (name = auth_info_group_at(who->info, i)); i++)
        if (visit_group(who, name, tenants, visit, ctx))
            return true;
    return false;
}

static bool visit_own_senders(const struct gate_who *who, visit_fn *visit, void *ctx)
{
    const struct credential *credential = who->login ? who->login->credential : NULL;

    return (credential && visit_texts(&credential->senders, visit, ctx)) || visit_groups(who, false, visit, ctx);
}

static bool is_any(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
    return true;
}

static bool names_senders(const struct gate_who *who) { return visit_own_senders(who, is_any, NULL); }

/* Patterns of record and groups; where they name none, everybody's. */
static bool visit_senders(const struct gate_who *who, visit_fn *visit, void *ctx)
{
    const struct gate_identity *identity = identity_of(who);

    if (names_senders(who))
        return visit_own_senders(who, visit, ctx);
    return identity->says_senders ? visit_texts(&identity->senders, visit, ctx) : visit(ctx, "*");
}

/* ---- senders ---- */

static bool is_everything(void *ctx, const char *pattern)
{
    (void)ctx;
    return !strcmp(pattern, "*");
}

enum gate_identity_mode gate_identity_mode(const struct gate_who *who)
{
    const struct gate_identity *identity = identity_of(who);
    enum gate_identity_mode mode = identity->mode;

    if (!who->login)
        return GATE_IDENTITY_OFF;
    if (!identity->says_mode)
        mode = identity->is_said || names_senders(who) ? GATE_IDENTITY_REJECT : GATE_IDENTITY_OFF;
    return identity->null_sender && visit_senders(who, is_everything, NULL) ? GATE_IDENTITY_OFF : mode;
}

unsigned gate_identity_checks(const struct gate_who *who) { return identity_of(who)->checks; }

struct asked {
    const char *user;
    const struct gate_address *address;
    struct gate_address found;
};

static bool is_covering(void *ctx, const char *pattern)
{
    const struct asked *asked = ctx;

    return gate_pattern_covers(pattern, asked->user, asked->address);
}

static const char *user_of(const struct gate_who *who) { return who->login ? who->login->authcid : NULL; }

bool gate_identity_covers(const struct gate_who *who, const struct gate_address *address)
{
    return visit_senders(who, is_covering, &(struct asked){.user = user_of(who), .address = address});
}

bool gate_identity_may_send_as(const struct gate_who *who, struct span mailbox)
{
    struct gate_address address;

    if (mailbox.len == 0)
        return identity_of(who)->null_sender;
    return !gate_address_read(mailbox, &address) && gate_identity_covers(who, &address);
}

static bool is_one_address(void *ctx, const char *pattern)
{
    struct asked *asked = ctx;

    return !gate_pattern_address(pattern, asked->user, &asked->found);
}

int gate_identity_rewrite_to(const struct gate_who *who, struct gate_address *address_out)
{
    const char *rewrite_to = identity_of(who)->rewrite_to;
    struct asked asked = {.user = user_of(who)};

    if (rewrite_to)
        return gate_pattern_address(rewrite_to, asked.user, address_out);
    if (!visit_senders(who, is_one_address, &asked) &&
        (!asked.user || gate_address_read(span_of(asked.user), &asked.found) ||
         !gate_identity_covers(who, &asked.found)))
        return -1;
    *address_out = asked.found;
    return 0;
}

/* ---- tenants ---- */

static bool add_tenant(void *ctx, const char *name)
{
    json_t *list = ctx, *known;
    size_t i;

    if (!is_sound_tenant(name))
        return false;
    json_array_foreach(list, i, known) if (!strcmp(json_string_value(known), name)) return false;
    json_array_append_new(list, json_string(name));
    return json_array_size(list) >= TENANTS_MOST;
}

/* The AuthInfo's comes first: a policy had the last word on it. */
json_t *gate_identity_tenants(const struct gate_who *who)
{
    const struct credential *credential = who->login ? who->login->credential : NULL;
    const char *tenant = who->info ? auth_info_tenant(who->info) : NULL;
    json_t *list = json_array();

    if (tenant)
        add_tenant(list, tenant);
    if (credential)
        visit_texts(&credential->tenants, add_tenant, list);
    visit_groups(who, true, add_tenant, list);
    return list;
}

const char *gate_identity_tenant_header(const struct gate_rules *rules)
{
    return rules ? rules->identity.tenant_header : NULL;
}

enum gate_relay gate_identity_relay(const struct gate_rules *rules)
{
    return rules ? rules->identity.relay : GATE_RELAY_UNSAID;
}
