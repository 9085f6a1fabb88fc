/* SPDX-License-Identifier: Apache-2.0
 *
 * The PostgreSQL driver without PostgreSQL: what settings are refused, servers that are not there, say nothing or talk
 * nonsense, and how columns written PostgreSQL's way are read. tests/talk/test_stores_sql.py has the real server.
 */
#include "ask_store.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "credential/store_fields.h"

/* A busy machine may be slow to refuse a connection or to look up a name. */
#define PATIENT "connect_timeout = 60\n"

/* ---- ports of ours: nobody else is given one as long as its socket is open ---- */

/* Bound alone, whoever connects is refused. */
static int bind_to(uint16_t *port_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

static int listen_on(uint16_t *port_out)
{
    int fd = bind_to(port_out);

    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static struct test_store open_port(const char *host, uint16_t port, const char *more)
{
    char toml[512];

    snprintf(toml, sizeof toml, "conninfo = 'host=%s port=%u user=relay dbname=mail'\npassword = 'hush'\n%s", host,
             port, more);
    return test_store_open(&store_postgresql, toml);
}

static void settings_are_checked(void **state)
{
    static const struct {
        const char *toml, *says;
    } cases[] = {
        {"", "conninfo"},
        {"conninfo = 'user=relay password=hush'", "neither host nor hostaddr"},
        {"conninfo = 'host=a password=hu sh'", "not a connection string"},
        {"conninfo = 'host=a password=hush'", "has a password in it"},
        {"conninfo = 'postgresql://relay:hush@a/mail'", "has a password in it"},
        {"conninfo = 'host=a pasword=hush'", "not a connection string"},
        {"conninfo = 'postgresql://relay:hu@sh@a/mail'", "%40"},
        {"conninfo = 'host=::1'\nquery = 'SELECT 1'", "query"},
        {"conninfo = 'host=::1'\nconnections = 17", "connections"},
        {"conninfo = 'host=::1'\nconection = 1", "conection"},
        {"conninfo = 'host=::1'\npassword = 'hush'\npassword_env = 'HUSH'", "password"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};

        assert_null(try_open(&store_postgresql, cases[i].toml, &error));
        if (!strstr(error.sentence, cases[i].says))
            fail_msg("case %zu says: %s", i, error.sentence);
        assert_null(strstr(error.sentence, "hush"));
        assert_null(strstr(error.sentence, "sh@"));
    }
}

/* It would hand out records, and so let in whom it likes. */
static void another_machine_has_to_prove_who_it_is(void **state)
{
    static const struct {
        const char *conninfo;
        bool is_sure;
    } cases[] = {
        {"host=/run/postgresql", true},
        {"host=@gatepost", true},
        {"host=LocalHost", true},
        {"host=127.9.9.9", true},
        {"host=::1 sslmode=disable", true},
        {"host=/run/postgresql,localhost,127.0.0.1", true},
        {"host=db.example hostaddr=127.0.0.1", true}, /* the end of a tunnel */
        {"host=localhost,/run/postgresql hostaddr=127.0.0.1,", true},
        {"host=localhost service=mail", true}, /* whose address is not taken */
        {"postgresql://localhost/mail", true},
        {"postgresql://[::1]/mail", true},
        {"postgresql://%2Frun%2Fpostgresql/mail", true},
        {"host=db.example sslmode=verify-full", true},
        {"hostaddr=192.0.2.7 sslmode=verify-ca", true},
        {"host=a.example,b.example sslmode=verify-full", true},
        {"host=/run/postgresql service=mail sslmode=verify-full", true},
        {"postgresql://db.example/mail?sslmode=verify-full", true},
        {"host=db.example", false},
        {"host=192.0.2.7", false},
        {"host=0.0.0.0", false},
        {"host=localhost.example", false},
        {"host=2001:db8::1", false},
        {"host=192.0.2.7 sslmode=disable", false},
        {"host=192.0.2.7 sslmode=allow", false},
        {"host=192.0.2.7 sslmode=prefer", false},
        {"host=192.0.2.7 sslmode=require", false},
        {"host=192.0.2.7 sslmode=''", false},
        {"host=192.0.2.7 sslmode=verify-full sslmode=require", false},
        {"host=192.0.2.7 sslmode=Verify-Full", false},
        {"host=localhost,db.example", false},
        {"host=/run/postgresql,192.0.2.7", false},
        {"hostaddr=192.0.2.7", false},
        {"hostaddr=127.0.0.1,192.0.2.7", false},
        {"host=localhost hostaddr=192.0.2.7", false},
        {"host=localhost,db.example hostaddr=127.0.0.1,", false},
        {"host=localhost,db.example hostaddr=127.0.0.1", false},
        {"hostaddr=127.0.0.1,", false},
        {"host=/run/postgresql service=mail", false}, /* which may name an address */
        {"postgresql://db.example/mail", false},
        {"postgresql://localhost,db.example:5433/mail?sslmode=require", false},
        {"postgresql:///mail?host=db.example", false},
        {"postgresql:///mail?host=localhost&hostaddr=192.0.2.7", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        struct store *store;
        char toml[512];

        snprintf(toml, sizeof toml, "conninfo = \"%s\"\n", cases[i].conninfo);
        store = try_open(&store_postgresql, toml, &error);
        if (!store != !cases[i].is_sure)
            fail_msg("%s: %s", cases[i].conninfo, store ? "is taken" : error.sentence);
        if (store)
            store_postgresql.close(store);
        else if (!strstr(error.sentence, "auth.toml:1: conninfo: ") || !strstr(error.sentence, "sslmode=verify-full") ||
                 !strstr(error.sentence, "allow_plain = true"))
            fail_msg("%s: %s", cases[i].conninfo, error.sentence);
        snprintf(toml, sizeof toml, "conninfo = \"%s\"\nallow_plain = true\n", cases[i].conninfo);
        store = try_open(&store_postgresql, toml, &error);
        if (!store)
            fail_msg("%s: %s", cases[i].conninfo, error.sentence);
        store_postgresql.close(store);
    }
}

/* libpq takes the address of the environment for a socket's. */
static void the_environment_leads_nowhere_else_unseen(void **state)
{
    static const char *const names[] = {"PGHOSTADDR", "PGSERVICE"};
    struct error error = {0};
    struct store *store;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv(names[i], "192.0.2.7", 1);
        assert_null(try_open(&store_postgresql, "conninfo = 'host=/run/postgresql'", &error));
        store = try_open(&store_postgresql, "conninfo = 'host=127.0.0.1'", &error);
        assert_non_null(store);
        store_postgresql.close(store);
        unsetenv(names[i]);
    }
    setenv("PGSSLMODE", "verify-full", 1); /* of this start; the next may lack it */
    assert_null(try_open(&store_postgresql, "conninfo = 'host=db.example'", &error));
    unsetenv("PGSSLMODE");
}

static void a_closed_port_fails_at_once(void **state)
{
    uint16_t port;
    struct test_store store;
    struct test_ask ask;
    int fd = bind_to(&port);

    (void)state;
    store = open_port("127.0.0.1", port, PATIENT);
    for (int i = 0; i < 3; i++) {
        ask = ask_store(&store, "ann", NULL);
        assert_int_equal(ask.outcome, STORE_FAILED);
        assert_int_equal(ask.error.kind, ERROR_TEMP);
        assert_non_null(strstr(ask.error.sentence, "127.0.0.1"));
        assert_null(strstr(ask.error.sentence, "hush"));
    }
    test_store_close(&store);
    close(fd);
}

static void names_are_resolved(void **state)
{
    uint16_t port;
    struct test_store store;
    struct test_ask ask;
    int fd = bind_to(&port);

    (void)state;
    store = open_port("no-such-host.invalid,localhost", port, PATIENT "allow_plain = true\n");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FAILED);
    assert_non_null(strstr(ask.error.sentence, "connection to server")); /* the other host's name was found */
    test_store_close(&store);
    store = open_port("no-such-host.invalid", port, PATIENT "allow_plain = true\n");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FAILED);
    assert_non_null(strstr(ask.error.sentence, "address of no-such-host.invalid"));
    test_store_close(&store);
    store = open_port("localhost", port, ""); /* closed while a thread resolves */
    loop_turn(store.loop, true);
    test_store_close(&store);
    close(fd);
}

/* The kernel accepts for a server that is paused. */
static void a_silent_server_costs_no_more_than_its_time(void **state)
{
    uint16_t port;
    struct test_store store;
    struct test_ask ask, first, second, third;
    int fd = listen_on(&port);

    (void)state;
    store = open_port("127.0.0.1", port, "connect_timeout = 0.05");
    ask = ask_store(&store, "ann", NULL);
    assert_int_equal(ask.outcome, STORE_FAILED);
    assert_non_null(strstr(ask.error.sentence, "in time"));
    test_store_close(&store);
    store = open_port("127.0.0.1", port, "queue_limit = 2");
    ask_begin(&store, &first, "ann", NULL);
    ask_begin(&store, &second, "ann", NULL);
    ask_begin(&store, &third, "ann", NULL);
    assert_int_equal(third.calls, 1);
    assert_int_equal(third.error.kind, ERROR_AGAIN);
    store.driver->cancel(store.store, &first.ask);
    store.driver->cancel(store.store, &second.ask);
    test_store_close(&store);
    close(fd);
}

static void *talk_nonsense(void *arg)
{
    static const char nonsense[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\nRRRRRRRRRRRRRRRR";
    int fd;

    while ((fd = accept(*(int *)arg, NULL, NULL)) >= 0) {
        char request[512];

        if (read(fd, request, sizeof request) > 0)
            assert_true(write(fd, nonsense, sizeof nonsense) > 0);
        shutdown(fd, SHUT_WR);
        while (read(fd, request, sizeof request) > 0)
            ;
        close(fd);
    }
    return NULL;
}

static void a_server_that_talks_nonsense_fails(void **state)
{
    uint16_t port;
    pthread_t server;
    struct test_store store;
    int fd = listen_on(&port);

    (void)state;
    assert_int_equal(pthread_create(&server, NULL, talk_nonsense, &fd), 0);
    store = open_port("127.0.0.1", port, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask_outcome(&store, "ann", NULL), STORE_FAILED);
    test_store_close(&store);
    shutdown(fd, SHUT_RDWR);
    pthread_join(server, NULL);
    close(fd);
}

/* ---- columns ---- */

static json_t *record_of(const char *column, const char *text)
{
    json_t *rows = json_array();
    json_t *row = json_object();
    struct error error;

    json_array_append_new(rows, row);
    if (store_fields_set(row, span_of(column), span_of(text), &error)) {
        store_fields_free(rows);
        return NULL;
    }
    return store_fields_merge(rows, &error);
}

static void arrays_are_lists(void **state)
{
    static const struct {
        const char *text, *json; /* NULL: refused */
    } cases[] = {
        {"{}", "[]"},
        {"{a}", "[\"a\"]"},
        {"{a,\"b c\",NULL,\"NULL\"}", "[\"a\",\"b c\",\"NULL\"]"},
        {"{\"a\\\"b\\\\c,d\"}", "[\"a\\\"b\\\\c,d\"]"},
        {"[\"a\", \"b\"]", "[\"a\",\"b\"]"},
        {"a,b", "\"a,b\""},
        {"{{a},{b}}", NULL},
        {"{\"a}", NULL},
        {"{\"a\"b}", NULL},
        {"{a\\}", NULL},
        {"[\"a\"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *record = record_of("groups", cases[i].text);
        char *text;

        if (!record != !cases[i].json)
            fail_msg("case %zu", i);
        if (!record)
            continue;
        text = json_dumps(json_object_get(record, "groups"), JSON_COMPACT | JSON_ENCODE_ANY);
        assert_string_equal(text, cases[i].json);
        free(text);
        store_fields_free(record);
    }
}

static void times_are_those_of_rfc_3339(void **state)
{
    static const struct {
        const char *column, *text, *says; /* NULL: no bound */
    } cases[] = {
        {"not_after", "2026-11-22 21:07:42+00", "2026-11-22T21:07:42+00:00"},
        {"not_after", "2026-11-22 21:07:42.123456-03:30", "2026-11-22T21:07:42.123456-03:30"},
        {"not_after", "2026-11-22 21:07:42+0530", "2026-11-22T21:07:42+05:30"},
        {"not_after", "2026-11-22 21:07:42", "2026-11-22T21:07:42Z"},
        {"not_after", "2026-11-22T21:07:42Z", "2026-11-22T21:07:42Z"},
        {"not_after", "2026-11-22", "2026-11-22T00:00:00Z"},
        {"not_after", "1795381662", "1795381662"},
        {"not_after", "infinity", NULL},
        {"not_after", "", NULL},
        {"not_before", "-infinity", NULL},
        {"not_after", "-infinity", "-infinity"}, /* which no reader takes for a time */
        {"not_before", "infinity", "infinity"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *record = record_of(cases[i].column, cases[i].text);
        const char *text = json_string_value(json_object_get(record, cases[i].column));

        assert_true(!text == !cases[i].says);
        if (text)
            assert_string_equal(text, cases[i].says);
        store_fields_free(record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(another_machine_has_to_prove_who_it_is),
        cmocka_unit_test(the_environment_leads_nowhere_else_unseen),
        cmocka_unit_test(a_closed_port_fails_at_once),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(a_silent_server_costs_no_more_than_its_time),
        cmocka_unit_test(a_server_that_talks_nonsense_fails),
        cmocka_unit_test(arrays_are_lists),
        cmocka_unit_test(times_are_those_of_rfc_3339),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
