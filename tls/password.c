#include "tls/password.h"

#include "base/text.h"

#include <assert.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/md.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>
#include <psa/crypto.h>
#include <string.h>

#define SALT_MADE 16
#define SALT_MIN 8
#define ITERATIONS_MIN 10000
#define ITERATIONS_MAX 10000000
#define SCHEME "pbkdf2-sha256"

static enum err derive(const struct tls_password *stored, struct slice password, uint32_t iterations,
                       uint8_t digest[TLS_PASSWORD_DIGEST]);
static bool decode(struct slice text, uint8_t *out, size_t length_min, size_t length_max, size_t *length);
static enum err err_of(int code);

enum err tls_password_make(struct tls_password *stored, struct slice password)
{
    *stored = (struct tls_password){.iterations = TLS_PASSWORD_ITERATIONS, .salt_length = SALT_MADE};
    if (psa_generate_random(stored->salt, SALT_MADE) != PSA_SUCCESS) {
        return ERR_IO;
    }
    return derive(stored, password, stored->iterations, stored->digest);
}

void tls_password_print(const struct tls_password *stored, struct buffer *out)
{
    buffer_print(out, SCHEME "$%u$", stored->iterations);
    if (text_base64_encode(slice_make(stored->salt, stored->salt_length), out) != ERR_NONE) {
        out->failed = true;
    }
    buffer_add_byte(out, '$');
    if (text_base64_encode(slice_make(stored->digest, sizeof stored->digest), out) != ERR_NONE) {
        out->failed = true;
    }
}

enum err tls_password_parse(struct tls_password *stored, struct slice text)
{
    struct slice scheme, number, salt, digest;
    uint64_t iterations;
    size_t digest_length;
    *stored = (struct tls_password){.iterations = 0};
    if (text.length > TLS_PASSWORD_TEXT_MAX || !slice_cut(&text, '$', &scheme) || !slice_cut(&text, '$', &number) ||
        !slice_cut(&text, '$', &salt) || !slice_cut(&text, '$', &digest) || text.data != NULL) {
        return ERR_SYNTAX;
    }
    if (!slice_equal(scheme, SLICE(SCHEME)) || !slice_number(number, ITERATIONS_MAX, &iterations) ||
        iterations < ITERATIONS_MIN) {
        return ERR_SYNTAX;
    }
    stored->iterations = (uint32_t)iterations;
    bool decoded = decode(salt, stored->salt, SALT_MIN, sizeof stored->salt, &stored->salt_length) &&
                   decode(digest, stored->digest, sizeof stored->digest, sizeof stored->digest, &digest_length);
    return decoded ? ERR_NONE : ERR_SYNTAX;
}

/* The rest of the iterations is worked off for nothing, so that all users cost the same. */
enum err tls_password_check(const struct tls_password *stored, struct slice password, uint32_t iterations,
                            bool *matches)
{
    uint8_t digest[TLS_PASSWORD_DIGEST], rest[TLS_PASSWORD_DIGEST];
    *matches = false;
    enum err err = derive(stored, password, stored->iterations, digest);
    if (err == ERR_NONE && iterations > stored->iterations) {
        err = derive(stored, password, iterations - stored->iterations, rest);
    }
    if (err == ERR_NONE) {
        *matches = mbedtls_ct_memcmp(digest, stored->digest, sizeof digest) == 0 && stored->salt_length > 0;
    }
    mbedtls_platform_zeroize(digest, sizeof digest);
    return err;
}

bool tls_password_equal(const struct tls_password *a, const struct tls_password *b)
{
    return a->iterations == b->iterations && a->salt_length == b->salt_length && memcmp(a->salt, b->salt, a->salt_length) == 0 &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

struct tls_password tls_password_nobody(uint32_t iterations)
{
    return (struct tls_password){.iterations = iterations < ITERATIONS_MIN ? TLS_PASSWORD_ITERATIONS : iterations};
}

enum err tls_password_mark(const uint8_t key[32], const struct tls_password *stored, struct slice password,
                           struct tls_password_mark *mark)
{
    const mbedtls_md_info_t *sha256 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    mbedtls_md_context_t context;
    mbedtls_md_init(&context);
    int code = mbedtls_md_setup(&context, sha256, 1);
    code = code != 0 ? code : mbedtls_md_hmac_starts(&context, key, 32);
    /* Of fixed length, so that no two pairs give the same bytes. */
    code = code != 0 ? code : mbedtls_md_hmac_update(&context, stored->digest, sizeof stored->digest);
    code = code != 0 ? code : mbedtls_md_hmac_update(&context, stored->salt, sizeof stored->salt);
    code = code != 0 ? code : mbedtls_md_hmac_update(&context, (const uint8_t *)password.data, password.length);
    code = code != 0 ? code : mbedtls_md_hmac_finish(&context, mark->bytes);
    mbedtls_md_free(&context);
    return err_of(code);
}

bool tls_password_mark_equal(const struct tls_password_mark *a, const struct tls_password_mark *b)
{
    return mbedtls_ct_memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static enum err derive(const struct tls_password *stored, struct slice password, uint32_t iterations,
                       uint8_t digest[TLS_PASSWORD_DIGEST])
{
    assert(stored->salt_length <= sizeof stored->salt);
    return err_of(mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA256, (const uint8_t *)password.data, password.length,
                                                stored->salt, stored->salt_length, iterations, TLS_PASSWORD_DIGEST,
                                                digest));
}

static bool decode(struct slice text, uint8_t *out, size_t length_min, size_t length_max, size_t *length)
{
    struct buffer bytes;
    buffer_init(&bytes, length_max);
    bool fits = text_base64_decode(text, &bytes) == ERR_NONE && buffer_length(&bytes) >= length_min;
    *length = buffer_length(&bytes);
    if (fits) {
        memcpy(out, buffer_slice(&bytes).data, *length);
    }
    buffer_free(&bytes);
    return fits;
}

/* The arguments are ours and right: only memory can be the matter. */
static enum err err_of(int code)
{
    return code == 0 ? ERR_NONE : ERR_MEMORY;
}
