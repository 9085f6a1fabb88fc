/* SPDX-License-Identifier: Apache-2.0
 *
 * [guessing] of auth.toml. It holds without being written: the defaults let a person mistype for an evening and a
 * machine try some hundred passwords a week. This host itself is trusted by default: what logs in from it speaks for
 * others, and knows better than we who they are.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "gate/guess_private.h"

#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEAR (366 * DAY)
#define LIMIT_MOST 1000000

static void trust(struct gate_guessing *guessing, struct settings *table, const char *text)
{
    struct cidr *block = &guessing->trusted[guessing->trusted_count];

    if (guessing->trusted_count < GUESS_TRUSTED_MOST && !cidr_parse(span_of(text), block))
        guessing->trusted_count++;
    else
        settings_fault(table, "trusted", "\"%s\" is no network, or one too many", text);
}

static void read_trusted(struct gate_guessing *guessing, struct settings *table)
{
    static const char *const own[] = {"127.0.0.0/8", "::1"};
    const json_t *networks = settings_strings(table, "trusted");

    guessing->trusted = mem_zalloc(GUESS_TRUSTED_MOST * sizeof *guessing->trusted);
    if (!table || !settings_has(table, "trusted")) {
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            trust(guessing, table, own[i]);
        return;
    }
    for (size_t i = 0; i < json_array_size(networks); i++)
        trust(guessing, table, json_string_value(json_array_get(networks, i)));
    guessing->trusted = mem_realloc(guessing->trusted, (guessing->trusted_count + 1) * sizeof *guessing->trusted);
}

static void read_limits(struct gate_guessing *guessing, struct settings *table)
{
    guessing->address_limit = (double)settings_count(table, "address_limit", 50, 0, LIMIT_MOST);
    guessing->pair_limit = (double)settings_count(table, "address_user_limit", 10, 0, LIMIT_MOST);
    guessing->user_limit = (double)settings_count(table, "user_limit", 100, 0, LIMIT_MOST);
    guessing->half_life_ms = settings_duration_ms(table, "half_life", DAY, SECOND, YEAR);
    guessing->block_for_ms = settings_duration_ms(table, "block_for", HOUR, SECOND, YEAR);
    guessing->known_for_ms = settings_duration_ms(table, "known_for", 30 * DAY, SECOND, 5 * YEAR);
    guessing->delay_most_ms = settings_duration_ms(table, "delay", 10 * SECOND, 0, 60 * SECOND);
}

static void read_suspicions(struct gate_guessing *guessing, struct settings *table)
{
    guessing->suspect_users = (double)settings_count(table, "suspect_users", 10, 2, 4096);
    guessing->suspect_prefixes = (double)settings_count(table, "suspect_prefixes", 20, 2, 4096);
    guessing->suspect_failures = (double)settings_count(table, "suspect_failures", 5, 1, LIMIT_MOST);
    guessing->suspect_within_ms = settings_duration_ms(table, "suspect_within", HOUR, SECOND, YEAR);
    guessing->holds = settings_flag(table, "hold", false);
    guessing->webhook = guess_webhook_read(settings_table(table, "webhook"));
}

struct gate_guessing *gate_guessing_read(struct settings *table)
{
    struct gate_guessing *guessing = mem_zalloc(sizeof *guessing);

    guessing->is_on = settings_flag(table, "enabled", true);
    guessing->prefix_v4 = (unsigned char)settings_count(table, "prefix_v4", 32, 8, 32);
    guessing->prefix_v6 = (unsigned char)settings_count(table, "prefix_v6", 56, 16, 128);
    guessing->refuse_before_tls = settings_flag(table, "refuse_before_tls", false);
    read_limits(guessing, table);
    read_suspicions(guessing, table);
    read_trusted(guessing, table);
    return guessing;
}

void gate_guessing_free(struct gate_guessing *guessing)
{
    if (!guessing)
        return;
    guess_webhook_free(guessing->webhook);
    free(guessing->trusted);
    free(guessing);
}

bool gate_guess_refuses_before_tls(const struct gate_rules *rules)
{
    return rules->guessing->is_on && rules->guessing->refuse_before_tls;
}

/* ---- networks ---- */

bool guess_is_trusted(const struct gate_guessing *guessing, const struct ip *ip)
{
    for (size_t i = 0; i < guessing->trusted_count; i++)
        if (cidr_contains(&guessing->trusted[i], ip))
            return true;
    return false;
}

void guess_format_prefix(const struct gate_guessing *guessing, const struct ip *ip, char out[GUESS_PREFIX_BYTES])
{
    unsigned bits = ip->family == AF_INET ? guessing->prefix_v4 : guessing->prefix_v6;
    size_t bytes = ip->family == AF_INET ? 4 : 16;
    char address[INET6_ADDRSTRLEN];
    struct ip masked = *ip;

    for (size_t i = 0; i < bytes; i++) {
        unsigned kept = bits > 8 * i ? bits - 8 * (unsigned)i : 0;

        if (kept < 8)
            masked.bytes[i] = (unsigned char)(masked.bytes[i] & (0xff00 >> kept));
    }
    ip_format(&masked, address);
    snprintf(out, GUESS_PREFIX_BYTES, "%s/%u", address, bits);
}
