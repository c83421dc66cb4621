/* Name constraints of an issuer (RFC 5280 4.2.1.10). mbedTLS refuses a certificate in which they are critical and
 * ignores them where they are not, so that an authority that may issue only for its own domain could issue for all. For
 * tls/ only. */
#ifndef TLS_CONSTRAINT_H
#define TLS_CONSTRAINT_H

#include "base/slice.h"

/* May the holder of a certificate with these extensions (DER, RFC 5280 4.1) issue for the host? Constraints that cannot
 * be read permit nothing. */
bool tls_constraint_permits(struct slice extensions, struct slice host);

#endif
