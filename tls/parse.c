#include "tls/parse.h"

#include "base/text.h"
#include "tls/code.h"
#include "tls/der.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCE (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define VERSION (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED)
#define OID SLICE_INIT

static int parse(mbedtls_x509_crt *chain, struct slice der, mbedtls_x509_crt_ext_cb_t extension_take);
static int take_any(void *context, const mbedtls_x509_crt *certificate, const mbedtls_x509_buf *identifier,
                    int is_critical, const unsigned char *value, const unsigned char *end);
static int take_constraints(void *context, const mbedtls_x509_crt *certificate, const mbedtls_x509_buf *identifier,
                            int is_critical, const unsigned char *value, const unsigned char *end);
static int append_bytes(mbedtls_x509_crt *chain, struct slice der);
static int fill_bytes(mbedtls_x509_crt *certificate, struct slice der);
static int fill_key(mbedtls_x509_crt *certificate);
static bool is_understood(const mbedtls_x509_crt *certificate, struct slice identifier);
static bool has_any_policy_only(const mbedtls_x509_crt *certificate);

static const struct slice policies = OID(MBEDTLS_OID_CERTIFICATE_POLICIES);
static const struct slice understood[] = {
    OID(MBEDTLS_OID_BASIC_CONSTRAINTS),      OID(MBEDTLS_OID_KEY_USAGE),
    OID(MBEDTLS_OID_EXTENDED_KEY_USAGE),     OID(MBEDTLS_OID_SUBJECT_ALT_NAME),
    OID(MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER), OID(MBEDTLS_OID_AUTHORITY_KEY_IDENTIFIER),
    OID(MBEDTLS_OID_NS_CERT_TYPE),           OID(MBEDTLS_OID_NAME_CONSTRAINTS),
};

int tls_parse_own(mbedtls_x509_crt *chain, struct slice der)
{
    return parse(chain, der, take_constraints);
}

int __wrap_mbedtls_x509_crt_parse_der(mbedtls_x509_crt *chain, const unsigned char *der, size_t length)
{
    if (chain == NULL || der == NULL) {
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    }
    bool is_first = chain->version == 0;
    struct slice bytes = slice_make(der, length);
    int code = parse(chain, bytes, take_any);
    if (code == 0 || tls_code_is_memory(code)) {
        return code;
    }
    if (!is_first) {
        return append_bytes(chain, bytes);
    }
    int key_code = fill_bytes(chain, bytes);
    key_code = key_code == 0 ? fill_key(chain) : key_code;
    if (key_code == 0) {
        return 0;
    }
    mbedtls_x509_crt_free(chain);
    return tls_code_is_memory(key_code) ? MBEDTLS_ERR_X509_ALLOC_FAILED : code;
}

bool tls_parse_is_whole(const mbedtls_x509_crt *certificate)
{
    return certificate->sig_oid.p != NULL;
}

void tls_parse_reason(const mbedtls_x509_crt *certificate, char *out, size_t capacity)
{
    mbedtls_x509_crt again;
    mbedtls_x509_crt_init(&again);
    int code = parse(&again, slice_make(certificate->raw.p, certificate->raw.len), take_any);
    tls_code_reason(code, out, capacity);
    mbedtls_x509_crt_free(&again);
}

bool tls_parse_has_unknown(const mbedtls_x509_crt *certificate, char *identifier, size_t capacity)
{
    struct tls_extension extension;
    struct tls_der list = tls_der_extensions(slice_make(certificate->v3_ext.p, certificate->v3_ext.len));
    while (tls_der_next_extension(&list, &extension)) {
        if (!extension.is_critical || is_understood(certificate, extension.identifier)) {
            continue;
        }
        struct tls_der bytes = tls_der_of(extension.identifier);
        mbedtls_x509_buf oid = {.tag = MBEDTLS_ASN1_OID, .len = extension.identifier.length, .p = bytes.at};
        if (mbedtls_oid_get_numeric_string(identifier, capacity, &oid) < 0) {
            text_print(identifier, capacity, "with a long identifier");
        }
        return true;
    }
    if (list.failed) {
        text_print(identifier, capacity, "that cannot be read");
    }
    return list.failed;
}

bool tls_parse_is_authority(const mbedtls_x509_crt *certificate)
{
    static const struct slice identifier = OID(MBEDTLS_OID_BASIC_CONSTRAINTS);
    struct tls_extension extension;
    struct tls_der list = tls_der_extensions(slice_make(certificate->v3_ext.p, certificate->v3_ext.len));
    while (tls_der_next_extension(&list, &extension)) {
        if (slice_equal(extension.identifier, identifier)) {
            struct tls_der constraints = tls_der_take(&extension.value, SEQUENCE);
            return certificate->MBEDTLS_PRIVATE(ca_istrue) != 0 && tls_der_has_tag(&constraints, MBEDTLS_ASN1_BOOLEAN);
        }
    }
    return false;
}

static int parse(mbedtls_x509_crt *chain, struct slice der, mbedtls_x509_crt_ext_cb_t extension_take)
{
    return mbedtls_x509_crt_parse_der_with_ext_cb(chain, (const unsigned char *)der.data, der.length, 1, extension_take,
                                                  NULL);
}

static int take_any(void *context, const mbedtls_x509_crt *certificate, const mbedtls_x509_buf *identifier,
                    int is_critical, const unsigned char *value, const unsigned char *end)
{
    (void)context, (void)certificate, (void)identifier, (void)is_critical, (void)value, (void)end;
    return 0;
}

static int take_constraints(void *context, const mbedtls_x509_crt *certificate, const mbedtls_x509_buf *identifier,
                            int is_critical, const unsigned char *value, const unsigned char *end)
{
    (void)context, (void)certificate, (void)value, (void)end;
    bool is_taken = !is_critical || MBEDTLS_OID_CMP(MBEDTLS_OID_NAME_CONSTRAINTS, identifier) == 0;
    return is_taken ? 0 : MBEDTLS_ERR_X509_INVALID_EXTENSIONS + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG;
}

static int append_bytes(mbedtls_x509_crt *chain, struct slice der)
{
    mbedtls_x509_crt *last = chain;
    while (last->next != NULL) {
        last = last->next;
    }
    mbedtls_x509_crt *added = calloc(1, sizeof *added);
    if (added == NULL) {
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    }
    mbedtls_x509_crt_init(added);
    int code = fill_bytes(added, der);
    if (code != 0) {
        free(added);
        return code;
    }
    last->next = added;
    return 0;
}

/* The library frees them with the rest. With a version it takes the entry for used. */
static int fill_bytes(mbedtls_x509_crt *certificate, struct slice der)
{
    certificate->raw.p = malloc(der.length);
    if (certificate->raw.p == NULL) {
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    }
    memcpy(certificate->raw.p, der.data, der.length);
    certificate->raw.len = der.length;
    certificate->MBEDTLS_PRIVATE(own_buffer) = 1;
    certificate->version = 3;
    return 0;
}

/* Behind version, serial number, algorithm, issuer, validity and subject (RFC 5280 4.1). */
static int fill_key(mbedtls_x509_crt *certificate)
{
    struct tls_der file = tls_der_of(slice_make(certificate->raw.p, certificate->raw.len));
    struct tls_der whole = tls_der_take(&file, SEQUENCE);
    struct tls_der body = tls_der_take(&whole, SEQUENCE);
    if (tls_der_has_tag(&body, VERSION)) {
        (void)tls_der_take(&body, VERSION);
    }
    for (size_t i = 0; i < 5; i++) {
        (void)tls_der_take_any(&body);
    }
    if (whole.failed || !tls_der_has_more(&body)) {
        return MBEDTLS_ERR_X509_INVALID_FORMAT;
    }
    certificate->pk_raw.p = body.at;
    int code = mbedtls_pk_parse_subpubkey(&body.at, body.end, &certificate->pk);
    certificate->pk_raw.len = (size_t)(body.at - certificate->pk_raw.p);
    return code;
}

static bool is_understood(const mbedtls_x509_crt *certificate, struct slice identifier)
{
    if (slice_equal(identifier, policies)) {
        return has_any_policy_only(certificate);
    }
    for (size_t i = 0; i < sizeof understood / sizeof understood[0]; i++) {
        if (slice_equal(identifier, understood[i])) {
            return true;
        }
    }
    return false;
}

/* As the library has it: others would have to be followed along the path. */
static bool has_any_policy_only(const mbedtls_x509_crt *certificate)
{
    for (const mbedtls_x509_sequence *policy = &certificate->certificate_policies; policy != NULL;
         policy = policy->next) {
        if (policy->buf.p == NULL || MBEDTLS_OID_CMP(MBEDTLS_OID_ANY_POLICY, &policy->buf) != 0) {
            return false;
        }
    }
    return true;
}
