#include "tls/sign.h"

#include "tls/code.h"
#include "tls/pem.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/rsa.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EXPONENT 65537
#define WRITTEN_MAX 16384

struct tls_sign_key {
    atomic_size_t reference_count;
    mbedtls_pk_context pk;
};

static struct tls_sign_key *make_empty(void);
static enum err check(const struct tls_sign_key *key, struct slice path, struct buffer *fault);
static enum err err_of(int code);

enum err tls_sign_key_open(struct slice path, struct tls_sign_key **out, struct buffer *fault)
{
    struct tls_pem pem;
    *out = NULL;
    struct tls_sign_key *key = make_empty();
    if (key == NULL) {
        return ERR_MEMORY;
    }
    enum err err = tls_pem_open(&pem, path, fault);
    if (err == ERR_NONE) {
        err = tls_pem_key(&pem, &key->pk, fault);
        tls_pem_close(&pem);
    }
    if (err == ERR_NONE) {
        err = check(key, path, fault);
    }
    if (err != ERR_NONE) {
        tls_sign_key_free(&key);
    }
    *out = key;
    return err;
}

static enum err check(const struct tls_sign_key *key, struct slice path, struct buffer *fault)
{
    if (mbedtls_pk_get_type(&key->pk) != MBEDTLS_PK_RSA) {
        buffer_print(fault, "%.*s: no RSA key", SLICE_ARGS(path));
        return ERR_SYNTAX;
    }
    if (tls_sign_key_bits(key) < TLS_SIGN_BITS_MIN) {
        buffer_print(fault, "%.*s: an RSA key of %zu bits is worth nothing; make one of %d", SLICE_ARGS(path),
                     tls_sign_key_bits(key), TLS_SIGN_BITS);
        return ERR_SYNTAX;
    }
    return ERR_NONE;
}

enum err tls_sign_key_make(struct tls_sign_key **out)
{
    struct tls_sign_key *key = make_empty();
    *out = NULL;
    if (key == NULL) {
        return ERR_MEMORY;
    }
    int code = mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
    if (code == 0) {
        code = mbedtls_rsa_gen_key(mbedtls_pk_rsa(key->pk), mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE,
                                   TLS_SIGN_BITS, EXPONENT);
    }
    if (code != 0) {
        tls_sign_key_free(&key);
    }
    *out = key;
    return err_of(code);
}

struct tls_sign_key *tls_sign_key_share(struct tls_sign_key *key)
{
    atomic_fetch_add(&key->reference_count, 1);
    return key;
}

void tls_sign_key_free(struct tls_sign_key **key)
{
    if (*key != NULL && atomic_fetch_sub(&(*key)->reference_count, 1) == 1) {
        mbedtls_pk_free(&(*key)->pk);
        free(*key);
    }
    *key = NULL;
}

size_t tls_sign_key_bits(const struct tls_sign_key *key)
{
    return mbedtls_pk_get_bitlen(&key->pk);
}

enum err tls_sign_key_print(const struct tls_sign_key *key, struct buffer *pem)
{
    unsigned char text[WRITTEN_MAX];
    int code = mbedtls_pk_write_key_pem(&key->pk, text, sizeof text);
    if (code == 0) {
        buffer_add(pem, slice_of((const char *)text));
    }
    mbedtls_platform_zeroize(text, sizeof text);
    return code == 0 && buffer_failed(pem) ? ERR_MEMORY : err_of(code);
}

enum err tls_sign_key_public(const struct tls_sign_key *key, struct buffer *der)
{
    unsigned char bytes[WRITTEN_MAX];
    /* It is written at the end of the room that is given. */
    int length = mbedtls_pk_write_pubkey_der(&key->pk, bytes, sizeof bytes);
    if (length < 0) {
        return err_of(length);
    }
    buffer_add(der, slice_make(bytes + sizeof bytes - (size_t)length, (size_t)length));
    return buffer_failed(der) ? ERR_MEMORY : ERR_NONE;
}

enum err tls_sign(struct tls_sign_key *key, const uint8_t digest[TLS_DIGEST_LENGTH], struct buffer *out)
{
    unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t length = 0;
    int code = mbedtls_pk_sign(&key->pk, MBEDTLS_MD_SHA256, digest, TLS_DIGEST_LENGTH, signature, sizeof signature,
                               &length, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    if (code != 0) {
        return err_of(code);
    }
    buffer_add(out, slice_make(signature, length));
    return buffer_failed(out) ? ERR_MEMORY : ERR_NONE;
}

static struct tls_sign_key *make_empty(void)
{
    struct tls_sign_key *key = calloc(1, sizeof *key);
    if (key != NULL) {
        atomic_init(&key->reference_count, 1);
        mbedtls_pk_init(&key->pk);
    }
    return key;
}

static enum err err_of(int code)
{
    return code == 0 ? ERR_NONE : tls_code_is_memory(code) ? ERR_MEMORY : ERR_IO;
}
