/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of what is counted. A part is written "<length>:<bytes>/", a long one "#<digest>/", a secret one
 * "!<keyed digest>/": how a part begins says how it ends, so a name has one reading, whatever a peer put into it.
 */
#include "base/must.h"
#include "crypto/digest.h"
#include "tally/tally_private.h"

#define KIND_MOST 24
#define PART_MOST_BYTES 96
#define DIGEST_CHARS (2 * TALLY_DIGEST_BYTES)

static void append(struct tally_key *key, const char *data, size_t len)
{
    MUST(key->len + len <= sizeof key->text);
    memcpy(key->text + key->len, data, len);
    key->len = (uint16_t)(key->len + len);
}

static bool is_kind_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("._-", c); }

void tally_key_init(struct tally_key *key, const char *kind)
{
    size_t len = strlen(kind);

    MUST(len > 0 && len <= KIND_MOST);
    for (size_t i = 0; i < len; i++)
        MUST(is_kind_char(kind[i]));
    key->len = 0;
    key->parts = 0;
    append(key, kind, len);
    append(key, "/", 1);
}

static void append_digest(struct tally_key *key, char sign, const unsigned char *digest)
{
    char hex[2 * TALLY_DIGEST_BYTES];

    tally_hex(digest, hex);
    append(key, &sign, 1);
    append(key, hex, sizeof hex);
    append(key, "/", 1);
}

void tally_key_add(struct tally_key *key, struct span part)
{
    unsigned char digest[CRYPTO_DIGEST_MOST_BYTES];
    char length[3] = {(char)('0' + part.len / 10 % 10), (char)('0' + part.len % 10), ':'};

    MUST(key->parts++ < TALLY_KEY_PARTS);
    if (part.len > PART_MOST_BYTES) {
        crypto_digest(CRYPTO_SHA256, part, digest);
        append_digest(key, '#', digest);
        return;
    }
    if (part.len < 10)
        append(key, length + 1, 2);
    else
        append(key, length, 3);
    append(key, part.data, part.len);
    append(key, "/", 1);
}

void tally_key_add_secret(struct tally *tally, struct tally_key *key, struct span part)
{
    unsigned char digest[TALLY_DIGEST_BYTES];

    MUST(key->parts++ < TALLY_KEY_PARTS);
    tally_digest(tally, part, digest);
    append_digest(key, '!', digest);
}

void tally_hex(const unsigned char digest[TALLY_DIGEST_BYTES], char out[2 * TALLY_DIGEST_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < TALLY_DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
}

/* The bytes of the part at the front of `*rest`, which moves behind it. */
static int take_part(struct span *rest, struct span *part_out)
{
    size_t len = 0;
    size_t head = 0;

    if (rest->len && (rest->data[0] == '#' || rest->data[0] == '!')) {
        len = 1 + DIGEST_CHARS;
    } else {
        while (head < 2 && head < rest->len && rest->data[head] >= '0' && rest->data[head] <= '9')
            len = len * 10 + (size_t)(rest->data[head++] - '0');
        if (!head || head >= rest->len || rest->data[head++] != ':')
            return -1;
    }
    if (rest->len < head + len + 1 || rest->data[head + len] != '/')
        return -1;
    *part_out = span_make(rest->data + head, len);
    *rest = span_from(*rest, head + len + 1);
    return 0;
}

int tally_key_part(struct span text, size_t index, struct span *part_out)
{
    struct span part = span_head(text, span_find(text, '/'));
    struct span rest = span_from(text, part.len + 1);

    for (size_t i = 0; i < index; i++)
        if (take_part(&rest, &part))
            return -1;
    *part_out = part;
    return 0;
}
