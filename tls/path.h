/* The way from a peer's certificate to a trust anchor. What a peer sends is a heap, whatever the order: unneeded ones,
 * others that share a name, two that certify each other. mbedTLS follows the first that fits by name and never turns
 * back. Here paths are tried one after the other until the library verifies one, which it is then given alone and in
 * order: it stays the judge of each.
 *
 * The library is made to ask here by the linker (see CMakeLists.txt). For tls/ only. */
#ifndef TLS_PATH_H
#define TLS_PATH_H

#include "tls/certificate.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

/* Before the handshake: what the peer sends is judged so, and the evidence filled. */
void tls_path_judge(mbedtls_ssl_context *ssl, struct tls_evidence *evidence);

/* The library calls this in each handshake, in the place of mbedtls_x509_crt_verify_restartable(). For others than
 * tls_path_judge()'s it is that function. */
int __wrap_mbedtls_x509_crt_verify_restartable(mbedtls_x509_crt *certificates, mbedtls_x509_crt *anchors,
                                               mbedtls_x509_crl *revoked, const mbedtls_x509_crt_profile *profile,
                                               const char *name, uint32_t *flags,
                                               int (*callback)(void *, mbedtls_x509_crt *, int, uint32_t *),
                                               void *context, mbedtls_x509_crt_restart_ctx *restart);

#endif
