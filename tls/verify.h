/* What a certificate proves about a host name: our own check of the DNS-ID, because the library alone also accepts the
 * common name of a certificate without SAN, and a URI SAN, for a host name (RFC 8461 4.2 wants a DNS-ID, RFC 6125). */
#ifndef TLS_VERIFY_H
#define TLS_VERIFY_H

#include "base/buffer.h"

/* Does one dNSName of a certificate match the host? Case is ignored; "*" stands for exactly one whole leftmost
 * label. */
bool tls_name_matches(struct slice pattern, struct slice host);

/* Can a certificate prove this name at all? A host name in A-label form, without a dot at its end; an address cannot
 * be proved, whatever a certificate says (RFC 8461 4.2). */
bool tls_name_is_host(struct slice name);

#endif
