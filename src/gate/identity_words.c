/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoded words of RFC 2047. What has to be known of a charset is only which of its bytes are ASCII: there are those
 * where each byte below 0x80 is, those where such a byte may be the second half of a character, and those that switch
 * with escape sequences. In any other (UTF-7, UTF-16) an @ can be written without a byte of that value.
 */
#include "gate/identity_words.h"

#define WORD_LIMIT_BYTES ((size_t)128 * 1024)

enum charset { CHARSET_UTF8, CHARSET_BYTES, CHARSET_PAIRS, CHARSET_SWITCHED, CHARSET_UNKNOWN };

static const struct {
    const char *prefix;
    enum charset charset;
} charsets[] = {
    {"utf-8", CHARSET_UTF8},        {"utf8", CHARSET_UTF8},         {"us-ascii", CHARSET_BYTES},
    {"ascii", CHARSET_BYTES},       {"ansi_x3", CHARSET_BYTES},     {"iso-8859-", CHARSET_BYTES},
    {"iso8859-", CHARSET_BYTES},    {"iso_8859-", CHARSET_BYTES},   {"latin", CHARSET_BYTES},
    {"windows-31j", CHARSET_PAIRS}, {"windows-125", CHARSET_BYTES}, {"windows-874", CHARSET_BYTES},
    {"windows-949", CHARSET_PAIRS}, {"windows-936", CHARSET_PAIRS}, {"cp125", CHARSET_BYTES},
    {"cp437", CHARSET_BYTES},       {"cp85", CHARSET_BYTES},        {"cp866", CHARSET_BYTES},
    {"ibm437", CHARSET_BYTES},      {"ibm85", CHARSET_BYTES},       {"koi8", CHARSET_BYTES},
    {"mac", CHARSET_BYTES},         {"x-mac", CHARSET_BYTES},       {"tis-620", CHARSET_BYTES},
    {"viscii", CHARSET_BYTES},      {"shift", CHARSET_PAIRS},       {"sjis", CHARSET_PAIRS},
    {"x-sjis", CHARSET_PAIRS},      {"cp9", CHARSET_PAIRS},         {"ms932", CHARSET_PAIRS},
    {"euc-", CHARSET_PAIRS},        {"gb", CHARSET_PAIRS},          {"big5", CHARSET_PAIRS},
    {"ks_c_", CHARSET_PAIRS},       {"johab", CHARSET_PAIRS},       {"iso-2022-", CHARSET_SWITCHED},
};

static enum charset charset_of(struct span name)
{
    name = span_head(name, span_find(name, '*')); /* RFC 2231's language */
    for (size_t i = 0; i < sizeof charsets / sizeof *charsets; i++)
        if (span_istarts_with(name, span_of(charsets[i].prefix)))
            return charsets[i].charset;
    return CHARSET_UNKNOWN;
}

/* ---- bytes to what is shown ---- */

static int put(char c, struct buf *out) { return buf_append(out, (unsigned char)c < 0x80 ? &c : "?", 1); }

static int show_pairs(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        bool is_pair = (unsigned char)bytes.data[i] > 0x80 && i + 1 < bytes.len;

        if (put(bytes.data[i], out))
            return -1;
        i += is_pair;
    }
    return 0;
}

/* ESC ( B and ESC ( J are back to ASCII; so is SI after SO. */
static int show_switched(struct span bytes, struct buf *out)
{
    bool is_ascii = true;

    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.data[i];

        if (c == '\x1b') {
            is_ascii = i + 1 < bytes.len && bytes.data[i + 1] == '(';
            for (i++; i < bytes.len && (unsigned char)bytes.data[i] < 0x30;)
                i++;
            if (!is_ascii && i < bytes.len && bytes.data[i] == '$')
                i++;
        } else if (c == '\x0e' || c == '\x0f') {
            is_ascii = c == '\x0f';
        } else if (put(is_ascii ? c : '?', out)) {
            return -1;
        }
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

static int show(enum charset charset, struct span bytes, struct buf *out)
{
    switch (charset) {
    case CHARSET_UTF8:
        return span_is_utf8(bytes) ? buf_append_span(out, bytes) : show_bytes(bytes, out);
    case CHARSET_BYTES:
        return show_bytes(bytes, out);
    case CHARSET_PAIRS:
        return show_pairs(bytes, out);
    case CHARSET_SWITCHED:
        return show_switched(bytes, out);
    case CHARSET_UNKNOWN:
        break;
    }
    return -1;
}

/* ---- words ---- */

static int decode_q(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i] == '_' ? ' ' : text.data[i];
        int high = i + 2 < text.len ? ascii_hex_value(text.data[i + 1]) : -1;
        int low = high >= 0 ? ascii_hex_value(text.data[i + 2]) : -1;

        if (c == '=' && low >= 0) {
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (buf_append(out, &c, 1))
            return -1;
    }
    return 0;
}

static bool is_base64(char c)
{
    char lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Clients do without the padding, and read over what is not of the alphabet. Bits left over are of no matter. */
static int decode_b(struct span text, struct buf *out)
{
    unsigned bits = 0, count = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i], lower = ascii_lower(c);
        unsigned value = c == '+' ? 62 : 63;
        char byte;

        if (!is_base64(c))
            continue;
        if (c >= '0' && c <= '9')
            value = (unsigned)(c - '0') + 52;
        else if (lower >= 'a' && lower <= 'z')
            value = (unsigned)(lower - 'a') + (c == lower ? 26 : 0);
        bits = (bits << 6 | value) & 0xFFFFFF;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        byte = (char)(bits >> count & 0xFF);
        if (buf_append(out, &byte, 1))
            return -1;
    }
    return 0;
}

struct word {
    struct span charset, text;
    bool is_base64;
    size_t len; /* of the whole */
};

/* "=?charset?Q?text?=" at the start of `s`. The text may hold anything, blanks too: some clients take it. Where no
 * word can end any more, `*may_end` becomes false, so that it is not looked for again and again. */
static bool find_word(struct span s, struct word *word_out, bool *may_end)
{
    struct span rest = span_from(s, 2);
    struct word word = {0};
    const char *end;

    if (!*may_end || !span_starts_with(s, SPAN_LIT("=?")))
        return false;
    word.charset = span_head(rest, span_find(rest, '?'));
    if (word.charset.len == 0)
        return false;
    rest = span_from(rest, word.charset.len + 1);
    if (rest.len < 2 || rest.data[1] != '?' || !strchr("qb", ascii_lower(rest.data[0])))
        return false;
    word.is_base64 = ascii_lower(rest.data[0]) == 'b';
    rest = span_from(rest, 2);
    end = memmem(rest.data, rest.len, "?=", 2);
    *may_end = end != NULL;
    if (!end)
        return false;
    word.text = span_head(rest, (size_t)(end - rest.data));
    word.len = (size_t)(end + 2 - s.data);
    *word_out = word;
    return true;
}

static int take_word(const struct word *word, struct buf *out)
{
    struct buf bytes;
    int result;

    buf_init(&bytes, WORD_LIMIT_BYTES);
    result = (word->is_base64 ? decode_b : decode_q)(word->text, &bytes);
    result = result ? result : show(charset_of(word->charset), buf_span(&bytes), out);
    buf_done(&bytes);
    return result;
}

static size_t blanks_at(struct span text)
{
    size_t count = 0;

    while (count < text.len && (text.data[count] == ' ' || text.data[count] == '\t'))
        count++;
    return count;
}

int gate_words_decode(struct span text, struct buf *out)
{
    bool after_word = false, may_end = true;

    while (text.len > 0) {
        size_t blanks = blanks_at(text), used = blanks + 1;
        struct word word;

        if (find_word(span_from(text, blanks), &word, &may_end)) {
            /* blanks between two words are no text */
            if ((!after_word && buf_append(out, text.data, blanks)) || take_word(&word, out))
                return -1;
            used = blanks + word.len;
            after_word = true;
        } else {
            if (buf_append_span(out, span_head(text, used)))
                return -1;
            after_word = false;
        }
        text = span_from(text, used);
    }
    return 0;
}
