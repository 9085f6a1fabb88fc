/* SPDX-License-Identifier: Apache-2.0
 *
 * MAIL and RCPT parameters, one function each, found in two tables. A parameter said
 * twice is refused: whoever says two things may mean either.
 */
#include "smtp/params.h"

#include "smtp/smtp_private.h"

typedef int param_fn(struct span value, void *into);

struct param {
    const char *keyword;
    bool takes_value;
    param_fn *read;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int smtp_xtext_decode(struct span text, char *out, size_t out_bytes)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.data[i];

        if (c < '!' || c > '~' || c == '=')
            return -1;
        if (c == '+') {
            int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;

            if (high < 0 || low < 0 || high + low == 0)
                return -1;
            c = high * 16 + low;
            i += 2;
        }
        if (len + 1 >= out_bytes)
            return -1;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return 0;
}

/* Decoded values go to logs and other servers: no control characters. */
static int printable_xtext(struct span text, char *out, size_t out_bytes)
{
    if (smtp_xtext_decode(text, out, out_bytes))
        return -1;
    for (const char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return -1;
    return span_is_utf8(span_of(out)) ? 0 : -1;
}

/* ---- MAIL ---- */

static int read_size(struct span value, void *into)
{
    struct smtp_mail *mail = into;

    mail->has_size = true;
    return value.len > 20 ? -1 : span_to_u64(value, &mail->size); /* RFC 1870: 20 digits */
}

static int read_body(struct span value, void *into)
{
    struct smtp_mail *mail = into;

    if (span_ieq(value, SPAN_LIT("7BIT")))
        mail->body = SMTP_BODY_7BIT;
    else if (span_ieq(value, SPAN_LIT("8BITMIME")))
        mail->body = SMTP_BODY_8BITMIME;
    else if (span_ieq(value, SPAN_LIT("BINARYMIME")))
        mail->body = SMTP_BODY_BINARYMIME;
    else
        return -1;
    return 0;
}

static int read_smtputf8(struct span value, void *into)
{
    struct smtp_mail *mail = into;

    (void)value;
    mail->smtputf8 = true;
    return 0;
}

static int read_auth(struct span value, void *into)
{
    struct smtp_mail *mail = into;
    struct smtp_mailbox mailbox;

    mail->has_auth = true;
    if (span_eq(value, SPAN_LIT("<>")))
        return 0;
    if (printable_xtext(value, mail->auth, sizeof mail->auth))
        return -1;
    return smtp_mailbox_parse(span_of(mail->auth), SMTP_ADDRESS_ALLOW_UTF8, &mailbox) ? -1 : 0;
}

static int read_ret(struct span value, void *into)
{
    struct smtp_mail *mail = into;

    if (span_ieq(value, SPAN_LIT("FULL")))
        mail->ret = SMTP_RET_FULL;
    else if (span_ieq(value, SPAN_LIT("HDRS")))
        mail->ret = SMTP_RET_HDRS;
    else
        return -1;
    return 0;
}

static int read_envid(struct span value, void *into)
{
    struct smtp_mail *mail = into;

    return printable_xtext(value, mail->envid, sizeof mail->envid);
}

static const struct param mail_params[] = {
    {"SIZE", true, read_size}, {"BODY", true, read_body}, {"SMTPUTF8", false, read_smtputf8},
    {"AUTH", true, read_auth}, {"RET", true, read_ret},   {"ENVID", true, read_envid},
    {NULL, false, NULL},
};

/* ---- RCPT ---- */

static unsigned notify_flag(struct span word)
{
    if (span_ieq(word, SPAN_LIT("NEVER")))
        return SMTP_NOTIFY_NEVER;
    if (span_ieq(word, SPAN_LIT("SUCCESS")))
        return SMTP_NOTIFY_SUCCESS;
    if (span_ieq(word, SPAN_LIT("FAILURE")))
        return SMTP_NOTIFY_FAILURE;
    return span_ieq(word, SPAN_LIT("DELAY")) ? SMTP_NOTIFY_DELAY : 0;
}

static int read_notify(struct span value, void *into)
{
    struct smtp_rcpt *rcpt = into;
    struct span word;

    while (span_split(&value, ',', &word)) {
        unsigned flag = notify_flag(word);

        if (flag == 0 || (rcpt->notify & flag))
            return -1;
        rcpt->notify |= flag;
    }
    /* NEVER stands alone */
    return (rcpt->notify & SMTP_NOTIFY_NEVER) && rcpt->notify != SMTP_NOTIFY_NEVER ? -1 : 0;
}

static int read_orcpt(struct span value, void *into)
{
    struct smtp_rcpt *rcpt = into;
    size_t semicolon = span_find(value, ';');
    struct span type = span_head(value, semicolon);

    if (value.len > SMTP_ORCPT_LIMIT || type.len == 0 || semicolon + 1 >= value.len)
        return -1;
    for (size_t i = 0; i < type.len; i++) {
        char c = ascii_lower(type.data[i]);

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-')
            return -1;
    }
    memcpy(rcpt->orcpt_type, type.data, type.len);
    rcpt->orcpt_type[type.len] = '\0';
    return printable_xtext(span_from(value, semicolon + 1), rcpt->orcpt, sizeof rcpt->orcpt);
}

static const struct param rcpt_params[] = {
    {"NOTIFY", true, read_notify},
    {"ORCPT", true, read_orcpt},
    {NULL, false, NULL},
};

/* ---- both ---- */

static int refuse_param(struct smtp_reply *refusal, int code, const char *what, struct span word)
{
    smtp_reply_setf(refusal, code, "5.5.4 %s %.*s", what, (int)(word.len > 64 ? 64 : word.len), word.data);
    return -1;
}

static const struct param *find_param(const struct param *table, struct span keyword)
{
    for (; table->keyword; table++)
        if (span_ieq(keyword, span_of(table->keyword)))
            return table;
    return NULL;
}

static int read_params(struct span rest, const struct param *table, void *into, struct smtp_reply *refusal)
{
    unsigned seen = 0;
    struct span word;

    while (smtp_word_take(&rest, &word)) {
        size_t equals = span_find(word, '=');
        struct span keyword = span_head(word, equals);
        const struct param *param = find_param(table, keyword);
        unsigned bit;

        if (!param)
            return refuse_param(refusal, 555, "unknown parameter", keyword);
        bit = 1U << (param - table);
        if (seen & bit)
            return refuse_param(refusal, 501, "parameter given twice:", keyword);
        seen |= bit;
        if ((equals < word.len) != param->takes_value || (param->takes_value && equals + 1 == word.len) ||
            param->read(span_from(word, equals + 1), into))
            return refuse_param(refusal, 501, "malformed parameter", keyword);
    }
    return 0;
}

static int refuse_address(struct smtp_reply *refusal, enum smtp_address_fault fault, const char *bad_code)
{
    if (fault == SMTP_ADDRESS_8BIT)
        smtp_reply_setf(refusal, 553, "5.6.7 %s", smtp_address_fault_text(fault));
    else
        smtp_reply_setf(refusal, 501, "%s %s", bad_code, smtp_address_fault_text(fault));
    return -1;
}

/* Takes "FROM:" or "TO:" and the spaces some clients put behind it. */
static int take_preposition(struct span *args, struct span preposition, struct smtp_reply *refusal)
{
    if (!span_istarts_with(*args, preposition)) {
        smtp_reply_setf(refusal, 501, "5.5.4 expected %s<address>", preposition.data);
        return -1;
    }
    *args = span_from(*args, preposition.len);
    while (args->len > 0 && args->data[0] == ' ')
        *args = span_from(*args, 1);
    return 0;
}

int smtp_mail_parse(struct span args, struct smtp_mail *mail_out, struct smtp_reply *refusal)
{
    struct smtp_mail mail = {0};
    enum smtp_address_fault fault;
    size_t used;

    if (take_preposition(&args, SPAN_LIT("FROM:"), refusal))
        return -1;
    fault = smtp_path_parse(args, SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_UTF8, &mail.sender, &used);
    if (fault)
        return refuse_address(refusal, fault, "5.1.7");
    if (read_params(span_from(args, used), mail_params, &mail, refusal))
        return -1;
    if (mail.sender.is_8bit && !mail.smtputf8)
        return refuse_address(refusal, SMTP_ADDRESS_8BIT, "5.1.7");
    *mail_out = mail;
    return 0;
}

int smtp_rcpt_parse(struct span args, bool smtputf8, struct smtp_rcpt *rcpt_out, struct smtp_reply *refusal)
{
    unsigned allow = SMTP_ADDRESS_ALLOW_POSTMASTER | (smtputf8 ? SMTP_ADDRESS_ALLOW_UTF8 : 0);
    struct smtp_rcpt rcpt = {0};
    enum smtp_address_fault fault;
    size_t used;

    if (take_preposition(&args, SPAN_LIT("TO:"), refusal))
        return -1;
    fault = smtp_path_parse(args, allow, &rcpt.recipient, &used);
    if (fault)
        return refuse_address(refusal, fault, "5.1.3");
    if (read_params(span_from(args, used), rcpt_params, &rcpt, refusal))
        return -1;
    *rcpt_out = rcpt;
    return 0;
}
