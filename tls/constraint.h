/* Name constraints of an issuer (RFC 5280 4.2.1.10). mbedTLS refuses a certificate in which they are critical and
 * ignores them where they are not, so that an authority that may issue only for its own domain could issue for all. For
 * tls/ only. */
#ifndef TLS_CONSTRAINT_H
#define TLS_CONSTRAINT_H

#include "base/slice.h"

/* Extensions are DER as in RFC 5280 4.1, empty where there are none. Constraints that cannot be read permit nothing. */

/* May the holder of a certificate with these extensions issue for the host? */
bool tls_constraint_permits(struct slice extensions, struct slice host);

/* The names that a certificate has. */
struct tls_constraint_names {
    struct slice extensions; /* with its subject alternative names */
    struct slice subject;    /* DER */
};
/* And for all that another certificate, which is below it in a path, is named? Constraints of a kind that is not
 * understood here (of e-mail addresses, say) admit no certificate that has a name of that kind. */
bool tls_constraint_admits(struct slice extensions, const struct tls_constraint_names *names);

#endif
