#include "test/sim/world.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_seen.h"
#include "test/sim/world_crowd.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

struct world world;

static void make_times(void);
static void make_domains(void);
static void make_attacker(void);
static void make_siege_times(void);
static void make_faults(void);
static void make_attacks(void);
static struct world_host *add_host(const char *name);
static void spoil_host(struct world_host *host);

void world_make(uint64_t seed, enum world_kind kind)
{
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.is_attacked = kind == WORLD_SIEGE;
    sim_dice_start(seed);
    make_times();
    if (kind == WORLD_SIEGE)
        make_siege_times();
    make_attacker();
    if (kind == WORLD_CROWDED) {
        world_crowd_times();
        world_crowd_domains();
        return;
    }
    make_domains();
    if (kind == WORLD_SIEGE)
        make_attacks();
    else
        make_faults();
}

static void make_times(void)
{
    static const char *const schedules[] = {"1m 5m 15m 30m", "30s 1m 2m", "2m 20m 1h", "10s 10s 1m 10m"};
    static const unsigned storms[] = {35, 45, 17, 3, 0};
    static const int64_t storm_max_ms[] = {15 * MINUTE_MS, 90 * MINUTE_MS, 6 * HOUR_MS, 60 * HOUR_MS};
    static const int64_t gathers_ms[] = {0, 30000, 10 * MINUTE_MS, HOUR_MS};
    world.storm_ms = sim_dice_between(5 * MINUTE_MS, storm_max_ms[sim_dice_choose(storms)]);
    world.message_count = (size_t)sim_dice_between(3, 16);
    world.trouble_percent = (unsigned)sim_dice_between(0, 6) * 10;
    world.retry_schedule = schedules[sim_dice_below(4)];
    world.expire_ms = sim_dice_percent(25) ? 40 * MINUTE_MS : sim_dice_between(2, 8) * HOUR_MS;
    world.warn_ms = sim_dice_percent(30) ? 0 : sim_dice_between(5 * MINUTE_MS, 2 * HOUR_MS);
    world.gather_ms = gathers_ms[world.seed / 2 % 4]; /* without dice, so that all else of a seed's world stays as it was */
    world.stop_timeout_ms = sim_dice_between(2, 20) * 1000;
    world.connections_max = (unsigned)sim_dice_between(2, 8);
    world.per_destination = (unsigned)sim_dice_between(1, 4);
    world.cache_max = 64u << 20;
}

static void make_siege_times(void)
{
    static const char *const schedules[] = {"5m 30m 2h", "1m 15m 1h 4h", "20m 3h 6h"};
    world.storm_ms = sim_dice_between(1, 5) * 24 * HOUR_MS;
    world.message_count = (size_t)sim_dice_between(6, 16);
    world.trouble_percent = (unsigned)sim_dice_between(0, 1) * 10;
    world.retry_schedule = schedules[sim_dice_below(3)];
    world.expire_ms = world.storm_ms + sim_dice_between(24, 120) * HOUR_MS; /* so that reports outlive it */
    world.warn_ms = 4 * HOUR_MS;
}

/* ---- hosts ---- */

/* Of every fourth host. Without dice, so that all else of a seed's world stays as it was. */
static unsigned messages_max(uint8_t number)
{
    uint64_t mixed = (world.seed + number) * UINT64_C(0x9e3779b97f4a7c15);
    return (mixed >> 60) % 4 == 0 ? 1 + (unsigned)(mixed >> 40) % 3 : 0;
}

static struct world_host *add_host(const char *name)
{
    assert(world.host_count < WORLD_HOSTS_MAX);
    struct world_host *host = &world.hosts[world.host_count];
    uint8_t number = (uint8_t)(10 + world.host_count++);
    text_print(host->name, sizeof host->name, "%s", name);
    host->offers_starttls = true;
    host->messages_max = messages_max(number);
    host->ips[host->ip_count++] = ip_v4((const uint8_t[4]){20, 0, 0, number});
    if (sim_dice_percent(20))
        host->ips[host->ip_count++] = ip_v6((const uint8_t[16]){0x26, 0x06, 0x47, [15] = number});
    text_print(host->certificate.names[host->certificate.name_count++], WORLD_NAME_MAX, "%s", name);
    return host;
}

size_t world_add_host(const char *name)
{
    return world_host_index(add_host(name));
}

static void spoil_certificate(struct sim_certificate *certificate)
{
    switch (sim_dice_below(7)) {
    case 0:
        certificate->is_expired = true;
        break;
    case 1:
        certificate->is_untrusted = true;
        break;
    case 2:
        certificate->is_self_signed = true;
        break;
    case 3:
        certificate->is_old = true;
        break;
    case 4:
        certificate->is_foreign = true;
        break;
    case 5:
        certificate->name_count = 0;
        break;
    default:
        certificate->name_count = 1;
        text_print(certificate->names[0], WORLD_NAME_MAX, "www.elsewhere.example");
        break;
    }
}

static void spoil_host(struct world_host *host)
{
    if (sim_dice_percent(30))
        host->offers_starttls = false;
    else
        spoil_certificate(&host->certificate);
}

static void make_attacker(void)
{
    world.attacker = world.host_count;
    struct world_host *host = add_host("mx.evil.example");
    host->is_attackers = true;
}

/* ---- domains ---- */

static void add_mx(struct world_domain *domain, size_t host)
{
    domain->mx[domain->mx_count].host = host;
    domain->mx[domain->mx_count++].preference = (uint16_t)(sim_dice_below(3) * 10);
}

static void wildcard_certificate(struct world_host *host)
{
    struct slice name = slice_of(host->name);
    struct slice below = slice_from(name, slice_find(name, '.'));
    text_print(host->certificate.names[0], WORLD_NAME_MAX, "*%.*s", SLICE_ARGS(below));
}

/* The first host of a domain can always prove itself (unless all is hopeless); others may be anything, also somebody
 * else's. */
static void make_hosts(struct world_domain *domain)
{
    size_t count = (size_t)sim_dice_between(1, WORLD_MX_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        char name[WORLD_NAME_MAX];
        bool is_shared = i > 0 && world.host_count > 2 && sim_dice_percent(15);
        size_t shared = is_shared ? 1 + (size_t)sim_dice_below(world.host_count - 1) : 0;
        if (is_shared && !world_has_host(domain, shared)) {
            add_mx(domain, shared);
            continue;
        }
        text_print(name, sizeof name, "mx%zu.%s%s", i, sim_dice_percent(30) ? "mail." : "", domain->name);
        struct world_host *host = add_host(name);
        if (sim_dice_percent(25))
            wildcard_certificate(host);
        if (i > 0 && sim_dice_percent(30))
            spoil_host(host);
        add_mx(domain, world_host_index(host));
    }
}

static enum world_mode random_mode(void)
{
    static const unsigned weights[] = {10, 20, 70, 0};
    return (enum world_mode)sim_dice_choose(weights);
}

static void make_policy(struct world_domain *domain)
{
    domain->served = domain->announced = -1;
    if (world.is_attacked) {
        (void)world_publish(domain, WORLD_ENFORCE, 0);
        domain->served = domain->announced = 0;
        return;
    }
    if (!sim_dice_percent(75))
        return;
    (void)world_publish(domain, random_mode(), 0);
    domain->served = domain->announced = 0;
    /* For some the record comes later, or nobody serves what it announces. */
    if (sim_dice_percent(5))
        domain->served = -1;
    if (sim_dice_percent(5))
        domain->announced = -1;
}

static void make_domain(enum world_domain_kind kind)
{
    struct world_domain *domain = &world.domains[world.domain_count];
    domain->index = world.domain_count++;
    domain->kind = kind;
    domain->served = domain->announced = -1;
    text_print(domain->name, sizeof domain->name, "d%zu.example", domain->index);
    domain->policy_ip = ip_v4((const uint8_t[4]){20, 1, 0, (uint8_t)(10 + domain->index)});
    if (kind == WORLD_DOMAIN_IMPLICIT)
        add_mx(domain, world_host_index(add_host(domain->name)));
    if (kind == WORLD_DOMAIN_MX)
        make_hosts(domain);
    domain->is_hopeless = domain->index > 1 && kind == WORLD_DOMAIN_MX && sim_dice_percent(8);
    if (kind == WORLD_DOMAIN_MX || kind == WORLD_DOMAIN_IMPLICIT)
        make_policy(domain);
}

/* The first one is the senders'. */
static void make_domains(void)
{
    static const unsigned weights[] = {77, 10, 5, 5, 3, 0};
    size_t count = (size_t)sim_dice_between(2, 5);
    make_domain(WORLD_DOMAIN_MX);
    make_domain(WORLD_DOMAIN_MX);
    while (world.domain_count < count)
        make_domain((enum world_domain_kind)sim_dice_choose(weights));
}

bool world_has_host(const struct world_domain *domain, size_t host)
{
    for (size_t i = 0; i < domain->mx_count; i++) {
        if (domain->mx[i].host == host)
            return true;
    }
    return false;
}

/* ---- policies ---- */

static void add_pattern(struct world_publication *publication, const struct world_host *host)
{
    struct slice name = slice_of(host->name);
    size_t dot = slice_find(name, '.');
    char *pattern = publication->patterns[publication->pattern_count++];
    if (sim_dice_percent(30))
        text_print(pattern, WORLD_NAME_MAX, "*%.*s", SLICE_ARGS(slice_from(name, dot)));
    else
        text_print(pattern, WORLD_NAME_MAX, "%.*s", SLICE_ARGS(name));
}

static void choose_patterns(struct world_domain *domain, struct world_publication *publication)
{
    if (domain->is_hopeless) {
        publication->pattern_count = 1;
        text_print(publication->patterns[0], WORLD_NAME_MAX, "mx.nowhere.%s", domain->name);
        return;
    }
    for (size_t i = 0; i < domain->mx_count; i++) {
        if (i == 0 || sim_dice_percent(65))
            add_pattern(publication, &world.hosts[domain->mx[i].host]);
    }
}

struct world_publication *world_publish(struct world_domain *domain, enum world_mode mode, int64_t max_age_s)
{
    static const int64_t max_ages_s[] = {60, 600, 3600, 86400, 604800, 31557600};
    if (domain->publication_count == WORLD_PUBLICATIONS_MAX || domain->mx_count == 0)
        return NULL;
    struct world_publication *publication = &domain->publications[domain->publication_count++];
    publication->mode = mode;
    /* No two of a domain have the same: by it they are told apart. */
    if (max_age_s == 0)
        max_age_s = max_ages_s[world.is_attacked ? sim_dice_between(3, 5) : (int64_t)sim_dice_below(6)];
    publication->max_age_s = max_age_s - (int64_t)domain->publication_count;
    choose_patterns(domain, publication);
    text_print(publication->id, sizeof publication->id, "d%zup%zu", domain->index, domain->publication_count);
    const char *end = sim_dice_percent(50) ? "\r\n" : "\n";
    struct buffer body;
    buffer_init(&body, sizeof publication->body - 1);
    buffer_print(&body, "version: STSv1%smode: %s%s", end, world_mode_name(mode), end);
    for (size_t i = 0; i < publication->pattern_count; i++)
        buffer_print(&body, "mx: %s%s", publication->patterns[i], end);
    buffer_print(&body, "max_age: %lld%spublication: %s.%s", (long long)publication->max_age_s, end, publication->id, end);
    assert(!buffer_failed(&body));
    memcpy(publication->body, buffer_slice(&body).data, buffer_length(&body));
    publication->body[buffer_length(&body)] = '\0';
    buffer_free(&body);
    return publication;
}

bool world_admits(const struct world_publication *publication, struct slice host)
{
    for (size_t i = 0; i < publication->pattern_count; i++) {
        struct slice pattern = slice_of(publication->patterns[i]);
        if (slice_equal_nocase(pattern, host))
            return true;
        if (pattern.data[0] == '*' && slice_find(host, '.') > 0 &&
            slice_equal_nocase(slice_from(pattern, 1), slice_from(host, slice_find(host, '.'))))
            return true;
    }
    return false;
}

const char *world_mode_name(enum world_mode mode)
{
    static const char *const names[] = {"none", "testing", "enforce"};
    return names[mode];
}

/* ---- faults ---- */

static const struct {
    enum world_target target;
    const char *text;
} fault_rows[] = {
#define X(name, target, text) {WORLD_TARGET_##target, text},
    WORLD_FAULT_LIST(X)
#undef X
};

const char *world_fault_text(enum world_fault_kind kind)
{
    return fault_rows[kind].text;
}

enum world_target world_fault_target(enum world_fault_kind kind)
{
    return fault_rows[kind].target;
}

static size_t random_target(enum world_target target)
{
    switch (target) {
    case WORLD_TARGET_DOMAIN:
        return (size_t)sim_dice_below(world.domain_count);
    case WORLD_TARGET_HOST:
        return (size_t)sim_dice_below(world.host_count);
    case WORLD_TARGET_NOTHING:
        break;
    }
    return 0;
}

static bool is_rare(enum world_fault_kind kind)
{
    return world_fault_target(kind) == WORLD_TARGET_NOTHING && !sim_dice_percent(40);
}

/* What a siege is made of: all that an attacker without a certificate can do. */
static const enum world_fault_kind attack_kinds[] = {
    WORLD_FAULT_DNS_FORGED_MX,     WORLD_FAULT_DNS_FORGED_OWN,    WORLD_FAULT_DNS_FORGED_ADDRESS,
    WORLD_FAULT_DNS_FORGED_TXT,    WORLD_FAULT_DNS_DENIED,        WORLD_FAULT_DNS_FAILING,
    WORLD_FAULT_DNS_SILENT,        WORLD_FAULT_HTTPS_INTERCEPTED, WORLD_FAULT_HTTPS_DOWN,
    WORLD_FAULT_HTTPS_CERTIFICATE, WORLD_FAULT_HTTPS_GARBAGE,     WORLD_FAULT_HOST_INTERCEPTED,
    WORLD_FAULT_HOST_INTERCEPTED,
};
#define ATTACK_KINDS (sizeof attack_kinds / sizeof attack_kinds[0])

bool world_makes_fault(enum world_fault_kind kind)
{
    bool is_attack = false;
    for (size_t i = 0; i < ATTACK_KINDS; i++)
        is_attack = is_attack || attack_kinds[i] == kind;
    return !world.is_attacked || is_attack;
}

static void make_faults(void)
{
    size_t count = sim_dice_percent(5) ? 0 : (size_t)sim_dice_between(1, WORLD_FAULTS_MAX / 2);
    while (world.fault_count < count) {
        struct world_fault *fault = &world.faults[world.fault_count++];
        do
            fault->kind = (enum world_fault_kind)sim_dice_below(sizeof fault_rows / sizeof fault_rows[0]);
        while (is_rare(fault->kind) || !world_makes_fault(fault->kind));
        fault->target = random_target(world_fault_target(fault->kind));
        fault->from_ms = sim_dice_between(0, world.storm_ms);
        int64_t longest_ms = sim_dice_percent(50) ? 10 * MINUTE_MS : world.storm_ms;
        fault->to_ms = fault->from_ms + sim_dice_between(1000, longest_ms);
        fault->to_ms = fault->to_ms < world.storm_ms ? fault->to_ms : world.storm_ms;
    }
}

/* After an hour in which the relay may learn the policies, for hours or to the end. */
static void make_attacks(void)
{
    size_t count = (size_t)sim_dice_between(WORLD_FAULTS_MAX / 2, WORLD_FAULTS_MAX);
    while (world.fault_count < count) {
        struct world_fault *fault = &world.faults[world.fault_count++];
        do
            fault->kind = attack_kinds[sim_dice_below(ATTACK_KINDS)];
        while (!world_makes_fault(fault->kind));
        fault->target = random_target(world_fault_target(fault->kind));
        fault->from_ms = sim_dice_percent(50) ? HOUR_MS : sim_dice_between(HOUR_MS, world.storm_ms);
        fault->to_ms = sim_dice_percent(50) ? world.storm_ms : sim_dice_between(fault->from_ms + 1000, world.storm_ms + 2000);
    }
}

bool world_is_stormy(void)
{
    return sim_now_ms() < world.storm_ms && world.crowd == WORLD_CROWD_NONE;
}

bool world_has_fault(enum world_fault_kind kind, size_t target)
{
    int64_t now_ms = sim_now_ms();
    for (size_t i = 0; i < world.fault_count; i++) {
        const struct world_fault *fault = &world.faults[i];
        if (fault->kind == kind && fault->target == target && now_ms >= fault->from_ms && now_ms < fault->to_ms) {
            sim_saw(SIM_SEEN_FAULTS + kind);
            return true;
        }
    }
    return false;
}

/* While the disk takes nothing at all it waits; outages may overlap. */
int64_t world_written_by_ms(int64_t learned_ms)
{
    int64_t end_ms = learned_ms + WORLD_WRITING_DOWN_MS;
    for (size_t i = 0; i < world.fault_count;) {
        const struct world_fault *fault = &world.faults[i++];
        if (fault->kind != WORLD_FAULT_DISK_EXHAUSTED || fault->from_ms > end_ms ||
            fault->to_ms + WORLD_WRITING_DOWN_MS <= end_ms)
            continue;
        end_ms = fault->to_ms + WORLD_WRITING_DOWN_MS;
        i = 0; /* an earlier one may go on from here */
    }
    return end_ms;
}

/* ---- finding ---- */

struct world_domain *world_find_domain(struct slice name)
{
    for (size_t i = 0; i < world.domain_count; i++) {
        if (slice_equal_nocase(slice_of(world.domains[i].name), name))
            return &world.domains[i];
    }
    return NULL;
}

struct world_host *world_find_host(struct slice name)
{
    for (size_t i = 0; i < world.host_count; i++) {
        if (slice_equal_nocase(slice_of(world.hosts[i].name), name))
            return &world.hosts[i];
    }
    return NULL;
}

struct world_host *world_find_address(const struct ip *ip)
{
    for (size_t i = 0; i < world.host_count; i++) {
        for (size_t j = 0; j < world.hosts[i].ip_count; j++) {
            if (ip_equal(&world.hosts[i].ips[j], ip))
                return &world.hosts[i];
        }
    }
    return NULL;
}

struct world_domain *world_find_policy_address(const struct ip *ip)
{
    for (size_t i = 0; i < world.domain_count; i++) {
        if (ip_equal(&world.domains[i].policy_ip, ip))
            return &world.domains[i];
    }
    return NULL;
}

size_t world_host_index(const struct world_host *host)
{
    return (size_t)(host - world.hosts);
}

/* ---- telling ---- */

static void describe_domain(const struct world_domain *domain)
{
    char text[600];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < domain->mx_count; i++)
        length += text_print(text + length, sizeof text - length, " %s(%u)", world.hosts[domain->mx[i].host].name,
                             domain->mx[i].preference)
                      .length;
    sim_log("domain %s:%s%s", domain->name, text, domain->is_hopeless ? " hopeless" : "");
    for (size_t i = 0; i < domain->publication_count; i++) {
        const struct world_publication *publication = &domain->publications[i];
        sim_log("  policy %s: %s, max_age %lld, %zu patterns, first %s%s%s", publication->id,
                world_mode_name(publication->mode), (long long)publication->max_age_s, publication->pattern_count,
                publication->patterns[0], domain->served == (int)i ? ", served" : "",
                domain->announced == (int)i ? ", announced" : "");
    }
}

void world_describe(void)
{
    char ip[48];
    sim_log("seed %llu: storm of %lld s, %zu messages, trouble %u %%, retry \"%s\", expire %lld s, warn %lld s, gather %lld s",
            (unsigned long long)world.seed, (long long)world.storm_ms / 1000, world.message_count, world.trouble_percent,
            world.retry_schedule, (long long)world.expire_ms / 1000, (long long)world.warn_ms / 1000,
            (long long)world.gather_ms / 1000);
    for (size_t i = 0; i < world.domain_count; i++)
        describe_domain(&world.domains[i]);
    for (size_t i = 0; i < world.host_count; i++) {
        const struct world_host *host = &world.hosts[i];
        sim_log("host %s %.*s: %u messages a connection, certificate for %s%s%s%s%s%s", host->name, SLICE_ARGS(ip_print(&host->ips[0], ip)),
                host->messages_max, host->certificate.name_count > 0 ? host->certificate.names[0] : "nothing",
                host->certificate.is_expired ? ", expired" : "", host->certificate.is_untrusted ? ", untrusted" : "",
                host->certificate.is_self_signed ? ", self-signed" : "", host->certificate.is_old ? ", old TLS" : "",
                host->offers_starttls ? "" : ", no STARTTLS");
    }
    for (size_t i = 0; i < world.fault_count; i++) {
        const struct world_fault *fault = &world.faults[i];
        enum world_target target = world_fault_target(fault->kind);
        sim_log("from %lld s to %lld s %s %s", (long long)fault->from_ms / 1000, (long long)fault->to_ms / 1000,
                world_fault_text(fault->kind),
                target == WORLD_TARGET_DOMAIN ? world.domains[fault->target].name
                : target == WORLD_TARGET_HOST ? world.hosts[fault->target].name
                                              : "");
    }
}
