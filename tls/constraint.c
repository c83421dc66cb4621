#include "tls/constraint.h"

#include "tls/der.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509.h>

#define SEQUENCE (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define SET (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET)
#define SUBTREES(number) (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | (number))

/* A GeneralName (RFC 5280 4.2.1.6): which kind, and its content. */
struct name {
    int kind;
    struct slice value;
    bool is_loose; /* what might be another spelling of an excluded name is it */
};

/* What one list of subtrees says about a name. */
struct subtrees {
    bool has_kind;
    bool has_name;
};

static bool find(struct slice extensions, struct slice identifier, struct tls_der *value);
static bool admits(struct tls_der constraints, const struct name *name);
static struct subtrees read_list(struct tls_der *constraints, int tag, const struct name *name);
static struct subtrees read_subtrees(struct tls_der *subtrees, const struct name *name);
static bool is_understood(int kind);
static bool is_within(const struct name *name, struct slice base);
static bool is_host_within(struct slice host, struct slice base);
static bool is_address_within(struct slice address, struct slice base);
static bool is_subject_within(const struct name *subject, struct slice base);
static bool are_equal(struct slice names_a, struct slice names_b, bool is_loose);
static bool are_alike(struct slice a, struct slice b);
static struct slice skip_filling(struct slice text);
static bool admits_addresses(struct tls_der constraints, struct slice subject);
static struct name next_name(struct tls_der *names);

static const struct slice constraints_identifier = {MBEDTLS_OID_NAME_CONSTRAINTS,
                                                    sizeof MBEDTLS_OID_NAME_CONSTRAINTS - 1};
static const struct slice names_identifier = {MBEDTLS_OID_SUBJECT_ALT_NAME, sizeof MBEDTLS_OID_SUBJECT_ALT_NAME - 1};

bool tls_constraint_permits(struct slice extensions, struct slice host)
{
    struct tls_der constraints;
    struct name name = {.kind = MBEDTLS_X509_SAN_DNS_NAME, .value = host};
    return !find(extensions, constraints_identifier, &constraints) || admits(constraints, &name);
}

bool tls_constraint_admits(struct slice extensions, const struct tls_constraint_names *names)
{
    struct tls_der constraints, others;
    if (!find(extensions, constraints_identifier, &constraints)) {
        return true;
    }
    struct tls_der outer = tls_der_of(names->subject);
    struct tls_der subject = tls_der_take(&outer, SEQUENCE);
    struct name name = {.kind = MBEDTLS_X509_SAN_DIRECTORY_NAME, .value = tls_der_rest(&subject)};
    if (name.value.length > 0 && (!admits(constraints, &name) || !admits_addresses(constraints, name.value))) {
        return false;
    }
    if (!find(names->extensions, names_identifier, &others)) {
        return true;
    }
    while (tls_der_has_more(&others)) {
        name = next_name(&others);
        if (others.failed || !admits(constraints, &name)) {
            return false;
        }
    }
    return !others.failed;
}

/* What is inside the extension's SEQUENCE. Also true, with a value that has failed, when the extensions cannot be read
 * up to their end or have the one twice: which of them counts nobody could say. */
static bool find(struct slice extensions, struct slice identifier, struct tls_der *value)
{
    struct tls_extension extension;
    struct tls_der list = tls_der_extensions(extensions);
    bool is_found = false;
    while (tls_der_next_extension(&list, &extension)) {
        if (slice_equal(extension.identifier, identifier)) {
            list.failed |= is_found;
            *value = tls_der_take(&extension.value, SEQUENCE);
            is_found = true;
        }
    }
    if (list.failed) {
        *value = list;
    }
    return is_found || list.failed;
}

static bool admits(struct tls_der constraints, const struct name *name)
{
    struct name loose = {.kind = name->kind, .value = name->value, .is_loose = true};
    struct subtrees permitted = read_list(&constraints, SUBTREES(0), name);
    struct subtrees excluded = read_list(&constraints, SUBTREES(1), &loose);
    if (constraints.failed || tls_der_has_more(&constraints)) {
        return false;
    }
    if (!is_understood(name->kind)) {
        return !permitted.has_kind && !excluded.has_kind;
    }
    return !excluded.has_name && (permitted.has_name || !permitted.has_kind);
}

static struct subtrees read_list(struct tls_der *constraints, int tag, const struct name *name)
{
    if (!tls_der_has_tag(constraints, tag)) {
        return (struct subtrees){.has_kind = false};
    }
    struct tls_der list = tls_der_take(constraints, tag);
    struct subtrees found = read_subtrees(&list, name);
    constraints->failed |= list.failed;
    return found;
}

/* The minimum and maximum behind a base are not used in any certificate (RFC 5280 4.2.1.10); with one the list is not
 * read. */
static struct subtrees read_subtrees(struct tls_der *subtrees, const struct name *name)
{
    struct subtrees found = {0};
    while (tls_der_has_more(subtrees)) {
        struct tls_der subtree = tls_der_take(subtrees, SEQUENCE);
        struct name base = next_name(&subtree);
        subtrees->failed |= subtree.failed || tls_der_has_more(&subtree);
        if (!subtrees->failed && base.kind == name->kind) {
            found.has_kind = true;
            found.has_name |= is_within(name, base.value);
        }
    }
    return found;
}

static bool is_understood(int kind)
{
    return kind == MBEDTLS_X509_SAN_DNS_NAME || kind == MBEDTLS_X509_SAN_IP_ADDRESS ||
           kind == MBEDTLS_X509_SAN_DIRECTORY_NAME;
}

static bool is_within(const struct name *name, struct slice base)
{
    switch (name->kind) {
        case MBEDTLS_X509_SAN_DNS_NAME:
            return is_host_within(name->value, base);
        case MBEDTLS_X509_SAN_IP_ADDRESS:
            return is_address_within(name->value, base);
        case MBEDTLS_X509_SAN_DIRECTORY_NAME:
            return is_subject_within(name, base);
        default:
            return false;
    }
}

/* "example.com" holds itself and what is below; ".example.com", which is in use though RFC 5280 has it only for URIs,
 * what is below; "" holds everything. */
static bool is_host_within(struct slice host, struct slice base)
{
    if (base.length == 0 || slice_equal_nocase(host, base)) {
        return true;
    }
    if (!slice_ends_nocase(host, base)) {
        return false;
    }
    return base.data[0] == '.' || host.data[host.length - base.length - 1] == '.';
}

/* The base is an address and a mask. */
static bool is_address_within(struct slice address, struct slice base)
{
    if (base.length != 2 * address.length) {
        return false;
    }
    for (size_t i = 0; i < address.length; i++) {
        if (((address.data[i] ^ base.data[i]) & base.data[address.length + i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Both are lists of relative names, from the top downwards: the base must be how the subject begins. */
static bool is_subject_within(const struct name *subject, struct slice base)
{
    struct tls_der names = tls_der_of(subject->value), bases = tls_der_of(base);
    while (tls_der_has_more(&bases)) {
        struct tls_der name = tls_der_take(&names, SET), wanted = tls_der_take(&bases, SET);
        if (names.failed || bases.failed || !are_equal(tls_der_rest(&name), tls_der_rest(&wanted), subject->is_loose)) {
            return false;
        }
    }
    return !bases.failed;
}

/* The attributes of a relative name, whatever kind of string they are (RFC 5280 7.1; case of ASCII is ignored). */
static bool are_equal(struct slice names_a, struct slice names_b, bool is_loose)
{
    struct tls_der a = tls_der_of(names_a), b = tls_der_of(names_b);
    while (tls_der_has_more(&a) && tls_der_has_more(&b)) {
        struct tls_der pair_a = tls_der_take(&a, SEQUENCE), pair_b = tls_der_take(&b, SEQUENCE);
        struct tls_der type_a = tls_der_take(&pair_a, MBEDTLS_ASN1_OID);
        struct tls_der type_b = tls_der_take(&pair_b, MBEDTLS_ASN1_OID);
        struct tls_der value_a = tls_der_take_any(&pair_a), value_b = tls_der_take_any(&pair_b);
        struct slice text_a = tls_der_rest(&value_a), text_b = tls_der_rest(&value_b);
        if (pair_a.failed || pair_b.failed || !slice_equal(tls_der_rest(&type_a), tls_der_rest(&type_b)) ||
            !(is_loose ? are_alike(text_a, text_b) : slice_equal_nocase(text_a, text_b))) {
            return false;
        }
    }
    return !a.failed && !b.failed && !tls_der_has_more(&a) && !tls_der_has_more(&b);
}

/* Without the spaces, of which one is as good as many (RFC 5280 7.1), and the zeros that BMPString has between letters.
 */
static bool are_alike(struct slice a, struct slice b)
{
    for (a = skip_filling(a), b = skip_filling(b); a.length > 0 && b.length > 0;
         a = skip_filling(slice_from(a, 1)), b = skip_filling(slice_from(b, 1))) {
        if (byte_lower(a.data[0]) != byte_lower(b.data[0])) {
            return false;
        }
    }
    return a.length == b.length;
}

static struct slice skip_filling(struct slice text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\0')) {
        text = slice_from(text, 1);
    }
    return text;
}

/* Those of e-mail that the subject has, as was usual once (RFC 5280 4.2.1.10). */
static bool admits_addresses(struct tls_der constraints, struct slice subject)
{
    static const struct slice identifier = {MBEDTLS_OID_PKCS9_EMAIL, sizeof MBEDTLS_OID_PKCS9_EMAIL - 1};
    struct tls_der list = tls_der_of(subject);
    while (tls_der_has_more(&list)) {
        struct tls_der relative = tls_der_take(&list, SET);
        while (tls_der_has_more(&relative)) {
            struct tls_der pair = tls_der_take(&relative, SEQUENCE);
            struct tls_der type = tls_der_take(&pair, MBEDTLS_ASN1_OID);
            struct name name = {.kind = MBEDTLS_X509_SAN_RFC822_NAME, .value = tls_der_rest(&pair)};
            if (slice_equal(tls_der_rest(&type), identifier) && !admits(constraints, &name)) {
                return false;
            }
        }
    }
    return true;
}

/* A name of the directory is in a SEQUENCE of its own. */
static struct name next_name(struct tls_der *names)
{
    struct name name = {.kind = tls_der_has_more(names) ? *names->at & MBEDTLS_ASN1_TAG_VALUE_MASK : -1};
    struct tls_der content = tls_der_take_any(names);
    if (name.kind == MBEDTLS_X509_SAN_DIRECTORY_NAME) {
        struct tls_der sequence = tls_der_take(&content, SEQUENCE);
        names->failed |= content.failed;
        content = sequence;
    }
    name.value = tls_der_rest(&content);
    return name;
}
