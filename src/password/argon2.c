/* SPDX-License-Identifier: Apache-2.0
 *
 * Argon2 (RFC 9106), in the notation of its reference implementation: $argon2id$v=19$m=19456,t=2,p=1$salt$digest.
 * All lanes are computed by the calling thread: the pool says how many cores hashing may have, not the stored form.
 */
#include <argon2.h>

#include "password/password_private.h"

#define LANES_MOST 64
#define LANE_KIB_LEAST 8 /* RFC 9106, section 3.1 */
#define SALT_LEAST 8     /* what the library takes */
#define DIGEST_BYTES 32
#define VERSION_WITHOUT_FIELD ARGON2_VERSION_10 /* what wrote no "v=" was version 1.0 */

static argon2_type type_of(const struct form *form) { return form->scheme == PASSWORD_ARGON2I ? Argon2_i : Argon2_id; }

static bool is_bearable(const struct form *form)
{
    const struct password_cost *cost = &form->cost;

    return cost->memory_kib <= FORM_MEMORY_KIB_MOST && cost->parallelism > 0 && cost->parallelism <= LANES_MOST &&
           cost->memory_kib / LANE_KIB_LEAST >= cost->parallelism && cost->rounds > 0 &&
           (uint64_t)cost->memory_kib * cost->rounds <= FORM_MEMORY_WORK_MOST;
}

int argon2_parse(struct form *form, struct span text)
{
    struct span salt;

    if (!take_prefix(&text, form->scheme == PASSWORD_ARGON2I ? "$argon2i$" : "$argon2id$"))
        return -1;
    form->version = VERSION_WITHOUT_FIELD;
    if (take_prefix(&text, "v=") && !take_number(&text, '$', &form->version))
        return -1;
    if (!take_prefix(&text, "m=") || !take_number(&text, ',', &form->cost.memory_kib) || !take_prefix(&text, "t=") ||
        !take_number(&text, ',', &form->cost.rounds) || !take_prefix(&text, "p=") ||
        !take_number(&text, '$', &form->cost.parallelism) || !is_bearable(form))
        return -1;
    if (form->version != ARGON2_VERSION_10 && form->version != ARGON2_VERSION_13)
        return -1;
    if (!take_until(&text, '$', &salt) || read_salt(salt, form) || form->salt_len < SALT_LEAST)
        return -1;
    return read_digest(text, form);
}

int argon2_compute(const struct form *form, struct span password, struct form_bytes *out)
{
    argon2_context context = {
        .out = out->data,
        .outlen = (uint32_t)form->digest.len,
        .pwd = (uint8_t *)(password.len ? password.data : ""),
        .pwdlen = (uint32_t)password.len,
        .salt = (uint8_t *)form->salt,
        .saltlen = (uint32_t)form->salt_len,
        .t_cost = form->cost.rounds,
        .m_cost = form->cost.memory_kib,
        .lanes = form->cost.parallelism,
        .threads = 1,
        .version = form->version,
    };

    out->len = form->digest.len;
    return argon2_ctx(&context, type_of(form)) == ARGON2_OK ? 0 : -1;
}

int argon2_write(const struct form *form, struct buf *out)
{
    if (buf_appendf(out, "$%s$v=%u$m=%u,t=%u,p=%u$", form->row->name, form->version, form->cost.memory_kib,
                    form->cost.rounds, form->cost.parallelism) ||
        write_base64(form->salt, form->salt_len, BASE64_BARE, out) || buf_append(out, "$", 1))
        return -1;
    return write_base64(form->digest.data, form->digest.len, BASE64_BARE, out);
}

int argon2_prepare(struct form *form, struct error *error)
{
    form->version = ARGON2_VERSION_13;
    form->digest.len = DIGEST_BYTES;
    if (!is_bearable(form))
        return error_set(error, ERROR_PERM, "each lane of %s wants %d KiB", form->row->name, LANE_KIB_LEAST);
    return form_salt(form, error);
}
