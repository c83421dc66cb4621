#include "tls/verify.h"

#include "base/text.h"
#include "tls/session.h"

#define HOST_LENGTH_MAX 253 /* RFC 1035 2.3.4, in its text form */
#define LABEL_LENGTH_MAX 63

static bool label_is_valid(struct slice label);
static bool all_digits(struct slice label);

const char *tls_failure_code(enum tls_failure failure)
{
    static const char *const codes[] = {
#define X(name, code, text) code,
        TLS_FAILURE_LIST(X)
#undef X
    };
    return (size_t)failure < sizeof codes / sizeof codes[0] ? codes[failure] : "validation-failure";
}

const char *tls_failure_text(enum tls_failure failure)
{
    static const char *const texts[] = {
#define X(name, code, text) text,
        TLS_FAILURE_LIST(X)
#undef X
    };
    return (size_t)failure < sizeof texts / sizeof texts[0] ? texts[failure] : "an unknown failure";
}

/* What is said of a certificate names its fault already; a failed handshake is told only with the library's reason. */
static bool detail_is_whole(enum tls_failure failure)
{
    return failure != TLS_FAILURE_PROTOCOL && failure != TLS_FAILURE_VERSION && failure != TLS_FAILURE_ENDED;
}

struct slice tls_verdict_print(const struct tls_verdict *verdict, char out[512])
{
    const char *text = tls_failure_text(verdict->failure);
    struct slice detail = slice_of(verdict->detail);
    if (detail.length == 0 || slice_equal(detail, slice_of(text))) {
        return text_print(out, 512, "%s", text);
    }
    if (detail_is_whole(verdict->failure)) {
        return text_print(out, 512, "%s", verdict->detail);
    }
    return text_print(out, 512, "%s: %s", text, verdict->detail);
}

bool tls_name_matches(struct slice pattern, struct slice host)
{
    if (!tls_name_is_host(host)) {
        return false;
    }
    if (!slice_starts(pattern, SLICE("*."))) {
        return slice_equal_nocase(pattern, host);
    }
    /* One whole label, so that "*.example.com" is neither the apex nor "a.b.example.com" (RFC 6125 6.4.3). What follows
     * the star is compared as text with a valid host: a second star cannot match. */
    struct slice below = slice_from(host, slice_find(host, '.'));
    return below.length > 1 && slice_equal_nocase(slice_from(pattern, 1), below);
}

/* Letters, digits, hyphen and (as real MX hosts have it) underscore. An IPv4 address passes for labels but for its last
 * one, which no domain name has all in digits; an IPv6 address has colons. */
bool tls_name_is_host(struct slice name)
{
    if (name.length == 0 || name.length > HOST_LENGTH_MAX) {
        return false;
    }
    if (all_digits(slice_from(name, slice_has(name, '.') ? slice_find_last(name, '.') + 1 : 0))) {
        return false;
    }
    struct slice label;
    while (slice_cut(&name, '.', &label)) {
        if (!label_is_valid(label)) {
            return false;
        }
    }
    return true;
}

static bool label_is_valid(struct slice label)
{
    if (label.length == 0 || label.length > LABEL_LENGTH_MAX) {
        return false;
    }
    for (size_t i = 0; i < label.length; i++) {
        if (!byte_is_alnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_') {
            return false;
        }
    }
    return true;
}

static bool all_digits(struct slice label)
{
    for (size_t i = 0; i < label.length; i++) {
        if (!byte_is_digit(label.data[i])) {
            return false;
        }
    }
    return true;
}
