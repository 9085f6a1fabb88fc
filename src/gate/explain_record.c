/* SPDX-License-Identifier: Apache-2.0
 *
 * What a record says of its user, field by field, and which of its secrets could be used now. A stored form is shown
 * by the name of its scheme alone.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "credential/used.h"
#include "gate/explain_private.h"
#include "message/timestamp.h"

#define LINE_LIMIT 65536

static void add(struct buf *line, const char *text)
{
    if (buf_append(line, text, strlen(text)))
        return; /* what does not fit is not shown */
}

static void add_time(struct buf *line, const char *word, int64_t ms)
{
    char text[TIMESTAMP_RFC3339_BYTES];

    timestamp_format_rfc3339(ms, text);
    add(line, word);
    add(line, text);
}

static void add_networks(struct buf *line, const struct credential_networks *networks)
{
    for (size_t i = 0; i < networks->count; i++) {
        char ip[INET6_ADDRSTRLEN];

        ip_format(&networks->blocks[i].base, ip);
        if (buf_appendf(line, "%s%s/%u", i ? ", " : "", ip, networks->blocks[i].prefix_bits))
            return;
    }
}

static void add_texts(struct buf *line, const struct credential_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        add(line, i ? ", " : "");
        add(line, texts->texts[i]);
    }
}

static bool is_in_time(int64_t not_before_ms, int64_t not_after_ms)
{
    int64_t now_ms = clock_wall_ms();

    return (!not_before_ms || now_ms >= not_before_ms) && (!not_after_ms || now_ms < not_after_ms);
}

static void tell(struct explaining *explaining, const char *rule, bool passes, struct buf *line)
{
    explain_step(explaining, rule, passes ? EXPLAIN_PASSES : EXPLAIN_REFUSES, "%s", buf_cstr(line));
    buf_clear(line);
}

/* ---- the user ---- */

static void tell_admission(struct explaining *explaining, struct buf *line)
{
    const struct credential *credential = explaining->credential;

    explain_step(explaining, "disabled", credential->disabled ? EXPLAIN_REFUSES : EXPLAIN_PASSES,
                 credential->disabled ? "the user is disabled" : "the user is not disabled");
    if (credential->not_before_ms || credential->not_after_ms) {
        add(line, "the user is valid");
        if (credential->not_before_ms)
            add_time(line, " from ", credential->not_before_ms);
        if (credential->not_after_ms)
            add_time(line, " until ", credential->not_after_ms);
        tell(explaining, "validity", is_in_time(credential->not_before_ms, credential->not_after_ms), line);
    }
    if (credential->networks.count) {
        add(line, "the user may come from ");
        add_networks(line, &credential->networks);
        tell(explaining, "networks", credential_networks_allow(&credential->networks, &explaining->facts.peer), line);
    }
}

static const char *authzid_of(const struct explaining *explaining)
{
    return explaining->authzid ? explaining->authzid : explaining->user;
}

static void tell_authzid(struct explaining *explaining, struct buf *line)
{
    const struct credential *credential = explaining->credential;

    if (!explaining->authzid && !credential->may_act_as.count)
        return;
    add(line, "acts as ");
    add(line, authzid_of(explaining));
    add(line, credential->may_act_as.count ? "; may act as " : "; may act as nobody else");
    add_texts(line, &credential->may_act_as);
    tell(explaining, "authzid", gate_may_act_as(credential, explaining->user, authzid_of(explaining)), line);
}

static void tell_list(struct explaining *explaining, const char *name, const struct credential_texts *texts,
                      struct buf *line)
{
    if (!texts->count)
        return;
    add_texts(line, texts);
    explain_step(explaining, name, EXPLAIN_NOTE, "%s", buf_cstr(line));
    buf_clear(line);
}

/* ---- its secrets ---- */

static const char *scheme_of(const char *stored)
{
    enum password_scheme scheme = password_scheme_of(stored);

    return scheme < PASSWORD_SCHEME_COUNT ? password_scheme_name(scheme) : "unusable";
}

static void add_scopes(struct buf *line, unsigned scopes)
{
    static const struct {
        unsigned bit;
        const char *name;
    } all[] = {{CREDENTIAL_RELAY, " relay"}, {CREDENTIAL_INJECT, " inject"}, {CREDENTIAL_ADMIN, " admin"}};

    add(line, ", for");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (scopes & all[i].bit)
            add(line, all[i].name);
}

static enum auth_reason admission_by(const struct explaining *explaining, const struct credential_secret *secret)
{
    return gate_admission(explaining->credential, secret, &explaining->facts.peer, explaining->user,
                          authzid_of(explaining), clock_wall_ms());
}

static void tell_secret(struct explaining *explaining, const struct credential_secret *secret, struct buf *line)
{
    int64_t used_ms = credential_last_used(explaining->credential->name, secret->label);
    bool is_usable = is_in_time(secret->not_before_ms, secret->not_after_ms) && secret->scopes & CREDENTIAL_RELAY &&
                     credential_networks_allow(&secret->networks, &explaining->facts.peer);
    enum explain_result result = is_usable ? EXPLAIN_PASSES : EXPLAIN_NOTE; /* another one may do */

    add(line, *secret->label ? secret->label : "password");
    add(line, ": ");
    add(line, scheme_of(secret->stored));
    if (secret->not_before_ms)
        add_time(line, ", from ", secret->not_before_ms);
    if (secret->not_after_ms)
        add_time(line, ", until ", secret->not_after_ms);
    add(line, secret->networks.count ? ", from " : "");
    add_networks(line, &secret->networks);
    add_scopes(line, secret->scopes);
    if (used_ms)
        add_time(line, ", last used ", used_ms);
    add(line, is_usable ? "" : "; of no use here and now");
    explain_step(explaining, "secrets", result, "%s", buf_cstr(line));
    buf_clear(line);
}

/* ---- all of it ---- */

static void tell_scram(struct explaining *explaining)
{
    const char *name = auth_mechanism_name(explaining->mechanism);
    enum crypto_hash hash = strstr(name, "SHA-256") ? CRYPTO_SHA256 : CRYPTO_SHA1;
    const struct credential_secret *secrets[SCRAM_SET_MOST];
    size_t count = gate_scram_secrets(explaining->credential, &explaining->facts.peer, hash, clock_wall_ms(), secrets);

    for (size_t i = 0; i < count; i++) {
        if (explaining->is_secret_right && strcmp(secrets[i]->label, explaining->label))
            continue;
        explain_step(explaining, "scram", EXPLAIN_PASSES, "%s goes by the secret %s", name,
                     *secrets[i]->label ? secrets[i]->label : "password");
        return;
    }
    explain_step(explaining, "scram", EXPLAIN_REFUSES,
                 count ? "%s goes by other secrets than this one" : "no secret of this user serves %s", name);
    if (explaining->reason == AUTH_REASON_OK)
        explaining->reason = AUTH_REASON_BAD_PROOF;
}

enum auth_reason explain_admission(struct explaining *explaining)
{
    const struct credential *credential = explaining->credential;
    enum auth_question_kind kind = auth_mechanism_asks(explaining->mechanism);
    enum auth_reason first;

    if (kind == AUTH_ASK_TOKEN || kind == AUTH_ASK_EXTERNAL) /* they need none of the record's secrets */
        return admission_by(explaining, NULL);
    if (!credential->secret_count)
        return AUTH_REASON_BAD_PASSWORD;
    first = admission_by(explaining, &credential->secrets[0]);
    for (size_t i = 1; i < credential->secret_count && first != AUTH_REASON_OK; i++)
        if (admission_by(explaining, &credential->secrets[i]) == AUTH_REASON_OK)
            return AUTH_REASON_OK;
    return first;
}

void explain_record(struct explaining *explaining)
{
    const struct credential *credential = explaining->credential;
    struct buf line;

    buf_init(&line, LINE_LIMIT);
    tell_admission(explaining, &line);
    tell_authzid(explaining, &line);
    for (size_t i = 0; i < credential->secret_count; i++)
        tell_secret(explaining, &credential->secrets[i], &line);
    if (!credential->secret_count)
        explain_step(explaining, "secrets", EXPLAIN_NOTE, "the record has no password");
    if (auth_mechanism_asks(explaining->mechanism) == AUTH_ASK_SCRAM_KEYS)
        tell_scram(explaining);
    tell_list(explaining, "groups", &credential->groups, &line);
    buf_done(&line);
}
