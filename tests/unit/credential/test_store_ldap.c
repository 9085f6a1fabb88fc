/* SPDX-License-Identifier: Apache-2.0
 *
 * The LDAP drivers against slapd: records from entries, logins as the entry, names that look like filters, TLS that is
 * checked, and a server that is killed, stopped and comes back. None of it may be taken for a verdict.
 */
#include "ask_store.h"

#include "../../support/helper.h"
#include "credential/store_ldap.h"
#include "credential/template.h"

#define ACCOUNT "bind_dn = 'cn=relay,dc=example,dc=org'\nbind_password = 'secret of the relay'\n"
#define PEOPLE ACCOUNT "base = 'ou=people,dc=example,dc=org'\n"
#define ATTRIBUTES                                                                                                     \
    "attributes = { password = 'userPassword', groups = 'memberOf', senders = 'mail', tenant = 'o', name = 'uid' }\n"

static struct helper slapd;

/* A busy machine may make the server slow, which is no failure of its. */
#define PATIENT "timeout = '60s'\n"

static struct test_store open_within(const struct store_driver *driver, const char *uri, const char *timeout,
                                     const char *more)
{
    char toml[4096];

    snprintf(toml, sizeof toml, "uri = '%s'\n%s%s", uri, timeout, more);
    return test_store_open(driver, toml);
}

static struct test_store open_at(const struct store_driver *driver, const char *uri, const char *more)
{
    return open_within(driver, uri, PATIENT, more);
}

static struct test_store open_ldap(const struct store_driver *driver, const char *more)
{
    return open_at(driver, helper_place(&slapd, "uri"), more);
}

static void tell(const char *command) { json_decref(helper_tell(&slapd, command)); }

static void expect_failed(struct test_store *store, const char *user, const char *password, const char *says)
{
    struct test_ask ask = ask_store(store, user, password);

    assert_int_equal(ask.outcome, STORE_FAILED);
    if (!strstr(ask.error.sentence, says))
        fail_msg("%s", ask.error.sentence);
    assert_null(strstr(ask.error.sentence, "secret of the relay"));
    if (password)
        assert_null(strstr(ask.error.sentence, password));
    ask_forget(&ask);
}

/* ---- lookup ---- */

static void an_entry_is_a_record(void **state)
{
    struct test_store store = open_ldap(&store_ldap, PEOPLE ATTRIBUTES);
    struct test_ask ask = ask_store(&store, "ann", NULL);

    (void)state;
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(ask.credential->name, "ann");
    assert_string_equal(ask.credential->secrets[0].stored, "tiger");
    assert_string_equal(ask.credential->tenants.texts[0], "lions");
    assert_int_equal(ask.credential->senders.count, 2);
    assert_int_equal(ask.credential->groups.count, 2);
    assert_true(!strcmp(ask.credential->groups.texts[0], "staff") || !strcmp(ask.credential->groups.texts[1], "staff"));
    assert_true(!strcmp(ask.credential->groups.texts[0], "night, late") ||
                !strcmp(ask.credential->groups.texts[1], "night, late"));
    ask_forget(&ask);
    ask = ask_store(&store, "two", NULL);
    assert_int_equal(ask.credential->secret_count, 2);
    ask_forget(&ask);
    ask = ask_store(&store, "nopass", NULL);
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(ask.credential->secret_count, 0);
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "nobody", NULL), STORE_NOT_FOUND);
    test_store_close(&store);
}

#define TABLES "attributes = { secrets = 'description', limits = 'departmentNumber' }\n"

static const struct credential_secret *secret_of(const struct credential *credential, const char *label)
{
    for (size_t i = 0; i < credential->secret_count; i++)
        if (!strcmp(credential->secrets[i].label, label))
            return &credential->secrets[i];
    fail_msg("no secret %s", label);
    return NULL;
}

static void secrets_and_limits_are_json(void **state)
{
    struct test_store store = open_ldap(&store_ldap, PEOPLE TABLES);
    struct test_ask ask = ask_store(&store, "shop", NULL);

    (void)state;
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(ask.credential->secret_count, 2);
    assert_string_equal(secret_of(ask.credential, "till")->stored, "{PLAIN}till-1");
    assert_int_equal(secret_of(ask.credential, "till")->scopes, CREDENTIAL_RELAY);
    assert_int_equal(secret_of(ask.credential, "web")->not_after_ms, INT64_C(978307200000));
    assert_int_equal(json_integer_value(json_object_get(ask.credential->limits, "sessions")), 1);
    ask_forget(&ask);
    ask = ask_store(&store, "apps", NULL);
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(ask.credential->secret_count, 2);
    assert_int_equal(secret_of(ask.credential, "one")->networks.count, 1);
    assert_null(ask.credential->limits);
    ask_forget(&ask);
    expect_failed(&store, "torn", NULL, "the directory has something for secrets");
    assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FOUND); /* has neither */
    test_store_close(&store);
}

static void groups_may_be_whole_names(void **state)
{
    struct test_store store = open_ldap(&store_ldap, PEOPLE ATTRIBUTES "groups_as = 'dn'");
    struct test_ask ask = ask_store(&store, "ann", NULL);

    (void)state;
    assert_non_null(strstr(ask.credential->groups.texts[0], ",ou=groups,dc=example,dc=org"));
    ask_forget(&ask);
    test_store_close(&store);
}

static void a_name_is_never_a_filter(void **state)
{
    static const char *const names[] = {
        "*", "a*", "ann)(uid=*", "ann)(|(uid=*", "*)(uid=ann", "\\61nn", "ann\\00",       "ann\\2a", "(",
        ")", "\\", "ann)",       "|(uid=a)",     "&",          "!",      "ann)(!(uid=*)", "\xc3\xa9"};
    struct test_store store = open_ldap(&store_ldap, PEOPLE);

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ask_outcome(&store, names[i], NULL) != STORE_NOT_FOUND)
            fail_msg("%s", names[i]);
    assert_stored(&store, "a*b", "starred");
    assert_stored(&store, "c,d+e", "comma");
    test_store_close(&store);
}

/* What the directory takes for one name and we do not: spaces around it, letters that look alike, but not their case.
 */
static void an_entry_has_one_name(void **state)
{
    static const char *const others[] = {"ann ", " ann", "a\xc2\xadnn", "\xef\xbd\x81nn"};
    struct test_store store = open_ldap(&store_ldap, PEOPLE);
    struct test_store judge = open_ldap(&store_ldap_bind, PEOPLE);
    struct test_ask ask;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(ask_outcome(&store, others[i], NULL), STORE_NOT_FOUND);
        assert_int_equal(ask_outcome(&judge, others[i], "tiger"), STORE_NOT_FOUND);
    }
    ask = ask_store(&judge, "ANN", "tiger");
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_string_equal(json_string_value(json_object_get(ask.fields, "name")), "ann");
    ask_forget(&ask);
    test_store_close(&store);
    test_store_close(&judge);
}

static void an_entry_that_hides_its_name_is_no_verdict(void **state)
{
    struct test_store store =
        open_ldap(&store_ldap, PEOPLE "filter = '(|(uid=ann)(employeeNumber={user}))'\nattributes = { groups = "
                                      "'memberOf' }");

    (void)state;
    expect_failed(&store, "ann", NULL, "employeeNumber");
    test_store_close(&store);
}

static void check_names(const char *filter, const char *base, bool is_base, const char *expected)
{
    struct directory_name names[DIRECTORY_NAMES_MOST];
    size_t count = directory_names_of(filter, base, is_base, names);
    char said[256] = "";

    for (size_t i = 0; i < count; i++)
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s|%s|%s;", names[i].attribute, names[i].before,
                 names[i].after);
    directory_names_done(names, count);
    assert_string_equal(said, expected);
}

static void filters_say_which_attribute_is_the_name(void **state)
{
    (void)state;
    check_names("(uid={user})", "dc=x", false, "uid||;");
    check_names("(&(objectClass=person)(|(uid={user})(mail={user}@x.example)))", "dc=x", false,
                "uid||;mail||@x.example;");
    check_names("(proxyAddresses=smtp:{user})", "dc=x", false, "proxyAddresses|smtp:|;");
    check_names("(uid:caseExactMatch:={user})", "dc=x", false, "uid||;");
    check_names("(objectClass=*)", "cn={user},dc=x", true, "cn||;");
    check_names("(objectClass=*)", "cn={user}+sn=x,dc=x", true, "cn||;");
    check_names("(cn=a)", "ou={user},dc=x", false, "");
    check_names("(|(cn=*{user}*)(cn={user}{user})(cn~={user})(cn=\\28{user})({user}))", "dc=x", false, "");
    check_names("(|(a={user})(b={user})(c={user})(d={user})(e={user}))", "f={user}", true, "a||;b||;c||;d||;");
}

static void spellings_of_a_name(void **state)
{
    static const struct {
        const char *value, *user, *name;
    } cases[] = {{"smtp:Ann@X", "ann", "Ann"}, {"SMTP:ann@x", "ANN", "ann"}, {"smtp:ann @x", "ann", NULL},
                 {"smtp:ann@x", "ann ", NULL}, {"smtp:@x", "ann", NULL},     {"ann", "ann", NULL},
                 {"smtp:ann@y", "ann", NULL},  {"xmtp:ann@x", "ann", NULL},  {"smtp:\xc3\x89@x", "\xc3\xa9", NULL}};
    struct directory_name name = {.attribute = "a", .before = "smtp:", .after = "@x"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = directory_name_in(&name, span_of(cases[i].value), span_of(cases[i].user));

        if (cases[i].name)
            assert_string_equal(found, cases[i].name);
        else
            assert_null(found);
        free(found);
    }
    assert_true(directory_name_is_plain("ann") && directory_name_is_plain("ann lee"));
    assert_false(directory_name_is_plain(" ann") || directory_name_is_plain("ann ") || directory_name_is_plain("a  b"));
    assert_false(directory_name_is_plain("") || directory_name_is_plain("\xc3\xa9"));
}

static void what_is_odd_is_no_verdict(void **state)
{
    struct test_store store = open_ldap(&store_ldap, PEOPLE);

    (void)state;
    expect_failed(&store, "twin", NULL, "more than one");
    expect_failed(&store, "odd", NULL, "password"); /* bytes that are no text */
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
    store = open_ldap(&store_ldap, ACCOUNT "base = 'ou=nowhere,dc=example,dc=org'");
    expect_failed(&store, "ann", NULL, "base");
    test_store_close(&store);
}

static void a_base_may_be_the_users(void **state)
{
    struct test_store store =
        open_ldap(&store_ldap, ACCOUNT
                  "base = 'uid={user},ou=people,dc=example,dc=org'\nscope = 'base'\nfilter = '(objectClass=*)'");

    (void)state;
    assert_stored(&store, "ann", "tiger");
    assert_stored(&store, "c,d+e", "comma");
    assert_int_equal(ask_outcome(&store, "nobody", NULL), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "x,uid=ann", NULL), STORE_NOT_FOUND);
    test_store_close(&store);
}

static void a_wrong_account_is_no_verdict(void **state)
{
    struct test_store store = open_ldap(&store_ldap, "bind_dn = 'cn=relay,dc=example,dc=org'\nbind_password = 'wrong'\n"
                                                     "base = 'dc=example,dc=org'");

    (void)state;
    expect_failed(&store, "ann", NULL, "bind_dn");
    test_store_close(&store);
}

/* ---- bind ---- */

static void the_directory_judges(void **state)
{
    struct test_store store = open_ldap(&store_ldap_bind, PEOPLE "attributes = { groups = 'memberOf' }");
    struct test_ask ask = ask_store(&store, "ann", "tiger");

    (void)state;
    assert_int_equal(ask.outcome, STORE_FOUND);
    assert_int_equal(json_array_size(json_object_get(ask.fields, "groups")), 2);
    ask_forget(&ask);
    assert_int_equal(ask_outcome(&store, "ann", "Tiger"), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann", "tiger "), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann", ""), STORE_REFUSED); /* would be an anonymous login */
    assert_int_equal(ask_outcome(&store, "nopass", "x"), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "nobody", "tiger"), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "*", "tiger"), STORE_NOT_FOUND);
    assert_int_equal(ask_outcome(&store, "c,d+e", "comma"), STORE_FOUND);
    expect_failed(&store, "twin", "x", "more than one");
    assert_int_equal(ask_outcome(&store, "ann", "tiger"), STORE_FOUND);
    test_store_close(&store);
}

static void a_name_may_be_made(void **state)
{
    struct test_store store = open_ldap(&store_ldap_bind, "dn = 'uid={user},ou=people,dc=example,dc=org'");

    (void)state;
    assert_int_equal(ask_outcome(&store, "ann", "tiger"), STORE_FOUND);
    assert_int_equal(ask_outcome(&store, "ann", "x"), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "ann", ""), STORE_REFUSED);
    assert_int_equal(ask_outcome(&store, "c,d+e", "comma"), STORE_FOUND);
    assert_int_equal(ask_outcome(&store, "x,uid=ann", "tiger"), STORE_REFUSED);
    test_store_close(&store);
}

/* ---- TLS ---- */

static void tls_is_checked(void **state)
{
    char pinned[512], elsewhere[512];
    struct test_store store;

    (void)state;
    snprintf(pinned, sizeof pinned, PEOPLE "start_tls = true\nca_file = '%s'", helper_place(&slapd, "ca"));
    store = open_ldap(&store_ldap, pinned);
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
    store = open_ldap(&store_ldap, PEOPLE "start_tls = true\n"); /* the system's authorities do not know it */
    expect_failed(&store, "ann", NULL, "connect");
    test_store_close(&store);
    snprintf(pinned, sizeof pinned, PEOPLE "ca_file = '%s'", helper_place(&slapd, "ca"));
    store = open_at(&store_ldap_bind, helper_place(&slapd, "tls_uri"), pinned);
    assert_int_equal(ask_outcome(&store, "ann", "tiger"), STORE_FOUND);
    assert_int_equal(ask_outcome(&store, "ann", "x"), STORE_REFUSED);
    test_store_close(&store);
    store = open_at(&store_ldap_bind, helper_place(&slapd, "tls_uri"), PEOPLE);
    expect_failed(&store, "ann", "tiger", "connect");
    test_store_close(&store);
    /* the certificate is for 127.0.0.1 alone */
    snprintf(elsewhere, sizeof elsewhere, "ldaps://127.0.0.2:%s", strrchr(helper_place(&slapd, "tls_uri"), ':') + 1);
    store = open_at(&store_ldap_bind, elsewhere, pinned);
    expect_failed(&store, "ann", "tiger", "connect");
    test_store_close(&store);
}

/* ---- a server that comes and goes ---- */

static void a_server_that_comes_back_is_used_again(void **state)
{
    struct test_store store = open_ldap(&store_ldap, PEOPLE);
    struct test_store judge = open_ldap(&store_ldap_bind, PEOPLE);

    (void)state;
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(ask_outcome(&judge, "ann", "tiger"), STORE_FOUND);
    tell("kill");
    expect_failed(&store, "ann", NULL, "");
    expect_failed(&judge, "ann", "tiger", "");
    tell("start");
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(ask_outcome(&judge, "ann", "tiger"), STORE_FOUND);
    /* between two questions: the connections are dead, and nobody notices */
    tell("kill");
    tell("start");
    assert_stored(&store, "ann", "tiger");
    assert_int_equal(ask_outcome(&judge, "ann", "tiger"), STORE_FOUND);
    assert_int_equal(ask_outcome(&judge, "ann", "x"), STORE_REFUSED);
    test_store_close(&store);
    test_store_close(&judge);
}

/* With little time, an answer may be late once or twice on a busy machine. */
static void wait_until_found(struct test_store *store)
{
    enum store_outcome outcome;

    while ((outcome = ask_outcome(store, "ann", NULL)) == STORE_FAILED)
        ;
    assert_int_equal(outcome, STORE_FOUND);
}

static void a_server_that_stands_still_is_no_verdict(void **state)
{
    struct test_store store = open_within(&store_ldap, helper_place(&slapd, "uri"), "timeout = '300ms'\n", PEOPLE);
    struct test_ask asks[20];

    (void)state;
    wait_until_found(&store);
    tell("stop");
    for (int i = 0; i < 20; i++)
        ask_begin(&store, &asks[i], "ann", NULL);
    for (int i = 0; i < 10; i++)
        store.driver->cancel(store.store, &asks[i].ask);
    for (int i = 10; i < 20; i++) {
        ask_wait(&store, &asks[i]);
        assert_int_equal(asks[i].outcome, STORE_FAILED);
        ask_forget(&asks[i]);
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(asks[i].calls, 0);
    tell("cont");
    wait_until_found(&store);
    test_store_close(&store);
}

static void it_can_be_closed_while_it_waits(void **state)
{
    struct test_store store = open_ldap(&store_ldap_bind, PEOPLE);
    char pinned[512];
    struct test_ask asks[8];

    (void)state;
    tell("stop");
    for (int i = 0; i < 8; i++)
        ask_begin(&store, &asks[i], "ann", "tiger");
    for (int i = 0; i < 8; i++)
        store.driver->cancel(store.store, &asks[i].ask);
    test_store_close(&store);
    /* a TLS handshake that never ends, too */
    snprintf(pinned, sizeof pinned, PEOPLE "ca_file = '%s'", helper_place(&slapd, "ca"));
    store = open_within(&store_ldap_bind, helper_place(&slapd, "tls_uri"), "timeout = '500ms'\n", pinned);
    expect_failed(&store, "ann", "tiger", "");
    test_store_close(&store);
    tell("cont");
}

/* Nor a handshake that hangs: its address is left out the next time. */
static void another_address_takes_over(void **state)
{
    struct helper other;
    struct test_store store;
    char toml[1024];

    (void)state;
    snprintf(toml, sizeof toml, PATIENT "uri = ['ldap://127.0.0.1:1', '%s']\n" PEOPLE, helper_place(&slapd, "uri"));
    store = test_store_open(&store_ldap, toml);
    assert_stored(&store, "ann", "tiger");
    test_store_close(&store);
    helper_start(&other, "slapd.py");
    json_decref(helper_tell(&other, "stop"));
    snprintf(toml, sizeof toml, "timeout = '500ms'\nuri = ['%s', '%s']\n" PEOPLE, helper_place(&other, "tls_uri"),
             helper_place(&slapd, "uri"));
    store = test_store_open(&store_ldap, toml);
    expect_failed(&store, "ann", NULL, "in time");
    wait_until_found(&store);
    test_store_close(&store);
    helper_stop(&other);
}

/* ---- settings, and what is pure ---- */

static void settings_that_cannot_be(void **state)
{
    static const struct {
        const struct store_driver *driver;
        const char *toml, *says;
    } cases[] = {
        {&store_ldap, "base = 'dc=x'", "uri"},
        {&store_ldap, "uri = 'http://x'\nbase = 'dc=x'", "ldap://"},
        {&store_ldap, "uri = 'ldap://ldap.example'\nbase = 'dc=x'", "allow_plain"},
        {&store_ldap, "uri = 'ldaps://x'\nstart_tls = true\nbase = 'dc=x'", "start_tls"},
        {&store_ldap, "uri = 'ldaps://x'", "base: must be given"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'nonsense'", "base"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nfilter = 'uid={user}'", "filter"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nfilter = '((uid={user})'", "filter"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nfilter = '(uid={user})(a=b)'", "filter"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nfilter = '(uid=ann)'", "{user}"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nscope = 'all'", "scope"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nbind_dn = 'cn=x'", "bind_password"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nattributes = { shoe = 'x' }", "shoe"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nattributes = { groups = 'a b' }", "groups"},
        {&store_ldap, "uri = 'ldaps://x'\nbase = 'dc=x'\nca_file = '/nowhere'", "ca_file"},
        {&store_ldap_bind, "uri = 'ldaps://x'\ndn = 'uid=x,dc=x'", "{user}"},
        {&store_ldap_bind, "uri = 'ldaps://x'\nbase = 'dc=x'\nattributes = { password = 'userPassword' }", "password"},
        {&store_ldap_bind, "uri = 'ldaps://x'\nbase = 'dc=x'\nattributes = { secrets = 'description' }", "secrets"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};

        assert_null(try_open(cases[i].driver, cases[i].toml, &error));
        if (!strstr(error.sentence, cases[i].says))
            fail_msg("%s: %s", cases[i].toml, error.sentence);
    }
}

static void expect_put(int (*put)(struct span, struct buf *), struct span user, const char *expected)
{
    struct buf out;

    buf_init(&out, 1024);
    assert_int_equal(template_put("<{user}>{user", user, put, &out), 0);
    if (strncmp(buf_cstr(&out) + 1, expected, strlen(expected)) ||
        strcmp(buf_cstr(&out) + 1 + strlen(expected), ">{user"))
        fail_msg("%s", buf_cstr(&out));
    buf_done(&out);
}

static void names_are_encoded(void **state)
{
    (void)state;
    expect_put(template_put_filter, SPAN_LIT("a*(b)\\c"), "a\\2a\\28b\\29\\5cc");
    expect_put(template_put_filter, SPAN_LIT("a\0b"), "a\\00b");
    expect_put(template_put_filter, SPAN_LIT("\xc3\xa9 {user}"), "\xc3\xa9 {user}");
    expect_put(template_put_dn, SPAN_LIT("a,b+c\"d\\e<f>g;h=i"), "a\\2cb\\2bc\\22d\\5ce\\3cf\\3eg\\3bh\\3di");
    expect_put(template_put_dn, SPAN_LIT(" a b "), "\\20a b\\20");
    expect_put(template_put_dn, SPAN_LIT("#a#"), "\\23a#");
    expect_put(template_put_dn, SPAN_LIT("a\0\n"), "a\\00\\0a");
    expect_put(template_put_as_is, SPAN_LIT("{user}"), "{user}");
}

/* Every octet, encoded and read back by the library, is the name and nothing more. */
static void every_octet_survives_a_dn(void **state)
{
    (void)state;
    for (int c = 1; c < 128; c++) {
        char user[3] = {(char)c, (char)c, 0};
        LDAPDN dn = NULL;
        struct buf out;

        buf_init(&out, 1024);
        assert_int_equal(template_put("uid={user},dc=x", span_of(user), template_put_dn, &out), 0);
        assert_int_equal(ldap_str2dn(buf_cstr(&out), &dn, LDAP_DN_FORMAT_LDAPV3), LDAP_SUCCESS);
        assert_non_null(dn[1]);
        assert_null(dn[2]);
        assert_int_equal(dn[0][0]->la_value.bv_len, 2);
        assert_memory_equal(dn[0][0]->la_value.bv_val, user, 2);
        ldap_dnfree(dn);
        buf_done(&out);
    }
}

static void values_become_fields(void **state)
{
    static const struct {
        const char *field, *value, *expected; /* NULL: does not fit */
    } cases[] = {
        {"disabled", "TRUE", "true"},
        {"disabled", "FALSE", "false"},
        {"disabled", "maybe", NULL},
        {"not_after", "20261122210742Z", "\"2026-11-22T21:07:42Z\""},
        {"not_after", "20261122210742.5Z", "\"2026-11-22T21:07:42Z\""},
        {"not_after", "2026-11-22T21:07:42Z", "\"2026-11-22T21:07:42Z\""},
        {"not_after", "1795381662", "\"1795381662\""},
        {"groups", "cn=staff,dc=x", "[\"staff\"]"},
        {"groups", "cn=a\\2cb+x=y,dc=x", "[\"a,b\"]"},
        {"groups", "staff", "[\"staff\"]"},
        {"groups", "", "[\"\"]"},
        {"senders", "cn=staff,dc=x", "[\"cn=staff,dc=x\"]"},
        {"password", "{SSHA}x", "\"{SSHA}x\""},
        {"password", "\xff", NULL},
        {"name", "ann", "\"ann\""},
        {"limits", "{\"sessions\":1}", "\"{\\\"sessions\\\":1}\""}, /* the reader of records takes it apart */
        {"secrets", "{\"label\":\"a\"}", "[{\"label\": \"a\"}]"},
        {"secrets", "[{\"label\":\"a\"},{}]", "[{\"label\": \"a\"}, {}]"},
        {"secrets", "[]", "[]"},
        {"secrets", "{\"label\":\"a\",\"label\":\"b\"}", NULL},
        {"secrets", "{} {}", NULL},
        {"secrets", "\"x\"", NULL},
        {"secrets", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct berval value = {.bv_len = strlen(cases[i].value), .bv_val = (char *)(uintptr_t)cases[i].value};
        struct berval *values[] = {&value, &value};
        struct error error = {0};
        json_t *field = directory_field(cases[i].field, values, 1, true, &error);
        char *text = field ? json_dumps(field, JSON_ENCODE_ANY) : NULL;

        if (!text != !cases[i].expected || (text && strcmp(text, cases[i].expected)))
            fail_msg("%s %s: %s", cases[i].field, cases[i].value, text ? text : "nothing");
        free(text);
        json_decref(field);
    }
}

static int begin(void **state)
{
    helper_start(&slapd, "slapd.py");
    return make_dir(state);
}

static int end(void **state)
{
    helper_stop(&slapd);
    return remove_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_a_record),
        cmocka_unit_test(secrets_and_limits_are_json),
        cmocka_unit_test(groups_may_be_whole_names),
        cmocka_unit_test(a_name_is_never_a_filter),
        cmocka_unit_test(an_entry_has_one_name),
        cmocka_unit_test(an_entry_that_hides_its_name_is_no_verdict),
        cmocka_unit_test(filters_say_which_attribute_is_the_name),
        cmocka_unit_test(spellings_of_a_name),
        cmocka_unit_test(what_is_odd_is_no_verdict),
        cmocka_unit_test(a_base_may_be_the_users),
        cmocka_unit_test(a_wrong_account_is_no_verdict),
        cmocka_unit_test(the_directory_judges),
        cmocka_unit_test(a_name_may_be_made),
        cmocka_unit_test(tls_is_checked),
        cmocka_unit_test(a_server_that_comes_back_is_used_again),
        cmocka_unit_test(a_server_that_stands_still_is_no_verdict),
        cmocka_unit_test(it_can_be_closed_while_it_waits),
        cmocka_unit_test(another_address_takes_over),
        cmocka_unit_test(settings_that_cannot_be),
        cmocka_unit_test(names_are_encoded),
        cmocka_unit_test(every_octet_survives_a_dn),
        cmocka_unit_test(values_become_fields),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
