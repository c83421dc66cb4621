#include "tls/constraint.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509.h>

#define SEQUENCE (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define SUBTREES(number) (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | (number))
#define DNS_NAME (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME)

/* DER that is left to read; an error sticks. */
struct der {
    unsigned char *at;
    const unsigned char *end;
    bool failed;
};

/* What one list of subtrees says about a host. */
struct subtrees {
    bool has_dns_name;
    bool has_host;
};

static bool find_constraints(struct slice extensions, struct der *constraints);
static bool next_extension(struct der *extensions, struct slice *identifier, struct der *value);
static struct subtrees read_subtrees(struct der *subtrees, struct slice host);
static bool is_within(struct slice host, struct slice base);
static bool has_more(const struct der *der);
static bool has_tag(const struct der *der, int tag);
static struct der take(struct der *der, int tag);
static struct der take_any(struct der *der);

bool tls_constraint_permits(struct slice extensions, struct slice host)
{
    struct der constraints;
    if (!find_constraints(extensions, &constraints)) {
        return true;
    }
    struct subtrees permitted = {0}, excluded = {0};
    if (has_tag(&constraints, SUBTREES(0))) {
        struct der list = take(&constraints, SUBTREES(0));
        permitted = read_subtrees(&list, host);
        constraints.failed |= list.failed;
    }
    if (has_tag(&constraints, SUBTREES(1))) {
        struct der list = take(&constraints, SUBTREES(1));
        excluded = read_subtrees(&list, host);
        constraints.failed |= list.failed;
    }
    bool is_read = !constraints.failed && !has_more(&constraints);
    return is_read && !excluded.has_host && (permitted.has_host || !permitted.has_dns_name);
}

/* Also true, with constraints that have failed, when the extensions cannot be read up to them. */
static bool find_constraints(struct slice extensions, struct der *constraints)
{
    static const struct slice name_constraints = {MBEDTLS_OID_NAME_CONSTRAINTS,
                                                  sizeof MBEDTLS_OID_NAME_CONSTRAINTS - 1};
    unsigned char *start = (unsigned char *)extensions.data; /* the library only reads, but does not say so */
    struct der all = {.at = start, .end = start + extensions.length};
    if (extensions.length == 0) {
        return false;
    }
    struct slice identifier;
    struct der list = take(&all, SEQUENCE), value;
    while (next_extension(&list, &identifier, &value)) {
        if (slice_equal(identifier, name_constraints)) {
            *constraints = take(&value, SEQUENCE);
            return true;
        }
    }
    *constraints = list;
    return list.failed;
}

static bool next_extension(struct der *extensions, struct slice *identifier, struct der *value)
{
    if (!has_more(extensions)) {
        return false;
    }
    struct der extension = take(extensions, SEQUENCE);
    struct der oid = take(&extension, MBEDTLS_ASN1_OID);
    *identifier = slice_make(oid.at, (size_t)(oid.end - oid.at));
    if (has_tag(&extension, MBEDTLS_ASN1_BOOLEAN)) {
        (void)take(&extension, MBEDTLS_ASN1_BOOLEAN);
    }
    *value = take(&extension, MBEDTLS_ASN1_OCTET_STRING);
    extensions->failed |= extension.failed;
    return !extension.failed;
}

/* The minimum and maximum behind a base are not used in any certificate (RFC 5280 4.2.1.10); with one the list is not
 * read. */
static struct subtrees read_subtrees(struct der *subtrees, struct slice host)
{
    struct subtrees found = {0};
    while (has_more(subtrees)) {
        struct der subtree = take(subtrees, SEQUENCE);
        bool is_dns_name = has_tag(&subtree, DNS_NAME);
        struct der base = take_any(&subtree);
        subtrees->failed |= subtree.failed || has_more(&subtree);
        if (is_dns_name) {
            found.has_dns_name = true;
            found.has_host |= is_within(host, slice_make(base.at, (size_t)(base.end - base.at)));
        }
    }
    return found;
}

/* "example.com" holds itself and what is below; ".example.com", which is in use though RFC 5280 has it only for URIs,
 * what is below; "" holds everything. */
static bool is_within(struct slice host, struct slice base)
{
    if (base.length == 0 || slice_equal_nocase(host, base)) {
        return true;
    }
    if (!slice_ends_nocase(host, base)) {
        return false;
    }
    return base.data[0] == '.' || host.data[host.length - base.length - 1] == '.';
}

static bool has_more(const struct der *der)
{
    return !der->failed && der->at < der->end;
}

static bool has_tag(const struct der *der, int tag)
{
    return has_more(der) && *der->at == tag;
}

/* The content of the next element, which must have the tag; empty when there is none. */
static struct der take(struct der *der, int tag)
{
    size_t length = 0;
    if (der->failed || mbedtls_asn1_get_tag(&der->at, der->end, &length, tag) != 0) {
        der->failed = true;
        return (struct der){.at = der->at, .end = der->at, .failed = true};
    }
    struct der content = {.at = der->at, .end = der->at + length};
    der->at += length;
    return content;
}

static struct der take_any(struct der *der)
{
    return take(der, has_more(der) ? *der->at : 0);
}
