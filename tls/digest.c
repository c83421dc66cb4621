#include "tls/digest.h"

#include <assert.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>

struct tls_digest {
    mbedtls_sha256_context sha256;
};

static void start(struct tls_digest *digest);

struct tls_digest *tls_digest_new(void)
{
    struct tls_digest *digest = malloc(sizeof *digest);
    if (digest != NULL) {
        mbedtls_sha256_init(&digest->sha256);
        start(digest);
    }
    return digest;
}

void tls_digest_free(struct tls_digest **digest)
{
    if (*digest == NULL) {
        return;
    }
    mbedtls_sha256_free(&(*digest)->sha256);
    free(*digest);
    *digest = NULL;
}

void tls_digest_add(struct tls_digest *digest, struct slice bytes)
{
    int code = mbedtls_sha256_update(&digest->sha256, (const unsigned char *)bytes.data, bytes.length);
    assert(code == 0); /* it has no other way to end */
}

void tls_digest_finish(struct tls_digest *digest, uint8_t out[TLS_DIGEST_LENGTH])
{
    int code = mbedtls_sha256_finish(&digest->sha256, out);
    assert(code == 0);
    start(digest);
}

static void start(struct tls_digest *digest)
{
    int code = mbedtls_sha256_starts(&digest->sha256, 0);
    assert(code == 0);
}
