/* SPDX-License-Identifier: Apache-2.0
 *
 * The building blocks: each function at its edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/cidr.h"
#include "base/duration.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/must.h"
#include "base/random.h"
#include "base/rate.h"
#include "base/secret.h"
#include "base/span.h"

static void eight_bits_are_found_wherever_they_are(void **state)
{
    char text[200];

    (void)state;
    memset(text, 0x7f, sizeof text);
    for (size_t len = 0; len <= sizeof text; len++)
        assert_true(span_is_ascii(span_make(text, len)));
    for (size_t at = 0; at < sizeof text; at++) {
        text[at] = (char)0x80;
        for (size_t from = 0; from <= 16; from++)
            assert_int_equal(span_is_ascii(span_make(text + from, sizeof text - from)), at < from);
        assert_true(span_is_ascii(span_make(text, at)));
        text[at] = 0x7f;
    }
}

static void buf_refuses_to_pass_its_ceiling(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    assert_int_equal(buf_append(&buf, "12345678", 8), 0);
    assert_int_equal(buf_append(&buf, "abc", 3), -1);
    assert_int_equal(buf_len(&buf), 8);
    assert_int_equal(buf_append(&buf, "ab", 2), 0);
    assert_string_equal(buf_cstr(&buf), "12345678ab");
    buf_consume(&buf, 4);
    assert_int_equal(buf_append(&buf, "wxyz", 4), 0);
    assert_string_equal(buf_cstr(&buf), "5678abwxyz");
    assert_int_equal(buf_appendf(&buf, "%d", 1), -1);
    buf_done(&buf);
}

static void buf_take_hands_over_what_is_left(void **state)
{
    struct buf buf;
    size_t len;
    char *data;

    (void)state;
    buf_init(&buf, 1000);
    assert_int_equal(buf_append(&buf, "hello", 5), 0);
    buf_consume(&buf, 2);
    data = buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "llo", 3);
    assert_int_equal(buf_len(&buf), 0);
    free(data);
}

static void map_finds_what_was_put(void **state)
{
    struct map map;
    struct map_cursor cursor = {0};
    struct span key;
    void *value;
    int seen = 0;
    static int values[1000];

    (void)state;
    map_init(&map);
    for (int i = 0; i < 1000; i++)
        assert_null(map_put(&map, span_make((char *)&i, sizeof i), &values[i]));
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(map_find(&map, span_make((char *)&i, sizeof i)), &values[i]);
    for (int i = 0; i < 1000; i += 2)
        assert_ptr_equal(map_remove(&map, span_make((char *)&i, sizeof i)), &values[i]);
    while (map_next(&map, &cursor, &key, &value))
        seen++;
    assert_int_equal(seen, 500);
    assert_null(map_find(&map, SPAN_LIT("absent")));
    map_done(&map, NULL);
}

static void heap_gives_the_least_first_and_removes_anywhere(void **state)
{
    struct heap heap;
    struct heap_node nodes[500] = {0};
    uint64_t last = 0;

    (void)state;
    heap_init(&heap);
    for (int i = 0; i < 500; i++)
        heap_insert(&heap, &nodes[i], random_below(1000));
    for (int i = 0; i < 500; i += 3)
        heap_remove(&heap, &nodes[i]);
    while (heap_first(&heap)) {
        struct heap_node *node = heap_first(&heap);

        assert_true(node->key >= last);
        last = node->key;
        heap_remove(&heap, node);
        assert_false(heap_has(node));
    }
    heap_done(&heap);
}

static void base64_is_strict(void **state)
{
    static const char *const bad[] = {"A", "AA", "AAA", "A===", "AB==", "AAB=", "AA=A", "AA==AAAA", "A A=", "AA\n="};
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYmFy", "foobar"}};
    struct buf out;

    (void)state;
    buf_init(&out, 100);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(base64_decode(span_of(bad[i]), &out), -1);
        assert_int_equal(buf_len(&out), 0);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(base64_decode(span_of(good[i].text), &out), 0);
        assert_string_equal(buf_cstr(&out), good[i].bytes);
        buf_clear(&out);
        assert_int_equal(base64_encode(span_of(good[i].bytes), &out), 0);
        assert_string_equal(buf_cstr(&out), good[i].text);
        buf_clear(&out);
    }
    buf_done(&out);
}

static void cidr_takes_both_spellings_of_an_ipv4_address(void **state)
{
    struct cidr cidr;
    struct ip ip;

    (void)state;
    assert_int_equal(cidr_parse(SPAN_LIT("10.1.0.0/15"), &cidr), 0);
    assert_int_equal(ip_parse(SPAN_LIT("10.0.255.255"), &ip), 0);
    assert_true(cidr_contains(&cidr, &ip));
    assert_int_equal(ip_parse(SPAN_LIT("::ffff:10.1.2.3"), &ip), 0);
    assert_true(cidr_contains(&cidr, &ip));
    assert_int_equal(ip_parse(SPAN_LIT("10.2.0.0"), &ip), 0);
    assert_false(cidr_contains(&cidr, &ip));
    assert_int_equal(cidr_parse(SPAN_LIT("2001:db8::/33"), &cidr), 0);
    assert_int_equal(ip_parse(SPAN_LIT("2001:db8:8000::1"), &ip), 0);
    assert_false(cidr_contains(&cidr, &ip));
    assert_int_equal(cidr_parse(SPAN_LIT("0.0.0.0/0"), &cidr), 0);
    assert_int_equal(cidr_parse(SPAN_LIT("10.0.0.0/33"), &cidr), -1);
    assert_int_equal(cidr_parse(SPAN_LIT("10.0.0"), &cidr), -1);
    assert_int_equal(cidr_parse(SPAN_LIT("10.0.0.1/"), &cidr), -1);
}

static void addresses_have_one_text_form(void **state)
{
    static const char *const texts[] = {"127.0.0.1:25",  "0.0.0.0:0",  "255.255.255.255:65535",
                                        "10.203.0.9:25", "[::1]:2525", "[2001:db8::1]:0"};
    struct sockaddr_storage address;
    struct error error;
    char out[SOCKADDR_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(sockaddr_parse(span_of(texts[i]), &address, &error), 0);
        sockaddr_format((struct sockaddr *)&address, out);
        assert_string_equal(out, texts[i]);
    }
    assert_int_equal(sockaddr_parse(SPAN_LIT("127.0.0.1"), &address, &error), -1);
    assert_int_equal(sockaddr_parse(SPAN_LIT("127.0.0.1:65536"), &address, &error), -1);
    assert_int_equal(sockaddr_parse(SPAN_LIT("localhost:25"), &address, &error), -1);
}

static void durations_add_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"5 minutes", 300000},    {"1h30m", 5400000}, {"10", 10000},        {"1.5s", 1500},
                {"2 days 4s", 172804000}, {"250ms", 250},     {"1 week", 604800000}};
    static const char *const bad[] = {"", "minutes", "5 parsecs", "1h30", "-5s", "1e99999y"};
    struct error error;
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(duration_parse(span_of(good[i].text), &ms, &error), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(duration_parse(span_of(bad[i]), &ms, &error), -1);
}

static void rate_allows_its_burst_and_then_its_pace(void **state)
{
    struct rate_spec spec;
    struct rate rate = {0};
    struct error error;
    uint64_t retry = 0;

    (void)state;
    assert_int_equal(rate_spec_parse(SPAN_LIT("10/s,max_burst=3"), &spec, &error), 0);
    for (int i = 0; i < 3; i++)
        assert_true(rate_take(&rate, &spec, 1, 1000000, &retry));
    assert_false(rate_take(&rate, &spec, 1, 1000000, &retry));
    assert_int_equal(retry, 100000);
    assert_true(rate_take(&rate, &spec, 1, 1100000, &retry));
    assert_int_equal(rate_spec_parse(SPAN_LIT("local:1_000/5 minutes"), &spec, &error), 0);
    assert_int_equal(spec.limit, 1000);
    assert_int_equal(spec.period_us, 300000000);
    assert_true(spec.local);
    assert_int_equal(rate_spec_parse(SPAN_LIT("0/s"), &spec, &error), -1);
    assert_int_equal(rate_spec_parse(SPAN_LIT("5/fortnight"), &spec, &error), -1);
    assert_int_equal(rate_spec_parse(SPAN_LIT("5"), &spec, &error), -1);
}

static void spans_split_and_compare(void **state)
{
    struct span rest = SPAN_LIT("a,,b");
    struct span part;
    int parts = 0;
    char *lower;

    (void)state;
    while (span_split(&rest, ',', &part))
        parts++;
    assert_int_equal(parts, 3);
    assert_true(span_ieq(SPAN_LIT("AbC"), SPAN_LIT("aBc")));
    assert_false(span_eq(SPAN_LIT("abc"), SPAN_LIT("abcd")));
    assert_true(span_iends_with(SPAN_LIT("mail.Example"), SPAN_LIT(".example")));
    lower = span_dup_lower(SPAN_LIT("MiA@Gr\xc3\x9cn"));
    assert_string_equal(lower, "mia@gr\xc3\x9cn");
    free(lower);
    assert_true(span_is_utf8(SPAN_LIT("gr\xc3\xbc\xc3\x9f")));
    assert_false(span_is_utf8(SPAN_LIT("\xc0\xaf")));
    assert_false(span_is_utf8(SPAN_LIT("\xed\xa0\x80")));
    assert_false(span_is_utf8(SPAN_LIT("\xc3")));
    assert_int_equal(span_utf8_char(SPAN_LIT("\xc3\xbc"
                                             "x")),
                     2);
    assert_int_equal(span_utf8_char(SPAN_LIT("\xbcx")), 0);
}

static void arena_stops_at_its_ceiling(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    assert_non_null(arena_alloc(&arena, 2000));
    assert_non_null(arena_strdup(&arena, SPAN_LIT("text")));
    assert_null(arena_alloc(&arena, 4096));
    assert_non_null(arena_alloc(&arena, 1000));
    arena_done(&arena);
}

static void secrets_compare_by_content(void **state)
{
    (void)state;
    assert_true(secret_equal(SPAN_LIT("abc"), SPAN_LIT("abc")));
    assert_false(secret_equal(SPAN_LIT("abc"), SPAN_LIT("abd")));
    assert_false(secret_equal(SPAN_LIT("abcabc"), SPAN_LIT("abc")));
    assert_false(secret_equal(SPAN_LIT("a"), SPAN_LIT("")));
    assert_true(secret_equal(SPAN_LIT(""), SPAN_LIT("")));
}

/* Whatever byte stands wherever: the run ends before it if, and only if, it has to be escaped. */
static void a_plain_run_ends_where_escaping_begins(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < 19; at++) {
            char text[20];
            bool plain = byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\';

            memset(text, 'a', sizeof text);
            text[at] = (char)byte;
            assert_int_equal(span_plain_run(span_make(text, sizeof text)), plain ? sizeof text : at);
        }
}

static void bytes_in_front_need_the_one_owner_and_room(void **state)
{
    char *block = malloc(16);
    struct bytes *bytes, *other;

    (void)state;
    memcpy(block + 4, "tail", 4);
    bytes = bytes_take_after(block, 4, 4);
    other = bytes_ref(bytes);
    assert_false(bytes_prepend(bytes, SPAN_LIT("no")));
    bytes_unref(&other);
    assert_false(bytes_prepend(bytes, SPAN_LIT("much too long")));
    assert_true(bytes_prepend(bytes, SPAN_LIT("dove")));
    assert_true(span_eq(bytes_span(bytes), SPAN_LIT("dovetail")));
    assert_false(bytes_prepend(bytes, SPAN_LIT("x")));
    bytes_unref(&bytes);
}

static void a_buffer_keeps_its_front_free_however_it_grows(void **state)
{
    struct buf buf;
    size_t room, len;
    char *block;

    (void)state;
    buf_init(&buf, 1000);
    buf_keep_front(&buf, 64);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_append(&buf, "x", 1), 0);
    assert_int_equal(buf_append(&buf, "x", 1), -1); /* the front is not counted in the limit */
    buf_consume(&buf, 999);
    assert_int_equal(buf_append(&buf, "yz", 2), 0);
    block = buf_take_block(&buf, &room, &len);
    assert_true(room >= 64);
    assert_memory_equal(block + room, "xyz", 3);
    assert_int_equal(len, 3);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bits_are_found_wherever_they_are),
        cmocka_unit_test(a_plain_run_ends_where_escaping_begins),
        cmocka_unit_test(bytes_in_front_need_the_one_owner_and_room),
        cmocka_unit_test(a_buffer_keeps_its_front_free_however_it_grows),
        cmocka_unit_test(buf_refuses_to_pass_its_ceiling),
        cmocka_unit_test(buf_take_hands_over_what_is_left),
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(heap_gives_the_least_first_and_removes_anywhere),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(cidr_takes_both_spellings_of_an_ipv4_address),
        cmocka_unit_test(addresses_have_one_text_form),
        cmocka_unit_test(durations_add_up),
        cmocka_unit_test(rate_allows_its_burst_and_then_its_pace),
        cmocka_unit_test(spans_split_and_compare),
        cmocka_unit_test(arena_stops_at_its_ceiling),
        cmocka_unit_test(secrets_compare_by_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
