#include "tls/code.h"

#include "base/text.h"

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/cipher.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509.h>

/* Where the library's own words do not help an operator. */
static const struct {
    int code;
    const char *reason;
} reasons[] = {
    {MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG + MBEDTLS_ERR_OID_NOT_FOUND,
     "a key or signature algorithm that is not supported (such as Ed25519)"},
    {MBEDTLS_ERR_PK_UNKNOWN_PK_ALG, "a key algorithm that is not supported (such as Ed25519)"},
    {MBEDTLS_ERR_PK_UNKNOWN_PK_ALG + MBEDTLS_ERR_OID_NOT_FOUND,
     "a key algorithm that is not supported (such as Ed25519)"},
    {MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG,
     "a critical extension that is not supported"},
    {MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, "no cipher suite, group or signature algorithm in common with the peer"},
    {MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, "no application protocol in common with the peer (ALPN)"},
    {MBEDTLS_ERR_SSL_INVALID_MAC,
     "a record that cannot be decrypted: it was damaged, or the peer refused the handshake in the clear"},
    {MBEDTLS_ERR_SSL_INVALID_RECORD, "what the peer sent is not TLS"},
    {MBEDTLS_ERR_SSL_BAD_INPUT_DATA, "a record that is too long, or what the peer sent is not TLS"},
    {MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE,
     "the peer sent a TLS message that is not expected here (a key update is not supported)"},
};

void tls_code_reason(int code, char *out, size_t capacity)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].code == code) {
            text_print(out, capacity, "%s", reasons[i].reason);
            return;
        }
    }
    mbedtls_strerror(code, out, capacity);
}

bool tls_code_is_unreadable(int code)
{
    /* High-level codes take bits 7 and up; the lower ones add detail. */
    int high = -(-code & 0xff80);
    bool is_x509 = high <= MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE && high >= MBEDTLS_ERR_X509_CERT_UNKNOWN_FORMAT;
    bool is_key = high <= MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE && high >= MBEDTLS_ERR_PK_UNKNOWN_PK_ALG;
    return (is_x509 && high != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) || is_key;
}

bool tls_code_is_memory(int code)
{
    switch (code) {
        case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        case MBEDTLS_ERR_X509_ALLOC_FAILED:
        case MBEDTLS_ERR_PEM_ALLOC_FAILED:
        case MBEDTLS_ERR_PK_ALLOC_FAILED:
        case MBEDTLS_ERR_ECP_ALLOC_FAILED:
        case MBEDTLS_ERR_MD_ALLOC_FAILED:
        case MBEDTLS_ERR_CIPHER_ALLOC_FAILED:
            return true;
        default: {
            int low = -code & 0x7f; /* low-level codes are added to high-level ones */
            return low == -MBEDTLS_ERR_MPI_ALLOC_FAILED || low == -MBEDTLS_ERR_ASN1_ALLOC_FAILED;
        }
    }
}

bool tls_code_is_wait(int code)
{
    return code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE;
}
