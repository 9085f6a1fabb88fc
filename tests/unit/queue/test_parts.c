/* SPDX-License-Identifier: Apache-2.0
 *
 * The pure pieces: queue names, backoff, weighted round robin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "queue/backoff.h"
#include "queue/name.h"
#include "queue/wrr.h"

static void assert_span(struct span got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.data, wanted, got.len);
}

static void names(void **state)
{
    static const struct {
        const char *text, *campaign, *tenant, *domain, *routing, *route;
    } cases[] = {
        {"example.com", "", "", "example.com", "", "example.com"},
        {"t@example.com", "", "t", "example.com", "", "example.com"},
        {"c:t@example.com", "c", "t", "example.com", "", "example.com"},
        {"c:@example.com", "c", "", "example.com", "", "example.com"},
        {"c:t@example.com!smart.host", "c", "t", "example.com", "smart.host", "smart.host"},
        {"example.com!smart.host", "", "", "example.com", "smart.host", "smart.host"},
        {"example.com![10.0.0.1]", "", "", "example.com", "[10.0.0.1]", "[10.0.0.1]"},
        {"[IPv6:2001:db8::1]", "", "", "[IPv6:2001:db8::1]", "", "[IPv6:2001:db8::1]"},
        {"t@[IPv6:::1]", "", "t", "[IPv6:::1]", "", "[IPv6:::1]"},
        {"user@corp@example.com", "", "user@corp", "example.com", "", "example.com"},
        {"a!b:t@example.com", "a!b", "t", "example.com", "", "example.com"},
        {"c:t:u@example.com", "c", "t:u", "example.com", "", "example.com"},
        {"@example.com", "", "", "example.com", "", "example.com"},
        {":@example.com", "", "", "example.com", "", "example.com"},
        {"null", "", "", "null", "", "null"},
        {"example.com!", "", "", "example.com", "", "example.com"},
    };
    static const char *const bad[] = {"", "@", "t@", "!r", "t@!r", "a\nb", "t@exa\x01mple", "x\x7f"};
    struct queue_name name;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(queue_name_parse(span_of(cases[i].text), &name), 0);
        assert_span(name.campaign, cases[i].campaign);
        assert_span(name.tenant, cases[i].tenant);
        assert_span(name.domain, cases[i].domain);
        assert_span(name.routing_domain, cases[i].routing);
        assert_span(queue_name_route(&name), cases[i].route);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(queue_name_parse(span_of(bad[i]), &name), -1);
}

static bool is_inside(struct span part, const char *text, size_t len)
{
    return part.len == 0 || (part.data >= text && part.data + part.len <= text + len);
}

static void any_bytes_as_a_name(void **state)
{
    static const char alphabet[] = "ab@@:!!.[]\n\x7f\xc3";
    struct queue_name name;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t len = random_below(12);
        char *text = mem_alloc(len + 1); /* no room behind it: a sanitizer sees any overrun */

        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[random_below(sizeof alphabet - 1)];
        if (queue_name_parse(span_make(text, len), &name) == 0) {
            assert_true(name.domain.len > 0);
            assert_true(is_inside(name.domain, text, len) && is_inside(name.tenant, text, len));
            assert_true(is_inside(name.campaign, text, len) && is_inside(name.routing_domain, text, len));
        }
        free(text);
    }
}

static void a_name_has_a_limit(void **state)
{
    char text[QUEUE_NAME_LIMIT + 1];
    struct queue_name name;

    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(queue_name_parse(span_make(text, sizeof text), &name), -1);
    assert_int_equal(queue_name_parse(span_make(text, sizeof text - 1), &name), 0);
}

static void backoff_doubles_and_spreads(void **state)
{
    struct route_queue_config config = {.retry_interval_ms = 60000, .max_age_ms = 3600000};

    (void)state;
    assert_int_equal(backoff_delay_ms(&config, 1, 500), 60000);
    assert_int_equal(backoff_delay_ms(&config, 2, 500), 120000);
    assert_int_equal(backoff_delay_ms(&config, 4, 500), 480000);
    assert_int_equal(backoff_delay_ms(&config, 1, 0), 57000);
    assert_int_equal(backoff_delay_ms(&config, 1, BACKOFF_DICE - 1), 63000);
}

static void backoff_is_capped(void **state)
{
    struct route_queue_config config = {.retry_interval_ms = 60000, .max_retry_interval_ms = 300000};

    (void)state;
    for (uint64_t dice = 0; dice < BACKOFF_DICE; dice += 100) {
        assert_true(backoff_delay_ms(&config, 50, dice) <= 300000);
        assert_true(backoff_delay_ms(&config, 50, dice) >= 285000);
    }
    config.max_retry_interval_ms = 0;
    assert_true(backoff_delay_ms(&config, 4000000000u, 7) < 400ULL * 86400000);
}

static void age(void **state)
{
    struct route_queue_config config = {.max_age_ms = 1000};

    (void)state;
    assert_false(backoff_is_expired(&config, 5000, 5999));
    assert_true(backoff_is_expired(&config, 5000, 6000));
    assert_false(backoff_is_expired(&config, 5000, 100)); /* the clock was set back */
}

static void wrr_keeps_proportions(void **state)
{
    struct wrr_member members[] = {{.weight = 5}, {.weight = 1}, {.weight = 0}, {.weight = 2}};
    int got[4] = {0};
    int run = 0;
    int longest = 0;

    (void)state;
    for (int i = 0; i < 800; i++) {
        int pick = wrr_pick(members, 4, sizeof members[0]);

        got[pick]++;
        run = pick == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_int_equal(got[0], 500);
    assert_int_equal(got[1], 100);
    assert_int_equal(got[2], 0);
    assert_int_equal(got[3], 200);
    assert_true(longest < 5);
}

static void wrr_skips_the_barred(void **state)
{
    struct wrr_member members[] = {{.weight = 1, .barred = true}, {.weight = 1}};

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(wrr_pick(members, 2, sizeof members[0]), 1);
    members[1].barred = true;
    assert_int_equal(wrr_pick(members, 2, sizeof members[0]), -1);
    assert_int_equal(wrr_pick(members, 0, sizeof members[0]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(any_bytes_as_a_name),
        cmocka_unit_test(a_name_has_a_limit),
        cmocka_unit_test(backoff_doubles_and_spreads),
        cmocka_unit_test(backoff_is_capped),
        cmocka_unit_test(age),
        cmocka_unit_test(wrr_keeps_proportions),
        cmocka_unit_test(wrr_skips_the_barred),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
