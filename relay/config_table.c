#include "relay/config_internal.h"

#include <stddef.h>

#define TOP(member) offsetof(struct config, member)
#define ROUTE(member) offsetof(struct config_route, member)
#define DESTINATION(member) offsetof(struct config_destination, member)
#define DKIM(member) offsetof(struct config_dkim, member)
#define CLIENT(member) offsetof(struct config_client, member)

const struct config_key config_keys[] = {
    {"", "hostname", TOP(hostname), config_parse_text, "", false,
     "The name in EHLO, Received and Message-ID. Default: the machine's name; where that has no dot, its canonical name in "
     "/etc/hosts. DNS is never asked."},
    {"", "user", TOP(user), config_parse_text, "sternpost", false,
     "The user to become after binding, when started as root. Where it does not exist the relay stays root and warns."},

    {"listen", "smtp", 0, config_parse_listen_smtp, "127.0.0.1:25", false,
     "Where to take mail: ADDRESS:PORT, unix:PATH or fd:NAME (socket activation), white space between. STARTTLS is offered "
     "when a certificate is configured."},
    {"listen", "submission", 0, config_parse_listen_submission, "", false,
     "Message submission, usually port 587: STARTTLS and AUTH are required from clients that are not on this machine, also "
     "of those in [access] networks."},
    {"listen", "submissions", 0, config_parse_listen_submissions, "", false,
     "Message submission, usually port 465: TLS from the first byte, and AUTH of every client."},
    {"listen", "proxy-networks", TOP(proxy_networks), config_parse_networks, "", false,
     "Networks of proxies whose PROXY protocol header (version 1 or 2) is believed. Every connection from there must begin "
     "with one."},
    {"listen", "connections-max", TOP(connections_max), config_parse_count, "1000", false,
     "Inbound connections at once, at most as many as the limit of open files leaves room for. When all places are taken clients that "
     "may not relay give way to those that may."},
    {"listen", "connections-per-client", TOP(connections_per_client), config_parse_count, "50", false,
     "Of them, from one address (of IPv6, one /64 network)."},
    {"listen", "recipients-max", TOP(recipients_max), config_parse_count, "1000", false, "Recipients of one message."},

    {"access", "networks", TOP(access_networks), config_parse_networks, "127.0.0.0/8 ::1/128", false,
     "Networks whose hosts may relay without AUTH. A network of everybody (/0) is refused, and so are networks that together hold half of "
     "all addresses of IPv4, or of the IPv6 Internet."},
    {"access", "users-file", TOP(users_file), config_parse_text, "", false,
     "File of NAME:HASH lines, made by `sternpost passwd NAME`: who logs in (AUTH PLAIN or LOGIN, over TLS only) may relay. "
     "Read again when it changes; the relay's user must be able to."},

    {"tls", "certificate", TOP(tls_certificate), config_parse_text, "", false, "PEM file with our certificate and its chain. It and the key are read again when they change; the relay's user must be "
     "able to."},
    {"tls", "key", TOP(tls_key), config_parse_text, "", false, "PEM file with its private key."},
    {"tls", "ca-file", TOP(tls_ca_file), config_parse_text, "", false,
     "PEM bundle of trust anchors for MX hosts, policy hosts and smart hosts. Default: the system's. Read again when it changes; "
     "one that cannot be read leaves the old ones in force."},
    {"tls", "minimum", TOP(tls_minimum_1_3), config_parse_minimum, "1.2", false, "Lowest TLS version: 1.2 or 1.3."},
    {"tls", "old-suites", TOP(tls_old_suites), config_parse_flag, "no", false,
     "Offer clients that come in by TLS 1.2 suites with CBC and DHE too, for programs that know nothing better; scanners "
     "report them. Else only authenticated encryption (AES-GCM, ChaCha20) with ECDHE."},

    {"queue", "path", TOP(queue_path), config_parse_text, "/var/spool/sternpost", false,
     "Directory of the queue, on a local disk; made with mode 0700."},
    {"queue", "size-max", TOP(queue_size_max), config_parse_size, "16G", false,
     "Upper bound of the queue's file. New mail is refused (452) when 85 % are used."},
    {"queue", "free-min", TOP(queue_free_min), config_parse_size, "256M", false,
     "New mail is refused (452) when less is free on the disk and inside the queue's file, which never shrinks."},
    {"queue", "message-size-max", TOP(message_size_max), config_parse_size, "50M", false, "Largest message."},

    {"retry", "schedule", TOP(retry), config_parse_schedule, "1m 5m 15m 30m 1h 2h", false,
     "Waits between attempts; the last one repeats. Each is lengthened by up to 20 %."},
    {"retry", "expire", TOP(expire_ms), config_parse_duration, "5d", false, "After that long a message bounces."},
    {"retry", "warn", TOP(warn_ms), config_parse_duration, "4h", false,
     "After that long the sender gets one notice that the message waits; 0 gives none."},

    {"bounce", "postmaster", TOP(postmaster), config_parse_address, "", false,
     "Gets a digest of bounces that cannot be returned, at most once an hour."},
    {"bounce", "gather", TOP(report_gather_ms), config_parse_duration, "15s", false,
     "So long a bounce waits for others of the same message, so that one tells of all; not once nothing of it is pending. "
     "0 gives each at once."},

    {"local", "domains", TOP(local_domains), config_parse_domains, "", false,
     "Our own domains. Nothing is delivered locally: their addresses go through the aliases, else to root. Default: hostname "
     "and localhost."},
    {"local", "root", TOP(local_root), config_parse_address, "", false, "Where mail for local users without an alias goes."},
    {"local", "aliases-file", TOP(aliases_file), config_parse_text, "/etc/aliases", false, "NAME: ADDRESS, ADDRESS"},

    {"dns", "servers", TOP(dns_servers), config_parse_servers, "", false,
     "Resolvers: ADDRESS or ADDRESS:PORT. Default: those of /etc/resolv.conf. A validating resolver on this machine is best."},

    {"delivery", "port", TOP(delivery_port), config_parse_port, "25", false, "Port of MX hosts; for tests."},
    {"delivery", "allow-networks", TOP(allow_networks), config_parse_networks, "", false,
     "Networks that are not on the open Internet and may be connected to all the same."},
    {"delivery", "connections-max", TOP(delivery_connections_max), config_parse_count, "200", false,
     "Outbound connections at once."},
    {"delivery", "per-destination", TOP(per_destination), config_parse_count, "20", false, "Of them, to one destination."},
    {"delivery", "family", TOP(family), config_parse_family, "any", false, "any, ipv4 or ipv6."},
    {"delivery", "source", TOP(sources), config_parse_sources, "", false, "Source addresses, one of each family."},
    {"delivery", "stop-timeout", TOP(stop_timeout_ms), config_parse_duration, "20s", false,
     "How long a stop waits for what is under way. Clients that are still sending then hear 421, and have a few seconds to read it."},

    {"sts", "enabled", TOP(sts_enabled), config_parse_flag, "yes", false,
     "Apply MTA-STS policies. With `no` an attacker on the way can read mail for every domain that relies on them."},
    {"sts", "cache-max", TOP(sts_cache_max), config_parse_size, "64M", false,
     "How much the policy cache may hold: some hundred bytes a domain. Beyond it policies are forgotten down to nine tenths. First "
     "gives whoever has the largest share: all domains below one registrable name (example.co.uk) count as one owner, and the "
     "largest owners are cut to one level, but none below a thousandth of it or 4 KiB. Only what is still lacking then goes by last "
     "use: what binds nothing any more, then what has been in use for less than a day, then the rest. No exemption is forgotten, and no "
     "enforced policy that mail waits for."},
    {"sts", "https-port", TOP(https_port), config_parse_port, "443", false, "Port of policy hosts; for tests."},
    {"sts", "expired-floor", TOP(expired_floor), config_parse_flag, "no", false,
     "With `yes` an enforced policy that was in force when a message was queued binds that message after the policy has "
     "expired, while no successor can be fetched. RFC 8461 3.3 forbids it by default."},

    {"tls-policy", "default", TOP(tls_default), config_parse_default_tls, "opportunistic", false,
     "What domains without a policy must offer: opportunistic (TLS where offered), encrypt, or verify."},

    {"http", "listen", TOP(http_listen), config_parse_endpoints, "", false,
     "Addresses for /healthz, /readyz and /metrics, such as 127.0.0.1:9025. Whoever can connect may read them: counts and states, "
     "nothing of senders and recipients."},

    {"log", "format", TOP(log_format), config_parse_log_format, "logfmt", false,
     "text, logfmt or json, to standard error. Default: text on a terminal, else logfmt."},
    {"log", "level", TOP(log_level), config_parse_log_level, "info", false, "error, warning, info or debug."},

    {"control", "socket", TOP(control_socket), config_parse_text, "/run/sternpost/control.sock", false,
     "Where the commands of the administrator reach the relay; owner and group only."},
    {"submit", "socket", TOP(submit_socket), config_parse_text, "/run/sternpost/submit.sock", false,
     "Where sendmail hands over mail; open to all users of the machine."},
    {"submit", "drop", TOP(drop_path), config_parse_text, "/var/spool/sternpost-drop", false,
     "Where sendmail leaves mail while the relay is down."},

    {"route", "via", ROUTE(host), config_parse_via, "", false,
     "HOST:PORT of the smart host (default port 587, with tls = implicit 465). Its addresses are looked up, not its MX."},
    {"route", "tls", ROUTE(tls), config_parse_route_tls, "verify", false,
     "verify; sts (verify, and the MTA-STS policy of HOST); implicit (verified TLS from the first byte); encrypt; opportunistic. The "
     "recipient domain's own policy does not apply on a route (RFC 8461 3.4)."},
    {"route", "username", ROUTE(username), config_parse_text, "", false, "Name for AUTH."},
    {"route", "password", ROUTE(password), config_parse_text, "", true, "Its password; needs verified TLS."},

    {"route", "connections", ROUTE(connections), config_parse_count, "", false,
     "Connections at once to HOST:PORT, of all routes that lead there together: the least number that one of them has. Default: what "
     "[destination \"HOST\"] or [destination \"*\"] says, else [delivery] per-destination."},
    {"route", "rate", ROUTE(rate), config_parse_rate, "", false,
     "Most messages in a time, such as 100/h, to HOST:PORT, of all routes that lead there together. Default: what [destination "
     "\"HOST\"] or [destination \"*\"] says."},

    {"destination", "connections", DESTINATION(connections), config_parse_count, "", false,
     "Connections at once to this recipient domain, or to the HOST of a route. \"*\" is the default of each. Domains that share an MX "
     "host are counted each for itself. Default: [delivery] per-destination."},
    {"destination", "rate", DESTINATION(rate), config_parse_rate, "", false,
     "Most messages in a time, such as 100/h, to this recipient domain, or to the HOST of a route. \"*\" is the default of each."},

    {"dkim", "selector", DKIM(selector), config_parse_text, "", false, "Selector of the key in DNS: the record is SELECTOR._domainkey.DOMAIN. Mail whose From is of this domain is signed "
     "(rsa-sha256, relaxed/relaxed) in the form in which it leaves, unless it carries a signature of this domain."},
    {"dkim", "key", DKIM(key_file), config_parse_text, "", false, "PEM file of the RSA key, made by `sternpost dkim keygen`. Not readable by everybody; read again on SIGHUP. "
     "A signature with 2048 bits takes some 3 ms of a processor, with 4096 six times as long, with 1024 a quarter; all processors "
     "sign at once. Ed25519 keys, which would cost less, are not supported: mbedTLS has none, and few receivers verify them."},

    {"client", "lenient", CLIENT(lenient), config_parse_flag, "no", false,
     "For printers, scanners and scripts of a network that you trust: take MAIL FROM:<scanner> (completed with hostname) and RCPT "
     "TO:<root> (an address of this machine), and make line ends of bare LF and CR in messages. Nothing but CRLF.CRLF ends a message even "
     "so. It holds for clients there that may relay by [access] networks or have logged in; of several networks the smallest counts."},
};
const size_t config_key_count = sizeof config_keys / sizeof config_keys[0];

static const struct config_named named_sections[] = {
    {"route", CONFIG_NAME_ALL | CONFIG_NAME_BELOW | CONFIG_NAME_SENDER, "example.com"},
    {"destination", CONFIG_NAME_ALL, "example.com"},
    {"dkim", 0, "example.com"},
    {"client", CONFIG_NAME_NETWORK, "192.0.2.0/24"},
};

const struct config_named *config_named_find(struct slice section)
{
    for (size_t i = 0; i < sizeof named_sections / sizeof named_sections[0]; i++) {
        if (slice_equal(section, slice_of(named_sections[i].section)))
            return &named_sections[i];
    }
    return NULL;
}

bool config_section_is_named(struct slice section)
{
    return config_named_find(section) != NULL;
}

const struct config_key *config_key_find(struct slice section, struct slice key)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (slice_equal(section, slice_of(config_keys[i].section)) && slice_equal(key, slice_of(config_keys[i].key)))
            return &config_keys[i];
    }
    return NULL;
}
