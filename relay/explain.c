#include "relay/explain.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/text.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "relay/upstream.h"
#include "smtp/address.h"

#define ARENA_MAX (4u << 20)
#define POLICY_DOMAIN_MAX 244 /* with _mta-sts. before it still a name */

static void on_begin(struct timer *timer);
static bool follow_aliases(struct explain *explain);
static bool find_route(struct explain *explain);
static bool is_paused(struct explain *explain, const struct config_route *route);
static void find_policy(struct explain *explain);
static void on_finding(struct finder_request *request, const struct finding *finding);
static void on_looked_up(struct explain_lookup *lookup, const struct finding *finding);
static void take_policy(struct explain *explain, const struct finding *finding);
static void find_hosts(struct explain *explain);
static bool is_address(struct slice host);
static void on_mx(struct resolve *resolve, const struct resolve_answer *answer);
static void finish(struct explain *explain);

static struct json *step_new(const char *name)
{
    struct json *step = json_object_new();
    json_set_string(step, "step", name);
    return step;
}

bool explain_is_address(struct slice address)
{
    char text[SMTP_ADDRESS_MAX + 16];
    if (slice_has(address, '@'))
        return smtp_address_is_valid(address, true);
    return address.length <= SMTP_ADDRESS_MAX &&
           smtp_address_is_valid(text_print(text, sizeof text, "%.*s@localhost", SLICE_ARGS(address)), true);
}

bool explain_start(struct explain *explain)
{
    explain->arena = arena_new(ARENA_MAX);
    if (explain->arena == NULL)
        return false;
    explain->state = EXPLAIN_STARTING;
    timer_start(&explain->timer, 0, on_begin);
    return true;
}

void explain_cancel(struct explain *explain)
{
    if (explain->state == EXPLAIN_FINDING_POLICY && explain->relay->finder != NULL)
        finder_cancel(explain->relay->finder, &explain->finding);
    explain_lookup_cancel(&explain->lookup);
    timer_cancel(&explain->timer);
    resolve_cancel(&explain->mx);
    resolve_cancel(&explain->a);
    resolve_cancel(&explain->aaaa);
    explain_hang_up(explain);
    arena_free(&explain->arena);
    explain->state = EXPLAIN_FINISHED;
}

static void on_begin(struct timer *timer)
{
    struct explain *explain = LIST_OF(timer, struct explain, timer);
    if (!follow_aliases(explain) || !find_route(explain)) {
        finish(explain);
        return;
    }
    find_policy(explain);
}

/* The verdict tells it. */
static void give_up(struct explain *explain, const struct trouble_facts *facts)
{
    explain->worst = *facts;
    finish(explain);
}

void explain_add_problem(struct json *step, const struct trouble_facts *facts)
{
    struct buffer text;
    buffer_init(&text, 4096);
    verdict_print(facts, &text);
    json_set_text(step, "problem", buffer_slice(&text));
    buffer_clear(&text);
    verdict_advice(facts, &text);
    json_set_text(step, "advice", buffer_slice(&text));
    buffer_free(&text);
}

static void give_up_without_memory(struct explain *explain)
{
    struct trouble_facts facts = {.trouble = TROUBLE_INTERNAL};
    give_up(explain, &facts);
}

/* ---- the address ---- */

/* A local address becomes others; the first of them is followed. */
static bool follow_aliases(struct explain *explain)
{
    struct config_list others = {0};
    enum locals_result result = locals_expand(explain->relay->locals, explain->address, explain->arena, &others);
    if (result == LOCALS_REMOTE)
        return true;
    struct json *step = step_new("local");
    struct json *addresses = json_array_new();
    for (size_t i = 0; result == LOCALS_EXPANDED && i < others.count; i++)
        json_append_text(addresses, others.items[i]);
    json_set_text(step, "address", explain->address);
    json_set(step, "becomes", &addresses);
    bool goes_on = result == LOCALS_EXPANDED && others.count > 0;
    if (result == LOCALS_UNKNOWN)
        json_set_string(step, "problem", "this is our own domain, and the address has neither an alias nor [local] root");
    else if (result == LOCALS_LOOP)
        json_set_string(step, "problem", "its aliases refer to each other without end");
    else if (result == LOCALS_TOO_MANY)
        json_set_string(step, "problem", "its aliases lead to more than 1000 addresses");
    else if (!goes_on)
        json_set_string(step, "problem", "its alias leads nowhere");
    explain->tell(explain, &step);
    if (goes_on)
        explain->address = others.items[0];
    return goes_on;
}

static bool find_route(struct explain *explain)
{
    const struct config *config = explain->relay->config;
    struct slice domain = smtp_address_domain(explain->address);
    bool is_literal = smtp_domain_is_literal(domain);
    explain->domain = domain;
    if (!is_literal && idna_canonical(domain, explain->arena, &explain->domain) != ERR_NONE) {
        struct json *step = step_new("address");
        json_set_string(step, "problem", "its domain is no domain name");
        explain->tell(explain, &step);
        return false;
    }
    const struct config_route *route =
        config_route_find(config, explain->domain, smtp_address_domain(explain->sender));
    explain->port = route == NULL ? config->delivery_port : route->port;
    explain->tls = route == NULL ? config->tls_default : route->tls;
    explain->logs_in = route != NULL && route->username.length > 0;
    struct json *step = step_new("route");
    json_set_text(step, "address", explain->address);
    json_set_text(step, "domain", explain->domain);
    json_set_string(step, "by", route != NULL ? "route" : is_literal ? "address" : "mx");
    if (route != NULL) {
        json_set_text(step, "pattern", route->pattern);
        json_set_text(step, "host", route->host);
        json_set_number(step, "port", route->port);
    }
    json_set_string(step, "tls", config_tls_name(explain->tls));
    explain->tell(explain, &step);
    if (route == NULL)
        return true;
    return arena_slice(explain->arena, route->host, &explain->smart_host) && !is_paused(explain, route);
}

/* As a delivery does: nothing is looked up or connected to while the smart host refuses our credentials. */
static bool is_paused(struct explain *explain, const struct config_route *route)
{
    struct upstream_key key = {
        .host = route->host, .port = route->port, .username = route->username, .password = route->password};
    struct upstream_pause pause = upstream_look(explain->relay, &key);
    if (pause.wait_ms == 0)
        return false;
    explain->worst = (struct trouble_facts){.trouble = TROUBLE_CREDENTIALS, .host = explain->smart_host, .stage = SMTP_STAGE_AUTH};
    if (!arena_print(explain->arena, &explain->worst.detail, "the route is paused since it said %.*s", SLICE_ARGS(pause.reason)))
        explain->worst.detail = SLICE_EMPTY;
    return true;
}

/* ---- the policy ---- */

/* RFC 8461 3.4: with a smart host the Policy Domain is the smart host's, where its route asks for policies at all. */
static struct slice policy_domain(const struct explain *explain, const char **why_none)
{
    *why_none = "";
    if (!explain->relay->config->sts_enabled)
        *why_none = "MTA-STS is switched off ([sts] enabled)";
    else if (explain->smart_host.length > 0 && explain->tls != CONFIG_TLS_STS)
        *why_none = "on a route the recipient domain's policy does not apply (RFC 8461 3.4); what the route demands does";
    else if (is_address(explain->smart_host.length > 0 ? explain->smart_host : explain->domain))
        *why_none = "an address has no policy, only a domain can publish one";
    else if (explain->domain.length > POLICY_DOMAIN_MAX)
        *why_none = "the name is too long for a policy";
    return explain_domain(explain);
}

struct slice explain_domain(const struct explain *explain)
{
    return explain->smart_host.length > 0 ? explain->smart_host : explain->domain;
}

static bool is_address(struct slice host)
{
    struct ip ip;
    return smtp_domain_is_literal(host) || ip_parse(host, &ip);
}

static void find_policy(struct explain *explain)
{
    const char *why_none;
    struct slice domain = policy_domain(explain, &why_none);
    if (why_none[0] != '\0') {
        struct json *step = step_new("policy");
        json_set_string(step, "source", "none");
        json_set_string(step, "why", why_none);
        explain->tell(explain, &step);
        find_hosts(explain);
        return;
    }
    explain->state = EXPLAIN_FINDING_POLICY;
    if (explain->relay->finder != NULL) {
        explain->finding = (struct finder_request){.done = on_finding};
        finder_start(explain->relay->finder, &explain->finding, domain, STS_LOOKUP_DELIVERY);
        return;
    }
    explain->lookup = (struct explain_lookup){
        .done = on_looked_up, .relay = explain->relay, .arena = explain->arena, .domain = domain};
    explain_lookup_start(&explain->lookup);
}

static void on_finding(struct finder_request *request, const struct finding *finding)
{
    take_policy(LIST_OF(request, struct explain, finding), finding);
}

static void on_looked_up(struct explain_lookup *lookup, const struct finding *finding)
{
    take_policy(LIST_OF(lookup, struct explain, lookup), finding);
}

static void set_time(struct json *step, const char *key, int64_t wall_ms)
{
    char text[32];
    if (wall_ms != 0)
        json_set_text(step, key, text_date_iso(wall_ms, text));
}

static void tell_policy(struct explain *explain, const struct finding *finding)
{
    const struct sts_lookup_result *result = &finding->result;
    const struct sts_entry *entry = &result->entry;
    struct json *step = step_new("policy");
    json_set_text(step, "domain", explain_domain(explain));
    json_set_string(step, "source", sts_source_name(result->source));
    if (result->has_policy) {
        int64_t age_ms = steady_now_ms(&explain->relay->steady) - entry->fetched_ms;
        struct json *patterns = json_array_new();
        json_set_string(step, "mode", sts_mode_name(entry->policy.mode));
        json_set_string(step, "id", entry->id);
        json_set_number(step, "age", age_ms < 0 ? 0 : age_ms / 1000);
        set_time(step, "fetched", entry->fetched_ms);
        set_time(step, "expires", sts_entry_expires_ms(entry));
        for (size_t i = 0; i < entry->policy.mx_count; i++)
            json_append_text(patterns, entry->policy.mx[i]);
        json_set(step, "mx", &patterns);
    }
    if (result->why.length > 0)
        json_set_text(step, "why", result->why);
    if (finding->exempt) {
        set_time(step, "exempt_until", entry->exempt_until_ms);
        json_set_text(step, "exempt_reason", finding->exempt_reason);
        json_set_string(step, "exempt_level", sts_exempt_level_name(finding->exempt_level));
    }
    explain->tell(explain, &step);
}

static void take_policy(struct explain *explain, const struct finding *finding)
{
    const struct sts_lookup_result *result = &finding->result;
    explain->state = EXPLAIN_FINDING_HOSTS;
    tell_policy(explain, finding);
    bool is_unknown = result->source == STS_SOURCE_UNKNOWN || result->source == STS_SOURCE_UNREADABLE;
    if (is_unknown && !finding->exempt) {
        struct slice domain = explain_domain(explain);
        struct trouble_facts facts = {
            .trouble = TROUBLE_POLICY_UNKNOWN, .host = domain, .domain = domain, .detail = SLICE_EMPTY};
        if (!arena_slice(explain->arena, result->why, &facts.detail))
            facts.detail = SLICE_EMPTY;
        give_up(explain, &facts);
        return;
    }
    if (finding->exempt && (is_unknown || (result->has_policy && result->entry.policy.mode == STS_MODE_ENFORCE)))
        explain->tls = route_raised_tls(explain->tls, finding->exempt_level);
    explain->has_policy = result->has_policy && !finding->exempt;
    if (explain->has_policy && !sts_policy_copy(&result->entry.policy, explain->arena, &explain->policy)) {
        give_up_without_memory(explain);
        return;
    }
    explain->by_policy = explain->has_policy && explain->policy.mode == STS_MODE_ENFORCE;
    find_hosts(explain);
}

/* ---- hosts ---- */

static void tell_hosts(struct explain *explain)
{
    const struct route *route = &explain->route;
    for (size_t i = 0; i < route->host_count; i++) {
        const struct route_host *host = &route->hosts[i];
        struct json *step = step_new("host");
        json_set_text(step, "host", host->name);
        if (explain->smart_host.length == 0 && !smtp_domain_is_literal(explain->domain)) {
            json_set_number(step, "preference", host->preference);
            json_set_flag(step, "implicit", route->is_implicit);
        }
        json_set_flag(step, "admitted", host->is_admitted);
        if (explain->has_policy)
            json_set_flag(step, "listed", sts_policy_admits(&explain->policy, host->name));
        explain->tell(explain, &step);
    }
    explain->host_index = 0;
    explain_next_host(explain);
}

static void find_hosts(struct explain *explain)
{
    struct slice host = explain->smart_host;
    explain->state = EXPLAIN_FINDING_HOSTS;
    if (explain->by_policy && explain->tls != CONFIG_TLS_IMPLICIT)
        explain->tls = CONFIG_TLS_VERIFY;
    if (explain->tls == CONFIG_TLS_STS)
        explain->tls = CONFIG_TLS_VERIFY;
    if (host.length == 0 && !smtp_domain_is_literal(explain->domain)) {
        resolve_start(&explain->mx, RECORD_MX, explain->domain, on_mx);
        return;
    }
    if (host.length == 0)
        host = slice_to(slice_from(explain->domain, 1), explain->domain.length - 2);
    if (slice_starts_nocase(host, SLICE("ipv6:")))
        host = slice_from(host, 5);
    route_by_name(host, explain->by_policy ? &explain->policy : NULL, explain->arena, &explain->route);
    tell_hosts(explain);
}

static void on_mx(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct explain *explain = LIST_OF(resolve, struct explain, mx);
    struct trouble_facts facts = {
        .trouble = TROUBLE_MX_LOOKUP, .host = explain->domain, .domain = explain->domain, .by_policy = explain->by_policy};
    facts.detail = SLICE_EMPTY;
    if (answer->status != RESOLVE_FOUND && answer->status != RESOLVE_NODATA) {
        bool is_gone = answer->status == RESOLVE_NXDOMAIN;
        facts.trouble = is_gone ? TROUBLE_NO_DOMAIN : TROUBLE_MX_LOOKUP;
        if (!is_gone && !arena_print(explain->arena, &facts.detail, "%s%s%.*s", resolve_status_text(answer->status),
                                     answer->detail.length > 0 ? ", " : "", SLICE_ARGS(answer->detail)))
            facts.detail = SLICE_EMPTY;
        give_up(explain, &facts);
        return;
    }
    struct route_request request = {
        .domain = explain->domain,
        .mx = answer,
        .policy = explain->by_policy ? &explain->policy : NULL,
        .config = explain->relay->config,
        .arena = explain->arena,
    };
    route_by_mx(&request, &explain->route);
    if (explain->route.kind == ROUTE_HOSTS) {
        tell_hosts(explain);
        return;
    }
    facts.trouble = explain->route.kind == ROUTE_NULL_MX ? TROUBLE_NULL_MX
                    : explain->route.kind == ROUTE_LOOP  ? TROUBLE_LOOP
                                                         : TROUBLE_INTERNAL;
    give_up(explain, &facts);
}

struct slice explain_host(const struct explain *explain)
{
    return explain->route.hosts[explain->host_index].name;
}

void explain_trouble(struct explain *explain, const struct trouble_facts *facts)
{
    struct trouble_facts told = *facts;
    told.required_tls = explain->tls != CONFIG_TLS_OPPORTUNISTIC;
    told.by_policy = explain->by_policy;
    told.domain = explain_domain(explain);
    if (verdict_is_more_telling(&told, &explain->worst))
        explain->worst = told;
}

void explain_host_failed(struct explain *explain, const struct trouble_facts *facts)
{
    explain_trouble(explain, facts);
    explain->host_index++;
    explain_next_host(explain);
}

/* Hosts that the policy does not admit are neither looked up nor connected to. */
void explain_next_host(struct explain *explain)
{
    const struct route *route = &explain->route;
    for (; explain->host_index < route->host_count; explain->host_index++) {
        const struct route_host *host = &route->hosts[explain->host_index];
        if (host->is_admitted) {
            explain_find_addresses(explain);
            return;
        }
        struct trouble_facts facts = {.trouble = TROUBLE_NOT_ADMITTED,
                                      .host = host->name,
                                      .domain = explain_domain(explain),
                                      .detail = SLICE_EMPTY,
                                      .by_policy = true};
        if (verdict_is_more_telling(&facts, &explain->worst))
            explain->worst = facts;
    }
    finish(explain);
}

/* Since when mail for it fails, if it does: what the queue remembers of the destination. */
static void tell_waiting(struct explain *explain)
{
    struct queue_destination known;
    if (explain->relay->queue == NULL || explain->domain.length == 0 ||
        queue_destination_get(explain->relay->queue, explain->domain, explain->arena, &known) != ERR_NONE ||
        known.failures == 0)
        return;
    struct json *step = step_new("waiting");
    json_set_text(step, "destination", explain->domain);
    json_set_number(step, "failures", known.failures);
    set_time(step, "failing_since", known.failing_since_ms);
    set_time(step, "next_attempt", known.not_before_ms);
    json_set_text(step, "last_problem", known.text);
    explain->tell(explain, &step);
}

static void finish(struct explain *explain)
{
    tell_waiting(explain);
    struct json *step = step_new("verdict");
    json_set_flag(step, "would_go", explain->would_go);
    json_set_flag(step, "connected", explain->connects);
    json_set_string(step, "tls", config_tls_name(explain->tls));
    json_set_flag(step, "by_policy", explain->by_policy);
    if (!explain->would_go && explain->worst.trouble != TROUBLE_NONE) {
        struct verdict verdict = verdict_of(&explain->worst);
        explain_add_problem(step, &explain->worst);
        json_set_string(step, "outcome", verdict.kind == VERDICT_FAIL ? "bounce" : "wait");
    }
    explain->tell(explain, &step);
    explain->state = EXPLAIN_FINISHED;
    explain->done(explain, explain->would_go);
}
