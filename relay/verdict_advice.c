/* What a failure means to the operator, and what to do about it. */
#include "relay/verdict.h"

#include "base/text.h"

/* Of a domain whose enforced policy is known, and which DNS denies now. */
#define OUT_OF_LINE                                                                                                              \
    "~ has an MTA-STS policy in force, so this answer may be forged, and the mail waits. If the domain is gone for good, "       \
    "delete the mail or `sternpost policy forget ~`."

/* The same, where DNS names this relay as its mail host. */
#define LOOP_OUT_OF_LINE                                                                                                         \
    "~ has an MTA-STS policy in force, and the DNS answer that names this relay as its mail host may be forged: the mail waits. " \
    "If this relay is its mail host, list ~ in [local] domains or give it a [route]."

/* "%" is the host, "~" the Policy Domain. */
static void print(const struct trouble_facts *facts, const char *format, struct buffer *out)
{
    for (const char *c = format; *c != '\0'; c++) {
        if (*c == '%')
            text_clean(out, facts->host.length > 0 ? facts->host : SLICE("the host"), 255);
        else if (*c == '~')
            text_clean(out, facts->domain.length > 0 ? facts->domain : SLICE("the domain"), 255);
        else
            buffer_add_byte(out, *c);
    }
}

/* What may lie behind it: a slip of the domain, or an attack; from here both look alike. */
static const char *suspicion_of(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
        case TROUBLE_NOT_ADMITTED:
            return "Either ~ has moved its mail without updating its policy "
                   "(https://mta-sts.~/.well-known/mta-sts.txt), or somebody "
                   "forges the DNS answer that leads to %.";
        case TROUBLE_HANDSHAKE:
            return "Either the TLS set-up of % must be fixed, or another machine answers in its place.";
        default:
            if (facts->reply.code == 0 && facts->detail.length > 0)
                return "That is what an attacker on the way would do.";
            return "Either the TLS set-up of % must be fixed, or somebody on the way keeps the connection from being "
                   "encrypted.";
    }
}

static void advise_policy(const struct trouble_facts *facts, struct buffer *out)
{
    buffer_add(out, SLICE("Nothing of the message was sent. "));
    print(facts,
          "By its MTA-STS policy ~ asks every sender to hold mail rather than hand it to a server that is not proved "
          "to be one "
          "of its own. ",
          out);
    print(facts, suspicion_of(facts), out);
    print(facts,
          " Tell the postmaster of ~ by another way than this; the mail goes as soon as it is fixed. Only if you are "
          "sure that "
          "it is no attack: `sternpost policy exempt ~ --until DATE --reason TEXT` lets it go meanwhile, with --level encrypt or plain "
          "less protected.",
          out);
}

static const char *connection_advice(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
        case TROUBLE_NOT_GLOBAL:
            return "If % is meant to be reached there, list its network in [delivery] allow-networks; else its DNS "
                   "records are wrong, "
                   "which the postmaster must fix.";
        case TROUBLE_CONNECT:
        case TROUBLE_TIMEOUT:
            return "The host may be down for a while. If it is so with every domain, this machine may not open "
                   "connections to "
                   "port 25: many providers and firewalls block it.";
        case TROUBLE_GREETING:
            return "Its reply says why it does not want mail from this machine now (such as a block list that names "
                   "it). It was given "
                   "before anything was proved, so the mail does not bounce for it but is tried again.";
        case TROUBLE_LOST:
        case TROUBLE_MALFORMED:
            return "It is tried again. If it lasts, a firewall on the way may meddle with SMTP, or the postmaster must "
                   "fix the host.";
        case TROUBLE_CREDENTIALS:
            return "Correct the username and password of the [route] and reload (SIGHUP); the whole route waits meanwhile, and nothing "
                   "bounces for it. `sternpost queue flush` then tries at once.";
        case TROUBLE_NO_MECHANISM:
            return "This relay logs in with PLAIN or LOGIN. Ask the provider for a host and port that offer one of them (often port 587, "
                   "or 465 with tls = implicit), set via and tls of the [route], and reload; the whole route waits meanwhile, and "
                   "nothing bounces for it.";
        case TROUBLE_EXPECTS_TLS:
            return "Set tls = implicit in the [route] (via = %:465 alone does not), and reload; or use port 587, where TLS begins with "
                   "STARTTLS.";
        default:
            return "It is tried again.";
    }
}

static const char *lookup_advice(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
        case TROUBLE_POLICY_UNKNOWN:
            return "Check the resolver of this machine ([dns] servers) and the name servers of ~. Without an answer "
                   "the mail waits for "
                   "15 minutes, since a policy may forbid to send it unprotected; then it goes as to a domain without "
                   "a policy.";
        case TROUBLE_NO_DOMAIN:
            return facts->by_policy ? OUT_OF_LINE : "Check the spelling of the recipient's domain.";
        case TROUBLE_NULL_MX:
            return facts->by_policy ? OUT_OF_LINE : "This domain never takes mail; find another address.";
        case TROUBLE_LOOP:
            return facts->by_policy ? LOOP_OUT_OF_LINE : "List the domain in [local] domains, or give it a [route].";
        case TROUBLE_NO_ADDRESS:
            return "The recipient's postmaster must fix the MX or address records.";
        default:
            return "Check the resolver of this machine ([dns] servers) and the domain's name servers: `sternpost "
                   "explain ADDRESS` asks "
                   "again.";
    }
}

static const char *reply_advice(const struct trouble_facts *facts)
{
    switch (facts->trouble) {
        case TROUBLE_NO_UTF8:
            return "Use addresses in ASCII for this recipient.";
        case TROUBLE_TOO_BIG:
            return "Send a smaller message.";
        case TROUBLE_STORAGE:
            return "Run `sternpost queue check`.";
        case TROUBLE_INTERNAL:
            return "It is tried again; if it lasts, give this machine more memory.";
        default:
            return facts->reply.code >= 500 ? "The recipient's server refuses this; see its reply."
                                            : "The recipient's server asks to try again later; this relay does.";
    }
}

void verdict_advice(const struct trouble_facts *facts, struct buffer *out)
{
    switch (facts->trouble) {
        case TROUBLE_NONE:
            return;
        case TROUBLE_NOT_ADMITTED:
        case TROUBLE_NO_STARTTLS:
        case TROUBLE_HANDSHAKE:
            if (facts->by_policy)
                advise_policy(facts, out);
            else
                print(facts,
                      "Nothing of the message was sent. The TLS set-up of % must be fixed, or less demanded of it: "
                      "see [tls-policy] "
                      "default, or the tls key of the [route].",
                      out);
            return;
        case TROUBLE_POLICY_UNKNOWN:
        case TROUBLE_MX_LOOKUP:
        case TROUBLE_NO_DOMAIN:
        case TROUBLE_NULL_MX:
        case TROUBLE_LOOP:
        case TROUBLE_ADDRESS_LOOKUP:
        case TROUBLE_NO_ADDRESS:
            print(facts, lookup_advice(facts), out);
            return;
        case TROUBLE_REPLY:
        case TROUBLE_NO_UTF8:
        case TROUBLE_TOO_BIG:
        case TROUBLE_STORAGE:
        case TROUBLE_INTERNAL:
            print(facts, reply_advice(facts), out);
            return;
        default:
            print(facts, connection_advice(facts), out);
            return;
    }
}
