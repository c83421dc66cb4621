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
#include <unistd.h>

#define EXPONENT 65537
#define WRITTEN_MAX 16384
#define HANDS_MAX 16

/* The library holds a mutex of the context for as long as a private operation takes. So a key has a context for each
 * thread that may want to sign, one more than there are processors, as the relay's pool has. */
struct hand {
    atomic_uint user_count;
    mbedtls_pk_context pk;
};

struct tls_sign_key {
    atomic_size_t reference_count;
    atomic_uint turn;
    unsigned hand_count;
    struct hand hands[HANDS_MAX]; /* the first has been read or made, the others are its copies */
};

static struct tls_sign_key *make_empty(void);
static enum err copy_hands(struct tls_sign_key *key);
static struct hand *take_hand(struct tls_sign_key *key);
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
        err = tls_pem_key(&pem, &key->hands[0].pk, fault);
        tls_pem_close(&pem);
    }
    if (err == ERR_NONE) {
        err = check(key, path, fault);
    }
    if (err == ERR_NONE) {
        err = copy_hands(key);
    }
    if (err != ERR_NONE) {
        tls_sign_key_free(&key);
    }
    *out = key;
    return err;
}

static enum err check(const struct tls_sign_key *key, struct slice path, struct buffer *fault)
{
    if (mbedtls_pk_get_type(&key->hands[0].pk) != MBEDTLS_PK_RSA) {
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
    int code = mbedtls_pk_setup(&key->hands[0].pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
    if (code == 0) {
        code = mbedtls_rsa_gen_key(mbedtls_pk_rsa(key->hands[0].pk), mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE,
                                   TLS_SIGN_BITS, EXPONENT);
    }
    enum err err = code == 0 ? copy_hands(key) : err_of(code);
    if (err != ERR_NONE) {
        tls_sign_key_free(&key);
    }
    *out = key;
    return err;
}

/* Before the first has signed anything: its blinding values would be copied too, and what is used twice hides nothing. */
static enum err copy_hands(struct tls_sign_key *key)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = processors < 1 ? 2 : processors >= HANDS_MAX ? HANDS_MAX : (unsigned)processors + 1;
    int code = 0;
    while (code == 0 && key->hand_count < wanted) {
        mbedtls_pk_context *pk = &key->hands[key->hand_count++].pk;
        mbedtls_pk_init(pk);
        code = mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA));
        if (code == 0) {
            code = mbedtls_rsa_copy(mbedtls_pk_rsa(*pk), mbedtls_pk_rsa(key->hands[0].pk));
        }
    }
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
        for (unsigned i = 0; i < (*key)->hand_count; i++) {
            mbedtls_pk_free(&(*key)->hands[i].pk);
        }
        free(*key);
    }
    *key = NULL;
}

size_t tls_sign_key_bits(const struct tls_sign_key *key)
{
    return mbedtls_pk_get_bitlen(&key->hands[0].pk);
}

enum err tls_sign_key_print(const struct tls_sign_key *key, struct buffer *pem)
{
    unsigned char text[WRITTEN_MAX];
    int code = mbedtls_pk_write_key_pem(&key->hands[0].pk, text, sizeof text);
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
    int length = mbedtls_pk_write_pubkey_der(&key->hands[0].pk, bytes, sizeof bytes);
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
    struct hand *hand = take_hand(key);
    int code = mbedtls_pk_sign(&hand->pk, MBEDTLS_MD_SHA256, digest, TLS_DIGEST_LENGTH, signature, sizeof signature,
                               &length, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    atomic_fetch_sub(&hand->user_count, 1);
    if (code != 0) {
        return err_of(code);
    }
    buffer_add(out, slice_make(signature, length));
    return buffer_failed(out) ? ERR_MEMORY : ERR_NONE;
}

/* One that nobody uses. Where there is none, any: the library's mutex makes its users wait for each other. */
static struct hand *take_hand(struct tls_sign_key *key)
{
    unsigned turn = atomic_fetch_add(&key->turn, 1);
    for (unsigned i = 0; i < key->hand_count; i++) {
        struct hand *hand = &key->hands[(turn + i) % key->hand_count];
        unsigned nobody = 0;
        if (atomic_compare_exchange_strong(&hand->user_count, &nobody, 1)) {
            return hand;
        }
    }
    struct hand *shared = &key->hands[turn % key->hand_count];
    atomic_fetch_add(&shared->user_count, 1);
    return shared;
}

static struct tls_sign_key *make_empty(void)
{
    struct tls_sign_key *key = calloc(1, sizeof *key);
    if (key != NULL) {
        atomic_init(&key->reference_count, 1);
        mbedtls_pk_init(&key->hands[0].pk);
        key->hand_count = 1;
    }
    return key;
}

static enum err err_of(int code)
{
    return code == 0 ? ERR_NONE : tls_code_is_memory(code) ? ERR_MEMORY : ERR_IO;
}
