/* SPDX-License-Identifier: Apache-2.0
 *
 * A user name in an LDAP filter and in a distinguished name: whatever it is, it stays one value. In
 * the filter that is held against RFC 4515; libldap must read the name as having one more RDN.
 */
#include <ldap.h>
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "credential/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void filter(struct span user, struct buf *out)
{
    struct span made;

    MUST(template_put("{user}", user, template_put_filter, out) == 0);
    made = buf_span(out);
    for (size_t i = 0; i < made.len; i++)
        MUST(made.data[i] != '*' && made.data[i] != '(' && made.data[i] != ')' && (unsigned char)made.data[i] >= 0x20);
    buf_clear(out);
}

static void name(struct span user, struct buf *out)
{
    LDAPDN parts = NULL;
    int count = 0;

    MUST(template_put("uid={user},ou=people,dc=example", user, template_put_dn, out) == 0);
    if (ldap_str2dn(buf_cstr(out), &parts, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
        return buf_clear(out); /* not UTF-8: the server is asked nothing it could misread */
    while (parts && parts[count])
        count++;
    MUST(count == 3 && parts[0][0] && !parts[0][1]);
    MUST(parts[0][0]->la_value.bv_len == user.len && !memcmp(parts[0][0]->la_value.bv_val, user.data, user.len));
    ldap_dnfree(parts);
    buf_clear(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span user = span_make((const char *)data, size);
    struct buf out;

    if (size > 4096)
        return 0;
    buf_init(&out, 65536);
    filter(user, &out);
    if (size > 0)
        name(user, &out);
    buf_done(&out);
    return 0;
}
