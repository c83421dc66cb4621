/* The world of one seed: domains with their mail hosts and policies, what goes wrong when, and how long. It is made from the
 * dice before anything runs; the other files of the simulator ask it what is true at the moment. */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "base/ip.h"
#include "test/sim/sim_tls.h"

#define WORLD_DOMAINS_MAX 300
#define WORLD_HOSTS_MAX 24
#define WORLD_MX_MAX 4
#define WORLD_PUBLICATIONS_MAX 6
#define WORLD_FAULTS_MAX 32
#define WORLD_NAME_MAX SIM_TLS_NAME_MAX
/* The relay's own name, and its own address at the port of mail hosts. */
#define WORLD_RELAY_NAME "relay.example"
#define WORLD_RELAY_ADDRESS "20.2.2.2"
/* A crash that comes so soon after something was learned may come before it is written down. */
#define WORLD_WRITING_DOWN_MS 4000

struct world_host {
    char name[WORLD_NAME_MAX];
    struct ip ips[2];
    size_t ip_count;
    struct sim_certificate certificate;
    bool offers_starttls;
    bool is_attackers;
    unsigned messages_max; /* over one connection, which it leaves open behind that; 0: no limit */
};

enum world_mode { WORLD_NONE, WORLD_TESTING, WORLD_ENFORCE };
/* A policy as its owner published it. The body names its number, so that it is known again wherever it turns up. */
struct world_publication {
    enum world_mode mode;
    int64_t max_age_s;
    char patterns[WORLD_MX_MAX][WORLD_NAME_MAX];
    size_t pattern_count;
    char id[33];
    char body[900];
};

#define WORLD_DOMAIN_LIST(X)                                                                                           \
    X(MX, "mx") X(IMPLICIT, "implicit") X(NULL_MX, "null-mx") X(ABSENT, "absent") /* does not exist */         \
    X(OWN, "own") /* its only mail host is the relay */
enum world_domain_kind {
#define X(name, text) WORLD_DOMAIN_##name,
    WORLD_DOMAIN_LIST(X)
#undef X
};
struct world_domain {
    size_t index;
    char name[WORLD_NAME_MAX];
    enum world_domain_kind kind;
    struct {
        size_t host;
        uint16_t preference;
    } mx[WORLD_MX_MAX];
    size_t mx_count;
    struct ip policy_ip;
    struct world_publication publications[WORLD_PUBLICATIONS_MAX];
    size_t publication_count;
    int served, announced; /* indexes of what HTTPS and TXT say now; -1: nothing */
    bool is_crowd;         /* one of an attacker's hundreds: what the relay keeps of its policy is the relay's business */
    bool is_hopeless;      /* its policy admits no host that could prove itself: mail must expire */
};

/* What goes wrong for a while. Target: a domain, a host, or nothing. */
#define WORLD_FAULT_LIST(X)                                                                                            \
    X(DNS_FAILING, DOMAIN, "DNS answers SERVFAIL for")                                                                 \
    X(DNS_SILENT, DOMAIN, "DNS does not answer for")                                                                   \
    X(DNS_DENIED, DOMAIN, "DNS says NXDOMAIN for")                                                                     \
    X(DNS_FORGED_MX, DOMAIN, "the attacker forges the MX records of")                                                  \
    X(DNS_FORGED_OWN, DOMAIN, "the attacker names the relay itself as the mail host of")                               \
    X(DNS_FORGED_ADDRESS, HOST, "the attacker forges the addresses of")                                                \
    X(DNS_FORGED_TXT, DOMAIN, "the attacker forges the MTA-STS record of")                                             \
    X(HTTPS_DOWN, DOMAIN, "the policy host is down of")                                                                \
    X(HTTPS_STATUS, DOMAIN, "the policy host answers with errors for")                                                 \
    X(HTTPS_GARBAGE, DOMAIN, "the policy host serves garbage for")                                                     \
    X(HTTPS_CERTIFICATE, DOMAIN, "the policy host shows a bad certificate for")                                        \
    X(HTTPS_SLOW, DOMAIN, "the policy host is slow for")                                                               \
    X(HTTPS_CUT, DOMAIN, "the policy host breaks off for")                                                             \
    X(HTTPS_INTERCEPTED, DOMAIN, "the attacker intercepts HTTPS of")                                                   \
    X(HOST_REFUSING, HOST, "connections are refused by")                                                               \
    X(HOST_SILENT, HOST, "nothing is heard of")                                                                        \
    X(HOST_CERTIFICATE, HOST, "the certificate is bad of")                                                             \
    X(HOST_ERRATIC, HOST, "trouble at every stage from")                                                               \
    X(HOST_GREYLISTING, HOST, "greylisting by")                                                                        \
    X(HOST_INTERCEPTED, HOST, "the attacker intercepts SMTP of")                                                       \
    X(DISK_FULL, NOTHING, "the disk is full for new mail")                                                             \
    X(DISK_EXHAUSTED, NOTHING, "the disk is full for everything")                                                      \
    X(DISK_SLOW, NOTHING, "the disk is slow")                                                                          \
    X(MEMORY_SHORT, NOTHING, "allocations fail now and then")
enum world_fault_kind {
#define X(name, target, text) WORLD_FAULT_##name,
    WORLD_FAULT_LIST(X)
#undef X
    WORLD_FAULT_KINDS
};
enum world_target { WORLD_TARGET_DOMAIN, WORLD_TARGET_HOST, WORLD_TARGET_NOTHING };
struct world_fault {
    enum world_fault_kind kind;
    size_t target;
    int64_t from_ms, to_ms;
};

/* What the crowd does (world_crowd.h): its policy hosts are mute from the start, or after a while, or serve much. */
enum world_crowd { WORLD_CROWD_NONE, WORLD_CROWD_MUTE, WORLD_CROWD_SILENCED, WORLD_CROWD_MUCH, WORLD_CROWD_KINDS };
enum world_kind { WORLD_PLAIN, WORLD_SIEGE, WORLD_CROWDED };
struct world {
    uint64_t seed;
    bool is_attacked; /* a long siege: the attacker has DNS and the network, and no certificate */
    struct world_host hosts[WORLD_HOSTS_MAX];
    size_t host_count;
    size_t attacker; /* index of the host that is the attacker's */
    struct world_domain domains[WORLD_DOMAINS_MAX];
    size_t domain_count;
    struct world_fault faults[WORLD_FAULTS_MAX];
    size_t fault_count;
    int64_t storm_ms; /* how long things go wrong */
    size_t message_count;
    unsigned trouble_percent; /* how often a mail host does something odd of its own accord while the storm lasts */
    /* Of the relay's configuration. */
    const char *retry_schedule;
    int64_t expire_ms, warn_ms, gather_ms, stop_timeout_ms;
    unsigned connections_max, per_destination;
    uint64_t cache_max;
    enum world_crowd crowd;
};
extern struct world world;

void world_make(uint64_t seed, enum world_kind kind);
size_t world_add_host(const char *name); /* one that is well; its index */
void world_describe(void); /* into the log */
bool world_is_stormy(void); /* hosts and clients are odd of their own accord */
bool world_has_fault(enum world_fault_kind kind, size_t target); /* ... now; it is met where this is true */
bool world_makes_fault(enum world_fault_kind kind); /* of those that a world like this one may have */
/* When what the relay learned at that time is on its disk at the latest. */
int64_t world_written_by_ms(int64_t learned_ms);
const char *world_fault_text(enum world_fault_kind kind);
enum world_target world_fault_target(enum world_fault_kind kind);
const char *world_mode_name(enum world_mode mode);

struct world_domain *world_find_domain(struct slice name);              /* NULL: none */
struct world_host *world_find_host(struct slice name);
struct world_host *world_find_address(const struct ip *ip);
struct world_domain *world_find_policy_address(const struct ip *ip);
size_t world_host_index(const struct world_host *host);
/* A new policy, published by nobody yet; NULL: there are enough. max_age_s: 0: by the dice. */
struct world_publication *world_publish(struct world_domain *domain, enum world_mode mode, int64_t max_age_s);
/* Does one of the policy's patterns admit the host (RFC 8461 4.1)? Reckoned without the code of sts/. */
bool world_admits(const struct world_publication *publication, struct slice host);
bool world_has_host(const struct world_domain *domain, size_t host); /* among its MX hosts */

#endif
