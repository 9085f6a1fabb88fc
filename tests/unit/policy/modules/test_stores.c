/* SPDX-License-Identifier: Apache-2.0
 *
 * What policies look things up in: SQLite files, secrets (Vault included), JSON and TOML,
 * throttles, domain and address maps. Every store is real but Vault, which is the one of
 * tests/support.
 */
#include "run.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "log/diag.h"
#include "policy/modules/modules.h"
#include "policy/modules/sqlite_pool.h"

#include "../../../support/fake_vault.h"

static char folder[] = "/tmp/gatepost-modules-XXXXXX";
static char database[64];
static struct fake_vault vault;
static struct jobs *jobs;

static void add(lua_State *L)
{
    add_test_functions(L);
    mod_sqlite_open(L);
    mod_secrets_open(L);
    mod_serde_open(L);
    mod_throttle_open(L);
    mod_domain_map_open(L);
    mod_cidr_open(L);
    mod_time_open(L);
}

static const char *in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- SQLite ---- */

static void make_database(const char *path, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_sqlite_manual(void **state)
{
    (void)state;
    expect_result(add,
                  "local sqlite = require 'sqlite'\n"
                  "local db = sqlite.open ':memory:'\n"
                  "db:execute 'CREATE TABLE people (name, age)'\n"
                  "assert(db:execute('INSERT INTO people (name, age) values (?, ?)', 'john', 42) == 1)\n"
                  "db:execute('INSERT INTO people (name, age) values (:name, :age)', {name='fred', age=32})\n"
                  "local ages = db:execute 'select age from people order by age'\n"
                  "assert(#ages == 2 and ages[1] == 32 and ages[2] == 42)\n"
                  "local all = db:execute 'select * from people order by age'\n"
                  "assert(#all == 2 and all[1].name == 'fred' and all[2].age == 42)\n"
                  "local none = db:execute('select * from people where age > ?', 100)\n"
                  "assert(type(none) == 'table' and next(none) == nil)\n"
                  "assert(#db:execute('select name from people where age > ?', 100) == 0)\n"
                  "local n = db:execute 'delete from people'\n"
                  "db:close()\n"
                  "return n",
                  NULL, "2");
}

static void test_sqlite_auth_page(void **state)
{
    const char *body = "local sqlite = require 'sqlite'\n"
                       "local db = sqlite.open(arg)\n"
                       "local function check(user, password)\n"
                       "  local result = db:execute('select user from auth where user=? and pass=?', user, password)\n"
                       "  return result[1] == user\n"
                       "end\n"
                       "return tostring(check('scott', 'tiger')) .. tostring(check('scott', 'lion')) ..\n"
                       "  tostring(check('nobody', 'tiger')) .. tostring(check(\"' or 1=1 --\", 'x'))";

    (void)state;
    expect_result(add, body, database, "truefalsefalsefalse");
    assert_int_equal(sqlite_conn_count(), 1); /* the handles are gone, the connection stays */
    expect_result(add, body, database, "truefalsefalsefalse");
    assert_int_equal(sqlite_conn_count(), 1);
}

static void test_sqlite_values(void **state)
{
    (void)state;
    expect_result(add,
                  "local db = require 'sqlite'.open ':memory:'\n"
                  "local function back(v) return db:execute('select ?', v)[1] end\n"
                  "assert(back(5) == 5 and math.type(back(5)) == 'integer')\n"
                  "assert(back(1.5) == 1.5)\n"
                  "assert(back('a\\0b') == 'a\\0b' and #back('a\\0b') == 3)\n"
                  "assert(back('') == '')\n"
                  "assert(back(nil) == nil)\n"
                  "assert(back(true) == 1)\n"
                  "assert(back(math.mininteger) == math.mininteger)\n"
                  "assert(db:execute(\"select x'00ff'\")[1] == '\\0\\255')\n"
                  "local row = db:execute('select null as a, 2 as b')[1]\n"
                  "assert(row.a == nil and row.b == 2)\n"
                  "assert(db:execute('select ? + ?', {40, 2})[1] == 42)\n"
                  "assert(db:execute('select @x', {x='y'})[1] == 'y')\n"
                  "assert(db:execute('select $x; ', {x='y'})[1] == 'y')\n"
                  "return 'ok'",
                  NULL, "ok");
}

static void test_sqlite_errors(void **state)
{
    (void)state;
    expect_error(add, "require 'sqlite'.open(arg):execute 'select absent from auth'", database, "no such column");
    expect_error(add, "require 'sqlite'.open(arg):execute 'selec'", database, "syntax error");
    expect_error(add, "require 'sqlite'.open(arg):execute('select ?')", database, "1 parameters, and 0 are given");
    expect_error(add, "require 'sqlite'.open(arg):execute('select ?', 1, 2)", database, "1 parameters, and 2");
    expect_error(add, "require 'sqlite'.open(arg):execute('select :a', {b=1})", database, "no parameter :b");
    expect_error(add, "require 'sqlite'.open(arg):execute('select ?', {})", database, "1 parameters");
    expect_error(add, "require 'sqlite'.open(arg):execute('select ?', print)", database, "function");
    expect_error(add, "require 'sqlite'.open(arg):execute 'select 1; drop table auth'", database, "more than one");
    expect_error(add, "require 'sqlite'.open(arg):execute ''", database, "no statement");
    expect_error(add, "local db = require 'sqlite'.open(arg) db:close() db:execute 'select 1'", database, "closed");
    expect_error(add, "require 'sqlite'.open('a\\0b')", database, "not a path");
    expect_error(add, "require 'sqlite'.open(arg):execute 'select 1'", "/nonexistent/auth.db", "/nonexistent/auth.db");
}

static void test_sqlite_missing_is_not_created(void **state)
{
    const char *path = in_folder("missing.db");

    (void)state;
    expect_error(add, "return require 'sqlite'.open(arg):execute 'select user from auth'", path, "No such file");
    assert_int_equal(access(path, F_OK), -1);
    expect_result(add,
                  "local db = require 'sqlite'.open(arg)\n"
                  "db:execute 'create table auth (user)'\n"
                  "db:execute \"insert into auth values ('x')\"\n"
                  "return db:execute('select user from auth')[1]",
                  path, "x");
    unlink(path);
}

/* Replaced by another file, and overwritten in place: the answer is the new file's. */
static void test_sqlite_replaced(void **state)
{
    const char *body = "return require 'sqlite'.open(arg):execute('select v from t')[1]";
    char other[128];

    (void)state;
    snprintf(other, sizeof other, "%s/other.db", folder);
    make_database(in_folder("replaced.db"), "create table t (v); insert into t values ('old')");
    expect_result(add, body, in_folder("replaced.db"), "old");
    make_database(other, "create table x (y); create table t (v); insert into t values ('new')");
    assert_int_equal(rename(other, in_folder("replaced.db")), 0);
    expect_result(add, body, in_folder("replaced.db"), "new");
    write_file("replaced.db", "this is no database, and longer than its header: ........................"
                              "......................................................................");
    expect_error(add, body, in_folder("replaced.db"), "not a database");
    unlink(in_folder("replaced.db"));
    expect_error(add, body, in_folder("replaced.db"), "No such file");
    make_database(in_folder("replaced.db"), "create table t (v); insert into t values ('back')");
    expect_result(add, body, in_folder("replaced.db"), "back");
}

static void test_sqlite_locked(void **state)
{
    const char *body = "return require 'sqlite'.open(arg, 20):execute('select v from t')[1]";
    const char *path = in_folder("locked.db");
    sqlite3 *db;

    (void)state;
    make_database(path, "create table t (v); insert into t values ('x')");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "begin exclusive", NULL, NULL, NULL), SQLITE_OK);
    expect_error(add, body, path, "locked");
    assert_int_equal(sqlite3_exec(db, "commit", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_result(add, body, path, "x");
}

/* A transaction stays with its handle; one that was forgotten is rolled back. */
static void test_sqlite_transactions(void **state)
{
    const char *path = in_folder("transaction.db");

    (void)state;
    make_database(path, "create table t (v)");
    expect_result(add,
                  "local sqlite = require 'sqlite'\n"
                  "local a, b = sqlite.open(arg), sqlite.open(arg)\n"
                  "a:execute 'begin'\n"
                  "a:execute 'insert into t values (1)'\n"
                  "assert(#b:execute 'select v from t' == 0)\n"
                  "assert(#a:execute 'select v from t' == 1)\n"
                  "a:execute 'commit'\n"
                  "assert(#b:execute 'select v from t' == 1)\n"
                  "a:execute 'begin'\n"
                  "a:execute 'insert into t values (2)'\n"
                  "a:close()\n"
                  "a = sqlite.open(arg)\n"
                  "a:execute 'begin immediate'\n"
                  "a = nil\n"
                  "collectgarbage()\n"
                  "b:execute('insert into t values (3)')\n"
                  "return #b:execute 'select v from t'",
                  path, "2");
}

static void test_sqlite_endless_answer(void **state)
{
    (void)state;
    expect_error(add,
                 "return require 'sqlite'.open(':memory:'):execute(\n"
                 "'with recursive c(x) as (select 1 union all select x+1 from c) select x from c')",
                 NULL, "too large");
}

/* ---- secrets ---- */

static void test_secret_files(void **state)
{
    (void)state;
    write_file("key", "s3cret\n");
    expect_result(add, "return #kumo.secrets.load(arg)", in_folder("key"), "7");
    expect_error(add, "return kumo.secrets.load(arg)", in_folder("nokey"), "nokey");
    expect_error(add, "return kumo.secrets.load(arg)", folder, "not a regular file");
    expect_result(add, "return kumo.secrets.load {key_data='abc'}", NULL, "abc");
    expect_error(add, "return kumo.secrets.load {key_date='abc'}", NULL, "'key_date'");
    expect_error(add, "return kumo.secrets.load {}", NULL, "key_data");
    expect_error(add, "return kumo.secrets.load(5)", NULL, "a path");
}

static void test_secret_events(void **state)
{
    (void)state;
    expect_result(add,
                  "return kumo.secrets.load {event_name='ev', event_args={'a', 2}} end)\n"
                  "kumo.on('ev', function(a, b) return a .. b",
                  NULL, "a2");
    expect_error(add, "return kumo.secrets.load {event_name='none'}", NULL, "no handler of 'none'");
    expect_error(add,
                 "return kumo.secrets.load {event_name='ev'} end)\n"
                 "kumo.on('ev', function() error 'x'",
                 NULL, "the handler of 'ev' failed");
    expect_error(add,
                 "return kumo.secrets.load {event_name='ev'} end)\n"
                 "kumo.on('ev', function() return {}",
                 NULL, "did not return a string");
}

#define VAULT_BODY "return kumo.secrets.load {vault_mount='secret', vault_path='smtp-auth/' .. arg}"

static void test_vault(void **state)
{
    (void)state;
    expect_result(add, VAULT_BODY, "scott", "tiger");
    expect_result(add, "return kumo.secrets.load {vault_mount='secret', vault_path='x/scott', vault_key='password'}",
                  NULL, "other");
    expect_error(add, VAULT_BODY, "sealed", "unseal");
    expect_error(add, VAULT_BODY, "denied", "403");
    expect_error(add, VAULT_BODY, "redirect", "redirect");
    expect_error(add, VAULT_BODY, "truncated", "failed");
    expect_error(add, VAULT_BODY, "garbage", "not JSON");
    expect_error(add,
                 "return kumo.secrets.load {vault_mount='secret', vault_path='x', vault_address='http://127.0.0.1:1'}",
                 NULL, "127.0.0.1:1");
    expect_error(add, "return kumo.secrets.load {vault_path='x'}", NULL, "'vault_mount' is missing");
    expect_error(add, "return kumo.secrets.load {vault_path={}, vault_mount='m'}", NULL, "'vault_path' must be");
}

/* No such user and a user name that can be no path end alike, and not as a store that fails. */
static void test_vault_not_found(void **state)
{
    static const char *const names[] = {"nobody", "..", ".", "", "a/../b", "a\nb"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct asked asked = run_body(add, VAULT_BODY, names[i]);

        assert_int_equal(asked.outcome, POLICY_FAILED);
        assert_int_equal(asked.error.kind, ERROR_PERM);
    }
    assert_int_equal(run_body(add, VAULT_BODY, "sealed").error.kind, ERROR_TEMP);
    expect_result(add, "local ok, err = pcall(function() " VAULT_BODY " end) return tostring(err)", "nobody",
                  "Vault has no secret there");
}

static void test_vault_at_top_level(void **state)
{
    struct world world = {.options = {.add_modules = add}};
    struct asked asked = {0};

    (void)state;
    world_open(&world, "local s = kumo.secrets.load {vault_mount='secret', vault_path='a/scott'}\n"
                       "kumo.on('t', function() return s end)");
    ask_named(&world, "t", &asked);
    wait_for(&world, &asked);
    assert_string_equal(asked.first, "tiger");
    world_close(&world);
}

/* The caller goes away while Vault hangs; and the VM ends while Vault hangs. */
static void test_vault_abandoned(void **state)
{
    struct world world = {.options = {.add_modules = add}};
    struct asked asked = {.argument = "hang"};
    struct asked other = {.argument = "hang"};
    struct asked third = {.argument = "scott"};

    (void)state;
    world_open(&world, "kumo.on('t', function(arg) " VAULT_BODY " end)");
    ask_on_loop(&world, &asked);
    ask_on_loop(&world, &other);
    ask_on_loop(&world, &third);
    wait_for(&world, &third);
    policy_call_cancel(asked.call);
    assert_int_equal(other.done, 0);
    world_close(&world);
}

/* ---- serde ---- */

static void test_serde(void **state)
{
    (void)state;
    write_file("a.json", "{ // comment\n \"a\": [1, 2,], }");
    write_file("bad.json", "{\n \"a\": 1\n \"b\": 2 }");
    write_file("a.toml", "a = [1, 2]\n");
    expect_result(add, "return kumo.serde.json_load(arg).a[2]", in_folder("a.json"), "2");
    expect_result(add, "return kumo.json_load(arg).a[2]", in_folder("a.json"), "2");
    expect_result(add, "return kumo.serde.toml_load(arg).a[1]", in_folder("a.toml"), "1");
    expect_error(add, "return kumo.serde.json_load(arg)", in_folder("bad.json"), "bad.json:3:");
    expect_error(add, "return kumo.toml_parse 'a ='", NULL, "toml_parse:1:");
    expect_error(add, "return kumo.serde.json_parse '{'", NULL, "json_parse:1:");
    expect_result(add, "return kumo.json_encode {a={1,2}}", NULL, "{\"a\":[1,2]}");
    expect_result(add, "return kumo.serde.json_encode_pretty {1}", NULL, "[\n  1\n]");
    expect_result(add, "return kumo.json_encode(kumo.json_parse '{\"x\":[],\"y\":{}}'):len()", NULL, "15");
    expect_result(add, "return kumo.serde.toml_encode {a={b=1}}", NULL, "[a]\nb = 1\n");
    expect_result(add, "return kumo.toml_parse(kumo.toml_encode_pretty {a={1,2}}).a[2]", NULL, "2");
    expect_error(add, "return kumo.serde.toml_encode(5)", NULL, "only a table");
    expect_error(add, "return kumo.serde.json_encode(print)", NULL, "function");
    expect_error(add, "return kumo.serde.json_load('/nonexistent')", NULL, "/nonexistent");
    expect_error(add, "return kumo.serde.yaml_load 'x'", NULL, "kumo.serde.yaml_load is not there");
}

/* ---- throttles and maps ---- */

static void test_throttle(void **state)
{
    const char *body = "local t = kumo.make_throttle('a', '2/h')\n"
                       "local r = t:throttle()\n"
                       "return ('%s %d %d %s %s'):format(r.throttled, r.limit, r.remaining,\n"
                       "  r.reset_after > 0, r.retry_after and r.retry_after > 0)";

    (void)state;
    expect_result(add, body, NULL, "false 2 1 true nil");
    expect_result(add, body, NULL, "false 2 0 true nil"); /* another VM, the same count */
    expect_result(add, body, NULL, "true 2 0 true true");
    expect_error(add, "kumo.make_throttle('a', '2 apples')", NULL, "kumo.make_throttle");
    expect_error(add, "kumo.make_throttle('a')", NULL, "string expected");
    expect_result(add,
                  "local t = kumo.make_throttle('b', '2/s,max_burst=1')\n"
                  "return tostring(t:sleep_if_throttled()) .. tostring(t:sleep_if_throttled())",
                  NULL, "falsetrue");
    expect_error(add, "kumo.make_throttle('a', '1/h'):delay_message_if_throttled(5)", NULL, "message");
}

static void test_domain_map(void **state)
{
    (void)state;
    expect_result(add,
                  "local m = kumo.domain_map.new {['*.woot.com'] = 123, ['Example.com'] = 24}\n"
                  "m['*.example.com'] = {a = {1}}\n"
                  "assert(m['lemon.EXAMPLE.com'].a[1] == 1 and m['example.com'] == 24)\n"
                  "assert(m['woot.com'] == nil and m['aa.woot.com'] == 123 and m['b.aa.woot.com'] == 123)\n"
                  "m['x.b.woot.com'] = 1 m['*.b.woot.com'] = 2\n"
                  "assert(m['x.b.woot.com'] == 1 and m['y.b.woot.com'] == 2)\n"
                  "m['x.b.woot.com'] = nil assert(m['x.b.woot.com'] == 2)\n"
                  "assert(m[''] == nil and m['.'] == nil and m['..'] == nil and m[5] == nil and m['*'] == nil)\n"
                  "assert(m[('a'):rep(5000)] == nil and m['.woot.com'] == nil)\n"
                  "local n = 0 for k, v in pairs(m) do n = n + 1 end\n"
                  "return n",
                  NULL, "4");
    expect_error(add, "kumo.domain_map.new {print}", NULL, "a key is a domain");
    expect_error(add, "kumo.domain_map.new {a=print}", NULL, "function");
    expect_error(add, "kumo.domain_map.new(5)", NULL, "table expected");
}

static void test_cidr_map(void **state)
{
    (void)state;
    expect_result(add,
                  "local m = kumo.cidr.make_map {['127.0.0.0/24'] = 'loop', ['10.0.0.0/8'] = 'lan'}\n"
                  "m['10.1.0.0/16'] = 'inner' m['4.2.4.2'] = 4242 m['2001:db8::/33'] = 'six'\n"
                  "assert(m['127.0.0.1'] == 'loop' and m['127.0.0.1:25'] == 'loop' and m['[127.0.0.1]'] == 'loop')\n"
                  "assert(m['10.2.0.1'] == 'lan' and m['10.1.255.1'] == 'inner' and m['4.2.4.2'] == 4242)\n"
                  "assert(m['[2001:db8:7fff::1]:25'] == 'six' and m['2001:db8:8000::1'] == nil)\n"
                  "assert(m['::ffff:10.1.2.3'] == 'inner')\n"
                  "assert(m['not.set'] == nil and m[''] == nil and m['11.0.0.1'] == nil)\n"
                  "m['10.1.0.0/16'] = nil\n"
                  "return m['10.1.2.3']",
                  NULL, "lan");
    expect_error(add, "kumo.cidr.make_map {['no address'] = 1}", NULL, "an address or a block");
}

static void test_time(void **state)
{
    (void)state;
    expect_result(add,
                  "local t = kumo.time.from_unix_timestamp(1)\n"
                  "assert(tostring(t) == '1970-01-01 00:00:01 UTC')\n"
                  "assert(kumo.time.from_unix_timestamp(-0.5).unix_timestamp == -1)\n"
                  "local d = kumo.time.parse_duration(20) - kumo.time.parse_duration '10 seconds'\n"
                  "assert(d.seconds == 10 and tostring(d) == '10s')\n"
                  "assert(kumo.time.parse_duration('1h30m').human == '1h 30m')\n"
                  "assert((t + d).unix_timestamp_millis == 11000 and (t + d) - t == d and (t + d) - d == t)\n"
                  "assert(t.year == 1970 and t.second == 1 and t:format '%H:%M:%S' == '00:00:01')\n"
                  "assert(kumo.time.parse_rfc3339('2023-03-01T17:00:00-08:00').hour == 1)\n"
                  "assert(kumo.time.now().elapsed.seconds < 3600)\n"
                  "return t.rfc2822",
                  NULL, "Thu, 01 Jan 1970 00:00:01 +0000");
    expect_error(add, "return kumo.time.now().yeer", NULL, "yeer");
    expect_error(add, "return kumo.time.from_unix_timestamp(1e300)", NULL, "10000");
}

static int start(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(database, sizeof database, "%s/auth.db", folder);
    make_database(database, "create table auth (user, pass); insert into auth values ('scott', 'tiger')");
    fake_vault_start(&vault);
    setenv("VAULT_ADDR", vault.address, 1);
    setenv("VAULT_TOKEN", FAKE_VAULT_TOKEN, 1);
    jobs = jobs_new("test", 2, 64, NULL);
    await_set_jobs(jobs);
    return 0;
}

static int stop(void **state)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;

    (void)state;
    fake_vault_stop(&vault);
    jobs_free(jobs);
    sqlite_pool_done();
    assert_int_equal(sqlite_conn_count(), 0);
    while ((entry = readdir(entries)))
        if (entry->d_name[0] != '.')
            unlink(in_folder(entry->d_name));
    closedir(entries);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sqlite_manual),
        cmocka_unit_test(test_sqlite_auth_page),
        cmocka_unit_test(test_sqlite_values),
        cmocka_unit_test(test_sqlite_errors),
        cmocka_unit_test(test_sqlite_missing_is_not_created),
        cmocka_unit_test(test_sqlite_replaced),
        cmocka_unit_test(test_sqlite_locked),
        cmocka_unit_test(test_sqlite_transactions),
        cmocka_unit_test(test_sqlite_endless_answer),
        cmocka_unit_test(test_secret_files),
        cmocka_unit_test(test_secret_events),
        cmocka_unit_test(test_vault),
        cmocka_unit_test(test_vault_not_found),
        cmocka_unit_test(test_vault_at_top_level),
        cmocka_unit_test(test_vault_abandoned),
        cmocka_unit_test(test_serde),
        cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_domain_map),
        cmocka_unit_test(test_cidr_map),
        cmocka_unit_test(test_time),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
