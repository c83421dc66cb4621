/* SHA-256 over bytes that come in pieces. */
#ifndef TLS_DIGEST_H
#define TLS_DIGEST_H

#include "base/slice.h"

#define TLS_DIGEST_LENGTH 32

struct tls_digest;
struct tls_digest *tls_digest_new(void); /* NULL: out of memory */
void tls_digest_free(struct tls_digest **digest);
void tls_digest_add(struct tls_digest *digest, struct slice bytes);
void tls_digest_finish(struct tls_digest *digest, uint8_t out[TLS_DIGEST_LENGTH]); /* begins anew */

#endif
