/* Whatever is accepted is printed in a form that is read as the same, and no mapped IPv4 address stays IPv6. */
#include "base/ip.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct ip ip, ip_again;
    struct ip_network network, network_again;
    struct endpoint endpoint, endpoint_again;
    char out[128];
    if (ip_parse(text, &ip)) {
        assert(ip_parse(ip_print(&ip, out), &ip_again) && ip_equal(&ip, &ip_again));
        assert(ip.family == IP_V4 || !slice_starts(slice_of(out), SLICE("::ffff:")) || !slice_has(slice_of(out), '.'));
        assert(!(ip_is_loopback(&ip) && ip_is_global(&ip)));
    }
    if (ip_network_parse(text, &network) == ERR_NONE) {
        assert(ip_network_has(&network, &network.base));
        assert(ip_network_parse(ip_network_print(&network, out), &network_again) == ERR_NONE);
        assert(ip_equal(&network.base, &network_again.base) && network.prefix_bits == network_again.prefix_bits);
    }
    if (endpoint_parse(text, 25, &endpoint) == ERR_NONE) {
        assert(endpoint_parse(endpoint_print(&endpoint, out), 0, &endpoint_again) == ERR_NONE);
        assert(endpoint_equal(&endpoint, &endpoint_again));
    }
    return 0;
}
