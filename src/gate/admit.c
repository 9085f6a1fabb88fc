/* SPDX-License-Identifier: Apache-2.0
 *
 * What a record allows. All of this is asked only of who has proved to be that user: before that it would tell a
 * stranger that the user exists.
 */
#include "gate/gate_private.h"

static bool is_in_time(int64_t not_before_ms, int64_t not_after_ms, int64_t now_ms)
{
    return (!not_before_ms || now_ms >= not_before_ms) && (!not_after_ms || now_ms < not_after_ms);
}

static enum auth_reason admit_by_secret(const struct credential_secret *secret, const struct ip *peer, int64_t now_ms)
{
    if (!is_in_time(secret->not_before_ms, secret->not_after_ms, now_ms))
        return AUTH_REASON_EXPIRED;
    if (!credential_networks_allow(&secret->networks, peer))
        return AUTH_REASON_ADDRESS_NOT_ALLOWED;
    return secret->scopes & CREDENTIAL_RELAY ? AUTH_REASON_OK : AUTH_REASON_NOT_FOR_RELAY;
}

/* "*", "@example.com", or the name itself. */
static bool pattern_covers(const char *pattern, const char *authzid)
{
    const char *at = strrchr(authzid, '@');

    if (pattern[0] == '@')
        return at && at != authzid && span_ieq(span_of(pattern), span_of(at));
    return !strcmp(pattern, "*") || !strcmp(pattern, authzid);
}

bool gate_may_act_as(const struct credential *credential, const char *authcid, const char *authzid)
{
    if (!strcmp(authzid, authcid))
        return true;
    if (!credential)
        return false;
    if (!strcmp(authzid, credential->name))
        return true;
    for (size_t i = 0; i < credential->may_act_as.count; i++)
        if (pattern_covers(credential->may_act_as.texts[i], authzid))
            return true;
    return false;
}

enum auth_reason gate_admission(const struct credential *credential, const struct credential_secret *secret,
                                const struct ip *peer, const char *authcid, const char *authzid, int64_t now_ms)
{
    enum auth_reason reason = AUTH_REASON_OK;

    if (credential) {
        if (credential->disabled)
            return AUTH_REASON_DISABLED;
        if (!is_in_time(credential->not_before_ms, credential->not_after_ms, now_ms))
            return AUTH_REASON_EXPIRED;
        if (!credential_networks_allow(&credential->networks, peer))
            return AUTH_REASON_ADDRESS_NOT_ALLOWED;
    }
    if (secret)
        reason = admit_by_secret(secret, peer, now_ms);
    if (reason == AUTH_REASON_OK && !gate_may_act_as(credential, authcid, authzid))
        reason = AUTH_REASON_AUTHZID_REFUSED;
    return reason;
}

size_t gate_secrets_in_order(const struct credential *credential, const struct ip *peer, int64_t now_ms,
                             size_t order_out[CREDENTIAL_SECRETS_MOST])
{
    size_t usable = 0, rest;

    for (size_t i = 0; i < credential->secret_count; i++)
        if (admit_by_secret(&credential->secrets[i], peer, now_ms) == AUTH_REASON_OK)
            order_out[usable++] = i;
    rest = usable;
    for (size_t i = 0; i < credential->secret_count; i++)
        if (admit_by_secret(&credential->secrets[i], peer, now_ms) != AUTH_REASON_OK)
            order_out[rest++] = i;
    return usable;
}
