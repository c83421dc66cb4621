#include "relay/delivery_internal.h"

#include "base/text.h"
#include "relay/schedule.h"
#include "smtp/address.h"

#include <assert.h>
#include <stdlib.h>

/* Interface, decision 3: a policy lookup that fails with nothing cached holds mail back for so long, then counts as none. */
#define POLICY_UNKNOWN_PATIENCE_MS (15 * 60 * 1000)

static void on_finding(struct finder_request *request, const struct finding *finding);
static void on_mx(struct resolve *resolve, const struct resolve_answer *answer);
static void on_a(struct resolve *resolve, const struct resolve_answer *answer);
static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer);
static bool demand_from_config(struct delivery *delivery);
static bool apply_policy(struct delivery *delivery, const struct finding *finding);
static bool is_expired_floor(const struct delivery *delivery, const struct sts_entry *expired);
static void note_exemption(struct delivery *delivery, struct slice reason);
static void tell_renewal(struct delivery *delivery, const struct sts_lookup_result *result);
static bool must_wait_for_policy(const struct delivery *delivery, const struct finding *finding);
static struct trouble_facts facts_of_domain(const struct delivery *delivery, enum trouble trouble);
static void fail_lookup(struct delivery *delivery, enum trouble trouble, const struct resolve_answer *answer);

static struct slice destination_name(const struct delivery *delivery)
{
    return delivery->destination->name;
}

static void out_of_memory(struct delivery *delivery)
{
    struct trouble_facts facts = {.trouble = TROUBLE_INTERNAL};
    delivery_trouble(delivery, &facts);
    delivery_conclude(delivery);
}

static const struct config_route *route_of(const struct delivery *delivery)
{
    return config_route_find(delivery->relay->config, destination_name(delivery),
                             smtp_address_domain(delivery->message.sender));
}

static enum config_tls demand_tls(const struct config_route *route)
{
    return route->tls == CONFIG_TLS_STS ? CONFIG_TLS_VERIFY : route->tls;
}

bool delivery_same_route(const struct delivery *delivery)
{
    const struct config_route *route = route_of(delivery);
    const struct demand *demand = &delivery->demand;
    if (route == NULL)
        return demand->route_pattern.length == 0;
    return slice_equal(route->pattern, demand->route_pattern) && slice_equal(route->host, demand->smart_host) &&
           route->port == demand->port && slice_equal(route->username, demand->username) &&
           slice_equal(route->password, demand->password) && demand_tls(route) == demand->tls;
}

bool delivery_same_demand(const struct delivery *delivery)
{
    const struct config_route *route = route_of(delivery);
    const struct demand *demand = &delivery->demand;
    struct slice pattern = route == NULL ? SLICE_EMPTY : route->pattern;
    return demand->reload_count == delivery->relay->reload_count && slice_equal(pattern, demand->route_pattern) &&
           demand->trust_generation == tls_context_generation(delivery->relay->tls);
}

/* Copies what the configuration demands, since a reload may replace it while the connection lives. */
static bool demand_from_config(struct delivery *delivery)
{
    const struct config *config = delivery->relay->config;
    const struct config_route *route = route_of(delivery);
    struct demand *demand = &delivery->demand;
    *demand = (struct demand){.tls = config->tls_default,
                              .port = config->delivery_port,
                              .reload_count = delivery->relay->reload_count,
                              .trust_generation = tls_context_generation(delivery->relay->tls)};
    if (route == NULL)
        return true;
    demand->port = route->port;
    demand->tls = demand_tls(route);
    struct arena *arena = delivery->route_arena;
    return arena_slice(arena, route->pattern, &demand->route_pattern) && arena_slice(arena, route->host, &demand->smart_host) &&
           arena_slice(arena, route->username, &demand->username) && arena_slice(arena, route->password, &demand->password);
}

static struct slice policy_domain(const struct delivery *delivery)
{
    return config_policy_domain(delivery->relay->config, destination_name(delivery),
                                smtp_address_domain(delivery->message.sender));
}

static const char *why_no_policy(const struct delivery *delivery)
{
    const struct config_route *route = route_of(delivery);
    if (!delivery->relay->config->sts_enabled)
        return "MTA-STS is switched off ([sts] enabled)";
    if (route != NULL && route->tls != CONFIG_TLS_STS)
        return "on a route the recipient domain's policy does not apply, and its tls is not sts";
    return "an address has no policy";
}

struct slice delivery_domain(const struct delivery *delivery)
{
    struct slice domain = policy_domain(delivery);
    return domain.length > 0 ? domain : destination_name(delivery);
}

/* What the cache holds at this moment. NOT_FOUND: nothing, or there is no Policy Domain. */
static enum err read_known(struct delivery *delivery, struct sts_entry *entry)
{
    struct slice domain = policy_domain(delivery);
    struct slice bytes;
    if (domain.length == 0)
        return ERR_NOT_FOUND;
    enum err err = queue_policy_get(delivery->relay->queue, domain, delivery->arena, &bytes);
    return err == ERR_NONE ? sts_entry_decode(bytes, delivery->arena, entry) : err;
}

/* Whether this attempt goes by what the cache holds at this moment. What cannot be read may bind. exempt: set to the reason where an
 * exemption is why. */
static bool is_as_found(struct delivery *delivery, struct slice *exempt)
{
    struct sts_entry entry;
    int64_t now_ms = steady_now_ms(&delivery->relay->steady);
    enum err err = read_known(delivery, &entry);
    *exempt = SLICE_EMPTY;
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND;
    if (!sts_entry_is_live(&entry, now_ms) && !is_expired_floor(delivery, &entry))
        return true;
    if (!sts_entry_is_exempt(&entry, steady_latest_ms(&delivery->relay->steady)))
        return delivery->demand.has_policy && sts_policy_equal(&entry.policy, &delivery->demand.policy);
    *exempt = entry.exempt_reason;
    return entry.policy.mode != STS_MODE_ENFORCE || delivery->demand.tls >= route_exempt_tls(entry.exempt_level);
}

bool delivery_policy_is_overtaken(struct delivery *delivery)
{
    struct slice exempt;
    return !is_as_found(delivery, &exempt);
}

bool delivery_policy_is_current(struct delivery *delivery)
{
    struct slice exempt;
    bool is_current = is_as_found(delivery, &exempt);
    if (is_current && exempt.length > 0)
        note_exemption(delivery, exempt);
    return is_current;
}

/* What is slow is the policy host of whoever the mail is for: no other mail waits for that. */
static void ask_finder(struct delivery *delivery, struct slice domain, enum sts_lookup_purpose purpose)
{
    delivery->state = DELIVERY_FINDING_POLICY;
    delivery->finding.done = on_finding;
    if (!delivery_is_connected(delivery) && !place_lend(delivery->destination->schedule, &delivery->place))
        finder_make_way(delivery->relay->finder);
    finder_start(delivery->relay->finder, &delivery->finding, domain, purpose);
}

void delivery_find_policy(struct delivery *delivery)
{
    arena_reset(delivery->route_arena);
    delivery->route = (struct route){0};
    delivery->tried_count = 0;
    if (!demand_from_config(delivery)) {
        out_of_memory(delivery);
        return;
    }
    struct slice domain = policy_domain(delivery);
    if (domain.length == 0) {
        why_add(&delivery->why, "policy", destination_name(delivery), "not looked up: %s", why_no_policy(delivery));
        delivery_find_hosts(delivery);
        return;
    }
    ask_finder(delivery, domain, STS_LOOKUP_DELIVERY);
}

bool delivery_renew_policy(struct delivery *delivery)
{
    delivery->has_renewed = true;
    struct slice domain = policy_domain(delivery);
    if (domain.length == 0 || delivery->is_stopping)
        return false;
    delivery->is_renewing = true;
    ask_finder(delivery, domain, STS_LOOKUP_RENEW);
    return true;
}

/* Than the one that this attempt went by: it may have come with somebody else's lookup meanwhile. */
static bool is_another_policy(const struct delivery *delivery, const struct finding *finding)
{
    const struct sts_lookup_result *result = &finding->result;
    return result->changed || (result->has_policy && !sts_policy_equal(&result->entry.policy, &delivery->demand.policy));
}

static void on_finding(struct finder_request *request, const struct finding *finding)
{
    struct delivery *delivery = LIST_OF(request, struct delivery, finding);
    bool renewed = delivery->is_renewing;
    delivery->is_renewing = false;
    if (renewed)
        tell_renewal(delivery, &finding->result);
    if (renewed && !finding->exempt && !is_another_policy(delivery, finding)) {
        delivery_conclude(delivery);
        return;
    }
    if (renewed) {
        /* Begin again under the new policy. */
        arena_reset(delivery->route_arena);
        delivery->route = (struct route){0};
        if (!demand_from_config(delivery)) {
            out_of_memory(delivery);
            return;
        }
        delivery->worst = (struct trouble_facts){0};
        delivery->any_policy = false;
    }
    why_policy(&delivery->why, delivery_domain(delivery), finding, steady_now_ms(&delivery->relay->steady));
    if (must_wait_for_policy(delivery, finding)) {
        if (finding->result.source == STS_SOURCE_UNKNOWN && delivery_asks_again(delivery))
            return;
        struct slice domain = delivery_domain(delivery);
        struct trouble_facts facts = {.trouble = TROUBLE_POLICY_UNKNOWN, .host = domain, .domain = domain};
        if (!arena_slice(delivery->arena, finding->result.why, &facts.detail))
            facts.detail = SLICE_EMPTY;
        delivery_trouble(delivery, &facts);
        delivery_conclude(delivery);
        return;
    }
    if (!apply_policy(delivery, finding)) {
        out_of_memory(delivery);
        return;
    }
    delivery_find_hosts(delivery);
}

static bool must_wait_for_policy(const struct delivery *delivery, const struct finding *finding)
{
    if (finding->exempt)
        return false;
    if (finding->result.source == STS_SOURCE_UNREADABLE)
        return true; /* a policy may well be known */
    if (finding->result.source != STS_SOURCE_UNKNOWN)
        return false;
    int64_t since_ms = delivery->entry.first_attempt_ms;
    return since_ms == 0 || steady_now_ms(&delivery->relay->steady) - since_ms < POLICY_UNKNOWN_PATIENCE_MS;
}

static void log_policy_use(const struct delivery *delivery, const char *event, struct slice reason)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, delivery->relay->log, LOG_WARNING, event))
        return;
    log_text(&line, "id", queue_id_print(delivery->message.id, id));
    log_text(&line, "domain", delivery_domain(delivery));
    log_text(&line, "reason", reason);
    log_close(&line);
}

static void note_exemption(struct delivery *delivery, struct slice reason)
{
    delivery->relay->metrics.policy_exempted++;
    log_policy_use(delivery, "exempted", reason);
}

static void tell_renewal(struct delivery *delivery, const struct sts_lookup_result *result)
{
    struct slice domain = delivery_domain(delivery);
    bool was_asked = result->fetch_failed || result->source == STS_SOURCE_FRESH;
    if (!was_asked)
        why_add(&delivery->why, "policy", domain, "its policy host was asked less than five minutes ago, so not again");
    else if (result->fetch_failed)
        why_add(&delivery->why, "policy", domain, "is there a newer policy? Not known: %.*s", SLICE_ARGS(result->why));
    else
        why_add(&delivery->why, "policy", domain, "is there a newer policy? %s",
                result->changed ? "Yes: all is tried again with it" : "No, its policy host still has the same");
}

/* Takes over the policy that binds this attempt, deep into the route's arena. False: out of memory. */
static bool apply_policy(struct delivery *delivery, const struct finding *finding)
{
    const struct sts_lookup_result *result = &finding->result;
    struct demand *demand = &delivery->demand;
    bool floor = !result->has_policy && is_expired_floor(delivery, &result->entry);
    if (finding->exempt) {
        bool is_unknown = result->source == STS_SOURCE_UNKNOWN || result->source == STS_SOURCE_UNREADABLE;
        bool binds = floor || is_unknown || (result->has_policy && result->entry.policy.mode == STS_MODE_ENFORCE);
        if (result->has_policy || floor || is_unknown)
            note_exemption(delivery, finding->exempt_reason);
        if (binds)
            demand->tls = route_raised_tls(demand->tls, finding->exempt_level);
        return true;
    }
    if (!result->has_policy && !floor)
        return true;
    if (!sts_policy_copy(&result->entry.policy, delivery->route_arena, &demand->policy) ||
        !arena_slice(delivery->route_arena, slice_of(result->entry.id), &demand->policy_id))
        return false;
    demand->has_policy = true;
    demand->by_policy = demand->policy.mode == STS_MODE_ENFORCE;
    if (demand->by_policy && demand->tls != CONFIG_TLS_IMPLICIT)
        demand->tls = CONFIG_TLS_VERIFY;
    if (floor) {
        delivery->relay->metrics.policy_floor++;
        why_floor(&delivery->why, delivery_domain(delivery), &result->entry, steady_now_ms(&delivery->relay->steady));
        log_policy_use(delivery, "policy_floor", SLICE("expired, but in force when the message was queued"));
    }
    return true;
}

/* Of a policy that is not live any more: does it bind this message all the same ([sts] expired-floor)? */
static bool is_expired_floor(const struct delivery *delivery, const struct sts_entry *expired)
{
    return delivery->relay->config->expired_floor && expired->has_policy && expired->policy.mode == STS_MODE_ENFORCE &&
           delivery->message.arrival_ms < sts_entry_expires_ms(expired);
}

/* ---- hosts ---- */

static const struct sts_policy *enforced_policy(const struct delivery *delivery)
{
    return delivery->demand.by_policy ? &delivery->demand.policy : NULL;
}

void delivery_find_hosts(struct delivery *delivery)
{
    if (!place_claim(delivery->destination->schedule, &delivery->place)) {
        delivery->state = DELIVERY_AWAITING_PLACE;
        return;
    }
    delivery->state = DELIVERY_FINDING_HOSTS;
    delivery->host_index = 0;
    delivery->address_index = 0;
    delivery->tried_count = 0;
    delivery->addresses.count = 0;
    struct slice name = destination_name(delivery);
    struct slice smart_host = delivery->demand.smart_host;
    if (smart_host.length > 0 || smtp_domain_is_literal(name)) {
        struct slice host = smart_host.length > 0 ? smart_host : slice_to(slice_from(name, 1), name.length - 2);
        if (smart_host.length == 0 && slice_starts_nocase(host, SLICE("ipv6:")))
            host = slice_from(host, 5);
        route_by_name(host, enforced_policy(delivery), delivery->route_arena, &delivery->route);
        why_add(&delivery->why, "route", name, "by %.*s", SLICE_ARGS(host));
        delivery_choose_host(delivery);
        return;
    }
    resolve_start(&delivery->mx, RECORD_MX, name, on_mx);
}

static void describe_route(struct delivery *delivery)
{
    const struct route *route = &delivery->route;
    char text[300];
    size_t length = 0;
    for (size_t i = 0; i < route->host_count && length < 200; i++) {
        struct slice part = text_print(text + length, sizeof text - length, "%s%.*s (%u)%s", i > 0 ? ", " : "",
                                       SLICE_ARGS(route->hosts[i].name), route->hosts[i].preference,
                                       route->hosts[i].is_admitted ? "" : " not admitted by the policy");
        length += part.length;
    }
    why_add(&delivery->why, "mx", destination_name(delivery), "%s%.*s", route->is_implicit ? "no MX record, so " : "", (int)length,
            text);
}

static struct trouble_facts facts_of_domain(const struct delivery *delivery, enum trouble trouble)
{
    return (struct trouble_facts){
        .trouble = trouble,
        .host = destination_name(delivery),
        .domain = delivery_domain(delivery),
        .by_policy = delivery->demand.by_policy,
    };
}

static void on_mx(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct delivery *delivery = LIST_OF(resolve, struct delivery, mx);
    if (answer->status != RESOLVE_FOUND && answer->status != RESOLVE_NODATA) {
        fail_lookup(delivery, answer->status == RESOLVE_NXDOMAIN ? TROUBLE_NO_DOMAIN : TROUBLE_MX_LOOKUP, answer);
        delivery_conclude(delivery);
        return;
    }
    struct route_request request = {
        .domain = destination_name(delivery),
        .mx = answer,
        .policy = enforced_policy(delivery),
        .config = delivery->relay->config,
        .arena = delivery->route_arena,
    };
    route_by_mx(&request, &delivery->route);
    if (delivery->route.kind == ROUTE_HOSTS) {
        describe_route(delivery);
        delivery_choose_host(delivery);
        return;
    }
    enum trouble trouble = delivery->route.kind == ROUTE_NULL_MX ? TROUBLE_NULL_MX
                           : delivery->route.kind == ROUTE_LOOP  ? TROUBLE_LOOP
                                                                 : TROUBLE_INTERNAL;
    struct trouble_facts facts = facts_of_domain(delivery, trouble);
    delivery_trouble(delivery, &facts);
    delivery_conclude(delivery);
}

static void fail_lookup(struct delivery *delivery, enum trouble trouble, const struct resolve_answer *answer)
{
    struct trouble_facts facts = facts_of_domain(delivery, trouble);
    if (trouble != TROUBLE_NO_DOMAIN &&
        !arena_print(delivery->arena, &facts.detail, "%s%s%.*s", resolve_status_text(answer->status),
                     answer->detail.length > 0 ? ", " : "", SLICE_ARGS(answer->detail)))
        facts.detail = SLICE_EMPTY;
    delivery_trouble(delivery, &facts);
}

/* From host_index on, the first that may be contacted; a host that the policy does not admit is passed over as if it were
 * unreachable, without a lookup or a connection (RFC 8461 8.4). */
void delivery_choose_host(struct delivery *delivery)
{
    const struct route *route = &delivery->route;
    delivery->state = DELIVERY_CHOOSING_HOST;
    for (; delivery->host_index < route->host_count; delivery->host_index++) {
        const struct route_host *host = &route->hosts[delivery->host_index];
        if (host->is_admitted) {
            delivery_find_addresses(delivery);
            return;
        }
        struct trouble_facts facts = {
            .trouble = TROUBLE_NOT_ADMITTED, .host = host->name, .domain = delivery_domain(delivery), .by_policy = true};
        delivery_trouble(delivery, &facts);
    }
    delivery_conclude(delivery);
}

/* ---- addresses ---- */

static void describe_addresses(struct delivery *delivery)
{
    char text[200];
    char address[48];
    size_t length = 0;
    for (size_t i = 0; i < delivery->addresses.count && length + 60 < sizeof text; i++)
        length += text_print(text + length, sizeof text - length, "%s%s", i > 0 ? ", " : "",
                             ip_print(&delivery->addresses.items[i], address).data)
                      .length;
    why_add(&delivery->why, "address", delivery_host(delivery), "%.*s", (int)length, text);
}

static void addresses_known(struct delivery *delivery)
{
    struct route_addresses *addresses = &delivery->addresses;
    struct slice host = delivery_host(delivery);
    route_interleave(addresses);
    if (addresses->own > 0) {
        /* We are this host: it and all less preferred ones must not be tried. */
        delivery->route.host_count = delivery->host_index;
        addresses->count = 0;
        if (delivery->host_index > 0) {
            delivery_conclude(delivery);
            return;
        }
    }
    if (addresses->count > 0) {
        describe_addresses(delivery);
        delivery_try_address(delivery);
        return;
    }
    bool nowhere = delivery->route.is_implicit && !delivery->addresses_failed && addresses->refused == 0 && addresses->own == 0;
    struct trouble_facts facts = {
        .trouble = addresses->own > 0           ? TROUBLE_LOOP
                   : nowhere                    ? TROUBLE_NO_DOMAIN
                   : addresses->refused > 0     ? TROUBLE_NOT_GLOBAL
                   : delivery->addresses_failed ? TROUBLE_ADDRESS_LOOKUP
                                                : TROUBLE_NO_ADDRESS,
        .host = addresses->own > 0 ? destination_name(delivery) : host,
        .domain = delivery_domain(delivery),
        .detail = delivery->addresses_detail,
        .by_policy = delivery->demand.by_policy,
    };
    char refused[48];
    if (nowhere)
        facts.detail = SLICE("it has neither MX nor address records");
    if (facts.trouble == TROUBLE_NOT_GLOBAL)
        facts.detail = ip_print(&addresses->refused_first, refused);
    delivery_trouble(delivery, &facts);
    delivery->host_index++;
    delivery_choose_host(delivery);
}

static void add_answer(struct delivery *delivery, const struct resolve_answer *answer)
{
    bool named = delivery->demand.smart_host.length > 0;
    route_add_addresses(&delivery->addresses, answer, delivery->relay->config, named);
    if (resolve_is_temporary(answer->status)) {
        delivery->addresses_failed = true;
        if (!arena_print(delivery->arena, &delivery->addresses_detail, "%s%s%.*s", resolve_status_text(answer->status),
                         answer->detail.length > 0 ? ", " : "", SLICE_ARGS(answer->detail)))
            delivery->addresses_detail = SLICE_EMPTY;
    }
    if (!delivery->a_pending && !delivery->aaaa_pending)
        addresses_known(delivery);
}

static void on_a(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct delivery *delivery = LIST_OF(resolve, struct delivery, a);
    delivery->a_pending = false;
    add_answer(delivery, answer);
}

static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct delivery *delivery = LIST_OF(resolve, struct delivery, aaaa);
    delivery->aaaa_pending = false;
    add_answer(delivery, answer);
}

void delivery_find_addresses(struct delivery *delivery)
{
    delivery->state = DELIVERY_FINDING_ADDRESSES;
    delivery->addresses = (struct route_addresses){.items = delivery->address_items, .capacity = ROUTE_ADDRESSES_MAX};
    delivery->address_index = 0;
    delivery->addresses_failed = false;
    delivery->addresses_detail = SLICE_EMPTY;
    delivery->without_tls = delivery->has_retried_tls = false;
    struct slice host = delivery_host(delivery);
    struct ip ip;
    if (ip_parse(host, &ip)) {
        struct resolve_record record = {.ip = ip};
        struct resolve_answer answer = {.status = RESOLVE_FOUND, .records = &record, .count = 1};
        add_answer(delivery, &answer);
        return;
    }
    enum config_family family = delivery->relay->config->family;
    delivery->a_pending = family != CONFIG_IPV6;
    delivery->aaaa_pending = family != CONFIG_IPV4;
    if (delivery->a_pending)
        resolve_start(&delivery->a, RECORD_A, host, on_a);
    if (delivery->aaaa_pending)
        resolve_start(&delivery->aaaa, RECORD_AAAA, host, on_aaaa);
}

void delivery_cancel_finding(struct delivery *delivery)
{
    if (delivery->state == DELIVERY_FINDING_POLICY)
        finder_cancel(delivery->relay->finder, &delivery->finding);
    resolve_cancel(&delivery->mx);
    resolve_cancel(&delivery->a);
    resolve_cancel(&delivery->aaaa);
}
