#include "tls/der.h"

#include <mbedtls/asn1.h>

#define SEQUENCE (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)

struct tls_der tls_der_of(struct slice bytes)
{
    unsigned char *start = (unsigned char *)bytes.data; /* the library only reads, but does not say so */
    return (struct tls_der){.at = start, .end = start + bytes.length};
}

struct slice tls_der_rest(const struct tls_der *der)
{
    return slice_make(der->at, (size_t)(der->end - der->at));
}

bool tls_der_has_more(const struct tls_der *der)
{
    return !der->failed && der->at < der->end;
}

bool tls_der_has_tag(const struct tls_der *der, int tag)
{
    return tls_der_has_more(der) && *der->at == tag;
}

struct tls_der tls_der_take(struct tls_der *der, int tag)
{
    size_t length = 0;
    if (der->failed || mbedtls_asn1_get_tag(&der->at, der->end, &length, tag) != 0) {
        der->failed = true;
        return (struct tls_der){.at = der->at, .end = der->at, .failed = true};
    }
    struct tls_der content = {.at = der->at, .end = der->at + length};
    der->at += length;
    return content;
}

struct tls_der tls_der_take_any(struct tls_der *der)
{
    return tls_der_take(der, tls_der_has_more(der) ? *der->at : 0);
}

struct tls_der tls_der_extensions(struct slice extensions)
{
    struct tls_der all = tls_der_of(extensions);
    return extensions.length == 0 ? all : tls_der_take(&all, SEQUENCE);
}

bool tls_der_next_extension(struct tls_der *list, struct tls_extension *extension)
{
    if (!tls_der_has_more(list)) {
        return false;
    }
    struct tls_der whole = tls_der_take(list, SEQUENCE);
    struct tls_der identifier = tls_der_take(&whole, MBEDTLS_ASN1_OID);
    *extension = (struct tls_extension){.identifier = tls_der_rest(&identifier)};
    if (tls_der_has_tag(&whole, MBEDTLS_ASN1_BOOLEAN)) {
        struct tls_der is_critical = tls_der_take(&whole, MBEDTLS_ASN1_BOOLEAN);
        /* As the library has it: whatever is not zero is true. */
        extension->is_critical = tls_der_has_more(&is_critical) && *is_critical.at != 0;
    }
    extension->value = tls_der_take(&whole, MBEDTLS_ASN1_OCTET_STRING);
    list->failed |= whole.failed;
    return !whole.failed;
}
