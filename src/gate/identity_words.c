/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoded words of RFC 2047. The awkward truth is that hardly two clients find the same words. Where they only differ
 * in which of them they decode and in what they put between them, each way is a reading of its own (enum gate_words);
 * what begins like a word and then is none (a question mark, an unknown letter in it) ends for each reader somewhere
 * else, and is not read.
 *
 * A character may be cut in two by the end of a word: the RFC forbids it, and many clients put it together again. So
 * the bytes of UTF-8 words that touch are read as one; with charsets where a byte more or less changes the meaning of
 * all behind it such words are not read.
 */
#include "gate/identity_words.h"

#include "gate/identity_charset.h"
#include "gate/identity_signs.h"

#define RUN_LIMIT_BYTES ((size_t)128 * 1024)

/* ---- words ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool has_blank(struct span text) { return span_find(text, ' ') < text.len || span_find(text, '\t') < text.len; }

static int decode_q(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i] == '_' ? ' ' : text.data[i];

        if (c == '=') {
            int high = i + 2 < text.len ? ascii_hex_value(text.data[i + 1]) : -1;
            int low = high >= 0 ? ascii_hex_value(text.data[i + 2]) : -1;

            if (low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (buf_append(out, &c, 1))
            return -1;
    }
    return 0;
}

/* 0 to 63; -1 when it is not of the alphabet. */
static int base64_value(char c)
{
    char lower = ascii_lower(c);

    if (lower >= 'a' && lower <= 'z')
        return lower - 'a' + (c == lower ? 26 : 0);
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Clients do without the padding. Some read on behind it, others do not: nothing may be there. */
static int decode_b(struct span text, struct buf *out)
{
    unsigned bits = 0, count = 0;

    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.data[i]);
        char byte;

        if (is_blank(text.data[i]))
            continue;
        if (value < 0)
            return -1;
        bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        byte = (char)(bits >> count & 0xFF);
        if (buf_append(out, &byte, 1))
            return -1;
    }
    return count < 6 ? 0 : -1; /* a letter alone is no byte */
}

struct word {
    struct span charset, text;
    bool is_base64;
    size_t len; /* of the whole */
};

enum found { FOUND_NONE, FOUND_WORD, FOUND_BROKEN };

/* "=?charset?Q?text?=" at the start of `s`. There may be blanks in the text: some clients take it. */
static enum found find_word(struct span s, struct word *word_out)
{
    struct span rest = span_from(s, 2);
    char encoding;

    if (!span_starts_with(s, SPAN_LIT("=?")))
        return FOUND_NONE;
    word_out->charset = span_head(rest, span_find(rest, '?'));
    rest = span_from(rest, word_out->charset.len + 1);
    encoding = rest.len > 1 && rest.data[1] == '?' ? ascii_lower(rest.data[0]) : '\0';
    if (encoding != 'q' && encoding != 'b')
        return FOUND_NONE;
    word_out->is_base64 = encoding == 'b';
    rest = span_from(rest, 2);
    word_out->text = span_head(rest, span_find(rest, '?'));
    rest = span_from(rest, word_out->text.len);
    if (!span_starts_with(rest, SPAN_LIT("?=")) || !span_is_ascii(word_out->text))
        return FOUND_BROKEN;
    word_out->len = (size_t)(rest.data + 2 - s.data);
    return FOUND_WORD;
}

/* ---- words that touch ---- */

struct decoder {
    enum gate_words how;
    struct buf *out;
    bool has_word; /* one whose bytes are not shown yet */
    enum gate_charset charset;
    struct buf bytes;
};

static int show_run(struct decoder *decoder, bool is_followed)
{
    int result = gate_charset_show(decoder->charset, buf_span(&decoder->bytes), is_followed, decoder->out);

    buf_clear(&decoder->bytes);
    decoder->has_word = false;
    return result;
}

static int add_space(struct decoder *decoder)
{
    bool is_spaced = decoder->how == GATE_WORDS_SPACED || decoder->how == GATE_WORDS_APART;

    return is_spaced ? buf_append(decoder->out, " ", 1) : 0;
}

/* What follows is no word. */
static int end_run(struct decoder *decoder)
{
    return decoder->has_word && (show_run(decoder, false) || add_space(decoder)) ? -1 : 0;
}

static int add_word(struct decoder *decoder, const struct word *word)
{
    enum gate_charset charset = gate_charset_of(word->charset);
    bool goes_on = decoder->charset == charset && charset == GATE_CHARSET_UTF8;

    if (decoder->has_word && !goes_on && show_run(decoder, true))
        return -1;
    decoder->has_word = true;
    decoder->charset = charset;
    return (word->is_base64 ? decode_b : decode_q)(word->text, &decoder->bytes);
}

static bool is_decoded(enum gate_words how, const struct word *word)
{
    return how != GATE_WORDS_PLAIN && (how != GATE_WORDS_STRICT || !has_blank(word->text));
}

static int take_word(struct decoder *decoder, struct span blanks, const struct word *word)
{
    bool is_shown = is_decoded(decoder->how, word);

    if (decoder->how == GATE_WORDS_MIXED && decoder->has_word && (blanks.len == 0 || !span_is_ascii(blanks)) &&
        (end_run(decoder) || buf_append_text(decoder->out, GATE_OTHER_LETTER)))
        return -1;
    if ((!is_shown || decoder->how == GATE_WORDS_APART) && end_run(decoder))
        return -1;
    /* blanks between two words are no text */
    if (!decoder->has_word && (buf_append_span(decoder->out, blanks) || add_space(decoder)))
        return -1;
    return is_shown ? add_word(decoder, word) : buf_append_text(decoder->out, GATE_OTHER_LETTER);
}

/* Of the blank at the start, of Unicode's too: to some those are no text between two words either. */
static size_t blank_length(struct span text)
{
    static const char *const blanks[] = {" ",
                                         "\t",
                                         "\xC2\x85",
                                         "\xC2\xA0",
                                         "\xE1\x9A\x80",
                                         "\xE3\x80\x80",
                                         "\xE2\x80\xA8",
                                         "\xE2\x80\xA9",
                                         "\xE2\x80\xAF",
                                         "\xE2\x81\x9F"};

    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++)
        if (span_starts_with(text, span_of(blanks[i])))
            return strlen(blanks[i]);
    /* U+2000 to U+200B */
    return span_starts_with(text, SPAN_LIT("\xE2\x80")) && text.len > 2 && (unsigned char)text.data[2] <= 0x8B ? 3 : 0;
}

static size_t blanks_at(struct span text)
{
    size_t count = 0;

    for (size_t len; (len = blank_length(span_from(text, count))) > 0;)
        count += len;
    return count;
}

static int decode(struct decoder *decoder, struct span text)
{
    while (text.len > 0) {
        size_t blanks = blanks_at(text), used = blanks + 1;
        struct word word = {0};
        enum found found = find_word(span_from(text, blanks), &word);

        if (found == FOUND_BROKEN)
            return -1;
        if (found == FOUND_WORD) {
            if (take_word(decoder, span_head(text, blanks), &word))
                return -1;
            used = blanks + word.len;
        } else if (end_run(decoder) || buf_append_span(decoder->out, span_head(text, used))) {
            return -1;
        }
        text = span_from(text, used);
    }
    return end_run(decoder);
}

int gate_words_decode(struct span text, enum gate_words how, struct buf *out)
{
    struct decoder decoder = {.how = how, .out = out};
    int result;

    buf_init(&decoder.bytes, RUN_LIMIT_BYTES);
    result = decode(&decoder, text);
    buf_done(&decoder.bytes);
    return result;
}
