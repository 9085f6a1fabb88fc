/* SPDX-License-Identifier: Apache-2.0
 *
 * Record data as a name server chose it, to a mail plan and to addresses. The input is a
 * verdict byte, then records: a length byte and that many bytes each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "dns/dns_private.h"

#define RECORDS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_mx(const struct raw_answer *raw)
{
    const char *names[DNS_HOSTS_LIMIT];
    char clean[DNS_NAME_BYTES];
    struct dns_mx mx;

    answer_to_mx(raw, &mx);
    MUST(mx.host_count <= DNS_HOSTS_LIMIT);
    MUST((mx.verdict == DNS_OK) == (mx.host_count > 0));
    for (size_t i = 0; i < mx.host_count; i++) {
        names[i] = mx.hosts[i].name;
        MUST(answer_clean_name(span_of(names[i]), clean) == 0 && strcmp(clean, names[i]) == 0);
        MUST(i == 0 || mx.hosts[i - 1].preference <= mx.hosts[i].preference);
    }
    mx.site_name = dns_site_name(names, mx.host_count);
    answer_mx_shuffle(&mx);
    answer_mx_done(&mx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *records[RECORDS];
    int lengths[RECORDS];
    struct raw_answer raw = {.data = records, .lengths = lengths};
    struct raw_answer none = {.verdict = RAW_NO_DATA};
    struct dns_addresses addresses;
    size_t at = 1;

    if (size == 0)
        return 0;
    raw.verdict = (enum raw_verdict)(data[0] % 4);
    while (at < size && raw.count < RECORDS) {
        size_t len = data[at++];

        len = len > size - at ? size - at : len;
        records[raw.count] = malloc(len + 1); /* its own block, so that overruns are seen */
        MUST(records[raw.count]);
        memcpy(records[raw.count], data + at, len);
        lengths[raw.count++] = (int)len;
        at += len;
    }
    check_mx(&raw);
    answer_to_addresses(&raw, &none, &addresses);
    answer_to_addresses(&none, &raw, &addresses);
    MUST(addresses.count <= DNS_ADDRESSES_LIMIT);
    for (size_t i = 0; i < raw.count; i++)
        free(records[i]);
    return 0;
}
