#include "tls/pem.h"

#include "base/text.h"
#include "tls/code.h"
#include "tls/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_LENGTH_MAX ((size_t)32 << 20) /* the largest bundle in use has half a megabyte */
#define HEADER "-----BEGIN CERTIFICATE-----"
#define FOOTER "-----END CERTIFICATE-----"

/* Where the search for the next block goes on. */
struct cursor {
    const char *at;
    size_t line;
};

static int read_descriptor(int descriptor, struct tls_pem *pem);
static int read_text(int descriptor, struct tls_pem *pem);
static const char *next_block(struct cursor *cursor);
static bool decode_block(const char *block, struct buffer *text, struct buffer *der);
static int parse_block(const char *block, mbedtls_x509_crt *chain);
static int parse_odd_block(const char *block, mbedtls_x509_crt *chain);
static enum err complain(const struct tls_pem *pem, struct buffer *out, int number);

enum err tls_pem_open(struct tls_pem *pem, struct slice path, struct buffer *fault)
{
    char name[PATH_MAX];
    *pem = (struct tls_pem){.path = path};
    if (path.length >= sizeof name) {
        return complain(pem, fault, ENAMETOOLONG);
    }
    memcpy(name, path.data, path.length);
    name[path.length] = '\0';
    /* Not to hang on a pipe that nobody writes to. */
    int descriptor = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return complain(pem, fault, errno);
    }
    int number = read_descriptor(descriptor, pem);
    close(descriptor);
    if (number != 0) {
        tls_pem_close(pem);
        return complain(pem, fault, number);
    }
    return ERR_NONE;
}

void tls_pem_close(struct tls_pem *pem)
{
    if (pem->text != NULL) {
        mbedtls_platform_zeroize(pem->text, pem->length);
        free(pem->text);
    }
    pem->text = NULL;
    pem->length = 0;
}

enum err tls_pem_certificates(const struct tls_pem *pem, mbedtls_x509_crt *chain, size_t *count,
                              struct buffer *complaints)
{
    struct cursor cursor = {.at = pem->text, .line = 1};
    size_t block_count = 0;
    *count = 0;
    for (const char *block = next_block(&cursor); block != NULL; block = next_block(&cursor)) {
        block_count++;
        int code = parse_block(block, chain);
        if (tls_code_is_memory(code)) {
            return ERR_MEMORY;
        }
        if (code == 0) {
            ++*count;
            continue;
        }
        char reason[160];
        tls_code_reason(code, reason, sizeof reason);
        buffer_print(complaints, "%.*s:%zu: certificate %zu cannot be read: %s\n", SLICE_ARGS(pem->path), cursor.line,
                     block_count, reason);
    }
    return ERR_NONE;
}

enum err tls_pem_key(const struct tls_pem *pem, mbedtls_pk_context *key, struct buffer *fault)
{
    int code = mbedtls_pk_parse_key(key, (const unsigned char *)pem->text, pem->length + 1, NULL, 0,
                                    mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    if (code == 0) {
        return ERR_NONE;
    }
    if (tls_code_is_memory(code)) {
        return ERR_MEMORY;
    }
    if (code == MBEDTLS_ERR_PK_PASSWORD_REQUIRED ||
        strstr(pem->text, "-----BEGIN ENCRYPTED PRIVATE KEY-----") != NULL) {
        buffer_print(fault, "%.*s: the key is locked by a passphrase; store it without one", SLICE_ARGS(pem->path));
    } else if (strstr(pem->text, "PRIVATE KEY-----") == NULL) {
        buffer_print(fault, "%.*s: no private key found", SLICE_ARGS(pem->path));
    } else {
        char reason[160];
        tls_code_reason(code, reason, sizeof reason);
        buffer_print(fault, "%.*s: the key cannot be read: %s", SLICE_ARGS(pem->path), reason);
    }
    return ERR_SYNTAX;
}

/* Both return an errno value, 0 when all went well. */
static int read_descriptor(int descriptor, struct tls_pem *pem)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    if (S_ISDIR(status.st_mode)) {
        return EISDIR;
    }
    if (!S_ISREG(status.st_mode)) {
        return EINVAL;
    }
    if (status.st_size < 0 || (uintmax_t)status.st_size > FILE_LENGTH_MAX) {
        return EFBIG;
    }
    pem->length = (size_t)status.st_size;
    pem->text = calloc(1, pem->length + 1);
    return pem->text == NULL ? ENOMEM : read_text(descriptor, pem);
}

/* A file that shrinks meanwhile leaves NULs at the end, in which nothing is found. */
static int read_text(int descriptor, struct tls_pem *pem)
{
    size_t done = 0;
    while (done < pem->length) {
        ssize_t got = read(descriptor, pem->text + done, pem->length - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno;
        }
        if (got == 0) {
            break;
        }
        done += (size_t)got;
    }
    return 0;
}

/* The next beginning of a certificate, or NULL; cursor->line becomes its line. The search goes on right behind it, so
 * that a block without an end costs only itself. */
static const char *next_block(struct cursor *cursor)
{
    const char *block = strstr(cursor->at, HEADER);
    if (block == NULL) {
        return NULL;
    }
    for (; cursor->at < block; cursor->at++) {
        cursor->line += *cursor->at == '\n';
    }
    cursor->at += sizeof HEADER - 1;
    return block;
}

/* Certificates are no secret, and mbedTLS takes base64 apart as if they were, in constant time: for a whole bundle that
 * was half of the time a start takes. False: it is not plain base64 (RFC 7468 3), or memory is short. */
static bool decode_block(const char *block, struct buffer *text, struct buffer *der)
{
    const char *end = strstr(block, FOOTER);
    if (end == NULL) {
        return false;
    }
    buffer_clear(text);
    buffer_clear(der);
    struct slice body = slice_make(block + sizeof HEADER - 1, (size_t)(end - block) - (sizeof HEADER - 1));
    struct slice line;
    while (slice_cut(&body, '\n', &line)) {
        buffer_add(text, slice_to(line, line.length - slice_ends(line, SLICE("\r"))));
    }
    return !buffer_failed(text) && buffer_length(text) > 0 && text_base64_decode(buffer_slice(text), der) == ERR_NONE;
}

static int parse_block(const char *block, mbedtls_x509_crt *chain)
{
    struct buffer text, der;
    buffer_init(&text, FILE_LENGTH_MAX);
    buffer_init(&der, FILE_LENGTH_MAX);
    bool is_plain = decode_block(block, &text, &der);
    struct slice bytes = buffer_slice(&der);
    int code = is_plain ? tls_parse_own(chain, bytes)
                        : parse_odd_block(block, chain);
    buffer_free(&text);
    buffer_free(&der);
    return code;
}

/* What mbedTLS can read all the same, or its complaint. */
static int parse_odd_block(const char *block, mbedtls_x509_crt *chain)
{
    mbedtls_pem_context pem;
    size_t used, length;
    mbedtls_pem_init(&pem);
    int code = mbedtls_pem_read_buffer(&pem, HEADER, FOOTER, (const unsigned char *)block, NULL, 0, &used);
    if (code == 0) {
        const unsigned char *der = mbedtls_pem_get_buffer(&pem, &length);
        code = tls_parse_own(chain, slice_make(der, length));
    }
    mbedtls_pem_free(&pem);
    return code;
}

static enum err complain(const struct tls_pem *pem, struct buffer *out, int number)
{
    enum err err = err_from_errno(number);
    const char *reason = number == EISDIR   ? "it is a directory"
                         : number == EINVAL ? "it is not a regular file"
                         : number == EFBIG  ? "it is too large"
                                            : err_text(err);
    buffer_print(out, "%.*s: %s", SLICE_ARGS(pem->path), reason);
    return err;
}
