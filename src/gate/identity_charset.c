/* SPDX-License-Identifier: Apache-2.0
 *
 * What has to be known of a charset is how long its characters are, which of them look like an @ or a dot, and which
 * turn text around; the tables of conversion are not. Where a byte that would be ASCII stands in a place where it can
 * only be an error, one reader swallows it and the next shows it: that is not read at all. In charsets that are not
 * here (UTF-7, UTF-16, and the rarer ones of several bytes) an @ can be written in ways that are unknown.
 */
#include "gate/identity_charset.h"

#include "gate/identity_signs.h"

static const struct {
    const char *prefix;
    enum gate_charset charset;
} charsets[] = {
    {"utf-8", GATE_CHARSET_UTF8},
    {"utf8", GATE_CHARSET_UTF8},
    {"us-ascii", GATE_CHARSET_UTF8}, /* what is no ASCII in it is often that */
    {"ascii", GATE_CHARSET_UTF8},
    {"ansi_x3", GATE_CHARSET_UTF8},
    {"iso-8859-8", GATE_CHARSET_MARKED},
    {"iso8859-8", GATE_CHARSET_MARKED},
    {"iso_8859-8", GATE_CHARSET_MARKED},
    {"iso-8859-", GATE_CHARSET_BYTES},
    {"iso8859-", GATE_CHARSET_BYTES},
    {"iso_8859-", GATE_CHARSET_BYTES},
    {"latin", GATE_CHARSET_BYTES},
    {"windows-1255", GATE_CHARSET_MARKED},
    {"windows-1256", GATE_CHARSET_MARKED},
    {"windows-125", GATE_CHARSET_BYTES},
    {"windows-874", GATE_CHARSET_BYTES},
    {"cp1255", GATE_CHARSET_MARKED},
    {"cp1256", GATE_CHARSET_MARKED},
    {"cp125", GATE_CHARSET_BYTES},
    {"cp437", GATE_CHARSET_BYTES},
    {"cp85", GATE_CHARSET_BYTES},
    {"cp866", GATE_CHARSET_BYTES},
    {"ibm437", GATE_CHARSET_BYTES},
    {"ibm85", GATE_CHARSET_BYTES},
    {"koi8", GATE_CHARSET_BYTES},
    {"macintosh", GATE_CHARSET_BYTES}, /* there are Macs' of several bytes, and some with a dot of their own */
    {"x-mac-roman", GATE_CHARSET_BYTES},
    {"x-mac-ce", GATE_CHARSET_BYTES},
    {"x-mac-cyrillic", GATE_CHARSET_BYTES},
    {"tis-620", GATE_CHARSET_BYTES},
    {"shift", GATE_CHARSET_SHIFT_JIS},
    {"sjis", GATE_CHARSET_SHIFT_JIS},
    {"x-sjis", GATE_CHARSET_SHIFT_JIS},
    {"windows-31j", GATE_CHARSET_SHIFT_JIS},
    {"ms932", GATE_CHARSET_SHIFT_JIS},
    {"cp932", GATE_CHARSET_SHIFT_JIS},
    {"euc-jp", GATE_CHARSET_EUC_JP},
    {"euc-kr", GATE_CHARSET_EUC_KR},
    {"ks_c_", GATE_CHARSET_EUC_KR},
    {"windows-949", GATE_CHARSET_EUC_KR},
    {"cp949", GATE_CHARSET_EUC_KR},
    {"gb", GATE_CHARSET_GB},
    {"euc-cn", GATE_CHARSET_GB},
    {"eucgb2312", GATE_CHARSET_GB}, /* "eucgb2312_cn" is what Python writes */
    {"windows-936", GATE_CHARSET_GB},
    {"cp936", GATE_CHARSET_GB},
    {"big5", GATE_CHARSET_BIG5},
    {"cp950", GATE_CHARSET_BIG5},
};

/* To whoever does not know the name, what stands between escape sequences is plain ASCII: it has to be one of these. */
static const struct {
    const char *name;
    enum gate_charset charset;
} switched[] = {
    {"iso-2022-jp", GATE_CHARSET_ISO_2022_JP},   {"iso-2022-jp-1", GATE_CHARSET_ISO_2022_JP},
    {"iso-2022-jp-2", GATE_CHARSET_ISO_2022_JP}, {"iso-2022-jp-3", GATE_CHARSET_ISO_2022_JP},
    {"iso-2022-kr", GATE_CHARSET_ISO_2022_KR},
};

static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && !strchr("-_.:", c))
            return false;
    }
    return true;
}

enum gate_charset gate_charset_of(struct span name)
{
    name = span_head(name, span_find(name, '*')); /* RFC 2231's language */
    if (!is_name(name))
        return GATE_CHARSET_UNKNOWN;
    for (size_t i = 0; i < sizeof switched / sizeof *switched; i++)
        if (span_ieq(name, span_of(switched[i].name)))
            return switched[i].charset;
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (span_istarts_with(name, span_of(charsets[i].prefix)))
            return charsets[i].charset;
    return GATE_CHARSET_UNKNOWN;
}

static int put_other(struct buf *out) { return buf_append_text(out, GATE_OTHER_LETTER); }

/* Controls are shown by one reader as nothing and by another as a blank. */
static int put(char c, struct buf *out)
{
    if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
        return -1;
    return (unsigned char)c < 0x80 ? buf_append(out, &c, 1) : put_other(out);
}

/* ---- one byte each, and UTF-8 ---- */

static int show_utf8(struct span bytes, struct buf *out)
{
    while (bytes.len > 0) {
        size_t len = span_utf8_char(bytes);

        if (len > 1 ? buf_append(out, bytes.data, len) : put(bytes.data[0], out))
            return -1;
        bytes = span_from(bytes, len ? len : 1);
    }
    return 0;
}

static int show_bytes(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (put(bytes.data[i], out))
            return -1;
    return 0;
}

static int show_marked(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        bool is_mark = bytes.data[i] == '\xFD' || bytes.data[i] == '\xFE';

        if (is_mark ? buf_append_text(out, bytes.data[i] == '\xFD' ? "\xE2\x80\x8E" : "\xE2\x80\x8F")
                    : put(bytes.data[i], out))
            return -1;
    }
    return 0;
}

/* ---- one or two bytes, in some more ---- */

struct multibyte {
    const char *leads, *trails; /* the first and last byte of each range */
    char triple;                /* a lead of three bytes */
    bool has_fours;             /* GB 18030's, whose second and fourth are digits */
    struct {
        unsigned code; /* of two bytes, or of one */
        char plain;
    } signs[6];
};

static const struct multibyte shift_jis = {
    .leads = "\x81\x9F\xE0\xFC",
    .trails = "\x40\x7E\x80\xFC",
    .signs = {{0x8197, '@'}, {0x8142, '.'}, {0x8144, '.'}, {0xA1, '.'}},
};
static const struct multibyte euc_jp = {
    .leads = "\x8E\x8F\xA1\xFE",
    .trails = "\xA1\xFE",
    .triple = '\x8F',
    .signs = {{0xA1F7, '@'}, {0xA1A3, '.'}, {0xA1A5, '.'}, {0x8EA1, '.'}},
};
static const struct multibyte euc_kr = {
    .leads = "\x81\xFE",
    .trails = "\x41\x5A\x61\x7A\x81\xFE",
    .signs = {{0xA3C0, '@'}, {0xA1A3, '.'}, {0xA3AE, '.'}},
};
static const struct multibyte gb = {
    .leads = "\x81\xFE",
    .trails = "\x40\x7E\x80\xFE",
    .has_fours = true,
    .signs = {{0xA3C0, '@'}, {0xA988, '@'}, {0xA1A3, '.'}, {0xA3AE, '.'}, {0xA971, '.'}},
};
static const struct multibyte big5 = {
    .leads = "\x81\xFE",
    .trails = "\x40\x7E\xA1\xFE",
    .signs = {{0xA249, '@'}, {0xA24E, '@'}, {0xA143, '.'}, {0xA144, '.'}, {0xA14F, '.'}},
};

static bool is_in(const char *ranges, char c)
{
    for (; *ranges; ranges += 2)
        if ((unsigned char)c >= (unsigned char)ranges[0] && (unsigned char)c <= (unsigned char)ranges[1])
            return true;
    return false;
}

/* Does what there is of it fit? */
static bool is_sound(const struct multibyte *charset, struct span bytes, size_t len)
{
    for (size_t i = 1; i < len && i < bytes.len; i++) {
        const char *wanted = len < 4 ? charset->trails : i == 2 ? charset->leads : "09";

        if (!is_in(wanted, bytes.data[i]))
            return false;
    }
    return true;
}

static size_t length_of(const struct multibyte *charset, struct span bytes)
{
    if (!is_in(charset->leads, bytes.data[0]))
        return 1;
    if (charset->triple && bytes.data[0] == charset->triple)
        return 3;
    return charset->has_fours && bytes.len > 1 && is_in("09", bytes.data[1]) ? 4 : 2;
}

static unsigned number_of(struct span bytes)
{
    unsigned number = 0;

    for (size_t i = 0; i < bytes.len; i++)
        number = number << 8 | (unsigned char)bytes.data[i];
    return number;
}

/* GB 18030 has all of Unicode; what comes from the same table as ours is not here. */
static int show_four(struct span bytes, struct buf *out)
{
    static const struct {
        unsigned first, last;
        const char *shown;
    } fours[] = {
        {0x84319537, 0x84319537, "."},            /* U+FF61 */
        {0x8136A633, 0x8136A633, "."},            /* U+2024 */
        {0x8136A637, 0x8136A639, "\xE2\x80\xAA"}, /* U+202A to U+202C */
        {0x8136A730, 0x8136A731, "\xE2\x80\xAE"}, /* U+202D, U+202E */
        {0x8136AC32, 0x8136AC35, "\xE2\x81\xA6"}, /* U+2066 to U+2069 */
        {0x8136A530, 0x8136A531, "\xE2\x80\x8E"}, /* U+200E, U+200F */
        {0x81318238, 0x81318238, "\xD8\x9C"},     /* U+061C */
    };
    unsigned number = number_of(bytes);

    for (size_t i = 0; i < sizeof fours / sizeof *fours; i++)
        if (number >= fours[i].first && number <= fours[i].last)
            return buf_append_text(out, fours[i].shown);
    return put_other(out);
}

/* The second half of a pair may have the value of an @, and where a pair is none, some readers show that. */
static int show_char(const struct multibyte *charset, struct span bytes, struct buf *out)
{
    unsigned number = number_of(bytes);

    if (bytes.len == 4)
        return show_four(bytes, out);
    for (size_t i = 0; i < sizeof charset->signs / sizeof *charset->signs && charset->signs[i].code; i++)
        if (charset->signs[i].code == number)
            return buf_append(out, &charset->signs[i].plain, 1);
    if (bytes.len == 1)
        return put(bytes.data[0], out);
    return put_other(out) || (bytes.data[1] == '@' && buf_append(out, "@", 1)) ? -1 : 0;
}

static int show_multibyte(const struct multibyte *charset, struct span bytes, bool is_followed, struct buf *out)
{
    while (bytes.len > 0) {
        size_t len = length_of(charset, bytes);

        if (!is_sound(charset, bytes, len))
            return -1;
        if (len > bytes.len) /* cut off; a part of it may be in the next word */
            return is_followed ? -1 : put_other(out);
        if (show_char(charset, span_head(bytes, len), out))
            return -1;
        bytes = span_from(bytes, len);
    }
    return 0;
}

/* ---- switched by escape sequences ---- */

enum set { SET_ASCII, SET_KATAKANA, SET_JAPANESE, SET_KOREAN, SET_AS_BEFORE };

struct escape {
    const char *text;
    enum set set;
};

/* Only what all know who know the charset: where a sequence is skipped, the pairs behind it are shown as ASCII. */
static const struct escape japanese[] = {
    {"\x1b(B", SET_ASCII},    {"\x1b(J", SET_ASCII},    {"\x1b(I", SET_KATAKANA},
    {"\x1b$@", SET_JAPANESE}, {"\x1b$B", SET_JAPANESE}, {NULL, SET_ASCII},
};
static const struct escape korean[] = {
    {"\x1b$)C", SET_AS_BEFORE}, /* says what the next one means */
    {"\x0e", SET_KOREAN},
    {"\x0f", SET_ASCII},
    {NULL, SET_ASCII},
};

static const struct escape *find_escape(const struct escape *escapes, struct span bytes)
{
    for (; escapes->text; escapes++)
        if (span_starts_with(bytes, span_of(escapes->text)))
            return escapes;
    return NULL;
}

/* Not all know them, and show ASCII. */
static int show_katakana(char c, struct buf *out)
{
    if (c < 0x21 || c > 0x5F)
        return -1;
    if (c == '@')
        return buf_append(out, "@", 1);
    return c == 0x21 || c == '.' ? buf_append(out, ".", 1) : put_other(out);
}

/* They are the pairs of the EUC charsets without the high bits. */
static int show_pair(enum set set, struct span bytes, struct buf *out)
{
    char pair[2];

    for (size_t i = 0; i < 2; i++) {
        if (bytes.data[i] < 0x21 || bytes.data[i] > 0x7E)
            return -1;
        pair[i] = (char)(bytes.data[i] | 0x80);
    }
    return show_char(set == SET_KOREAN ? &euc_kr : &euc_jp, span_make(pair, 2), out);
}

static int show_in_set(enum set set, struct span bytes, struct buf *out)
{
    if (set == SET_ASCII)
        return (unsigned char)bytes.data[0] < 0x80 ? put(bytes.data[0], out) : -1;
    return set == SET_KATAKANA ? show_katakana(bytes.data[0], out) : show_pair(set, bytes, out);
}

static int show_switched(const struct escape *escapes, struct span bytes, bool is_followed, struct buf *out)
{
    enum set set = SET_ASCII;

    while (bytes.len > 0) {
        const struct escape *escape = find_escape(escapes, bytes);
        size_t len = set == SET_ASCII || set == SET_KATAKANA ? 1 : 2;

        if (escape) {
            set = escape->set == SET_AS_BEFORE ? set : escape->set;
            len = strlen(escape->text);
        } else if (len > bytes.len) {
            return is_followed ? -1 : put_other(out);
        } else if (show_in_set(set, bytes, out)) {
            return -1;
        }
        bytes = span_from(bytes, len);
    }
    return is_followed && set != SET_ASCII ? -1 : 0;
}

int gate_charset_show(enum gate_charset charset, struct span bytes, bool is_followed, struct buf *out)
{
    switch (charset) {
    case GATE_CHARSET_UTF8:
        return show_utf8(bytes, out);
    case GATE_CHARSET_BYTES:
        return show_bytes(bytes, out);
    case GATE_CHARSET_MARKED:
        return show_marked(bytes, out);
    case GATE_CHARSET_SHIFT_JIS:
        return show_multibyte(&shift_jis, bytes, is_followed, out);
    case GATE_CHARSET_EUC_JP:
        return show_multibyte(&euc_jp, bytes, is_followed, out);
    case GATE_CHARSET_EUC_KR:
        return show_multibyte(&euc_kr, bytes, is_followed, out);
    case GATE_CHARSET_GB:
        return show_multibyte(&gb, bytes, is_followed, out);
    case GATE_CHARSET_BIG5:
        return show_multibyte(&big5, bytes, is_followed, out);
    case GATE_CHARSET_ISO_2022_JP:
        return show_switched(japanese, bytes, is_followed, out);
    case GATE_CHARSET_ISO_2022_KR:
        return show_switched(korean, bytes, is_followed, out);
    case GATE_CHARSET_UNKNOWN:
        break;
    }
    return -1;
}
