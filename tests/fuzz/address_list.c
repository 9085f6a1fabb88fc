/* SPDX-License-Identifier: Apache-2.0
 *
 * The value of From, To and their like, by which it is judged who a message says it is from. Each
 * address that is found can be found again in how it is written.
 */
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "message/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct address *address)
{
    struct address_list again;
    struct error error;

    MUST(address->local && address->domain && address->email);
    if (!address_list_parse(span_of(address->email), &again, &error)) {
        MUST(again.count == 1 && !strcmp(again.items[0].domain, address->domain));
        MUST(!strcmp(again.items[0].local, address->local));
        address_list_done(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct address_list list;
    struct error error;

    if (size > 65536 || address_list_parse(span_make((const char *)data, size), &list, &error))
        return 0;
    MUST(list.count <= ADDRESS_LIST_LIMIT);
    for (size_t i = 0; i < list.count; i++)
        check_again(&list.items[i]);
    address_list_done(&list);
    return 0;
}
