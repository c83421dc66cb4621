/* DER that is read one element after the other, for what mbedTLS does not read or refuses. For tls/ only. */
#ifndef TLS_DER_H
#define TLS_DER_H

#include "base/slice.h"

/* What is left to read; an error sticks. */
struct tls_der {
    unsigned char *at;
    const unsigned char *end;
    bool failed;
};

struct tls_der tls_der_of(struct slice bytes);
struct slice tls_der_rest(const struct tls_der *der);
bool tls_der_has_more(const struct tls_der *der);
bool tls_der_has_tag(const struct tls_der *der, int tag);
/* The content of the next element, which must have the tag; empty, and failed, when it has not. */
struct tls_der tls_der_take(struct tls_der *der, int tag);
struct tls_der tls_der_take_any(struct tls_der *der);

/* One of a certificate's extensions (RFC 5280 4.1). */
struct tls_extension {
    struct slice identifier; /* an object identifier's content */
    bool is_critical;
    struct tls_der value; /* what is inside the OCTET STRING */
};
/* The list of the extensions: what is inside the outer SEQUENCE. Empty where there are none. */
struct tls_der tls_der_extensions(struct slice extensions);
/* False at the end, and when it cannot be read: then the list has failed. */
bool tls_der_next_extension(struct tls_der *list, struct tls_extension *extension);

#endif
