/* SPDX-License-Identifier: Apache-2.0
 *
 * kumo.string, kumo.encode and kumo.digest, with the manual's examples among the cases.
 */
#include "../harness.h"

#include "policy/modules/modules.h"

struct starter {
    struct deferred deferred;
    struct world *world;
    struct asked *asked;
};

static void on_start(struct deferred *deferred)
{
    struct starter *starter = CONTAINER_OF(deferred, struct starter, deferred);

    ask(starter->world, POLICY_EVENT_SMTP_DATA, starter->asked);
}

/* What the body of an smtp_server_data handler returns, or its error. */
static struct asked run(const char *body)
{
    struct world world = {.options = {.add_modules = modules_open}};
    struct asked asked = {0};
    struct starter starter = {.deferred = {.run = on_start}, .world = &world, .asked = &asked};
    char text[1000];

    snprintf(text, sizeof text, "kumo.on('smtp_server_data', function() %s end)", body);
    world_open(&world, text);
    loop_defer(world.loop, &starter.deferred);
    loop_turn(world.loop, false);
    wait_for(&world, &asked);
    world_close(&world);
    return asked;
}

static void gives(const char *expression, const char *wanted)
{
    struct asked asked;
    char body[800];

    snprintf(body, sizeof body, "return kumo.json_encode(%s)", expression);
    asked = run(body);
    if (asked.outcome != POLICY_RETURNED)
        fail_msg("%s: %s", expression, asked.error.sentence);
    if (strcmp(asked.first, wanted) != 0)
        fail_msg("%s: '%s', not '%s'", expression, asked.first, wanted);
}

static void raises(const char *expression, const char *part)
{
    struct asked asked;
    char body[800];

    snprintf(body, sizeof body, "return %s", expression);
    asked = run(body);
    assert_int_equal(asked.outcome, POLICY_FAILED);
    if (!strstr(asked.error.sentence, part))
        fail_msg("'%s' is not in '%s'", part, asked.error.sentence);
}

static void texts_are_taken_apart(void **state)
{
    (void)state;
    gives("kumo.string.split('Mary had a little lamb', ' ')", "[\"Mary\",\"had\",\"a\",\"little\",\"lamb\"]");
    gives("kumo.string.split(',a,,b,', ',')", "[\"\",\"a\",\"\",\"b\",\"\"]");
    gives("kumo.string.split('abc', 'xyz')", "[\"abc\"]");
    gives("kumo.string.split('', ',')", "[\"\"]");
    gives("kumo.string.splitn('Mary had a little lamb', 3, ' ')", "[\"Mary\",\"had\",\"a little lamb\"]");
    gives("#kumo.string.splitn('Mary had', 0, ' ')", "0");
    gives("kumo.string.rsplit('a--b--c', '--')", "[\"c\",\"b\",\"a\"]");
    gives("kumo.string.rsplit('--a', '--')", "[\"a\",\"\"]");
    gives("kumo.string.rsplitn('Mary had a little lamb', 3, ' ')", "[\"lamb\",\"little\",\"Mary had a\"]");
    raises("kumo.string.split('abc', '')", "not empty");
    raises("kumo.string.splitn('abc', -1, 'b')", "not a number of parts");
}

static void white_space(void **state)
{
    (void)state;
    gives("kumo.string.trim ' \\t a b \\r\\n'", "\"a b\"");
    gives("kumo.string.trim '\\u{3000}\\u{a0}a\\u{2003}\\u{85}'", "\"a\"");
    gives("kumo.string.trim ' \\u{2003}\\v '", "\"\"");
    gives("kumo.string.trim_start ' a '", "\"a \"");
    gives("kumo.string.trim_end ' a '", "\" a\"");
    gives("kumo.string.split_whitespace ' a\\u{a0}b \\n c '", "[\"a\",\"b\",\"c\"]");
    gives("kumo.string.split_ascii_whitespace 'a\\u{a0}b c'", "[\"a\u00a0b\",\"c\"]");
    gives("#kumo.string.split_whitespace '  '", "0");
}

static void texts_are_compared_and_replaced(void **state)
{
    (void)state;
    gives("kumo.string.replace('foo foo 123 foo', 'foo', 'new')", "\"new new 123 new\"");
    gives("kumo.string.replacen('foo foo 123 foo', 'foo', 'new', 2)", "\"new new 123 foo\"");
    gives("kumo.string.replace('aaa', 'aa', '')", "\"a\"");
    gives("kumo.string.starts_with('hello world', 'hello')", "true");
    gives("kumo.string.starts_with('he', 'hello')", "false");
    gives("kumo.string.ends_with('hello world', 'world')", "true");
    gives("kumo.string.ends_with('hello world', 'hello')", "false");
}

static void encodings_are_those_of_rfc_4648(void **state)
{
    (void)state;
    gives("kumo.encode.hex_encode '\\0\\xffz'", "\"00ff7a\"");
    gives("kumo.encode.hex_decode '4A4b'", "\"JK\"");
    gives("kumo.encode.base64_encode 'fooba'", "\"Zm9vYmE=\"");
    gives("kumo.encode.base64_nopad_encode 'foob'", "\"Zm9vYg\"");
    gives("kumo.encode.base64_decode 'Zm9vYg=='", "\"foob\"");
    gives("kumo.encode.base64_nopad_decode 'Zm9vYg'", "\"foob\"");
    gives("kumo.encode.base64url_encode '\\xfb\\xff'", "\"-_8=\"");
    gives("kumo.encode.base32_encode 'foob'", "\"MZXW6YQ=\"");
    gives("kumo.encode.base32_decode 'MZXW6YTBOI======'", "\"foobar\"");
    gives("kumo.encode.base32hex_nopad_encode 'f'", "\"CO\"");
    gives("kumo.encode.base64_encode ''", "\"\"");
    gives("kumo.encode.base64_decode ''", "\"\"");
    raises("kumo.encode.hex_decode 'abc'", "not hex");
    raises("kumo.encode.hex_decode 'zz'", "not hex");
    raises("kumo.encode.base64_decode 'Zm9vYg'", "not base64");
    raises("kumo.encode.base64_decode '===='", "not base64");
    raises("kumo.encode.base64_decode 'Zh=='", "not base64");
    raises("kumo.encode.base64_decode 'Zg=\\0'", "not base64");
    raises("kumo.encode.base64_nopad_decode 'Zg=='", "not base64_nopad");
    raises("kumo.encode.base64_nopad_decode 'A'", "not base64_nopad");
    raises("kumo.encode.base32_nopad_decode 'AAA'", "not base32_nopad");
}

static void digests_have_every_encoding(void **state)
{
    (void)state;
    gives("tostring(kumo.digest.sha1 'hello')", "\"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\"");
    gives("kumo.digest.sha1('hello').hex", "\"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\"");
    gives("kumo.digest.sha1('hello').base32hex", "\"LBQCC7ESONKA5MLURO7JMI1CR6NAIGQD\"");
    gives("kumo.digest.sha1('hello').base64_nopad", "\"qvTGHdzF6KLavt4PO0gs2a6pQ00\"");
    gives("#kumo.digest.sha512_256('').bytes", "32");
    gives("#kumo.digest.sha3_512('').bytes", "64");
    gives("kumo.digest.sha256('a', 'b').hex == kumo.digest.sha256('ab').hex", "true");
    gives("kumo.digest.sha256({ 1, 2 }).hex == kumo.digest.sha256('[1,2]').hex", "true");
    raises("kumo.digest.sha256()", "nothing to digest");
    raises("kumo.digest.sha256('a').nonsense", "no field 'nonsense'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_taken_apart),           cmocka_unit_test(white_space),
        cmocka_unit_test(texts_are_compared_and_replaced), cmocka_unit_test(encodings_are_those_of_rfc_4648),
        cmocka_unit_test(digests_have_every_encoding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
