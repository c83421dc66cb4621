#include "tls/path.h"

#include "base/text.h"
#include "tls/constraint.h"
#include "tls/parse.h"

#define SENT_MAX 128                                      /* more than 16 KB, the longest message, can hold */
#define LENGTH_MAX (MBEDTLS_X509_MAX_INTERMEDIATE_CA + 1) /* of a path, without its anchor */
/* A peer could send what has a path for every order of its certificates. */
#define SIGNATURES_MAX 100 /* or fewer that cost more */
#define STEPS_MAX 2000
/* Of RSA. To verify with one as long as the modulus takes up to half a second; that of all authorities has 17 bits. */
#define EXPONENT_BITS_MAX 32
#define SLOW_CURVE_COST 10

/* Faults of a certificate that it has in every path. */
#define LASTING_FLAGS                                                                                                  \
    (MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_BAD_MD |                        \
     MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | TLS_FLAG_EXTENSION)
/* And of one together with its issuer. */
#define PAIR_FLAGS (MBEDTLS_X509_BADCERT_NOT_TRUSTED | MBEDTLS_X509_BADCERT_BAD_KEY)

struct path {
    uint8_t at[LENGTH_MAX]; /* of search.sent; the leaf first */
    size_t length;
};

struct pair {
    uint8_t child, issuer;
};

struct search {
    const struct tls_evidence *basis; /* what is known before any path */
    const mbedtls_x509_crt *anchors;
    const mbedtls_x509_crt_profile *profile;
    const char *name;
    const mbedtls_x509_crt *sent[SENT_MAX]; /* the leaf first, each once */
    bool is_spoilt[SENT_MAX];
    size_t sent_count;
    struct path path, dead_end; /* the first one that went nowhere */
    struct pair apart[SIGNATURES_MAX];
    size_t apart_count, signature_count, step_count;
    const mbedtls_x509_crt *denied; /* has the right name, but may not issue */
    bool is_done, is_judged, is_tangled;
    int code;
    uint32_t flags; /* of the best path so far */
    struct tls_evidence evidence;
};

/* One path under the library's eyes. */
struct walk {
    mbedtls_x509_crt chain[LENGTH_MAX + 1]; /* copies, which share what they point to; the anchor last */
    size_t length;                          /* with the anchor */
    uint32_t flags[LENGTH_MAX + 1];
    bool is_untrusted; /* as far as it was seen, from the anchor downwards */
    struct tls_evidence evidence;
};

static void collect(struct search *search, const mbedtls_x509_crt *certificates, struct tls_evidence *evidence);
static bool is_too_slow(const mbedtls_pk_context *key);
static bool is_sent_already(const struct search *search, const mbedtls_x509_crt *certificate);
static void extend(struct search *search);
static void try_anchors(struct search *search, const mbedtls_x509_crt *last);
static void try_issuers(struct search *search, const mbedtls_x509_crt *last);
static bool may_follow(struct search *search, size_t index, const mbedtls_x509_crt *last);
static bool may_issue(struct search *search, const mbedtls_x509_crt *issuer, bool is_anchor);
static bool is_on_path(const struct search *search, const mbedtls_x509_crt *certificate);
static bool are_apart(const struct search *search, uint8_t child, size_t issuer);
static int fit_of(const mbedtls_x509_crt *child, const mbedtls_x509_crt *issuer);
static void judge(struct search *search, const struct path *path, const mbedtls_x509_crt *anchor);
static size_t cost_of(const mbedtls_pk_context *key);
static int look(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags);
static bool is_constrained(const struct walk *walk, const mbedtls_x509_crt *issuer);
static void learn(struct search *search, const struct path *path, const struct walk *walk);
static bool is_only_about_leaf(const struct walk *walk);
static void conclude(struct search *search);
static bool is_self_issued(const mbedtls_x509_crt *certificate);
static bool names_equal(const mbedtls_x509_name *a, const mbedtls_x509_name *b);
static struct slice bytes_of(const mbedtls_x509_buf *bytes);

int __real_mbedtls_x509_crt_verify_restartable(mbedtls_x509_crt *, mbedtls_x509_crt *, mbedtls_x509_crl *,
                                               const mbedtls_x509_crt_profile *, const char *, uint32_t *,
                                               int (*)(void *, mbedtls_x509_crt *, int, uint32_t *), void *,
                                               mbedtls_x509_crt_restart_ctx *);

void tls_path_judge(mbedtls_ssl_context *ssl, struct tls_evidence *evidence)
{
    mbedtls_ssl_set_verify(ssl, tls_evidence_gather, evidence);
}

int __wrap_mbedtls_x509_crt_verify_restartable(mbedtls_x509_crt *certificates, mbedtls_x509_crt *anchors,
                                               mbedtls_x509_crl *revoked, const mbedtls_x509_crt_profile *profile,
                                               const char *name, uint32_t *flags,
                                               int (*callback)(void *, mbedtls_x509_crt *, int, uint32_t *),
                                               void *context, mbedtls_x509_crt_restart_ctx *restart)
{
    if (callback != tls_evidence_gather) {
        return __real_mbedtls_x509_crt_verify_restartable(certificates, anchors, revoked, profile, name, flags,
                                                          callback, context, restart);
    }
    struct tls_evidence *evidence = context;
    if (!tls_parse_is_whole(certificates)) {
        tls_evidence_unread(evidence, certificates);
        *flags = TLS_FLAG_UNREAD;
        return MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
    }
    struct search search = {.basis = evidence, .anchors = anchors, .profile = profile, .name = name};
    collect(&search, certificates, evidence);
    search.path = (struct path){.length = 1};
    extend(&search);
    conclude(&search);
    *evidence = search.evidence;
    *flags = search.flags;
    return search.code;
}

static void collect(struct search *search, const mbedtls_x509_crt *certificates, struct tls_evidence *evidence)
{
    evidence->sent_count = 0;
    for (const mbedtls_x509_crt *sent = certificates; sent != NULL; sent = sent->next) {
        evidence->sent_count++;
        if (!tls_parse_is_whole(sent)) {
            tls_parse_reason(sent, evidence->unread_reason, sizeof evidence->unread_reason);
        } else if (sent != certificates && is_too_slow(&sent->pk)) {
            text_print(evidence->unread_reason, sizeof evidence->unread_reason,
                       "its RSA key has an exponent of more than %d bits", EXPONENT_BITS_MAX);
        } else if (search->sent_count < SENT_MAX && !is_sent_already(search, sent)) {
            search->sent[search->sent_count++] = sent;
        }
    }
}

/* The leaf's key verifies one signature only; an issuer's may be asked again for every path. */
static bool is_too_slow(const mbedtls_pk_context *key)
{
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA &&
           mbedtls_mpi_bitlen(&mbedtls_pk_rsa(*key)->MBEDTLS_PRIVATE(E)) > EXPONENT_BITS_MAX;
}

static bool is_sent_already(const struct search *search, const mbedtls_x509_crt *certificate)
{
    for (size_t i = 0; i < search->sent_count; i++) {
        if (slice_equal(bytes_of(&search->sent[i]->raw), bytes_of(&certificate->raw))) {
            return true;
        }
    }
    return false;
}

/* From where the path has come to, first to an anchor, then to every certificate that may come next. */
static void extend(struct search *search)
{
    const mbedtls_x509_crt *last = search->sent[search->path.at[search->path.length - 1]];
    size_t tried_before = search->step_count;
    if (search->step_count++ == STEPS_MAX) {
        search->is_tangled = search->is_done = true;
    }
    try_anchors(search, last);
    if (search->path.length < LENGTH_MAX) {
        try_issuers(search, last);
    }
    bool is_end = search->step_count == tried_before + 1;
    if (is_end && search->dead_end.length == 0) {
        search->dead_end = search->path;
    }
}

static void try_anchors(struct search *search, const mbedtls_x509_crt *last)
{
    for (const mbedtls_x509_crt *anchor = search->anchors; anchor != NULL && !search->is_done; anchor = anchor->next) {
        if (names_equal(&last->issuer, &anchor->subject) && may_issue(search, anchor, true)) {
            judge(search, &search->path, anchor);
        }
    }
}

static void try_issuers(struct search *search, const mbedtls_x509_crt *last)
{
    for (int fit = 2; fit >= 0; fit--) {
        for (size_t i = 1; i < search->sent_count && !search->is_done; i++) {
            if (fit_of(last, search->sent[i]) == fit && may_follow(search, i, last)) {
                search->path.at[search->path.length++] = (uint8_t)i;
                extend(search);
                search->path.length--;
            }
        }
    }
}

static bool may_follow(struct search *search, size_t index, const mbedtls_x509_crt *last)
{
    const mbedtls_x509_crt *issuer = search->sent[index];
    return names_equal(&last->issuer, &issuer->subject) && !search->is_spoilt[index] && !is_on_path(search, issuer) &&
           !are_apart(search, search->path.at[search->path.length - 1], index) && may_issue(search, issuer, false);
}

/* As RFC 5280 6.1.4 has it; who is passed over for it is remembered, to be told. An anchor of the first two versions,
 * which know no basic constraints, was put among them by the operator, who means it. A trusted leaf is its own issuer
 * and need be no authority. */
static bool may_issue(struct search *search, const mbedtls_x509_crt *issuer, bool is_anchor)
{
    const mbedtls_x509_crt *leaf = search->sent[0];
    if (is_anchor && search->path.length == 1 && slice_equal(bytes_of(&leaf->raw), bytes_of(&issuer->raw))) {
        return true;
    }
    size_t below = 0;
    for (size_t i = 1; i < search->path.length; i++) {
        bool is_last = i + 1 == search->path.length; /* whom the library counts in any case */
        below += is_last || !is_self_issued(search->sent[search->path.at[i]]);
    }
    int limit = issuer->MBEDTLS_PRIVATE(max_pathlen); /* one more than was written; 0: none */
    bool is_old_anchor = is_anchor && issuer->version < 3;
    bool may = is_old_anchor || (tls_parse_is_authority(issuer) &&
                                 mbedtls_x509_crt_check_key_usage(issuer, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0 &&
                                 (limit == 0 || below < (size_t)limit));
    if (!may && search->denied == NULL) {
        search->denied = issuer;
    }
    return may;
}

/* The same authority twice, though by another certificate, is a way round in a circle. */
static bool is_on_path(const struct search *search, const mbedtls_x509_crt *certificate)
{
    for (size_t i = 0; i < search->path.length; i++) {
        const mbedtls_x509_crt *other = search->sent[search->path.at[i]];
        if (other == certificate || (slice_equal(bytes_of(&other->pk_raw), bytes_of(&certificate->pk_raw)) &&
                                     names_equal(&other->subject, &certificate->subject))) {
            return true;
        }
    }
    return false;
}

static bool are_apart(const struct search *search, uint8_t child, size_t issuer)
{
    for (size_t i = 0; i < search->apart_count; i++) {
        if (search->apart[i].child == child && search->apart[i].issuer == issuer) {
            return true;
        }
    }
    return false;
}

/* Key identifiers are a hint which to try first, and no more (RFC 5280 4.2.1.1): 2 for the same, 1 when one is missing.
 */
static int fit_of(const mbedtls_x509_crt *child, const mbedtls_x509_crt *issuer)
{
    struct slice wanted = bytes_of(&child->authority_key_id.keyIdentifier), has = bytes_of(&issuer->subject_key_id);
    if (wanted.length == 0 || has.length == 0) {
        return 1;
    }
    return slice_equal(wanted, has) ? 2 : 0;
}

/* Asks the library. Without an anchor only what is to be told is looked for. */
static void judge(struct search *search, const struct path *path, const mbedtls_x509_crt *anchor)
{
    search->step_count++;
    for (size_t i = 0; i < path->length; i++) {
        search->signature_count += cost_of(&search->sent[path->at[i]]->pk);
    }
    if (search->signature_count > SIGNATURES_MAX && search->is_judged) {
        search->is_tangled = search->is_done = true;
        return;
    }
    struct walk walk = {.evidence = *search->basis, .length = path->length + (anchor != NULL)};
    for (size_t i = 0; i < walk.length; i++) {
        walk.chain[i] = i < path->length ? *search->sent[path->at[i]] : *anchor;
        walk.chain[i].next = i + 1 < path->length ? &walk.chain[i + 1] : NULL;
    }
    uint32_t flags;
    int code = mbedtls_x509_crt_verify_with_profile(walk.chain, anchor == NULL ? NULL : &walk.chain[path->length], NULL,
                                                    search->profile, search->name, &flags, look, &walk);
    if (!search->is_judged || code == 0 || tls_evidence_is_better(flags, search->flags)) {
        search->code = code;
        search->flags = flags;
        search->evidence = walk.evidence;
        search->is_judged = true;
    }
    search->is_done |= code != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || is_only_about_leaf(&walk);
    learn(search, path, &walk);
}

/* Of one signature that the key verifies. The library is quick with NIST's curves only. */
static size_t cost_of(const mbedtls_pk_context *key)
{
    if (!mbedtls_pk_can_do(key, MBEDTLS_PK_ECKEY)) {
        return 1;
    }
    mbedtls_ecp_group_id curve = mbedtls_pk_ec(*key)->MBEDTLS_PRIVATE(grp).id;
    bool is_quick =
        curve == MBEDTLS_ECP_DP_SECP256R1 || curve == MBEDTLS_ECP_DP_SECP384R1 || curve == MBEDTLS_ECP_DP_SECP521R1;
    return is_quick ? 1 : SLOW_CURVE_COST;
}

/* What constraints say is asked only where a trusted issuer says it: anybody else could write thousands of them, for
 * thousands of names. */
static int look(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct walk *walk = context;
    walk->is_untrusted |= (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0;
    if (depth > 0 && !walk->is_untrusted && is_constrained(walk, certificate)) {
        *flags |= TLS_FLAG_CONSTRAINED;
    }
    int code = tls_evidence_gather(&walk->evidence, certificate, depth, flags);
    walk->flags[certificate - walk->chain] = *flags;
    return code;
}

/* Constraints bind all that is below in the path, but for authorities that certify themselves (RFC 5280 6.1.4). */
static bool is_constrained(const struct walk *walk, const mbedtls_x509_crt *issuer)
{
    for (const mbedtls_x509_crt *below = walk->chain; below < issuer; below++) {
        struct tls_constraint_names names = {.extensions = bytes_of(&below->v3_ext),
                                             .subject = bytes_of(&below->subject_raw)};
        bool is_free = below != walk->chain && is_self_issued(below);
        if (!is_free && !tls_constraint_admits(bytes_of(&issuer->v3_ext), &names)) {
            return true;
        }
    }
    return false;
}

/* So that no other path goes the same wrong way. */
static void learn(struct search *search, const struct path *path, const struct walk *walk)
{
    for (size_t i = 0; i < path->length; i++) {
        if (i > 0 && (walk->flags[i] & LASTING_FLAGS) != 0) {
            search->is_spoilt[path->at[i]] = true;
        }
        if (i + 1 < path->length && (walk->flags[i] & PAIR_FLAGS) != 0 && search->apart_count < SIGNATURES_MAX) {
            search->apart[search->apart_count++] = (struct pair){.child = path->at[i], .issuer = path->at[i + 1]};
        }
    }
}

/* Then no other path would do better. */
static bool is_only_about_leaf(const struct walk *walk)
{
    uint32_t flags = walk->flags[0] & PAIR_FLAGS;
    for (size_t i = 1; i < walk->length; i++) {
        flags |= walk->flags[i];
    }
    return flags == 0;
}

static void conclude(struct search *search)
{
    if (!search->is_judged) {
        struct path leaf = {.length = 1};
        judge(search, search->dead_end.length > 0 ? &search->dead_end : &leaf, NULL);
    }
    if (search->code == 0) {
        return;
    }
    if (search->is_tangled) {
        search->flags |= TLS_FLAG_TANGLED;
    } else if (search->denied != NULL && (search->flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
        search->flags |= TLS_FLAG_ISSUER;
        tls_evidence_denied(&search->evidence, search->denied);
    }
}

static bool is_self_issued(const mbedtls_x509_crt *certificate)
{
    return names_equal(&certificate->issuer, &certificate->subject);
}

/* As the library compares them: kinds of text do not count, nor does the case of letters. */
static bool names_equal(const mbedtls_x509_name *a, const mbedtls_x509_name *b)
{
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        bool is_text = (a->val.tag == MBEDTLS_ASN1_UTF8_STRING || a->val.tag == MBEDTLS_ASN1_PRINTABLE_STRING) &&
                       (b->val.tag == MBEDTLS_ASN1_UTF8_STRING || b->val.tag == MBEDTLS_ASN1_PRINTABLE_STRING);
        bool are_same = a->val.tag == b->val.tag && slice_equal(bytes_of(&a->val), bytes_of(&b->val));
        are_same |= is_text && slice_equal_nocase(bytes_of(&a->val), bytes_of(&b->val));
        if (!are_same || !slice_equal(bytes_of(&a->oid), bytes_of(&b->oid))) {
            return false;
        }
    }
    return a == NULL && b == NULL;
}

static struct slice bytes_of(const mbedtls_x509_buf *bytes)
{
    return slice_make(bytes->p, bytes->len);
}
