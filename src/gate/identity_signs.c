/* SPDX-License-Identifier: Apache-2.0
 *
 * Found by their bytes in UTF-8, in one pass.
 */
#include "gate/identity_signs.h"

static const struct {
    const char *letter;
    char plain;
} signs[] = {
    {"\xEF\xBC\xA0", '@'}, /* U+FF20 */
    {"\xEF\xB9\xAB", '@'}, /* U+FE6B */
    {"\xE3\x80\x82", '.'}, /* U+3002, and the next two: dots of a domain to IDNA (RFC 3490, section 3.1) */
    {"\xEF\xBC\x8E", '.'}, /* U+FF0E */
    {"\xEF\xBD\xA1", '.'}, /* U+FF61 */
    {"\xEF\xB9\x92", '.'}, /* U+FE52, and the next: dots to whoever makes names compatible (NFKC) */
    {"\xE2\x80\xA4", '.'}, /* U+2024 */
};

char gate_sign_at(struct span text, size_t *len_out)
{
    if (text.len == 0 || (unsigned char)text.data[0] < 0x80)
        return '\0';
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (span_starts_with(text, span_of(signs[i].letter))) {
            *len_out = strlen(signs[i].letter);
            return signs[i].plain;
        }
    return '\0';
}

bool gate_has_other_at(struct span text)
{
    size_t len;

    for (; text.len > 0; text = span_from(text, 1))
        if (gate_sign_at(text, &len) == '@')
            return true;
    return false;
}

/* Three bytes, the last one of a range. */
static bool has_of(struct span text, const char *begin, unsigned char first, unsigned char last)
{
    for (size_t i = 0; i + 2 < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i + 2];

        if (text.data[i] == begin[0] && text.data[i + 1] == begin[1] && c >= first && c <= last)
            return true;
    }
    return false;
}

bool gate_has_turn(struct span text)
{
    /* U+202A to U+202E, U+2066 to U+2069 */
    return has_of(text, "\xE2\x80", 0xAA, 0xAE) || has_of(text, "\xE2\x81", 0xA6, 0xA9);
}

bool gate_has_direction(struct span text)
{
    /* U+200E and U+200F, U+061C */
    return has_of(text, "\xE2\x80", 0x8E, 0x8F) || memmem(text.data, text.len, "\xD8\x9C", 2);
}

/* As bytes of UTF-8; they sort as the characters do. */
static const struct {
    const char *first, *last;
} non_letters[] = {
    {"\xC2\x80", "\xC2\xB6"},         /* to U+00B6; behind it is the dot of Catalan */
    {"\xC2\xB8", "\xC2\xBF"},         /* to U+00BF */
    {"\xE1\x85\x9F", "\xE1\x85\xA0"}, /* U+115F, U+1160: empty letters */
    {"\xE1\x9A\x80", "\xE1\x9A\x80"}, /* U+1680 */
    {"\xE1\xA0\x8E", "\xE1\xA0\x8E"}, /* U+180E */
    {"\xE2\x80\x80", "\xE2\x80\x8B"}, /* U+2000 to U+200B; the next two join letters in some languages */
    {"\xE2\x80\x8E", "\xE2\xAF\xBF"}, /* U+200E to U+2BFF */
    {"\xE3\x80\x80", "\xE3\x80\x84"}, /* U+3000 to U+3004 */
    {"\xE3\x80\x88", "\xE3\x80\xA0"}, /* U+3008 to U+3020 */
    {"\xE3\x85\xA4", "\xE3\x85\xA4"}, /* U+3164: an empty letter */
    {"\xEF\xB8\x80", "\xEF\xB9\xAF"}, /* U+FE00 to U+FE6F */
    {"\xEF\xBB\xBF", "\xEF\xBC\x8F"}, /* U+FEFF to U+FF0F */
    {"\xEF\xBC\x9A", "\xEF\xBC\xA0"}, /* U+FF1A to U+FF20 */
    {"\xEF\xBD\x9B", "\xEF\xBD\xA5"}, /* U+FF5B to U+FF65 */
    {"\xEF\xBE\xA0", "\xEF\xBE\xA0"}, /* U+FFA0: an empty letter */
    {"\xEF\xBF\xA0", "\xEF\xBF\xBF"}, /* U+FFE0 to the end, GATE_OTHER_LETTER among them */
};

bool gate_has_non_letter(struct span text)
{
    for (; text.len > 0; text = span_from(text, 1))
        for (size_t i = 0; (unsigned char)text.data[0] >= 0xC2 && i < sizeof non_letters / sizeof *non_letters; i++) {
            size_t len = strlen(non_letters[i].first);

            if (text.len >= len && memcmp(text.data, non_letters[i].first, len) >= 0 &&
                memcmp(text.data, non_letters[i].last, len) <= 0)
                return true;
        }
    return false;
}
