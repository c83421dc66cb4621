/* PEM files: certificates and keys, read with faults that name the file and the line. For tls/ only. */
#ifndef TLS_PEM_H
#define TLS_PEM_H

#include "base/buffer.h"
#include "base/err.h"

struct mbedtls_x509_crt;
struct mbedtls_pk_context;

struct tls_pem {
    struct slice path; /* the caller's */
    char *text;        /* NUL-terminated */
    size_t length;     /* without the NUL */
};
/* Reads the whole file. On error fault has a sentence and there is nothing to close. */
MUST_CHECK enum err tls_pem_open(struct tls_pem *pem, struct slice path, struct buffer *fault);
void tls_pem_close(struct tls_pem *pem); /* wipes the text: it may be a key */

/* Appends every certificate to the chain and counts them. Those that cannot be read are left out, with a sentence and a
 * newline each in complaints. ERR_MEMORY is the only error: none at all is the caller's to judge. */
MUST_CHECK enum err tls_pem_certificates(const struct tls_pem *pem, struct mbedtls_x509_crt *chain, size_t *count,
                                         struct buffer *complaints);
/* The first private key. On error fault has a sentence. */
MUST_CHECK enum err tls_pem_key(const struct tls_pem *pem, struct mbedtls_pk_context *key, struct buffer *fault);

#endif
