/* SPDX-License-Identifier: Apache-2.0
 *
 * campaign:tenant@domain!routing_domain: the parts lie within the text, and there is always
 * a domain to route by.
 */
#include <stdint.h>

#include "base/must.h"
#include "queue/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_within(struct span part, struct span whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_make((const char *)data, size);
    struct queue_name name;

    if (queue_name_parse(text, &name))
        return 0;
    MUST(size <= QUEUE_NAME_LIMIT && name.domain.len > 0 && queue_name_route(&name).len > 0);
    MUST(lies_within(name.campaign, text) && lies_within(name.tenant, text) && lies_within(name.domain, text) &&
         lies_within(name.routing_domain, text));
    return 0;
}
