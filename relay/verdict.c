#include "relay/verdict.h"

#include "base/text.h"

struct trouble_row {
    const char *reason;
    uint8_t subject, detail;
};
static const struct trouble_row rows[] = {
#define X(name, reason, subject, detail) [TROUBLE_##name] = {reason, subject, detail},
    TROUBLE_LIST(X)
#undef X
};

static bool is_permanent(const struct trouble_facts *facts);
static enum verdict_scope scope_of(const struct trouble_facts *facts);

struct verdict verdict_of(const struct trouble_facts *facts)
{
    const struct trouble_row *row = &rows[facts->trouble];
    bool permanent = is_permanent(facts);
    struct verdict verdict = {
        .kind = permanent ? VERDICT_FAIL : VERDICT_DEFER,
        .scope = scope_of(facts),
        .reason = row->reason,
        .code = (uint16_t)facts->reply.code,
        .dsn = {permanent ? 5 : 4, row->subject, row->detail},
    };
    if (facts->trouble == TROUBLE_REPLY) {
        const struct smtp_status *status = &facts->reply.status;
        bool usable = status->class == verdict.dsn[0] && status->subject < 256 && status->detail < 256;
        verdict.dsn[1] = usable ? (uint8_t)status->subject : 0;
        verdict.dsn[2] = usable ? (uint8_t)status->detail : 0;
    }
    return verdict;
}

/* 552 to RCPT counts as 452 (RFC 5321 4.5.3.1.10), unless its enhanced code says that it means another thing: 5.2.2, a full mailbox. */
static bool means_too_many_recipients(const struct trouble_facts *facts)
{
    const struct smtp_status *status = &facts->reply.status;
    bool says_other = status->class == 5 && !(status->subject == 5 && status->detail == 3) && status->subject + status->detail > 0;
    return facts->reply.code == 552 && facts->stage == SMTP_STAGE_RCPT && !says_other;
}

/* What a peer says before the TLS that is demanded is up may be anybody's word: it never makes a bounce. Session-level refusals
 * (greeting, EHLO) are never permanent: another host, or this one later, may take the mail. */
static bool is_permanent(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
    case TROUBLE_NO_DOMAIN:
    case TROUBLE_NULL_MX:
    case TROUBLE_LOOP:
        /* A domain whose policy is in force takes mail, and at hosts of its own: a DNS answer that says otherwise may be forged. */
        return !facts->by_policy;
    case TROUBLE_NO_UTF8:
    case TROUBLE_TOO_BIG:
        return true;
    case TROUBLE_REPLY:
        return facts->reply.code >= 500 && !means_too_many_recipients(facts);
    default:
        return false;
    }
}

static enum verdict_scope scope_of(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
    case TROUBLE_REPLY:
        return facts->stage == SMTP_STAGE_RCPT ? VERDICT_RECIPIENT : VERDICT_MESSAGE;
    case TROUBLE_NO_UTF8:
    case TROUBLE_TOO_BIG:
    case TROUBLE_STORAGE:
        return VERDICT_MESSAGE;
    case TROUBLE_LOST:
    case TROUBLE_TIMEOUT:
    case TROUBLE_MALFORMED:
        /* In the middle of a transaction it may be this message that the host chokes on. */
        return facts->stage >= SMTP_STAGE_MAIL ? VERDICT_MESSAGE : VERDICT_DESTINATION;
    default:
        return VERDICT_DESTINATION;
    }
}

bool verdict_is_policy_matter(const struct trouble_facts *facts)
{
    if (!facts->by_policy)
        return false;
    return facts->trouble == TROUBLE_NOT_ADMITTED || facts->trouble == TROUBLE_NO_STARTTLS ||
           facts->trouble == TROUBLE_HANDSHAKE || facts->trouble == TROUBLE_NO_DOMAIN || facts->trouble == TROUBLE_NULL_MX ||
           facts->trouble == TROUBLE_LOOP;
}

/* A host that cannot be reached is less telling than a policy matter of another host. Every other reason may have one beside it. */
bool verdict_may_hide_policy(struct slice reason)
{
    return !slice_equal(reason, SLICE("connect"));
}

/* What a host cannot take is permanent only when no other host may take it: a trouble that may pass tells more. */
static unsigned telling(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
    case TROUBLE_NONE:
        return 0;
    case TROUBLE_NO_ADDRESS:
        return 1;
    case TROUBLE_NO_UTF8:
    case TROUBLE_TOO_BIG:
        return 2;
    case TROUBLE_ADDRESS_LOOKUP:
        return 3;
    case TROUBLE_NOT_GLOBAL:
        return 4;
    case TROUBLE_CONNECT:
        return 5;
    case TROUBLE_TIMEOUT:
    case TROUBLE_LOST:
    case TROUBLE_EXPECTS_TLS:
        return 6;
    case TROUBLE_NOT_ADMITTED:
        return 7;
    case TROUBLE_GREETING:
    case TROUBLE_MALFORMED:
        return 8;
    case TROUBLE_NO_STARTTLS:
    case TROUBLE_HANDSHAKE:
        return 9;
    default:
        return 10;
    }
}

bool verdict_is_more_telling(const struct trouble_facts *a, const struct trouble_facts *b)
{
    return telling(a) > telling(b);
}

static void print_host(const struct trouble_facts *facts, struct buffer *out)
{
    if (facts->host.length == 0) {
        buffer_add(out, facts->address.length == 0 ? SLICE("the host") : facts->address);
        return;
    }
    text_clean(out, facts->host, 255);
    if (facts->address.length > 0)
        buffer_print(out, "[%.*s]", SLICE_ARGS(facts->address));
}

static void print_detail(const struct trouble_facts *facts, struct buffer *out)
{
    if (facts->detail.length == 0)
        return;
    buffer_add(out, SLICE(": "));
    text_clean(out, facts->detail, 400);
}

static void print_demand(const struct trouble_facts *facts, const char *verb, struct buffer *out)
{
    if (!facts->by_policy) {
        buffer_print(out, ", %s this relay's configuration requires", verb);
        return;
    }
    buffer_print(out, ", %s the MTA-STS policy of ", verb);
    if (facts->domain.length == 0)
        buffer_add(out, SLICE("the domain"));
    else
        text_clean(out, facts->domain, 255);
    buffer_add(out, SLICE(" requires"));
}

static void print_reply(const struct trouble_facts *facts, struct buffer *out)
{
    buffer_print(out, "%u ", facts->reply.code);
    char status[16];
    struct slice printed = smtp_status_print(facts->reply.status, status);
    if (printed.length > 0)
        buffer_print(out, "%.*s ", SLICE_ARGS(printed));
    text_clean(out, facts->reply.text, 400);
}

static void print_starttls(const struct trouble_facts *facts, struct buffer *out)
{
    bool is_tampered = facts->reply.code == 0 && facts->detail.length > 0;
    if (is_tampered) {
        buffer_add(out, SLICE("cannot be trusted with STARTTLS: "));
        text_clean(out, facts->detail, 400);
    } else if (facts->reply.code != 0) {
        buffer_add(out, SLICE("refused STARTTLS with "));
        print_reply(facts, out);
    } else {
        buffer_add(out, SLICE("offers no STARTTLS"));
    }
    if (facts->required_tls)
        print_demand(facts, is_tampered ? "and encryption is what" : "which", out);
}

static const char *answered_what(enum smtp_client_stage stage)
{
    switch (stage) {
    case SMTP_STAGE_MAIL:
        return " to the sender (MAIL)";
    case SMTP_STAGE_RCPT:
        return " to the recipient (RCPT)";
    case SMTP_STAGE_DATA:
        return " to DATA";
    case SMTP_STAGE_CONTENT:
    case SMTP_STAGE_FINAL:
        return " to the message itself";
    default:
        return "";
    }
}

/* "%" is the host with its address, "@" the host's (or domain's) name alone, "~" the Policy Domain. */
static const char *const templates[] = {
    [TROUBLE_NONE] = "",
    [TROUBLE_POLICY_UNKNOWN] = "cannot tell whether @ has an MTA-STS policy",
    [TROUBLE_MX_LOOKUP] = "the MX lookup for @ failed",
    [TROUBLE_NO_DOMAIN] = "the domain @ does not exist",
    [TROUBLE_NULL_MX] = "the domain @ takes no mail (null MX)",
    [TROUBLE_LOOP] = "mail for @ loops back to this relay: it is the best MX host itself",
    [TROUBLE_NOT_ADMITTED] = "% is not among the mail servers that the MTA-STS policy of ~ lists",
    [TROUBLE_ADDRESS_LOOKUP] = "the address lookup for @ failed",
    [TROUBLE_NO_ADDRESS] = "@ has no address",
    [TROUBLE_NOT_GLOBAL] = "@ has only addresses that are not on the open Internet",
    [TROUBLE_CONNECT] = "% cannot be connected to",
    [TROUBLE_TIMEOUT] = "% took too long",
    [TROUBLE_LOST] = "% closed the connection",
    [TROUBLE_GREETING] = "%",
    [TROUBLE_MALFORMED] = "% sent a malformed reply",
    [TROUBLE_NO_STARTTLS] = "% ",
    [TROUBLE_HANDSHAKE] = "% could not prove over TLS that it is that host",
    [TROUBLE_CREDENTIALS] = "% refused the configured credentials",
    [TROUBLE_NO_MECHANISM] = "% offers no way to log in that this relay knows",
    [TROUBLE_EXPECTS_TLS] = "% says nothing on port 465, where TLS begins with the first byte",
    [TROUBLE_REPLY] = "% answered ",
    [TROUBLE_NO_UTF8] = "% lacks SMTPUTF8, which the addresses or the header of this message need",
    [TROUBLE_TOO_BIG] = "% takes no message of this size",
    [TROUBLE_STORAGE] = "the message could not be read from the queue",
    [TROUBLE_INTERNAL] = "this relay ran out of memory",
};

static void print_template(const struct trouble_facts *facts, struct buffer *out)
{
    for (const char *c = templates[facts->trouble]; *c != '\0'; c++) {
        if (*c == '%')
            print_host(facts, out);
        else if (*c == '@')
            text_clean(out, facts->host, 255);
        else if (*c == '~')
            text_clean(out, facts->domain.length > 0 ? facts->domain : SLICE("the domain"), 255);
        else
            buffer_add_byte(out, *c);
    }
}

void verdict_print(const struct trouble_facts *facts, struct buffer *out)
{
    print_template(facts, out);
    switch (facts->trouble) {
    case TROUBLE_GREETING:
        buffer_add(out, SLICE(" refused the session with "));
        print_reply(facts, out);
        return;
    case TROUBLE_NO_STARTTLS:
        print_starttls(facts, out);
        return;
    case TROUBLE_CREDENTIALS:
        if (facts->reply.code == 0)
            break;
        buffer_add(out, SLICE(" with "));
        print_reply(facts, out);
        return;
    case TROUBLE_REPLY:
        print_reply(facts, out);
        buffer_add(out, slice_of(answered_what(facts->stage)));
        return;
    case TROUBLE_TIMEOUT:
    case TROUBLE_LOST:
    case TROUBLE_MALFORMED:
        buffer_print(out, " (%s)", smtp_client_stage_name(facts->stage));
        break;
    default:
        break;
    }
    print_detail(facts, out);
}

struct slice verdict_mechanisms(const char *names, char out[VERDICT_MECHANISMS_TEXT])
{
    if (names[0] == '\0')
        return SLICE("it offers no AUTH at all; this relay knows PLAIN and LOGIN");
    return text_print(out, VERDICT_MECHANISMS_TEXT, "it offers AUTH %s; this relay knows PLAIN and LOGIN", names);
}

bool verdict_is_mute(const struct trouble_facts *facts)
{
    return facts->stage == SMTP_STAGE_GREETING && (facts->trouble == TROUBLE_TIMEOUT || facts->trouble == TROUBLE_LOST);
}

bool verdict_is_tls_failure(const struct trouble_facts *facts)
{
    return facts->trouble == TROUBLE_HANDSHAKE || (facts->stage == SMTP_STAGE_SECURING && facts->trouble != TROUBLE_INTERNAL);
}
