/* Whatever resolv.conf holds: never more servers than there is room for, each with an address. */
#include "relay/resolver_conf.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint servers[3];
    size_t count = resolver_conf_parse(slice_make(data, size), servers, 3);
    assert(count <= 3);
    for (size_t i = 0; i < count; i++) {
        assert(servers[i].ip.family != IP_NONE && servers[i].port == 53 && servers[i].path[0] == '\0');
    }
    return 0;
}
