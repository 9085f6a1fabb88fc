/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, site names, raw answers, and whole questions over given answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dns/dns_private.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char zone_text[] = "# a comment\n"
                                "example.com MX 20 mx2.example.com\n"
                                "example.com MX 10 MX1.example.com.\n"
                                "mx1.example.com A 192.0.2.1\n"
                                "mx1.example.com A 192.0.2.2\n"
                                "mx1.example.com AAAA 2001:db8::1\n"
                                "alias.example.com CNAME example.com\n"
                                "loop.example.com CNAME loop2.example.com\n"
                                "loop2.example.com CNAME loop.example.com\n"
                                "\n"
                                "implicit.example A 192.0.2.9\n"
                                "null.example MX 0 .\n"
                                "mixed.example MX 0 .\n"
                                "mixed.example MX 5 mx.mixed.example\n"
                                "gone.example NXDOMAIN\n"
                                "broken.example SERVFAIL\n"
                                "slow.example TIMEOUT\n"
                                "equal.example MX 5 c.equal.example\n"
                                "equal.example MX 5 a.equal.example\n"
                                "equal.example MX 5 b.equal.example\n";

/* What a question answered, copied. */
struct told {
    int times;
    enum dns_verdict verdict;
    bool has_error;
    enum error_kind kind;
    char text[512]; /* "10 mx1,20 mx2" or "ip ip" */
    char site[256];
    char sentence[ERROR_SENTENCE_BYTES];
};

static void note_error(struct told *told, const struct error *error)
{
    told->times++;
    told->has_error = error != NULL;
    if (error) {
        told->kind = error->kind;
        snprintf(told->sentence, sizeof told->sentence, "%s", error->sentence);
    }
}

static void on_mx(void *ctx, const struct dns_mx *mx, const struct error *error)
{
    struct told *told = ctx;
    size_t used = 0;

    note_error(told, error);
    told->verdict = mx->verdict;
    for (size_t i = 0; i < mx->host_count; i++)
        used += (size_t)snprintf(told->text + used, sizeof told->text - used, "%s%u %s", i ? "," : "",
                                 mx->hosts[i].preference, mx->hosts[i].name);
    snprintf(told->site, sizeof told->site, "%s", mx->site_name);
}

static void on_addresses(void *ctx, const struct dns_addresses *addresses, const struct error *error)
{
    struct told *told = ctx;
    size_t used = 0;

    note_error(told, error);
    told->verdict = addresses->verdict;
    for (size_t i = 0; i < addresses->count; i++) {
        char text[INET6_ADDRSTRLEN];

        ip_format(&addresses->ips[i], text);
        used += (size_t)snprintf(told->text + used, sizeof told->text - used, "%s%s", i ? " " : "", text);
    }
}

struct fixture {
    struct loop *loop;
    struct dns *dns;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct dns_config config = {.zone_text = zone_text, .timeout_ms = 500};
    struct error error;

    fixture.loop = loop_new("test", &error);
    fixture.dns = dns_new(fixture.loop, &config, &error);
    *state = &fixture;
    return fixture.dns ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    dns_free(fixture->dns);
    loop_free(fixture->loop);
    return 0;
}

static struct told ask_mx(struct fixture *fixture, const char *domain)
{
    struct told told = {0};

    assert_non_null(dns_find_mx(fixture->dns, domain, on_mx, &told));
    assert_int_equal(told.times, 0); /* never from within the call */
    while (told.times == 0)
        loop_turn(fixture->loop, true);
    assert_int_equal(told.has_error, told.verdict != DNS_OK);
    return told;
}

static struct told ask_addresses(struct fixture *fixture, const char *host)
{
    struct told told = {0};

    assert_non_null(dns_find_addresses(fixture->dns, host, on_addresses, &told));
    assert_int_equal(told.times, 0);
    while (told.times == 0)
        loop_turn(fixture->loop, true);
    assert_int_equal(told.has_error, told.verdict != DNS_OK);
    return told;
}

static void mail_exchangers_of_every_kind_of_domain(void **state)
{
    static const struct {
        const char *domain;
        enum dns_verdict verdict;
        const char *hosts;
        const char *site;
    } cases[] = {
        {"example.com", DNS_OK, "10 mx1.example.com,20 mx2.example.com", "(mx1|mx2).example.com"},
        {"EXAMPLE.com.", DNS_OK, "10 mx1.example.com,20 mx2.example.com", "(mx1|mx2).example.com"},
        {"alias.example.com", DNS_OK, "10 mx1.example.com,20 mx2.example.com", "(mx1|mx2).example.com"},
        {"implicit.example", DNS_OK, "0 implicit.example", "implicit.example"},
        {"mixed.example", DNS_OK, "5 mx.mixed.example", "mx.mixed.example"},
        {"null.example", DNS_NULL_MX, "", ""},
        {"gone.example", DNS_NO_DOMAIN, "", ""},
        {"never-heard-of.example", DNS_NO_DOMAIN, "", ""},
        {"broken.example", DNS_FAILED, "", ""},
        {"loop.example.com", DNS_FAILED, "", ""},
        {"slow.example", DNS_FAILED, "", ""},
        {"[192.0.2.7]", DNS_OK, "0 [192.0.2.7]", "192.0.2.7"},
        {"[IPv6:2001:DB8::7]", DNS_OK, "0 [2001:db8::7]", "2001:db8::7"},
        {"[2001:db8::7]", DNS_OK, "0 [2001:db8::7]", "2001:db8::7"},
        {"[192.0.2.700]", DNS_NO_DOMAIN, "", ""},
        {"not a name", DNS_NO_DOMAIN, "", ""},
        {"", DNS_NO_DOMAIN, "", ""},
        {".", DNS_NO_DOMAIN, "", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct told told = ask_mx(*state, cases[i].domain);

        assert_int_equal(told.verdict, cases[i].verdict);
        assert_string_equal(told.text, cases[i].hosts);
        assert_string_equal(told.site, cases[i].site);
    }
}

static void failures_are_told_apart_for_the_operator(void **state)
{
    struct told slow = ask_mx(*state, "slow.example");
    struct told null = ask_mx(*state, "null.example");
    struct told gone = ask_mx(*state, "gone.example");
    struct told broken = ask_mx(*state, "broken.example");

    assert_string_equal(slow.sentence, "looking up slow.example failed: no answer in time");
    assert_int_equal(slow.kind, ERROR_TEMP);
    assert_string_equal(null.sentence, "null.example accepts no mail (null MX)");
    assert_int_equal(null.kind, ERROR_PERM);
    assert_non_null(strstr(gone.sentence, "does not exist"));
    assert_int_equal(gone.kind, ERROR_PERM);
    assert_non_null(strstr(broken.sentence, "SERVFAIL"));
    assert_int_equal(broken.kind, ERROR_TEMP);
}

static void addresses_of_both_families_alternate(void **state)
{
    struct told both = ask_addresses(*state, "mx1.example.com");
    struct told literal = ask_addresses(*state, "[192.0.2.7]");

    assert_int_equal(both.verdict, DNS_OK);
    assert_string_equal(both.text, "2001:db8::1 192.0.2.1 192.0.2.2");
    assert_string_equal(literal.text, "192.0.2.7");
    assert_int_equal(ask_addresses(*state, "mx2.example.com").verdict, DNS_NO_DOMAIN);
    assert_int_equal(ask_addresses(*state, "broken.example").verdict, DNS_FAILED);
    assert_int_equal(ask_addresses(*state, "slow.example").verdict, DNS_FAILED);
    assert_int_equal(ask_addresses(*state, "under score.example").verdict, DNS_NO_DOMAIN);
}

static void equal_preferences_are_shuffled_but_not_the_site_name(void **state)
{
    bool seen[3] = {false};

    for (int i = 0; i < 2000 && !(seen[0] && seen[1] && seen[2]); i++) {
        struct told told = ask_mx(*state, "equal.example");

        assert_string_equal(told.site, "(a|b|c).equal.example");
        seen[told.text[2] - 'a'] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

static void cancelled_questions_are_never_told(void **state)
{
    struct fixture *fixture = *state;
    struct told cancelled = {0};

    dns_cancel(NULL);
    dns_cancel(dns_find_mx(fixture->dns, "example.com", on_mx, &cancelled));
    dns_cancel(dns_find_mx(fixture->dns, "[192.0.2.1]", on_mx, &cancelled));
    dns_cancel(dns_find_addresses(fixture->dns, "slow.example", on_addresses, &cancelled));
    /* left pending: dropped with the resolver */
    dns_find_addresses(fixture->dns, "slow.example", on_addresses, &cancelled);
    ask_mx(fixture, "example.com");
    assert_int_equal(cancelled.times, 0);
}

static void wrong_given_answers_name_their_line(void **state)
{
    static const char *const wrong[] = {
        "a.example\n",        "a.example FOO\n",        "a.example A 1.2.3\n",    "a.example AAAA 1.2.3.4\n",
        "a.example MX x h\n", "a.example MX 70000 h\n", "a..example A 1.2.3.4\n", "a.example A 1.2.3.4 x\n"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        char *text = mem_printf("ok.example A 192.0.2.1\n%s", wrong[i]);
        struct dns_config config = {.zone_text = text};
        struct error error = {0};

        assert_null(dns_new(fixture->loop, &config, &error));
        assert_non_null(strstr(error.sentence, "line 2"));
        free(text);
    }
}

static void a_server_that_is_no_address_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const char *servers[] = {"not-an-address"};
    struct dns_config config = {.servers = servers, .server_count = 1};
    struct error error = {0};

    assert_null(dns_new(fixture->loop, &config, &error));
    assert_non_null(strstr(error.sentence, "not-an-address"));
}

/* Through libunbound itself: /etc/hosts semantics and its built-in localhost need no network. */
static void the_real_resolver_answers_on_the_loop(void **state)
{
    struct fixture *fixture = *state;
    const char *servers[] = {"127.0.0.1@9"};
    struct dns_config config = {.servers = servers, .server_count = 1, .timeout_ms = 20000};
    struct fixture real = {.loop = fixture->loop, .dns = dns_new(fixture->loop, &config, NULL)};
    struct told told;
    struct told pending = {0};

    assert_non_null(real.dns);
    told = ask_addresses(&real, "localhost");
    assert_int_equal(told.verdict, DNS_OK);
    assert_non_null(strstr(told.text, "127.0.0.1"));
    dns_cancel(dns_find_mx(real.dns, "example.test", on_mx, &pending));
    dns_find_mx(real.dns, "example.org", on_mx, &pending);
    dns_free(real.dns);
    assert_int_equal(pending.times, 0);
}

/* ---- pure pieces ---- */

static void site_names_fold_column_by_column(void **state)
{
    static const struct {
        const char *hosts[5];
        const char *site;
    } cases[] = {
        {{"mx.example.com"}, "mx.example.com"},
        {{"MX.Example.COM."}, "mx.example.com"},
        {{"mta5.am0.example.net", "mta6.am0.example.net", "mta7.AM0.example.net"}, "(mta5|mta6|mta7).am0.example.net"},
        {{"in.l.example.com", "alt1.in.l.example.com", "alt2.in.l.example.com"}, "(alt1|alt2)?.in.l.example.com"},
        {{"a.mail.x.com", "b.mail.y.net"}, "(a|b).mail.(x|y).(com|net)"},
        {{"b.mail.y.net", "b.mail.y.net", "a.mail.x.com"}, "(b|a).mail.(y|x).(net|com)"},
        {{"[10.0.0.1]"}, "10.0.0.1"},
        {{"[10.0.0.1]", "[10.0.0.2]"}, "(10.0.0.1|10.0.0.2)"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t count = 0;
        char *site;

        while (count < 5 && cases[i].hosts[count])
            count++;
        site = dns_site_name(cases[i].hosts, count);
        assert_string_equal(site, cases[i].site);
        free(site);
    }
}

static void names_are_cleaned_or_refused(void **state)
{
    char out[DNS_NAME_BYTES];
    char label[70];

    (void)state;
    assert_int_equal(answer_clean_name(SPAN_LIT("MX_1.Ex-ample.COM."), out), 0);
    assert_string_equal(out, "mx_1.ex-ample.com");
    assert_int_equal(answer_clean_name(SPAN_LIT(".example"), out), -1);
    assert_int_equal(answer_clean_name(SPAN_LIT("a..b"), out), -1);
    assert_int_equal(answer_clean_name(SPAN_LIT("a b"), out), -1);
    assert_int_equal(answer_clean_name(SPAN_LIT("a\0b"), out), -1);
    assert_int_equal(answer_clean_name(SPAN_LIT("b\xc3\xbc"
                                                "cher.example"),
                                       out),
                     -1);
    memset(label, 'x', sizeof label);
    assert_int_equal(answer_clean_name(span_make(label, 63), out), 0);
    assert_int_equal(answer_clean_name(span_make(label, 64), out), -1);
}

static void a_thousand_mx_records_keep_the_best(void **state)
{
    static char wire[1000][16];
    static char *data[1000];
    static int lengths[1000];
    struct raw_answer raw = {.verdict = RAW_OK, .data = data, .lengths = lengths, .count = 1000};
    struct dns_mx mx;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int preference = 5000 - i;

        wire[i][0] = (char)(preference >> 8);
        wire[i][1] = (char)(preference & 0xff);
        lengths[i] = 2 + snprintf(wire[i] + 2, sizeof wire[i] - 2, "\x05h%04d", i) + 1;
        data[i] = wire[i];
    }
    answer_to_mx(&raw, &mx);
    assert_int_equal(mx.verdict, DNS_OK);
    assert_int_equal(mx.host_count, DNS_HOSTS_LIMIT);
    assert_string_equal(mx.hosts[0].name, "h0999");
    assert_int_equal(mx.hosts[0].preference, 4001);
    assert_string_equal(mx.hosts[DNS_HOSTS_LIMIT - 1].name, "h0968");
    answer_mx_done(&mx);
}

static void malformed_records_are_left_out(void **state)
{
    static char good[] = "\0\x0a\x02mx\0";
    static char again[] = "\0\x05\x02MX\0";
    static char no_end[] = "\0\x0a\x02mx";
    static char too_long[] = "\0\x0a\x09mx\0";
    static char tail[] = "\0\x0a\x02mx\0junk";
    static char pointer[] = "\0\x0a\xc0\x0c";
    static char dotted[] = "\0\x0a\x03m.x\0";
    char *data[] = {no_end, too_long, tail, pointer, dotted, good, again, good};
    int lengths[] = {5, 6, 10, 4, 7, 6, 6, -1};
    struct raw_answer raw = {.verdict = RAW_OK, .data = data, .lengths = lengths, .count = COUNT(data)};
    struct dns_mx mx;

    (void)state;
    answer_to_mx(&raw, &mx);
    assert_int_equal(mx.verdict, DNS_OK);
    assert_int_equal(mx.host_count, 1);
    assert_string_equal(mx.hosts[0].name, "mx");
    assert_int_equal(mx.hosts[0].preference, 5); /* the better of two */
    answer_mx_done(&mx);
    raw.count = 5; /* none can be read: nobody knows, so the mail waits */
    answer_to_mx(&raw, &mx);
    assert_int_equal(mx.verdict, DNS_FAILED);
    answer_mx_done(&mx);
}

static void one_family_is_enough(void **state)
{
    static char v4[] = {(char)192, 0, 2, 1};
    char *data[] = {v4, v4, v4};
    int lengths[] = {4, 4, 3};
    struct raw_answer good = {.verdict = RAW_OK, .data = data, .lengths = lengths, .count = 3, .ttl_ms = 5};
    struct raw_answer failed = {.verdict = RAW_FAILED, .reason = "x"};
    struct raw_answer none = {.verdict = RAW_NO_DATA};
    struct dns_addresses out;

    (void)state;
    answer_to_addresses(&good, &failed, &out);
    assert_int_equal(out.verdict, DNS_OK);
    assert_int_equal(out.count, 1);
    answer_to_addresses(&none, &failed, &out);
    assert_int_equal(out.verdict, DNS_FAILED);
    answer_to_addresses(&none, &none, &out);
    assert_int_equal(out.verdict, DNS_NO_DOMAIN);
}

/* The kernel would connect to the IPv4 address in it: blocks of IPv4 have to hold for it. */
static void an_address_in_disguise_is_what_it_means(void **state)
{
    static char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (char)0xff, (char)0xff, 127, 0, 0, 1};
    char *data[] = {mapped};
    int lengths[] = {16};
    struct raw_answer aaaa = {.verdict = RAW_OK, .data = data, .lengths = lengths, .count = 1, .ttl_ms = 5};
    struct raw_answer none = {.verdict = RAW_NO_DATA};
    struct dns_addresses out;
    char text[INET6_ADDRSTRLEN];

    (void)state;
    answer_to_addresses(&none, &aaaa, &out);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.ips[0].family, AF_INET);
    ip_format(&out.ips[0], text);
    assert_string_equal(text, "127.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mail_exchangers_of_every_kind_of_domain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_are_told_apart_for_the_operator, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses_of_both_families_alternate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_preferences_are_shuffled_but_not_the_site_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_questions_are_never_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_given_answers_name_their_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_no_address_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_real_resolver_answers_on_the_loop, set_up, tear_down),
        cmocka_unit_test(site_names_fold_column_by_column),
        cmocka_unit_test(names_are_cleaned_or_refused),
        cmocka_unit_test(a_thousand_mx_records_keep_the_best),
        cmocka_unit_test(malformed_records_are_left_out),
        cmocka_unit_test(one_family_is_enough),
        cmocka_unit_test(an_address_in_disguise_is_what_it_means),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
