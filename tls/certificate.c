#include "tls/certificate.h"

#include "base/text.h"
#include "tls/constraint.h"
#include "tls/parse.h"
#include "tls/verify.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <string.h>
#include <time.h>

#define WEAK_FLAGS (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY)
#define RSA_BITS_MIN 2048 /* of the library's default profile */
#define USAGE_FLAGS                                                                                                    \
    (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_NS_CERT_TYPE)

/* The first that applies is reported: without trust nothing else that the certificate says can be believed. What has no
 * line of its own (flags about revocation lists, which are not used) ends as not trusted. */
static const struct {
    uint32_t flags;
    enum tls_failure failure;
} meanings[] = {
    {TLS_FLAG_UNREAD, TLS_FAILURE_UNSUPPORTED_CERTIFICATE},
    {MBEDTLS_X509_BADCERT_REVOKED, TLS_FAILURE_REVOKED},
    {TLS_FLAG_TANGLED, TLS_FAILURE_TANGLED},
    {TLS_FLAG_ISSUER, TLS_FAILURE_ISSUER},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED | MBEDTLS_X509_BADCERT_MISSING, TLS_FAILURE_NOT_TRUSTED},
    {TLS_FLAG_CONSTRAINED, TLS_FAILURE_CONSTRAINED},
    {TLS_FLAG_EXTENSION, TLS_FAILURE_UNSUPPORTED_CERTIFICATE},
    {MBEDTLS_X509_BADCERT_EXPIRED, TLS_FAILURE_EXPIRED},
    {MBEDTLS_X509_BADCERT_FUTURE, TLS_FAILURE_NOT_YET_VALID},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, TLS_FAILURE_HOST_MISMATCH},
    {WEAK_FLAGS, TLS_FAILURE_WEAK},
    {USAGE_FLAGS, TLS_FAILURE_USAGE},
    {UINT32_MAX, TLS_FAILURE_NOT_TRUSTED},
};

static bool may_not_serve(const mbedtls_x509_crt *issuer);
static bool is_for_others(const mbedtls_x509_crt *leaf);
static size_t rank_of(uint32_t flags);
static enum tls_failure failure_of(const struct tls_evidence *evidence, uint32_t flags);
static void gather_leaf(struct tls_evidence *evidence, const mbedtls_x509_crt *leaf);
static void gather_names(struct tls_evidence *evidence, const mbedtls_x509_crt *leaf);
static void describe_trouble(struct tls_evidence *evidence, const mbedtls_x509_crt *certificate, int depth);
static void describe_origin(struct buffer *out, const struct tls_evidence *evidence,
                            const mbedtls_x509_crt *certificate);
static void describe_weakness(struct buffer *out, const struct tls_evidence *evidence,
                              const mbedtls_x509_crt *certificate);
static void describe_failure(struct buffer *out, const struct tls_evidence *evidence, enum tls_failure failure);
static bool next_dns_name(const mbedtls_x509_sequence **entry, struct slice *name);
static void print_distinguished_name(char *out, size_t capacity, const mbedtls_x509_name *name);
static void copy_clean(char *out, size_t capacity, struct slice text);
static int64_t wall_ms_of(const mbedtls_x509_time *at);

int tls_evidence_gather(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct tls_evidence *evidence = context;
    if (depth == 0) {
        gather_leaf(evidence, certificate);
        if (evidence->name != TLS_NAME_PROVED) {
            *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
        }
    }
    struct slice extensions = slice_make(certificate->v3_ext.p, certificate->v3_ext.len);
    if (depth > 0 && evidence->host.length > 0 && !tls_constraint_permits(extensions, evidence->host)) {
        *flags |= TLS_FLAG_CONSTRAINED;
    }
    char identifier[64];
    if (tls_parse_has_unknown(certificate, identifier, sizeof identifier)) {
        *flags |= TLS_FLAG_EXTENSION;
    }
    if (depth > 0 && may_not_serve(certificate)) {
        *flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
    }
    if (depth == 0 && is_for_others(certificate)) {
        *flags |= MBEDTLS_X509_BADCERT_NS_CERT_TYPE;
    }
    uint32_t own = *flags & ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
    /* The walk ends at the leaf, so that of two equal troubles the one nearer to the peer is told. */
    if (own != 0 && (evidence->trouble == 0 || rank_of(own) <= rank_of(evidence->trouble))) {
        evidence->trouble = own;
        describe_trouble(evidence, certificate, depth);
    }
    text_print(evidence->issuer_key, sizeof evidence->issuer_key, "%s, %zu bits", mbedtls_pk_get_name(&certificate->pk),
               mbedtls_pk_get_bitlen(&certificate->pk));
    return 0;
}

enum tls_name_finding tls_certificate_names(const mbedtls_x509_crt *certificate, struct slice host)
{
    if (certificate == NULL) {
        return TLS_NAME_UNSEEN;
    }
    if (!tls_parse_is_whole(certificate)) {
        return TLS_NAME_UNREADABLE;
    }
    enum tls_name_finding finding = TLS_NAME_ABSENT;
    const mbedtls_x509_sequence *entry = &certificate->subject_alt_names;
    struct slice name;
    while (next_dns_name(&entry, &name)) {
        if (tls_name_matches(name, host)) {
            return TLS_NAME_PROVED;
        }
        finding = TLS_NAME_OTHER;
    }
    return finding;
}

void tls_evidence_unread(struct tls_evidence *evidence, const mbedtls_x509_crt *certificate)
{
    char reason[160];
    evidence->name = TLS_NAME_UNREADABLE;
    evidence->trouble = TLS_FLAG_UNREAD;
    tls_parse_reason(certificate, reason, sizeof reason);
    text_print(evidence->trouble_text, sizeof evidence->trouble_text, "the certificate cannot be read: %s", reason);
}

void tls_evidence_denied(struct tls_evidence *evidence, const mbedtls_x509_crt *issuer)
{
    char subject[128];
    print_distinguished_name(subject, sizeof subject, &issuer->subject);
    bool is_authority = tls_parse_is_authority(issuer);
    bool may_sign = mbedtls_x509_crt_check_key_usage(issuer, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0;
    evidence->trouble = TLS_FLAG_ISSUER;
    text_print(evidence->trouble_text, sizeof evidence->trouble_text, "the certificate of the issuer %s %s", subject,
               !is_authority ? "is not that of an authority (basic constraints)"
               : !may_sign   ? "may not be used to issue (key usage)"
                             : "has too many issuers below it (path length)");
}

bool tls_evidence_is_better(uint32_t flags, uint32_t than)
{
    return rank_of(flags) > rank_of(than);
}

void tls_evidence_judge(const struct tls_evidence *evidence, uint32_t flags, struct tls_verdict *verdict)
{
    struct buffer text;
    buffer_init(&text, 2048);
    verdict->failure = failure_of(evidence, flags);
    bool failed = verdict->failure != TLS_FAILURE_NONE;
    if (failed) {
        describe_failure(&text, evidence, verdict->failure);
        buffer_add(&text, SLICE("; "));
    }
    if (evidence->names[0] != '\0') {
        buffer_print(&text, "%s is for %s; ", failed ? "it" : "the certificate", evidence->names);
    }
    if (evidence->issuer[0] != '\0') {
        buffer_print(&text, "issued by %s", evidence->issuer);
    }
    copy_clean(verdict->detail, sizeof verdict->detail, buffer_slice(&text));
    copy_clean(verdict->subject, sizeof verdict->subject, slice_of(evidence->subject));
    verdict->not_after_ms = evidence->not_after_ms;
    buffer_free(&text);
}

/* The purposes of an authority bind what it issues: one for e-mail or code is audited by other rules, or by none. The
 * library looks at those of the leaf only. */
static bool may_not_serve(const mbedtls_x509_crt *issuer)
{
    return mbedtls_x509_crt_check_extended_key_usage(issuer, MBEDTLS_OID_SERVER_AUTH,
                                                     MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0;
}

/* By Netscape's extension, which is older than extended key usage. The library reads it and asks nothing. */
static bool is_for_others(const mbedtls_x509_crt *leaf)
{
    return mbedtls_x509_crt_has_ext_type(leaf, MBEDTLS_X509_EXT_NS_CERT_TYPE) != 0 &&
           (leaf->MBEDTLS_PRIVATE(ns_cert_type) & MBEDTLS_X509_NS_CERT_TYPE_SSL_SERVER) == 0;
}

static size_t rank_of(uint32_t flags)
{
    size_t rank = 0;
    while ((meanings[rank].flags & flags) == 0) {
        rank++;
    }
    return rank;
}

static enum tls_failure failure_of(const struct tls_evidence *evidence, uint32_t flags)
{
    if (flags == 0) {
        return TLS_FAILURE_NONE;
    }
    enum tls_failure failure = meanings[rank_of(flags)].failure;
    if (failure == TLS_FAILURE_NOT_TRUSTED && evidence->anchor_count == 0) {
        return TLS_FAILURE_NO_ANCHORS;
    }
    if (failure == TLS_FAILURE_NOT_TRUSTED && evidence->self_signed) {
        return TLS_FAILURE_SELF_SIGNED;
    }
    if (failure == TLS_FAILURE_HOST_MISMATCH && evidence->name == TLS_NAME_ABSENT) {
        return TLS_FAILURE_NO_DNS_NAME;
    }
    return failure;
}

static void gather_leaf(struct tls_evidence *evidence, const mbedtls_x509_crt *leaf)
{
    evidence->name = tls_certificate_names(leaf, evidence->host);
    if (evidence->name == TLS_NAME_UNREADABLE) {
        return;
    }
    evidence->self_signed = slice_equal(slice_make(leaf->issuer_raw.p, leaf->issuer_raw.len),
                                        slice_make(leaf->subject_raw.p, leaf->subject_raw.len));
    evidence->not_after_ms = wall_ms_of(&leaf->valid_to);
    print_distinguished_name(evidence->issuer, sizeof evidence->issuer, &leaf->issuer);
    gather_names(evidence, leaf);
}

static void gather_names(struct tls_evidence *evidence, const mbedtls_x509_crt *leaf)
{
    struct buffer text;
    buffer_init(&text, sizeof evidence->names - sizeof " and 65535 more");
    const mbedtls_x509_sequence *entry = &leaf->subject_alt_names;
    size_t left_out_count = 0;
    struct slice name;
    while (next_dns_name(&entry, &name)) {
        if (evidence->subject[0] == '\0') {
            copy_clean(evidence->subject, sizeof evidence->subject, name);
        }
        if (left_out_count > 0 || buffer_room(&text) < name.length + 2) {
            left_out_count++;
            continue;
        }
        buffer_add(&text, buffer_length(&text) > 0 ? SLICE(", ") : SLICE_EMPTY);
        text_clean(&text, name, name.length);
    }
    struct slice listed = buffer_slice(&text);
    if (left_out_count == 0) {
        text_print(evidence->names, sizeof evidence->names, "%.*s", SLICE_ARGS(listed));
    } else if (listed.length == 0) {
        text_print(evidence->names, sizeof evidence->names, "%zu long names", left_out_count);
    } else {
        text_print(evidence->names, sizeof evidence->names, "%.*s and %zu more", SLICE_ARGS(listed), left_out_count);
    }
    buffer_free(&text);
}

/* One sentence without a full stop on the worst that this certificate has. */
static void describe_trouble(struct tls_evidence *evidence, const mbedtls_x509_crt *certificate, int depth)
{
    struct buffer text;
    char subject[128], date[32], identifier[64];
    buffer_init(&text, 1024);
    print_distinguished_name(subject, sizeof subject, &certificate->subject);
    if (depth == 0) {
        buffer_add(&text, SLICE("the certificate"));
    } else {
        buffer_print(&text, "the certificate of the issuer %s", subject);
    }
    switch (failure_of(evidence, evidence->trouble)) {
        case TLS_FAILURE_EXPIRED:
            buffer_print(&text, " expired on %.*s",
                         SLICE_ARGS(text_date_iso(wall_ms_of(&certificate->valid_to), date)));
            break;
        case TLS_FAILURE_NOT_YET_VALID:
            buffer_print(&text, " is not valid before %.*s (is this machine's clock right?)",
                         SLICE_ARGS(text_date_iso(wall_ms_of(&certificate->valid_from), date)));
            break;
        case TLS_FAILURE_WEAK:
            describe_weakness(&text, evidence, certificate);
            break;
        case TLS_FAILURE_NOT_TRUSTED:
            describe_origin(&text, evidence, certificate);
            break;
        case TLS_FAILURE_CONSTRAINED:
            buffer_print(&text, " may not be used to issue for %.*s or the other names below it (name constraints)",
                         SLICE_ARGS(evidence->host));
            break;
        case TLS_FAILURE_UNSUPPORTED_CERTIFICATE:
            (void)tls_parse_has_unknown(certificate, identifier, sizeof identifier);
            buffer_print(&text, " has a critical extension that is not supported (%s)", identifier);
            break;
        case TLS_FAILURE_SELF_SIGNED:
            buffer_add(&text, SLICE(" is self-signed and not itself a trust anchor"));
            break;
        case TLS_FAILURE_NO_ANCHORS:
            buffer_add(&text, SLICE(" cannot be checked: there are no trust anchors"));
            break;
        case TLS_FAILURE_USAGE:
            buffer_add(&text, depth == 0 ? SLICE(" is not meant for TLS servers (key usage)")
                                         : SLICE(" may not be used to issue for TLS servers (extended key usage)"));
            break;
        default:
            buffer_print(&text, ": %s", tls_failure_text(failure_of(evidence, evidence->trouble)));
    }
    copy_clean(evidence->trouble_text, sizeof evidence->trouble_text, buffer_slice(&text));
    buffer_free(&text);
}

static void describe_origin(struct buffer *out, const struct tls_evidence *evidence,
                            const mbedtls_x509_crt *certificate)
{
    char issuer[128];
    print_distinguished_name(issuer, sizeof issuer, &certificate->issuer);
    buffer_print(out, " is signed by %s, which is not among the %zu trust anchors", issuer, evidence->anchor_count);
    if (evidence->sent_count == 1) {
        buffer_add(out, SLICE(" (the peer sent no intermediate certificate)"));
    } else if (evidence->unread_reason[0] != '\0') {
        buffer_print(out, " (another certificate that it sent cannot be read: %s)", evidence->unread_reason);
    }
}

/* The library blames a certificate for the key of its issuer too, and does not say which it was. */
static void describe_weakness(struct buffer *out, const struct tls_evidence *evidence,
                              const mbedtls_x509_crt *certificate)
{
    const char *signature = NULL;
    const char *kind = mbedtls_pk_get_name(&certificate->pk);
    size_t bits = mbedtls_pk_get_bitlen(&certificate->pk);
    if ((evidence->trouble & MBEDTLS_X509_BADCERT_BAD_MD) != 0 &&
        mbedtls_oid_get_sig_alg_desc(&certificate->sig_oid, &signature) == 0) {
        buffer_print(out, " is signed with %s", signature);
    } else if (evidence->issuer_key[0] == '\0' ||
               (mbedtls_pk_can_do(&certificate->pk, MBEDTLS_PK_RSA) && bits < RSA_BITS_MIN)) {
        buffer_print(out, " has a weak key (%s, %zu bits)", kind, bits);
    } else {
        buffer_print(out, " has a weak key (%s, %zu bits) or an issuer with a weak key (%s)", kind, bits,
                     evidence->issuer_key);
    }
}

static void describe_failure(struct buffer *out, const struct tls_evidence *evidence, enum tls_failure failure)
{
    struct slice host = evidence->host;
    if (failure == TLS_FAILURE_HOST_MISMATCH && host.length == 0) {
        buffer_add(out, SLICE("there is no host name to be proved"));
    } else if (failure == TLS_FAILURE_HOST_MISMATCH) {
        buffer_print(out, "the certificate is not for %.*s", SLICE_ARGS(host));
    } else if (failure == TLS_FAILURE_NO_DNS_NAME) {
        buffer_add(out, SLICE("the certificate has no DNS subject alternative name (a common name does not count)"));
    } else if (evidence->trouble != 0 && failure != TLS_FAILURE_TANGLED) {
        buffer_add(out, slice_of(evidence->trouble_text));
    } else {
        buffer_add(out, slice_of(tls_failure_text(failure)));
    }
}

/* Steps to the next dNSName; the entry is then the one after it. */
static bool next_dns_name(const mbedtls_x509_sequence **entry, struct slice *name)
{
    while (*entry != NULL) {
        const mbedtls_x509_buf *value = &(*entry)->buf;
        *entry = (*entry)->next;
        if (value->p != NULL && value->tag == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME)) {
            *name = slice_make(value->p, value->len);
            return true;
        }
    }
    return false;
}

static void print_distinguished_name(char *out, size_t capacity, const mbedtls_x509_name *name)
{
    char text[1024];
    int length = mbedtls_x509_dn_gets(text, sizeof text, name);
    if (length < 0) {
        copy_clean(out, capacity, SLICE("(a name that is too long)"));
    } else {
        copy_clean(out, capacity, length > 0 ? slice_make(text, (size_t)length) : SLICE("(an empty name)"));
    }
}

/* NUL-terminated, without what a terminal or a log could trip over, "..." where it was cut. */
static void copy_clean(char *out, size_t capacity, struct slice text)
{
    struct buffer clean;
    buffer_init(&clean, capacity);
    text_clean(&clean, text, capacity - 1);
    struct slice kept = buffer_slice(&clean); /* empty when memory ran out */
    memcpy(out, kept.data, kept.length);
    out[kept.length] = '\0';
    buffer_free(&clean);
}

static int64_t wall_ms_of(const mbedtls_x509_time *at)
{
    struct tm broken_down = {.tm_year = at->year - 1900,
                             .tm_mon = at->mon - 1,
                             .tm_mday = at->day,
                             .tm_hour = at->hour,
                             .tm_min = at->min,
                             .tm_sec = at->sec};
    return (int64_t)timegm(&broken_down) * 1000;
}
