/* SPDX-License-Identifier: Apache-2.0
 *
 * What mail clients show beside an address, or in its place: display names and comments. They are no addresses, and
 * people take them for such; so what looks like one in there has to be covered too, however the @ and the dots are
 * written.
 */
#include "base/buf.h"
#include "gate/identity_header.h"
#include "gate/identity_signs.h"
#include "gate/identity_words.h"

#define TEXT_LIMIT_BYTES ((size_t)128 * 1024)

static bool ends_token(char c) { return gate_ends_atom(c) && c != '@'; }

/* What looks like an @ or a dot is made one. */
static int make_plain(struct span text, struct buf *out)
{
    while (text.len > 0) {
        size_t len = 1;
        char plain = gate_sign_at(text, &len);

        if (buf_append(out, plain ? &plain : text.data, 1))
            return -1;
        text = span_from(text, len);
    }
    return 0;
}

/* 'ann@example.com'. is the address without what surrounds it. */
static struct span bare(struct span token)
{
    while (token.len > 0 && strchr("'`.!?", token.data[0]))
        token = span_from(token, 1);
    while (token.len > 0 && strchr("'`.!?", token.data[token.len - 1]))
        token.len--;
    return token;
}

/* With something before an @ (another @ will do), and a dotted name behind: a client may show it as an address. */
static bool looks_like_address(struct span token)
{
    struct span rest = span_from(token, 1);

    rest = span_from(rest, span_find(rest, '@'));
    return span_find(rest, '.') < rest.len;
}

struct search {
    gate_covers_fn *covers;
    void *ctx;
    struct gate_finding *finding;
    size_t addresses;
};

static int unclear(const struct search *search, const char *why)
{
    return gate_finding_set(search->finding, GATE_SHOWN_UNCLEAR, span_of(why));
}

static int judge_token(struct search *search, struct span token)
{
    struct gate_address address;

    token = bare(token);
    if (!looks_like_address(token))
        return 0;
    if (++search->addresses > GATE_ADDRESSES_MOST)
        return unclear(search, "there are too many addresses in it");
    if (gate_address_read(token, &address) || !search->covers(search->ctx, &address))
        return gate_finding_set(search->finding, GATE_SHOWN_FOREIGN, token);
    return 0;
}

static int judge_tokens(struct search *search, struct span text)
{
    while (text.len > 0) {
        size_t len = 0;

        while (len < text.len && !ends_token(text.data[len]))
            len++;
        if (judge_token(search, span_head(text, len)))
            return -1;
        text = span_from(text, len + 1);
    }
    return 0;
}

/* Where the letters of an address stand is not where they are seen. */
static bool is_turned(struct span text)
{
    return gate_has_turn(text) || (gate_has_direction(text) && span_find(text, '@') < text.len);
}

int gate_shown_judge(struct span shown, gate_covers_fn *covers, void *ctx, struct gate_finding *finding_out)
{
    struct search search = {.covers = covers, .ctx = ctx, .finding = finding_out};
    struct buf decoded, plain;
    int result;

    buf_init(&decoded, TEXT_LIMIT_BYTES);
    buf_init(&plain, TEXT_LIMIT_BYTES);
    if (gate_words_decode(shown, &decoded) || make_plain(buf_span(&decoded), &plain))
        result = unclear(&search, "a name is encoded in a way that cannot be read, or in several");
    else if (is_turned(buf_span(&plain)))
        result = unclear(&search, "a name is shown in another order than it stands in");
    else
        result = judge_tokens(&search, buf_span(&plain));
    buf_done(&decoded);
    buf_done(&plain);
    return result;
}

int gate_finding_set(struct gate_finding *finding, enum gate_shown shown, struct span what)
{
    size_t len = what.len < sizeof finding->what ? what.len : sizeof finding->what - 1;

    finding->shown = shown;
    memcpy(finding->what, what.data, len);
    finding->what[len] = '\0';
    return -1;
}
