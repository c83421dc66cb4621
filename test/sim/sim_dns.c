#include "test/sim/sim_dns.h"

#include "base/list.h"
#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_seen.h"
#include "test/sim/world_crowd.h"

#include <assert.h>
#include <stdlib.h>

#define RECORDS_MAX 8
#define TIMEOUT_MS 15000
#define OWN_HOST "mail.elsewhere.example" /* has the relay's own address */

struct query {
    struct sim_event event;
    struct list_node node;
    struct resolve *owner;
    enum sim_party party;
    enum record_kind kind;
    char name[256];
    bool is_silent;
};
struct reply {
    struct resolve_answer answer;
    struct resolve_record records[RECORDS_MAX];
    char texts[RECORDS_MAX][64];
};

static struct {
    struct sim_dns_watch watch;
    struct list queries;
} dns;

static void on_answer(struct sim_event *event);
static void drop(struct query *query);
static void fill(const struct query *query, struct reply *reply);
static void fill_mx(const struct world_domain *domain, struct reply *reply);
static void fill_txt(const struct world_domain *domain, struct reply *reply);
static void fill_address(const struct query *query, struct reply *reply);
static struct world_domain *domain_of(struct slice name);

const char *record_kind_name(enum record_kind kind)
{
    static const char *const names[] = {"A", "AAAA", "MX", "TXT", "TLSA"};
    return names[kind];
}

const char *resolve_status_text(enum resolve_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        RESOLVE_STATUS_LIST(X)
#undef X
    };
    return texts[status];
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status != RESOLVE_FOUND && status != RESOLVE_NXDOMAIN && status != RESOLVE_NODATA;
}

void sim_dns_start(const struct sim_dns_watch *watch)
{
    dns.watch = *watch;
    list_init(&dns.queries);
}

static void drop_all(bool only_relay)
{
    struct list_node *node, *next;
    for (node = list_first(&dns.queries); node != NULL; node = next) {
        struct query *query = LIST_OF(node, struct query, node);
        next = list_next(&dns.queries, node);
        if (!only_relay || query->party == SIM_RELAY)
            drop(query);
    }
}

void sim_dns_end(void)
{
    drop_all(false);
}

void sim_dns_crash(void)
{
    drop_all(true);
}

size_t sim_dns_count(void)
{
    return dns.queries.count;
}

static void drop(struct query *query)
{
    sim_event_cancel(&query->event);
    list_remove(&dns.queries, &query->node);
    free(query);
}

/* ---- asking ---- */

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    assert(resolve->host == NULL);
    assert(name.length > 0);
    enum sim_party before = sim_party_enter(SIM_WORLD);
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL)
        abort();
    query->owner = resolve;
    query->party = before;
    query->kind = kind;
    text_print(query->name, sizeof query->name, "%.*s", SLICE_ARGS(name));
    const struct world_domain *domain = domain_of(name);
    query->is_silent = domain != NULL && world_has_fault(WORLD_FAULT_DNS_SILENT, domain->index);
    list_add_last(&dns.queries, &query->node);
    resolve->done = done;
    resolve->host = query;
    dns.watch.asked(name);
    sim_event_plan(&query->event, query->is_silent ? TIMEOUT_MS : sim_dice_between(1, 60), on_answer);
    sim_party_leave(before);
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve->host != NULL)
        drop(resolve->host);
    resolve->host = NULL;
}

static void on_answer(struct sim_event *event)
{
    struct query *query = LIST_OF(event, struct query, event);
    struct resolve *resolve = query->owner;
    struct reply reply = {.answer = {.ttl_s = 60, .detail = SLICE_EMPTY, .canonical = SLICE_EMPTY}};
    reply.answer.records = reply.records;
    for (size_t i = 0; i < RECORDS_MAX; i++)
        reply.records[i].name = reply.records[i].text = reply.records[i].data = SLICE_EMPTY;
    fill(query, &reply);
    enum sim_party party = query->party;
    drop(query);
    resolve->host = NULL;
    enum sim_party before = sim_party_enter(party);
    resolve->done(resolve, &reply.answer);
    sim_party_leave(before);
}

/* ---- answers ---- */

static void fail(struct reply *reply, enum resolve_status status, struct slice detail)
{
    reply->answer.status = status;
    reply->answer.detail = detail;
}

/* The domain under which the name stands. */
static struct world_domain *domain_of(struct slice name)
{
    for (size_t i = 0; i < world.domain_count; i++) {
        struct slice domain = slice_of(world.domains[i].name);
        bool is_below = name.length > domain.length && slice_ends_nocase(name, domain) &&
                        name.data[name.length - domain.length - 1] == '.';
        if (is_below || slice_equal_nocase(name, domain))
            return &world.domains[i];
    }
    return NULL;
}

static void fill(const struct query *query, struct reply *reply)
{
    struct world_domain *domain = domain_of(slice_of(query->name));
    if (query->is_silent) {
        fail(reply, RESOLVE_TIMEOUT, SLICE("no answer"));
        return;
    }
    if (domain != NULL && world_has_fault(WORLD_FAULT_DNS_FAILING, domain->index)) {
        fail(reply, RESOLVE_SERVFAIL, SLICE("SERVFAIL from 127.0.0.1"));
        return;
    }
    bool is_absent = domain != NULL && (domain->kind == WORLD_DOMAIN_ABSENT ||
                                        world_has_fault(WORLD_FAULT_DNS_DENIED, domain->index));
    if (is_absent) {
        fail(reply, RESOLVE_NXDOMAIN, SLICE_EMPTY);
        dns.watch.denied(domain);
        return;
    }
    if (query->kind == RECORD_MX && domain != NULL)
        fill_mx(domain, reply);
    else if (query->kind == RECORD_TXT && domain != NULL)
        fill_txt(domain, reply);
    else if (query->kind == RECORD_A || query->kind == RECORD_AAAA)
        fill_address(query, reply);
    else
        fail(reply, RESOLVE_NXDOMAIN, SLICE_EMPTY);
}

static void add_mx(struct reply *reply, struct slice host, uint16_t preference)
{
    struct resolve_record *record = &reply->records[reply->answer.count++];
    record->name = host;
    record->preference = preference;
}

/* The attacker's own host alone, before the true ones, or a null MX. */
static bool forge_mx(const struct world_domain *domain, struct reply *reply)
{
    if (!world_has_fault(WORLD_FAULT_DNS_FORGED_MX, domain->index))
        return false;
    uint64_t way = (world.seed + domain->index) % 8;
    if (way == 0) {
        add_mx(reply, SLICE_EMPTY, 0);
        dns.watch.denied(domain);
        return true;
    }
    add_mx(reply, slice_of(world.hosts[world.attacker].name), way < 5 ? 0 : 90);
    return way % 2 == 0;
}

/* The relay's own name, or a host that has its address; alone or better than the true ones, which must not be tried then. */
static bool forge_own(const struct world_domain *domain, struct reply *reply)
{
    bool is_forged = world_has_fault(WORLD_FAULT_DNS_FORGED_OWN, domain->index);
    uint64_t way = (world.seed + domain->index) % 4;
    if (!is_forged && domain->kind != WORLD_DOMAIN_OWN)
        return false;
    add_mx(reply, way % 2 == 0 ? SLICE(WORLD_RELAY_NAME) : SLICE(OWN_HOST), 0);
    dns.watch.denied(domain);
    if (!is_forged)
        sim_saw(SIM_SEEN_OWN_MX);
    return !is_forged || way != 2;
}

static void fill_mx(const struct world_domain *domain, struct reply *reply)
{
    if (forge_own(domain, reply) || forge_mx(domain, reply))
        return;
    if (domain->kind == WORLD_DOMAIN_NULL_MX) {
        add_mx(reply, SLICE_EMPTY, 0);
        dns.watch.denied(domain);
    }
    for (size_t i = 0; domain->kind == WORLD_DOMAIN_MX && i < domain->mx_count; i++)
        add_mx(reply, slice_of(world.hosts[domain->mx[i].host].name), (uint16_t)(domain->mx[i].preference + 1));
    if (reply->answer.count == 0)
        fail(reply, RESOLVE_NODATA, SLICE_EMPTY);
}

static void add_text(struct reply *reply, const char *format, const char *id)
{
    size_t place = reply->answer.count++;
    reply->records[place].text = text_print(reply->texts[place], sizeof reply->texts[place], format, id);
}

static void fill_txt(const struct world_domain *domain, struct reply *reply)
{
    bool is_forged = world_has_fault(WORLD_FAULT_DNS_FORGED_TXT, domain->index);
    uint64_t way = (world.seed + domain->index) % 4;
    const char *id = domain->announced < 0 ? NULL : domain->publications[domain->announced].id;
    if (sim_dice_percent(10))
        add_text(reply, "google-site-verification=%s", "abc");
    if (is_forged && way < 2)
        add_text(reply, way == 0 ? "v=STSv1; id=evil%s;" : "v=STSv1", "1"); /* another id, or nothing valid */
    if (is_forged && way == 2 && id != NULL)
        add_text(reply, "v=STSv1; id=evil%s;", "2"); /* two are as good as none */
    if (id != NULL && (!is_forged || way == 2))
        add_text(reply, "v=STSv1; id=%s;", id);
    if (reply->answer.count == 0)
        fail(reply, RESOLVE_NODATA, SLICE_EMPTY);
}

static void add_ip(struct reply *reply, enum record_kind kind, const struct ip *ip)
{
    if (ip->family == (kind == RECORD_A ? IP_V4 : IP_V6))
        reply->records[reply->answer.count++].ip = *ip;
}

static void fill_address(const struct query *query, struct reply *reply)
{
    struct slice name = slice_of(query->name);
    struct world_host *host = world_find_host(name);
    struct slice policy = SLICE("mta-sts.");
    if (host != NULL && world_has_fault(WORLD_FAULT_DNS_FORGED_ADDRESS, world_host_index(host)))
        host = &world.hosts[world.attacker];
    for (size_t i = 0; host != NULL && i < host->ip_count; i++)
        add_ip(reply, query->kind, &host->ips[i]);
    struct ip own;
    if (slice_equal(name, SLICE(OWN_HOST)) && ip_parse(SLICE(WORLD_RELAY_ADDRESS), &own))
        add_ip(reply, query->kind, &own);
    if (host == NULL && slice_starts(name, policy)) {
        const struct world_domain *domain = world_find_domain(slice_from(name, policy.length));
        struct ip mute[2] = {world_crowd_mute_address(0), world_crowd_mute_address(1)};
        bool is_mute = domain != NULL && world_crowd_is_mute(domain);
        for (size_t i = 0; is_mute && i < 2; i++)
            add_ip(reply, query->kind, &mute[i]);
        if (domain != NULL && !is_mute)
            add_ip(reply, query->kind, &domain->policy_ip);
    }
    if (reply->answer.count == 0)
        fail(reply, host != NULL ? RESOLVE_NODATA : RESOLVE_NXDOMAIN, SLICE_EMPTY);
}
