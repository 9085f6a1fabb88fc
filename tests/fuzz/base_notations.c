/* SPDX-License-Identifier: Apache-2.0
 *
 * The small notations of settings and peers: addresses, networks, durations, rates, base64. What
 * is understood is understood the same way when it is written out again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/cidr.h"
#include "base/duration.h"
#include "base/must.h"
#include "base/rate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(struct span text)
{
    char back[INET6_ADDRSTRLEN];
    struct sockaddr_storage address;
    struct error error;
    struct cidr cidr;
    struct ip ip, again;

    if (!ip_parse(text, &ip)) {
        ip_format(&ip, back);
        MUST(!ip_parse(span_of(back), &again) && ip_equal(&ip, &again));
    }
    if (!cidr_parse(text, &cidr))
        MUST(cidr_contains(&cidr, &cidr.base));
    if (!sockaddr_parse(text, &address, &error))
        MUST(sockaddr_length((struct sockaddr *)&address) > 0);
}

static void amounts(struct span text)
{
    struct rate_spec spec;
    struct rate rate = {0};
    struct error error;
    uint64_t wait;

    (void)!duration_parse(text, &wait, &error);
    if (!rate_spec_parse(text, &spec, &error)) {
        MUST(spec.burst >= 1);
        MUST(rate_take(&rate, &spec, 1, UINT32_MAX, &wait));
    }
}

static void octets(struct span text)
{
    struct buf decoded, back;

    buf_init(&decoded, 65536);
    buf_init(&back, 65536);
    if (!base64_decode(text, &decoded) && !base64_encode(buf_span(&decoded), &back))
        MUST(span_eq(buf_span(&back), text));
    buf_done(&decoded);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);

    addresses(text);
    amounts(text);
    octets(text);
    return 0;
}
