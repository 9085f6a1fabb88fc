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

#define TEXT_LIMIT_BYTES ((size_t)256 * 1024)

static bool ends_token(char c) { return gate_ends_atom(c) && c != '@'; }

/* What looks like an @ is made one, and what looks like a dot is made `dot`. */
static int make_plain(struct span text, char dot, struct buf *out)
{
    while (text.len > 0) {
        size_t len = 1;
        char plain = gate_sign_at(text, &len);

        if (buf_append(out, plain == '.' ? &dot : plain ? &plain : text.data, 1))
            return -1;
        text = span_from(text, len);
    }
    return 0;
}

/* 'ann@example.com'. is the address without what surrounds it; what stands right before an @ is a part of it. */
static struct span bare(struct span token)
{
    while (token.len > 0 && strchr("'`.!?", token.data[0]) && (token.len == 1 || token.data[1] != '@'))
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

/* The end of a quoted local part, or something like it: what begins with an @ goes on with what stands there. */
static bool ends_quoted(struct span before)
{
    char last = before.len > 1 ? before.data[before.len - 1] : ' ',
         inner = before.len > 1 ? before.data[before.len - 2] : ' ';

    return strchr("\")]>", last) && (unsigned char)inner > ' ' && inner != '\\';
}

static int judge_tokens(struct search *search, struct span text)
{
    for (size_t i = 0, end; i < text.len; i = end + 1) {
        for (end = i; end < text.len && !ends_token(text.data[end]);)
            end++;
        if (text.data[i] == '@' && ends_quoted(span_head(text, i)))
            i--;
        if (judge_token(search, span_make(text.data + i, end - i)))
            return -1;
    }
    return 0;
}

/* Where the letters of an address stand is not where they are seen. */
static bool is_turned(struct span text)
{
    return gate_has_turn(text) || (gate_has_direction(text) && span_find(text, '@') < text.len);
}

/* To some the dots that are none are those of a domain, to others they end a sentence. */
static int judge_dots(struct search *search, struct span text, char dot)
{
    struct buf plain;
    int result;

    search->addresses = 0;
    buf_init(&plain, TEXT_LIMIT_BYTES);
    if (make_plain(text, dot, &plain))
        result = unclear(search, "a name is too long");
    else if (is_turned(buf_span(&plain)))
        result = unclear(search, "a name is shown in another order than it stands in");
    else
        result = judge_tokens(search, buf_span(&plain));
    buf_done(&plain);
    return result;
}

static int judge_reading(struct search *search, struct span shown, enum gate_words how)
{
    struct buf decoded;
    int result;

    buf_init(&decoded, TEXT_LIMIT_BYTES);
    if (gate_words_decode(shown, how, &decoded))
        result = unclear(search, "a name is encoded in a way that cannot be read, or in several");
    else
        result = judge_dots(search, buf_span(&decoded), '.') || judge_dots(search, buf_span(&decoded), ' ') ? -1 : 0;
    buf_done(&decoded);
    return result;
}

int gate_shown_judge(struct span shown, gate_covers_fn *covers, void *ctx, struct gate_finding *finding_out)
{
    int readings = memmem(shown.data, shown.len, "=?", 2) ? GATE_WORDS_COUNT : 1;

    for (int how = 0; how < readings; how++) {
        struct search search = {.covers = covers, .ctx = ctx, .finding = finding_out};

        if (judge_reading(&search, shown, (enum gate_words)how))
            return -1;
    }
    return 0;
}

int gate_finding_set(struct gate_finding *finding, enum gate_shown shown, struct span what)
{
    size_t len = what.len < sizeof finding->what ? what.len : sizeof finding->what - 1;

    finding->shown = shown;
    memcpy(finding->what, what.data, len);
    finding->what[len] = '\0';
    return -1;
}
