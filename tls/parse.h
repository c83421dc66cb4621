/* Certificates from DER. mbedTLS refuses one with a critical extension that it does not know, and then the whole
 * handshake, so that a host to which any certificate would do got none of its mail encrypted. Here what a peer sends is
 * taken as far as it can be read, and what keeps it from proving anything is told when a proof is looked for.
 *
 * The library is made to ask here by the linker (see CMakeLists.txt). For tls/ only. */
#ifndef TLS_PARSE_H
#define TLS_PARSE_H

#include "base/slice.h"

struct mbedtls_x509_crt;

/* Appends one of a file's certificates to the chain. Critical name constraints are taken: tls/constraint.h judges them.
 * 0, or the library's code. */
int tls_parse_own(struct mbedtls_x509_crt *chain, struct slice der);

/* The library calls this for each certificate that a peer has sent, in the place of mbedtls_x509_crt_parse_der(). One
 * that cannot be read becomes an entry that has its bytes and, where it can be found, its key: enough for the proof
 * that the peer has the key, not for anything else. An error only when memory is short, or for a first one without a
 * key that the library can use. */
int __wrap_mbedtls_x509_crt_parse_der(struct mbedtls_x509_crt *chain, const unsigned char *der, size_t length);

/* Is it more than bytes and a key? */
bool tls_parse_is_whole(const struct mbedtls_x509_crt *certificate);
/* Why one is not, in words. */
void tls_parse_reason(const struct mbedtls_x509_crt *certificate, char *out, size_t capacity);
/* Has it a critical extension that nobody here understands? It may then prove nothing (RFC 5280 4.2). The identifier is
 * written as numbers with dots. */
bool tls_parse_has_unknown(const struct mbedtls_x509_crt *certificate, char *identifier, size_t capacity);
/* Is it that of an authority (RFC 5280 4.2.1.9)? The library takes a path length without that flag for the flag. */
bool tls_parse_is_authority(const struct mbedtls_x509_crt *certificate);

#endif
