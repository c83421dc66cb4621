/* The extensions of an issuer: whatever is permitted for a host is permitted for it in capitals too, and what stands
 * behind the extensions takes no permission away. */
#include "tls/constraint.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice extensions = slice_make(data, size);
    bool permits = tls_constraint_permits(extensions, SLICE("mx.example.com"));
    assert(permits == tls_constraint_permits(extensions, SLICE("MX.EXAMPLE.COM")));
    char *longer = malloc(size + 2);
    assert(longer != NULL);
    memcpy(longer, data, size);
    memset(longer + size, 0x30, 2);
    assert(size == 0 || !permits || tls_constraint_permits(slice_make(longer, size + 2), SLICE("mx.example.com")));
    free(longer);
    return 0;
}
