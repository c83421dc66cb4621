/* RSA keys that sign (RFC 8017 8.2, with SHA-256): for DKIM. A key can be used by several threads at once; signing
 * takes some milliseconds, so do it as a job. tls_start() comes first. */
#ifndef TLS_SIGN_H
#define TLS_SIGN_H

#include "base/buffer.h"
#include "base/err.h"
#include "tls/digest.h"

#define TLS_SIGN_BITS_MIN 1024 /* RFC 8301 3.2; fewer than 2048 are not advised */
#define TLS_SIGN_BITS 2048     /* of keys that are made here */

struct tls_sign_key;
/* From a PEM file. On error fault has a sentence that names it: ERR_SYNTAX also for keys of another kind and short
 * ones. */
MUST_CHECK enum err tls_sign_key_open(struct slice path, struct tls_sign_key **key, struct buffer *fault);
MUST_CHECK enum err
tls_sign_key_make(struct tls_sign_key **key); /* takes a second or so. ERR_MEMORY, ERR_IO: no randomness */
struct tls_sign_key *tls_sign_key_share(struct tls_sign_key *key); /* once more: each is freed */
void tls_sign_key_free(struct tls_sign_key **key);                 /* the last one wipes it */

size_t tls_sign_key_bits(const struct tls_sign_key *key);
MUST_CHECK enum err tls_sign_key_print(const struct tls_sign_key *key, struct buffer *pem);  /* a secret: wipe it */
MUST_CHECK enum err tls_sign_key_public(const struct tls_sign_key *key, struct buffer *der); /* SubjectPublicKeyInfo */

/* digest: of what is signed. The signature's bytes are added to out. ERR_MEMORY, ERR_IO: the computation failed. */
MUST_CHECK enum err tls_sign(struct tls_sign_key *key, const uint8_t digest[TLS_DIGEST_LENGTH], struct buffer *out);

#endif
