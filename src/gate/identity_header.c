/* SPDX-License-Identifier: Apache-2.0
 *
 * The header section: which fields speak of the author or sender, however their names are written. A section that
 * holds a bare CR or LF, a NUL, or a name with a blank or control in it can be split into fields in more than one way;
 * there is no saying then what it shows.
 */
#include "gate/identity_header.h"
#include "message/headers.h"

#define FIELDS_MOST 20

static const struct span names[GATE_FIELD_COUNT] = {
    [GATE_FIELD_FROM] = SPAN_LIT("From"),
    [GATE_FIELD_SENDER] = SPAN_LIT("Sender"),
    [GATE_FIELD_RESENT_FROM] = SPAN_LIT("Resent-From"),
    [GATE_FIELD_RESENT_SENDER] = SPAN_LIT("Resent-Sender"),
};

const char *gate_field_name(enum gate_field field) { return names[field].data; }

/* ---- names ---- */

/* GATE_FIELD_COUNT: none of ours. */
static enum gate_field field_of(const struct header *header, unsigned fields, bool *is_broken_out)
{
    for (unsigned i = 0; i < GATE_FIELD_COUNT; i++) {
        if (!(fields & 1U << i) || !header_is_named(header, names[i]))
            continue;
        /* a line without a colon of its own may find one in its fold */
        *is_broken_out = !header->has_colon || !span_ieq(header->name, names[i]);
        return (enum gate_field)i;
    }
    return (enum gate_field)GATE_FIELD_COUNT;
}

/* ---- the section ---- */

static const char *fault_of_section(struct span message, const struct headers *headers)
{
    struct span block = headers->block;
    struct span end = span_head(span_from(message, block.len), headers->body_at - block.len);

    for (size_t i = 0; i < block.len; i++) {
        char c = block.data[i];

        if (c == '\0')
            return "a NUL in the header";
        if ((c == '\r' && (i + 1 == block.len || block.data[i + 1] != '\n')) ||
            (c == '\n' && (i == 0 || block.data[i - 1] != '\r')))
            return "a CR or LF alone in the header";
    }
    return end.len == 0 || span_eq(end, SPAN_LIT("\r\n")) ? NULL : "a CR or LF alone at the end of the header";
}

static void note(struct gate_findings *findings, enum gate_field field, const struct gate_finding *finding)
{
    if (finding->shown == GATE_SHOWN_COVERED)
        return;
    if (findings->finding.shown == GATE_SHOWN_COVERED) {
        findings->field = field;
        findings->finding = *finding;
    }
    findings->refused |= 1U << field;
}

static void note_broken(struct gate_findings *findings, enum gate_field field, const char *why)
{
    struct gate_finding finding = {.shown = GATE_SHOWN_UNCLEAR};

    memcpy(finding.what, why, strlen(why) + 1);
    findings->is_broken = true;
    note(findings, field, &finding);
}

void gate_header_judge(struct span message, unsigned fields, gate_covers_fn *covers, void *ctx,
                       struct gate_findings *findings_out)
{
    struct gate_findings findings = {.finding = {.shown = GATE_SHOWN_COVERED}};
    struct headers headers;
    unsigned count = 0;
    const char *fault;

    *findings_out = findings;
    if (headers_parse(message, &headers, NULL)) {
        note_broken(findings_out, GATE_FIELD_FROM, "the header has too many fields");
        return;
    }
    for (size_t i = 0; i < headers.count; i++) {
        struct gate_finding finding;
        bool is_broken = false;
        enum gate_field field = field_of(&headers.items[i], fields, &is_broken);

        if ((unsigned)field == GATE_FIELD_COUNT)
            continue;
        if (is_broken || ++count > FIELDS_MOST) {
            note_broken(&findings, field, is_broken ? "its name is written oddly" : "there are too many of them");
            continue;
        }
        gate_value_judge(headers.items[i].value, covers, ctx, &finding);
        note(&findings, field, &finding);
    }
    fault = fault_of_section(message, &headers);
    if (fault)
        note_broken(&findings, GATE_FIELD_FROM, fault);
    headers_done(&headers);
    *findings_out = findings;
}
