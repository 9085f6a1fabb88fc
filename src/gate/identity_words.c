/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoded words of RFC 2047. The awkward truth is that a character may be cut in two by the end of a word: the RFC
 * forbids it, and many clients put it together again. So the bytes of UTF-8 words that touch are read as one, which
 * shows all that they could show one by one; with charsets where that is not so (a byte more or less changes the
 * meaning of all behind it) such words are not read.
 */
#include "gate/identity_words.h"

#include "gate/identity_charset.h"

#define RUN_LIMIT_BYTES ((size_t)128 * 1024)

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

/* ---- words that touch ---- */

/* Those whose bytes are not shown yet. */
struct run {
    bool has_word;
    enum gate_charset charset;
    struct buf bytes;
};

static int end_run(struct run *run, bool is_followed, struct buf *out)
{
    int result = run->has_word ? gate_charset_show(run->charset, buf_span(&run->bytes), is_followed, out) : 0;

    buf_clear(&run->bytes);
    run->has_word = false;
    return result;
}

static int take_word(struct run *run, const struct word *word, struct buf *out)
{
    enum gate_charset charset = gate_charset_of(word->charset);
    bool goes_on = run->charset == charset && charset == GATE_CHARSET_UTF8;

    if (!goes_on && end_run(run, true, out))
        return -1;
    run->has_word = true;
    run->charset = charset;
    return (word->is_base64 ? decode_b : decode_q)(word->text, &run->bytes);
}

static size_t blanks_at(struct span text)
{
    size_t count = 0;

    while (count < text.len && (text.data[count] == ' ' || text.data[count] == '\t'))
        count++;
    return count;
}

static int decode(struct span text, struct run *run, struct buf *out)
{
    bool may_end = true;

    while (text.len > 0) {
        size_t blanks = blanks_at(text), used = blanks + 1;
        struct word word;

        if (find_word(span_from(text, blanks), &word, &may_end)) {
            /* blanks between two words are no text */
            if ((!run->has_word && buf_append(out, text.data, blanks)) || take_word(run, &word, out))
                return -1;
            used = blanks + word.len;
        } else if (end_run(run, false, out) || buf_append_span(out, span_head(text, used))) {
            return -1;
        }
        text = span_from(text, used);
    }
    return end_run(run, false, out);
}

int gate_words_decode(struct span text, struct buf *out)
{
    struct run run = {.has_word = false};
    int result;

    buf_init(&run.bytes, RUN_LIMIT_BYTES);
    result = decode(text, &run, out);
    buf_done(&run.bytes);
    return result;
}
