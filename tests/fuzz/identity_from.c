/* SPDX-License-Identifier: Apache-2.0
 *
 * What a header shows: whatever is taken as covered holds no address of another domain, as the lenient reader of
 * message/address_list.h sees it; and names decode without overlooking the end of the input.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/must.h"
#include "gate/identity_header.h"
#include "gate/identity_words.h"
#include "message/address_list.h"
#include "message/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_ok(void *ctx, const struct gate_address *address)
{
    (void)ctx;
    MUST(address->text[address->at] == '@' && strlen(address->text) < GATE_ADDRESS_BYTES);
    return gate_pattern_covers("@ok.example", "ann", address) || gate_pattern_covers("*.ok.example", "ann", address);
}

static void check_lenient(struct span value)
{
    struct address_list list;
    struct error error;

    if (address_list_parse(value, &list, &error))
        return;
    for (size_t i = 0; i < list.count; i++) {
        struct gate_address address;

        MUST(gate_address_read(span_of(list.items[i].email), &address) == 0);
        MUST(is_ok(NULL, &address));
    }
    address_list_done(&list);
}

static void try_value(struct span value)
{
    struct gate_finding finding;

    gate_value_judge(value, is_ok, NULL, &finding);
    MUST(strlen(finding.what) < sizeof finding.what);
    if (finding.shown == GATE_SHOWN_COVERED)
        check_lenient(value);
}

static void try_section(struct span text)
{
    struct gate_findings findings;
    struct headers headers;
    struct error error;

    gate_header_judge(text, 0xF, is_ok, NULL, &findings);
    MUST((findings.refused == 0) == (findings.finding.shown == GATE_SHOWN_COVERED));
    if (findings.refused || headers_parse(text, &headers, &error))
        return;
    for (const struct header *header = NULL; (header = headers_find(&headers, SPAN_LIT("From"), header));)
        check_lenient(header->value);
    headers_done(&headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct buf out;

    try_value(text);
    try_section(text);
    buf_init(&out, 1 << 20);
    for (int how = 0; how < GATE_WORDS_COUNT; how++) {
        buf_clear(&out);
        if (gate_words_decode(text, (enum gate_words)how, &out) == 0)
            MUST(buf_len(&out) <= 3 * size); /* a letter that is not known has one byte in some charsets */
    }
    buf_done(&out);
    return 0;
}
