/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard's rules: addresses and patterns; what a header shows, in every spelling that is known to hide something;
 * whose patterns and tenants are asked.
 */
#include <iconv.h>

#include "gate/identity_charset.h"
#include "gate/identity_header.h"
#include "gate/identity_signs.h"
#include "gate/identity_words.h"
#include "harness.h"

/* ---- addresses and patterns ---- */

static const struct {
    const char *text, *canonical; /* NULL: not read */
} addresses[] = {
    {"ann@ok.example", "ann@ok.example"},
    {"ANN@OK.Example", "ann@ok.example"},
    {"ann@ok.example.", "ann@ok.example"},
    {"\"ann\"@ok.example", "ann@ok.example"},
    {"\"a\\nn\"@ok.example", "ann@ok.example"},
    {"\"a..b\"@ok.example", "a..b@ok.example"},
    {"ann+tag@ok.example", "ann+tag@ok.example"},
    {"evil%bad.example@ok.example", "evil%bad.example@ok.example"},
    {"j\xC3\xB6rg@b\xC3\xBC"
     "cher.example",
     "j\xC3\xB6rg@b\xC3\xBC"
     "cher.example"},
    {"ann@[192.0.2.1]", "ann@[192.0.2.1]"},
    {"ann@[IPv6:2001:DB8::1]", "ann@[ipv6:2001:db8::1]"},
    {"ann@host", "ann@host"},
    {"", NULL},
    {"ann", NULL},
    {"@ok.example", NULL},
    {"ann@", NULL},
    {"ann@.", NULL},
    {"ann@@ok.example", NULL},
    {"evil@bad.example@ok.example", NULL},
    {"\"evil@bad.example\"@ok.example", NULL},
    {"\"evil bad\"@ok.example", NULL},
    {"\"evil@bad.example,\"@ok.example", NULL},
    {"\"x<evil\"@ok.example", NULL},
    {"\"\"@ok.example", NULL},
    {"\"ann@ok.example", NULL},
    {"\"ann\"x@ok.example", NULL},
    {".ann@ok.example", NULL},
    {"a..b@ok.example", NULL},
    {"ann@ok..example", NULL},
    {"ann@.ok.example", NULL},
    {"ann@ok.example..", NULL},
    {"ann@ok example", NULL},
    {"ann @ok.example", NULL},
    {"ann@ok.example ", NULL},
    {"ann@[192.0.2.1", NULL},
    {"ann@[192.0.2.1]x", NULL},
    {"ann@ok.example\x01", NULL},
    {"a\xFF@ok.example", NULL},
    {"ann@ok\xFF.example", NULL},
    {"=?utf-8?q?evil=40bad.example?=@ok.example", NULL},
    {"evil\xEF\xBC\xA0"
     "bad.example@ok.example",
     NULL},
    {"ann@ok.example\xC2\xA0", NULL},
    {"ann@ok.example\xE2\x88\x95.example", NULL},
    {"ann@ok\xEF\xBF\xBD.example", NULL},
    {"ann@l\xC2\xB7l.example", "ann@l\xC2\xB7l.example"},
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct gate_address address;
        int result = gate_address_read(span_of(addresses[i].text), &address);

        if (result != (addresses[i].canonical ? 0 : -1))
            fail_msg("%s: %d", addresses[i].text, result);
        if (!result)
            assert_string_equal(address.text, addresses[i].canonical);
    }
}

static void test_long_addresses(void **state)
{
    struct gate_address address;
    char text[2 * GATE_ADDRESS_BYTES];

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 12, "@ok.example", 12);
    assert_int_equal(gate_address_read(span_of(text), &address), -1);
    memset(text, 'a', sizeof text);
    memcpy(text, "ann@", 4);
    text[sizeof text - 1] = '\0';
    assert_int_equal(gate_address_read(span_of(text), &address), -1);
}

static const struct {
    const char *pattern, *user, *address;
    bool covers;
} patterns[] = {
    {"ann@ok.example", NULL, "Ann@OK.example", true},
    {"\"Ann\"@ok.example.", NULL, "ann@ok.example", true},
    {"ann@ok.example", NULL, "bob@ok.example", false},
    {"ann@ok.example", NULL, "ann@sub.ok.example", false},
    {"@ok.example", NULL, "bob@ok.example", true},
    {"@OK.example.", NULL, "bob@ok.example.", true},
    {"ok.example", NULL, "bob@ok.example", true},
    {"ok.example", NULL, "bob@sub.ok.example", false},
    {"ok.example", NULL, "bob@notok.example", false},
    {"*.ok.example", NULL, "bob@sub.ok.example", true},
    {"*.ok.example", NULL, "bob@a.sub.ok.example", true},
    {"@*.ok.example", NULL, "bob@sub.ok.example", true},
    {"*.ok.example", NULL, "bob@ok.example", false},
    {"*.ok.example", NULL, "bob@notok.example", false},
    {"*", NULL, "bob@anything", true},
    {"@*", NULL, "bob@anything", false},
    {"*.", NULL, "bob@anything", false},
    {"*@ok.example", NULL, "bob@ok.example", false},
    {"*@ok.example", NULL, "*@ok.example", true},
    {"", NULL, "bob@ok.example", false},
    {"@", NULL, "bob@ok.example", false},
    {"[192.0.2.1]", NULL, "bob@[192.0.2.1]", true},
    {"192.0.2.1", NULL, "bob@[192.0.2.1]", false},
    {"*.2.1]", NULL, "bob@[192.0.2.1]", false},
    {"{user}", "ann@ok.example", "ann@ok.example", true},
    {"{user}", "ann@ok.example", "bob@ok.example", false},
    {"{user}", "ok.example", "bob@ok.example", false},
    {"{user}", "@ok.example", "bob@ok.example", false},
    {"{user}", "*", "bob@ok.example", false},
    {"{user}", NULL, "bob@ok.example", false},
    {"{user}@ok.example", "ann", "ann@ok.example", true},
    {"{user}@ok.example", "ann", "bob@ok.example", false},
    {"{user}@ok.example", "bob@ok.example,x", "bob@ok.example", false},
    {"{user}@ok.example", "*", "bob@ok.example", false},
    {"{user}@ok.example", "\"ann\"", "ann@ok.example", true},
    {"lists+{user}@ok.example", "ann", "lists+ann@ok.example", true},
    {"@{user}", "ok.example", "bob@ok.example", false},
};

static void test_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct gate_address address;

        assert_int_equal(gate_address_read(span_of(patterns[i].address), &address), 0);
        if (gate_pattern_covers(patterns[i].pattern, patterns[i].user, &address) != patterns[i].covers)
            fail_msg("%s (%s): %s", patterns[i].pattern, patterns[i].user ? patterns[i].user : "", patterns[i].address);
    }
}

static void test_sound_patterns(void **state)
{
    static const char *const sound[] = {"*",      "a@b",  "@b.c",   "b.c",        "*.b.c",
                                        "@*.b.c", "[::]", "{user}", "{user}@b.c", "\"x\"@b"};
    static const char *const unsound[] = {"", "@", "*.", "@*", "a b", "a@", "*.*.b", "a@b@c", "@{user}", "b..c", "b/c"};

    (void)state;
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++)
        if (!gate_pattern_is_sound(sound[i]))
            fail_msg("%s", sound[i]);
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++)
        if (gate_pattern_is_sound(unsound[i]))
            fail_msg("%s", unsound[i]);
}

/* ---- one value ---- */

/* Whoever is of ok.example is covered, or of a name below club.example. */
static bool is_ok(void *ctx, const struct gate_address *address)
{
    (void)ctx;
    return gate_pattern_covers("ok.example", NULL, address) || gate_pattern_covers("*.club.example", NULL, address);
}

enum { COVERED = GATE_SHOWN_COVERED, FOREIGN = GATE_SHOWN_FOREIGN, UNCLEAR = GATE_SHOWN_UNCLEAR };

static const struct {
    const char *value;
    int shown;
} values[] = {
    /* as most people write it */
    {" ann@ok.example", COVERED},
    {" <ann@ok.example>", COVERED},
    {" Ann <ann@ok.example>", COVERED},
    {" \"Ann, of Ok\" <ann@ok.example>", COVERED},
    {" Ann Q. Public <ann@ok.example>", COVERED},
    {" ann@ok.example (Ann)", COVERED},
    {" Ann\r\n <ann@ok.example>", COVERED},
    {" =?utf-8?q?J=C3=B6rg?= <ann@ok.example>", COVERED},
    {" =?iso-2022-jp?b?GyRCOzNFRBsoQg==?= <ann@ok.example>", COVERED},
    {" =?shift_jis?q?=83=40?= <ann@ok.example>", COVERED},
    {" J\xC3\xB6rg <ann@ok.example>", COVERED},
    {" Ann <ann@ok.example>, Bob <bob@ok.example>", COVERED},
    {" Team: ann@ok.example, Bob <bob@ok.example>;", COVERED},
    {" 'ann@ok.example' <ann@ok.example>", UNCLEAR}, /* it wants quotes */
    {" \"'ann@ok.example'\" <ann@ok.example>", COVERED},
    {" \"ann@ok.example\" <ann@ok.example>", COVERED},
    {" \"Ann @ Ok\" <ann@ok.example>", COVERED},
    {" \"@ann\" <ann@ok.example>", COVERED},
    {" \"\"ann@ok.example", UNCLEAR},
    {"ANN@OK.EXAMPLE", COVERED},
    {" Ann O'Neill <ann@ok.example>", COVERED},
    {" Who? Ann? <ann@ok.example>", COVERED},
    {" \"Who? Ann!\" <ann@ok.example>", COVERED},
    {" \"=? Ann ?=\" <ann@ok.example>", COVERED},
    {" \"OK\\\\ann\" <ann@ok.example>", COVERED},
    {" \"OK\\ann \\\"of Ok\\\"\" <ann@ok.example>", COVERED},
    {" Ann (at work) of Ok <ann@ok.example> (Sales (North))", COVERED},
    {" Ann <ann@club.club.example>", COVERED},
    {" \"=?utf-8?q?M=C3=BCller?=, =?utf-8?q?J=C3=B6rg?=\" <ann@ok.example>", COVERED},
    {" =?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M=C3=BCller?= =?utf-8?q?_=40_Ok?= <ann@ok.example>", COVERED},
    {" =?utf-8?q?J=C3=B6rg_?==?utf-8?q?M=C3=BCller?= (=?utf-8?q?B=C3=BCro?=) <ann@ok.example>", COVERED},
    {" =?UTF-8?Q?J=C3=B6rg Mueller?= <ann@ok.example>", COVERED}, /* as scripts write it */
    {" =?utf-8?q?J=C3=B6rg=3F_=28ann=40ok.example=29?= <ann@ok.example>", COVERED},
    {" =?utf-8?b?5bGx55Sw5aSq6YOO?= <ann@ok.example>", COVERED},
    {" =?utf-8?Q?"
     "?= <ann@ok.example>",
     COVERED},

    /* another address, plainly */
    {" evil@bad.example", FOREIGN},
    {" ann@ok.example, evil@bad.example", FOREIGN},
    {" evil@bad.example, ann@ok.example", FOREIGN},
    {" Ann <evil@bad.example>", FOREIGN},
    {" \"ann@ok.example\" <evil@bad.example>", FOREIGN},
    {" \"<ann@ok.example>\" <evil@bad.example>", FOREIGN},
    {" (ann@ok.example) evil@bad.example", FOREIGN},
    {" Team: ann@ok.example, evil@bad.example;", FOREIGN},
    {" Team: evil@bad.example;, ann@ok.example", FOREIGN},
    {" ann@ok.example,\r\n evil@bad.example", FOREIGN},
    {" Ann\r\n\t<evil@bad.example>", FOREIGN},
    {" \"ev\\il\"@bad.example", FOREIGN},
    {" ann@ok.example.bad.example", FOREIGN},
    {" ann@notok.example", FOREIGN},
    {" ann@sub.ok.example", FOREIGN},
    {" ann@[192.0.2.1]", FOREIGN},

    /* another address, where only the client shows it */
    {" \"evil@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"evil\"\"@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"Boss <evil@bad.example>\" <ann@ok.example>", FOREIGN},
    {" \"evil\\@bad.example\" <ann@ok.example>", FOREIGN},
    {" ann@ok.example (evil@bad.example)", FOREIGN},
    {" ann@ok.example (a (evil@bad.example) b)", FOREIGN},
    {" (evil@bad.example) <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil=40bad=2Eexample?= <ann@ok.example>", FOREIGN},
    {" =?UTF-8?Q?evil@bad.example?= <ann@ok.example>", UNCLEAR}, /* an @ outside quotes */
    {" \"=?UTF-8?Q?evil@bad.example?=\" <ann@ok.example>", FOREIGN},
    {" =?utf-8?b?ZXZpbEBiYWQuZXhhbXBsZQ==?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?b?ZXZpbEBiYWQuZXhhbXBsZQ?= <ann@ok.example>", FOREIGN}, /* no padding */
    {" =?utf-8?q?evil?= =?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil?=\r\n =?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?windows-1252?q?evil=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?us-ascii*en?q?evil=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp?b?ZXZpbEBiYWQuZXhhbXBsZQ==?= <ann@ok.example>", FOREIGN},
    {" =?shift_jis?q?evil=40bad.example?= <ann@ok.example>", FOREIGN},
    {" evil\xEF\xBC\xA0"
     "bad.example <ann@ok.example>",
     FOREIGN},
    {" (=?utf-8?q?evil=40bad.example?=) <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil=40bad=E3=80=82example?= <ann@ok.example>", FOREIGN}, /* U+3002 is a dot to a resolver */
    {" =?utf-8?q?evil=40bad.example?=: ann@ok.example;", FOREIGN},
    {" =?utf-8?q?evil=40bad.example=3E?=\r\n <ann@ok.example>", FOREIGN},

    /* another address, whose @ or dots are none to the eye of a program, in each charset that has such */
    {" =?gb2312?b?Y2Vvo8BiYWQuZXhhbXBsZQ==?= <ann@ok.example>", FOREIGN},
    {" =?gb2312?q?ceo=A3=C0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?GBK?q?ceo=A9=88bad.example?= <ann@ok.example>", FOREIGN},
    {" =?gb18030?q?ceo=A3=C0bad=84=31=95=37example?= <ann@ok.example>", FOREIGN},
    {" =?gb18030?q?ceo=40bad=81=36=A6=33example?= <ann@ok.example>", FOREIGN},
    {" =?windows-936?q?ceo=A3=C0bad=A3=AEexample?= <ann@ok.example>", FOREIGN},
    {" =?shift_jis?q?ceo=81=97bad.example?= <ann@ok.example>", FOREIGN},
    {" =?windows-31j?q?ceo=81=97bad=81=44example?= <ann@ok.example>", FOREIGN},
    {" =?shift_jis?q?ceo=81=97bad=A1example?= <ann@ok.example>", FOREIGN},
    {" =?euc-jp?q?ceo=A1=F7bad.example?= <ann@ok.example>", FOREIGN},
    {" =?euc-jp?q?ceo=A1=F7bad=8E=A1example?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp?b?Y2VvGyRCIXcbKEJiYWQuZXhhbXBsZQ==?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp-2?q?ceo=40bad=1B=28I=21=1B=28Bexample?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp-2?q?ceo=1B=24A=23=40=1B=28Bbad.example?= <ann@ok.example>", UNCLEAR}, /* few know this one */
    {" =?iso-2022-kr?q?=1B=24=29Cceo=0E=23=40=0Fbad.example?= <ann@ok.example>", FOREIGN},
    {" =?euc-kr?q?ceo=A3=C0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?ks_c_5601-1987?q?ceo=A3=C0bad=A3=AEexample?= <ann@ok.example>", FOREIGN},
    {" =?big5?q?ceo=A2=49bad.example?= <ann@ok.example>", FOREIGN},
    {" =?big5-hkscs?q?ceo=A2=4Ebad=A1=44example?= <ann@ok.example>", FOREIGN},
    {" =?us-ascii?q?ceo=EF=BC=A0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ceo=EF=BC=A0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ceo=EF=BC=A0bad.example_=FF?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ceo=EF=B9=ABbad=E2=80=A4example?= <ann@ok.example>", FOREIGN},

    /* words that not all find */
    {" =?utf-8?q?x =?utf-8?q?=65vil=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?x=?utf-8?q?=65vil=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?b?eA =?utf-8?q?=65vil=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?x?y?= =?utf-8?q?=65vil=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?evil=40bad.example <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?evil=40bad.example? <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?Ann=4?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?J\xC3\xB6rg?= <ann@ok.example>", UNCLEAR},
    {" =??q?evil=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =??b?QW5u?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8 x?q?Ann?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?b?ZXZpbEBiYWQuZXhhbXBsZQ==LmNsdWIuZXhhbXBsZQ==?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?b?QW5.u?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?b?QW5uQ?= <ann@ok.example>", UNCLEAR},
    {" \"evil=?utf-8?q?_?=@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"=?utf-8?q?a _?=@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"x=?utf-8?q?_?=\"=?utf-8?q?=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" \"x=?utf-8?q?_?=\"(c)=?utf-8?q?=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?evil=40bad.example?= =?utf-8?q?.club.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil=40bad.example.club.example?= <ann@ok.example>", COVERED},
    {" (=?utf-8?q?evil=40?==?utf-8?q?bad.example?=.club.example) <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ann=40ok?= =?utf-8?q?.example?= <ann@ok.example>", COVERED},
    {" =?iso-2022-jp-9?q?=1B=24Bevil=40bad.example=1B=28B?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?=1B=24=28Devil=40bad.example=1B=28B?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?=1B=28IEVIL=40BAD.EXAMPLE=1B=28B?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp?q?=1B=28I=54=4F=40=5E=1B=28B?= <ann@ok.example>", COVERED},

    {" \"=?utf-8?q?evil?=\xC2\xA0 =?utf-8?q?=40bad.example?=\" <ann@ok.example>", FOREIGN},
    {" \"=?utf-8?q?evil?= \xE3\x80\x80=?utf-8?q?=40bad.example?=\" <ann@ok.example>", FOREIGN},
    {" \"=?utf-8?q?evil?= \xE2\x80\x83 =?utf-8?q?=40bad.example?=\" <ann@ok.example>", FOREIGN},

    {" =?iso-2022-jp-2?q?_?==?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?koi8-u?q?_?=\xE3\x80\x80=?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil=40bad.example?==?utf-7x?q?x?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?evil=40bad.example?==?koi8-u?q?.club.example?= <ann@ok.example>", FOREIGN},
    {" \"evil\xE2\x80\xA8 @bad.example =?utf-8?q?x?=\" <ann@ok.example>", UNCLEAR},
    {" \"evil\xC2\x85 @bad.example =?utf-8?q?x?=\" <ann@ok.example>", UNCLEAR},

    /* what is beside comments, and in them */
    {" =?utf-8?q?evil?= (c) =?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil?=\r\n (c)\r\n =?utf-8?q?=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?evil?=(c)=?utf-8?q?=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" \"evil\"(c)\"@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"evil@bad.example\"(c)\".club.example\" <ann@ok.example>", FOREIGN},
    {" ann@ok.example (evil(x)@bad.example)", FOREIGN},
    {" ann@ok.example (evil@bad(.club).example)", FOREIGN},
    {" ann@ok.example (evil\\(x\\)@bad.example)", FOREIGN},
    {" ann@ok.example (=?utf-8?q?evil=40?=) (=?utf-8?q?bad.example?=)", FOREIGN},
    {" ann@ok.example (Ann @) (bad.example)", COVERED},
    {" \"evil@bad.example\\.club.example\" <ann@ok.example>", FOREIGN},

    /* what stands beside an address without being a part of it, or the other way round */
    {" =?iso-8859-1?q?=E9=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?iso-2022-jp?q?=1B=24B=3B=33=1B=28B=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?koi8-r?q?evil=40bad.=D2=C6?= <ann@ok.example>", FOREIGN},
    {" =?iso-8859-1?q?evil=40bad.example=A0.club.example?= <ann@ok.example>", FOREIGN},
    {" \"evil@bad.example\xC2\xA0.club.example\" <ann@ok.example>", FOREIGN},
    {" \"evil@bad.example\xE3\x80\x82"
     "club.club.example\" <ann@ok.example>",
     FOREIGN},
    {" \"evil@b\xC3\xBC"
     "cher.club.example\" <ann@ok.example>",
     COVERED},
    {" =?utf-8?q?=22evil=22=40bad.example?= <ann@ok.example>", FOREIGN},
    {" \"see \\\"@bad.example\\\"\" <ann@ok.example>", COVERED},
    {" \"'.@bad.example'\" <ann@ok.example>", FOREIGN},

    /* an @ that is the half of a character to one reader only */
    {" =?shift_jis?q?ceo=B1=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?shift_jis?q?ceo=EB=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?gb2312?q?ceo=B0=40bad.example?= <ann@ok.example>", FOREIGN},
    {" =?euc-jp?q?ceo=A1=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?euc-kr?q?ceo=A1=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?euc-jp?q?ceo=8F=A1=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?gb18030?q?ceo=81=30=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?ceo=1B=24B_=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?ceo=1B=24ZZ=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?ceo=A1=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?x-mac-japanese?q?ceo=81=97bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?euc-tw?q?ceo=A2=E9bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?hz-gb-2312?q?ceo=7E=7B=23=40=7E=7Dbad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?ceo=00=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?Ann=0A?= <ann@ok.example>", UNCLEAR},

    /* a character cut in two by the end of a word */
    {" =?utf-8?q?ceo=EF?= =?utf-8?q?=BC=A0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ceo=EF=BC?=\r\n =?UTF-8*en?b?oGJhZC5leGFtcGxl?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?ceo=EF?==?utf8?q?=BC?= \t =?utf-8?q?=A0bad.example?= <ann@ok.example>", FOREIGN},
    {" =?utf-8?q?J=C3?= =?utf-8?q?=B6rg?= <ann@ok.example>", COVERED},
    {" =?utf-8?q?ceo=EF?= x =?utf-8?q?=BC=A0bad.example?= <ann@ok.example>", COVERED},
    {" =?gb2312?q?ceo=A3?= =?gb2312?q?=C0bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?gb2312?q?ceo=A3?= =?gbk?q?=C0bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?shift_jis?q?ceo=81?= =?shift_jis?q?=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?gb18030?q?ceo=81=36?= =?gb18030?q?=A7=31?= <ann@ok.example>", UNCLEAR},
    {" =?iso-2022-jp?q?=1B=24B?= =?iso-2022-jp?q?ceo=40bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?shift_jis?q?=83=40=83?= <ann@ok.example>", COVERED},
    {" =?shift_jis?q?=83=40?= =?shift_jis?q?=83=41?= <ann@ok.example>", COVERED},
    {" =?iso-2022-jp?q?=1B=24B=3B=33?= <ann@ok.example>", COVERED},

    /* as people of those languages write it */
    {" =?gb2312?b?1cXI/Q==?= <ann@ok.example>", COVERED},
    {" =?eucgb2312_cn?b?1cXI/Q==?= <ann@ok.example>", COVERED},
    {" =?gb18030?q?=81=39=EE=39_=D5=C5?= <ann@ok.example>", COVERED},
    {" =?big5?b?pEClQA==?= <ann@ok.example>", COVERED},
    {" =?euc-kr?b?seizqg==?= <ann@ok.example>", COVERED},
    {" =?ks_c_5601-1987?q?=B1=E8=C8A?= <ann@ok.example>", COVERED},
    {" =?euc-jp?b?u7PFxA==?= <ann@ok.example>", COVERED},
    {" =?euc-jp?q?=8E=B1=8F=B0=A1?= <ann@ok.example>", COVERED},
    {" =?shift_jis?b?i0CKQItA?= <ann@ok.example>", COVERED},
    {" =?windows-1251?q?=C0=ED=ED=E0?= <ann@ok.example>", COVERED},
    {" =?iso-8859-1?q?J=F6rg?= <ann@ok.example>", COVERED},
    {" =?iso-2022-kr?q?=1B=24=29C=0E1h=0F?= <ann@ok.example>", COVERED},
    {" =?koi8-r?q?=E1=CE=CE=C1?= <ann@ok.example>", COVERED},
    {" =?windows-1256?q?=FE=C7=E4=FE?= <ann@ok.example>", COVERED},

    /* what is seen in another order */
    {" =?utf-8?q?=E2=80=AEelpmaxe.dab=40oec?= <ann@ok.example>", UNCLEAR},
    {" \"\xE2\x80\xAE"
     "elpmaxe.dab@oec\" <ann@ok.example>",
     UNCLEAR},
    {" \"\xE2\x80\xAB"
     "Ann\" <ann@ok.example>",
     UNCLEAR},
    {" \"\xE2\x81\xA7"
     "Ann\xE2\x81\xA9\" <ann@ok.example>",
     UNCLEAR},
    {" (\xE2\x81\xA6) <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?bad.example=E2=80=8F=40=E2=80=8Fceo?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?bad.example=D8=9C=40=D8=9Cceo?= <ann@ok.example>", UNCLEAR},
    {" =?windows-1255?q?bad.example=FE=40=FEceo?= <ann@ok.example>", UNCLEAR},
    {" =?iso-8859-8-i?q?bad.example=FD=40=FDceo?= <ann@ok.example>", UNCLEAR},
    {" =?gb18030?q?=81=36=A7=31elpmaxe.dab=40oec?= <ann@ok.example>", UNCLEAR},
    {" =?gb18030?q?bad.example=81=36=A5=31=40ceo?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?=E2=80=8FAnn=E2=80=8E?= <ann@ok.example>", COVERED},
    {" \xE2\x80\xAEmoc.dab@ok.example", UNCLEAR},
    {" <dab\xE2\x80\x8F@ok.example>", UNCLEAR},

    /* more than one @ */
    {" \"@ceo@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"@@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"ann@ok.example@bad.example\" <ann@ok.example>", FOREIGN},
    {" \"ceo@bad.example@\" <ann@ok.example>", FOREIGN},
    {" \"a@b@ok.example\" <ann@ok.example>", FOREIGN},
    {" \"@ok.example @ann\" <ann@ok.example>", COVERED},

    /* what two readers read differently */
    {" =?utf-7?q?evil+AEA-bad.example?= <ann@ok.example>", UNCLEAR},
    {" =?utf-16?b?AGUAdgBpAGwAQABi?= <ann@ok.example>", UNCLEAR},
    {" =?x-unknown?q?abc?= <ann@ok.example>", UNCLEAR},
    {" =?utf-8?q?evil=40bad.example?=", UNCLEAR},
    {" =?utf-8?q?evil?=@ok.example", UNCLEAR},
    {" <=?utf-8?q?evil=40bad.example=3E?=@ok.example>", UNCLEAR},
    {" evil@bad.example <ann@ok.example>", FOREIGN},
    {" ann@ok.example <evil@bad.example>", UNCLEAR},
    {" <evil@bad.example> <ann@ok.example>", FOREIGN},
    {" <ann@ok.example> <evil@bad.example>", UNCLEAR},
    {" <ann@ok.example> evil@bad.example", UNCLEAR},
    {" ann@ok.example evil@bad.example", UNCLEAR},
    {" ann@ok.example; evil@bad.example", UNCLEAR},
    {" <@bad.example:ann@ok.example>", UNCLEAR},
    {" <ann@ok.example@bad.example>", UNCLEAR},
    {" ann@ok.example@bad.example", UNCLEAR},
    {" \"evil@bad.example\"@ok.example", UNCLEAR},
    {" \"evil@bad.example> \"@ok.example", UNCLEAR},
    {" ann@ok.example(x).bad.example", UNCLEAR},
    {" ann(x)@ok.example", UNCLEAR},
    {" ann@(evil@bad.example)ok.example", UNCLEAR},
    {" ann @ ok.example", UNCLEAR},
    {" ann@ok .example", FOREIGN},
    {" ann.\"x\"@ok.example", UNCLEAR},
    {" <ann@ok.example", UNCLEAR},
    {" ann@ok.example>", UNCLEAR},
    {" <<ann@ok.example>>", UNCLEAR},
    {" Ann <ann@ok.example>>", UNCLEAR},
    {" \"Ann <ann@ok.example>", UNCLEAR},
    {" Ann (no end <ann@ok.example>", UNCLEAR},
    {" Team: ann@ok.example", UNCLEAR},
    {" Team: Other: ann@ok.example;;", UNCLEAR},
    {" : ann@ok.example;", UNCLEAR},
    {" ann@ok.example,", UNCLEAR},
    {" , ann@ok.example", UNCLEAR},
    {" ann@ok.example,, bob@ok.example", UNCLEAR},
    {"", UNCLEAR},
    {" ", UNCLEAR},
    {" <>", UNCLEAR},
    {" ann", UNCLEAR},
    {" Ann of Ok", UNCLEAR},
    {" undisclosed:;", UNCLEAR},
    {" ann@ok.example\r\n \r\n , evil@bad.example", UNCLEAR},
    {" ann@ok.example\x01", UNCLEAR},
    {" \x1b$B\x1b(B <ann@ok.example>", UNCLEAR},
    {" J\xF6rg <ann@ok.example>", UNCLEAR},
    {" ann\\@bad.example <ann@ok.example>", UNCLEAR},
    {" ann@ok.example\\", UNCLEAR},
};

static void test_values(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct gate_finding finding;

        gate_value_judge(span_of(values[i].value), is_ok, NULL, &finding);
        if ((int)finding.shown == values[i].shown)
            continue;
        print_error("%s: %d (%s), not %d\n", values[i].value, (int)finding.shown, finding.what, values[i].shown);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* ---- charsets, as the C library has them ---- */

static const char *const charsets[] = {"SHIFT_JIS",    "CP932",      "EUC-JP",      "EUC-KR",      "CP949",
                                       "GB2312",       "GBK",        "CP936",       "GB18030",     "BIG5",
                                       "BIG5-HKSCS",   "CP950",      "ISO-2022-JP", "ISO-2022-KR", "WINDOWS-1255",
                                       "WINDOWS-1256", "ISO-8859-8", "ISO-8859-1",  "KOI8-R",      "UTF-8"};

static struct span encode(iconv_t converter, struct span text, char *room, size_t size)
{
    char *in = (char *)(uintptr_t)text.data, *out = room;
    size_t in_left = text.len, out_left = size;

    iconv(converter, NULL, NULL, NULL, NULL);
    if (iconv(converter, &in, &in_left, &out, &out_left) != 0)
        return SPAN_LIT("");
    iconv(converter, NULL, NULL, &out, &out_left);
    return span_make(room, size - out_left);
}

static struct span utf8_of(unsigned c, char out[4])
{
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return span_make(out, 2);
    }
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return span_make(out, 3);
}

/* Whatever is no sign of ours may be anything but that. */
static bool is_shown_as(struct span character, struct span shown)
{
    size_t len;
    char plain = gate_sign_at(character, &len), seen = gate_sign_at(shown, &len);

    if (plain)
        return (shown.len == 1 && shown.data[0] == plain) || seen == plain;
    if (gate_has_turn(character) || gate_has_direction(character))
        return gate_has_turn(character) == gate_has_turn(shown) &&
               gate_has_direction(character) == gate_has_direction(shown);
    return !seen && !gate_has_turn(shown) && !gate_has_direction(shown) && span_find(shown, '.') == shown.len &&
           shown.len > 0 && shown.data[0] != '@';
}

/* Each character that a charset has is read as far as it goes, and what looks like a sign of an address is one. */
static void test_charsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++) {
        enum gate_charset charset = gate_charset_of(span_of(charsets[i]));
        iconv_t converter = iconv_open(charsets[i], "UTF-8");
        size_t count = 0;
        struct buf shown;

        assert_int_not_equal(charset, GATE_CHARSET_UNKNOWN);
        if (converter == (iconv_t)-1)
            continue; /* a C library without its tables */
        buf_init(&shown, 100);
        for (unsigned c = 0xA0; c < 0xFFFE; c++) {
            char text[4], bytes[64];
            struct span character = utf8_of(c, text), encoded;

            encoded = c < 0xD800 || c > 0xDFFF ? encode(converter, character, bytes, sizeof bytes) : SPAN_LIT("");
            if (encoded.len == 0)
                continue;
            buf_clear(&shown);
            if (gate_charset_show(charset, encoded, true, &shown) || !is_shown_as(character, buf_span(&shown)))
                fail_msg("%s: U+%04X is shown as '%s'", charsets[i], c, buf_cstr(&shown));
            count++;
        }
        assert_true(count > 50);
        buf_done(&shown);
        iconv_close(converter);
    }
}

static void test_a_nul_is_no_text(void **state)
{
    struct gate_finding finding;

    (void)state;
    gate_value_judge(SPAN_LIT(" ann@ok.example\0, evil@bad.example"), is_ok, NULL, &finding);
    assert_int_equal(finding.shown, GATE_SHOWN_UNCLEAR);
}

static enum gate_shown shown_by(const struct buf *value)
{
    struct gate_finding finding;

    gate_value_judge(buf_span(value), is_ok, NULL, &finding);
    return finding.shown;
}

static void repeat(struct buf *value, const char *text, int times)
{
    buf_clear(value);
    for (int i = 0; i < times; i++)
        assert_int_equal(buf_append(value, text, strlen(text)), 0);
}

static void test_long_values(void **state)
{
    struct buf value;

    (void)state;
    buf_init(&value, 1 << 20);
    repeat(&value, "ann@ok.example, ", 900);
    assert_int_equal(buf_appendf(&value, "evil@bad.example"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_FOREIGN);
    repeat(&value, "ann@ok.example, ", 999);
    assert_int_equal(buf_appendf(&value, "ann@ok.example"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_COVERED);
    assert_int_equal(buf_appendf(&value, ",ann@ok.example"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_UNCLEAR);
    repeat(&value, "a", 70000);
    assert_int_equal(shown_by(&value), GATE_SHOWN_UNCLEAR);
    repeat(&value, "(", 60000);
    assert_int_equal(shown_by(&value), GATE_SHOWN_UNCLEAR);
    repeat(&value, "=?a?q?x", 9000); /* words that never end */
    assert_int_equal(buf_appendf(&value, " <ann@ok.example>"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_UNCLEAR);
    repeat(&value, "=?a?q", 12000); /* nor begin */
    assert_int_equal(buf_appendf(&value, " <ann@ok.example>"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_COVERED);
    repeat(&value, "=?utf-8?q?J=C3=B6rg?= ", 2500);
    assert_int_equal(buf_appendf(&value, " <ann@ok.example>"), 0);
    assert_int_equal(shown_by(&value), GATE_SHOWN_COVERED);
    buf_done(&value);
}

static void test_many_fields(void **state)
{
    struct gate_findings findings;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    repeat(&text, "From: ann@ok.example\r\n", 20);
    gate_header_judge(buf_span(&text), 0xF, is_ok, NULL, &findings);
    assert_int_equal(findings.finding.shown, GATE_SHOWN_COVERED);
    repeat(&text, "From: ann@ok.example\r\n", 21);
    gate_header_judge(buf_span(&text), 0xF, is_ok, NULL, &findings);
    assert_true(findings.is_broken);
    buf_done(&text);
}

/* ---- a header section ---- */

#define F (1U << GATE_FIELD_FROM)
#define S (1U << GATE_FIELD_SENDER)
#define RF (1U << GATE_FIELD_RESENT_FROM)
#define RS (1U << GATE_FIELD_RESENT_SENDER)

static const struct {
    struct span text;
    unsigned refused;
    bool is_broken;
} sections[] = {
    {SPAN_LIT("From: ann@ok.example\r\nSubject: evil@bad.example\r\n\r\nFrom: evil@bad.example\r\n"), 0, false},
    {SPAN_LIT("From: ann@ok.example\r\nTo: evil@bad.example\r\nReply-To: evil@bad.example\r\n\r\n"), 0, false},
    {SPAN_LIT("Subject: nobody\r\n\r\n"), 0, false},
    {SPAN_LIT(""), 0, false},
    {SPAN_LIT("FROM: evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("fRoM:evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("From : evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("From\t \t: evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("From:\r\n evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("From: ann@ok.example\r\nFrom: evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("From: evil@bad.example\r\nFrom: ann@ok.example\r\n\r\n"), F, false},
    {SPAN_LIT("From: evil@bad.example"), F, false},
    {SPAN_LIT("From: ann@ok.example\r\nSender: evil@bad.example\r\n\r\n"), S, false},
    {SPAN_LIT("From: ann@ok.example\r\nResent-From: evil@bad.example\r\n\r\n"), RF, false},
    {SPAN_LIT("From: ann@ok.example\r\nRESENT-sender: evil@bad.example\r\n\r\n"), RS, false},
    {SPAN_LIT("From: evil@bad.example\r\nSender: ann@ok.example\r\n\r\n"), F, false},
    {SPAN_LIT("Junk line\r\nFrom: evil@bad.example\r\n\r\n"), F, false},
    {SPAN_LIT("Subject: x\rFrom: evil@bad.example\r\n\r\n"), F, true},
    {SPAN_LIT("Subject: x\nFrom: evil@bad.example\r\n\r\n"), F, true},
    {SPAN_LIT("From: ann@ok.example,\rX: <evil@bad.example>\r\n\r\n"), F, true},
    {SPAN_LIT("From: ann@ok.example\r\n\nFrom: evil@bad.example\r\n\r\n"), F, true},
    {SPAN_LIT("From: ann@ok.example\r\n\rFrom: evil@bad.example\r\n\r\n"), F, true},
    {SPAN_LIT("From: ann@ok.example\r\nX: \0\r\n\r\n"), F, true},
    {SPAN_LIT("\0From: ann@ok.example\r\n\r\n"), F, true},
    {SPAN_LIT("Fr\0om: ann@ok.example\r\n\r\n"), F, true},
    {SPAN_LIT(" From: ann@ok.example\r\n\r\n"), F, true},
    {SPAN_LIT("From\x01: ann@ok.example\r\n\r\n"), F, true},
    {SPAN_LIT("From\xC2\xA0: ann@ok.example\r\n\r\n"), F, true},
    {SPAN_LIT("\xEF\xBB\xBF"
              "From: ann@ok.example\r\n\r\n"),
     F, true},
    {SPAN_LIT("From\r\n : evil@bad.example\r\n\r\n"), F, true},
    {SPAN_LIT("S ender: ann@ok.example\r\n\r\n"), S, true},
};

static void test_sections(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        struct gate_findings findings;

        gate_header_judge(sections[i].text, F | S | RF | RS, is_ok, NULL, &findings);
        if (findings.refused == sections[i].refused && findings.is_broken == sections[i].is_broken)
            continue;
        print_error("%.*s: %x %d (%s)\n", SPAN_ARG(sections[i].text), findings.refused, findings.is_broken,
                    findings.finding.what);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void test_only_what_is_checked(void **state)
{
    struct gate_findings findings;

    (void)state;
    gate_header_judge(SPAN_LIT("From: evil@bad.example\r\nSender: ann@ok.example\r\n\r\n"), S | RS, is_ok, NULL,
                      &findings);
    assert_int_equal(findings.finding.shown, GATE_SHOWN_COVERED);
    gate_header_judge(SPAN_LIT("From: ann@ok.example\r\nSender: evil@bad.example\r\n\r\n"), F | RF, is_ok, NULL,
                      &findings);
    assert_int_equal(findings.finding.shown, GATE_SHOWN_COVERED);
}

/* ---- whose rules ---- */

static const char *const people = "[user.ann]\npassword = 'p'\n"
                                  "[group.staff]\nsenders = ['@staff.example']\ntenants = ['blue']\n"
                                  "[group.ops]\nsenders = ['*']\n"
                                  "[group.quiet]\ntenants = ['green', 'blue']\n";

struct person {
    struct gate_rules *rules;
    struct gate_login *login;
    struct auth_info *info;
    struct gate_who who;
};

static struct person person_of(const char *toml, const char *user, const char *record, const char *info)
{
    struct person person = {.rules = rules_of(toml)};
    struct error error = {0};
    json_t *value;

    person.login = gate_login_of(person.rules, user, user);
    if (record) {
        value = json_loads(record, 0, NULL);
        person.login->credential = credential_from_json(user, value, false, &error);
        assert_non_null(person.login->credential);
        json_decref(value);
    }
    person.info = auth_info_of_user(user, user);
    if (info) {
        struct auth_info *former = person.info;

        value = json_loads(info, 0, NULL);
        person.info = auth_info_with(former, value, &error);
        assert_non_null(person.info);
        auth_info_unref(&former);
        json_decref(value);
    }
    person.who = (struct gate_who){.rules = person.rules, .login = person.login, .info = person.info};
    return person;
}

static void person_done(struct person *person)
{
    auth_info_unref(&person->info);
    gate_login_unref(&person->login);
    gate_rules_unref(&person->rules);
}

static const struct {
    const char *identity, *user, *record, *info;
    enum gate_identity_mode mode;
    const char *may, *may_not; /* or NULL */
} modes[] = {
    {"", "ann", "{}", NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"", "ann", NULL, NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"", "ann", "{\"senders\": [\"a@x.example\"]}", NULL, GATE_IDENTITY_REJECT, "a@x.example", "b@x.example"},
    {"", "ann", "{\"senders\": [\"*\"]}", NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"", "ann", "{\"groups\": [\"staff\"]}", NULL, GATE_IDENTITY_REJECT, "a@staff.example", "a@x.example"},
    {"", "ann", "{}", "{\"groups\": [\"staff\"]}", GATE_IDENTITY_REJECT, "a@staff.example", "a@x.example"},
    {"", "ann", "{\"groups\": [\"quiet\", \"unknown\"]}", NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"", "ann", "{\"senders\": \"a@x.example\", \"groups\": \"staff\"}", NULL, GATE_IDENTITY_REJECT, "a@x.example",
     "b@x.example"},
    {"", "ann", "{\"senders\": \"a@x.example\", \"groups\": \"ops\"}", NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"[identity]\n", "ann", "{}", NULL, GATE_IDENTITY_OFF, "a@x.example", NULL},
    {"[identity]\nsenders = ['{user}']\n", "ann@x.example", "{}", NULL, GATE_IDENTITY_REJECT, "ann@x.example",
     "bob@x.example"},
    {"[identity]\nsenders = []\n", "ann", "{}", NULL, GATE_IDENTITY_REJECT, NULL, "ann@x.example"},
    {"[identity]\nsenders = ['{user}@x.example']\n", "ann", NULL, NULL, GATE_IDENTITY_REJECT, "ann@x.example",
     "bob@x.example"},
    {"[identity]\nsenders = ['z@x.example']\n", "ann", "{\"senders\": \"a@x.example\"}", NULL, GATE_IDENTITY_REJECT,
     "a@x.example", "z@x.example"},
    {"[identity]\nmode = 'off'\n", "ann", "{\"senders\": \"a@x.example\"}", NULL, GATE_IDENTITY_OFF, NULL, NULL},
    {"[identity]\nmode = 'log'\n", "ann", "{\"senders\": \"a@x.example\"}", NULL, GATE_IDENTITY_LOG, NULL, NULL},
    {"[identity]\nmode = 'rewrite'\n", "ann", "{\"senders\": \"a@x.example\"}", NULL, GATE_IDENTITY_REWRITE, NULL,
     NULL},
};

static void test_modes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char *toml = mem_printf("%s%s", modes[i].identity, people);
        struct person person = person_of(toml, modes[i].user, modes[i].record, modes[i].info);

        if (gate_identity_mode(&person.who) != modes[i].mode)
            fail_msg("%zu: mode %d", i, (int)gate_identity_mode(&person.who));
        if (modes[i].may && !gate_identity_may_send_as(&person.who, span_of(modes[i].may)))
            fail_msg("%zu: not as %s", i, modes[i].may);
        if (modes[i].may_not && gate_identity_may_send_as(&person.who, span_of(modes[i].may_not)))
            fail_msg("%zu: as %s", i, modes[i].may_not);
        assert_true(gate_identity_may_send_as(&person.who, SPAN_LIT("")));
        person_done(&person);
        free(toml);
    }
}

static void test_nobody_is_held_to_nothing(void **state)
{
    struct gate_who who = {0};
    json_t *tenants = gate_identity_tenants(&who);

    (void)state;
    assert_int_equal(gate_identity_mode(&who), GATE_IDENTITY_OFF);
    assert_int_equal(json_array_size(tenants), 0);
    json_decref(tenants);
    assert_null(gate_identity_tenant_header(NULL));
    assert_int_equal(gate_identity_relay(NULL), GATE_RELAY_UNSAID);
}

static void test_null_sender(void **state)
{
    char *toml = mem_printf("[identity]\nnull_sender = false\nchecks = 'mail_from'\n%s", people);
    struct person person = person_of(toml, "ann", "{}", NULL);

    (void)state;
    assert_int_equal(gate_identity_mode(&person.who), GATE_IDENTITY_REJECT);
    assert_int_equal(gate_identity_checks(&person.who), GATE_CHECK_MAIL_FROM);
    assert_false(gate_identity_may_send_as(&person.who, SPAN_LIT("")));
    assert_true(gate_identity_may_send_as(&person.who, SPAN_LIT("any@x.example")));
    person_done(&person);
    free(toml);
}

static const struct {
    const char *identity, *user, *senders, *to;
} rewrites[] = {
    {"", "ann", "[\"@x.example\", \"a@x.example\", \"b@x.example\"]", "a@x.example"},
    {"", "ann@x.example", "[\"@x.example\"]", "ann@x.example"},
    {"", "ann@y.example", "[\"@x.example\"]", NULL},
    {"", "ann", "[\"@x.example\"]", NULL},
    {"", "ann", "[\"{user}@x.example\"]", "ann@x.example"},
    {"[identity]\nrewrite_to = 'no@x.example'\n", "ann", "[\"a@x.example\"]", "no@x.example"},
    {"[identity]\nrewrite_to = '{user}@x.example'\n", "ann", "[\"a@x.example\"]", "ann@x.example"},
};

static void test_rewrite_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rewrites / sizeof *rewrites; i++) {
        char *toml = mem_printf("%s%s", rewrites[i].identity, people);
        char *record = mem_printf("{\"senders\": %s}", rewrites[i].senders);
        struct person person = person_of(toml, rewrites[i].user, record, NULL);
        struct gate_address address;

        assert_int_equal(gate_identity_rewrite_to(&person.who, &address), rewrites[i].to ? 0 : -1);
        if (rewrites[i].to)
            assert_string_equal(address.text, rewrites[i].to);
        person_done(&person);
        free(toml);
        free(record);
    }
}

static const struct {
    const char *record, *info, *tenants;
} tenants[] = {
    {"{}", NULL, "[]"},
    {"{\"tenant\": \"t1\"}", NULL, "[\"t1\"]"},
    {"{\"tenants\": [\"t1\", \"t2\"]}", NULL, "[\"t1\",\"t2\"]"},
    {"{\"tenants\": [\"t1\", \"t2\"]}", "{\"tenant\": \"t2\"}", "[\"t2\",\"t1\"]"},
    {"{\"groups\": \"staff\"}", NULL, "[\"blue\"]"},
    {"{\"tenant\": \"t1\", \"groups\": [\"staff\", \"quiet\"]}", NULL, "[\"t1\",\"blue\",\"green\"]"},
    {"{}", "{\"groups\": [\"quiet\"]}", "[\"green\",\"blue\"]"},
    {"{}", "{\"tenant\": \"lua\"}", "[\"lua\"]"},
    {"{\"tenants\": [\"a@b\", \"a:b\", \"a!b\", \"a b\", \"ok\"]}", NULL, "[\"ok\"]"},
};

static void test_tenants(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tenants / sizeof *tenants; i++) {
        struct person person = person_of(people, "ann", tenants[i].record, tenants[i].info);
        json_t *list = gate_identity_tenants(&person.who);
        char *text = json_dumps(list, JSON_COMPACT);

        assert_string_equal(text, tenants[i].tenants);
        free(text);
        json_decref(list);
        person_done(&person);
    }
}

/* ---- faults in the file ---- */

static const struct {
    const char *toml, *complaint; /* behind the path of the file */
} faults[] = {
    {"[identity]\nmode = 'maybe'\n", ":2: identity.mode: must be one of"},
    {"[identity]\nchecks = ['to']\n", ":2: identity.checks: there is no check \"to\""},
    {"[identity]\nsenders = ['a b']\n", ":2: identity.senders: \"a b\" is no address"},
    {"[identity]\ntenant_header = 'X Tenant'\n", ":2: identity.tenant_header: "},
    {"[identity]\nrewrite_to = '@x.example'\n", ":2: identity.rewrite_to: \"@x.example\" is no address"},
    {"[identity]\ncolour = 'red'\n", ":2: identity.colour: there is no such setting"},
    {"[group.staff]\nsenders = ['*.']\n", ":2: group.staff.senders: \"*.\" is no address"},
    {"[group.staff]\ntenants = ['a@b']\n", ":2: group.staff.tenants: \"a@b\" cannot be a tenant's name"},
    {"[user.bob]\npassword = 'p'\nsenders = ['x', 'a@b@c']\n", ":1: user: bob: senders: \"a@b@c\" is no address"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct error error = {0};
        char *toml = mem_printf("%s[user.ann]\npassword = 'p'\n", faults[i].toml);
        char *expected = mem_printf("%s%s", test_path, faults[i].complaint);

        assert_null(try_rules(toml, &error));
        if (strncmp(error.sentence, expected, strlen(expected)))
            fail_msg("%zu: '%s' does not begin with '%s'", i, error.sentence, expected);
        free(toml);
        free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_long_addresses),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_sound_patterns),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_charsets),
        cmocka_unit_test(test_a_nul_is_no_text),
        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_only_what_is_checked),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_nobody_is_held_to_nothing),
        cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_rewrite_to),
        cmocka_unit_test(test_tenants),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, start_all, stop_all);
}
