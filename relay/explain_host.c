/* One host of an explanation: its addresses, and what it says and proves over a connection. */
#include "relay/explain.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/relay.h"

#define CONNECT_TIMEOUT_MS 10000
#define TALK_TIMEOUT_MS 30000

static void on_a(struct resolve *resolve, const struct resolve_answer *answer);
static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer);
static void add_answer(struct explain *explain, const struct resolve_answer *answer);
static void addresses_known(struct explain *explain);
static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void on_timeout(struct timer *timer);
static void drive(struct explain *explain);
static void connection_failed(struct explain *explain, struct trouble_facts *facts);
static void connection_ready(struct explain *explain);
static void try_address(struct explain *explain);
static void end_hosts(struct explain *explain);

/* ---- addresses ---- */

void explain_find_addresses(struct explain *explain)
{
    enum config_family family = explain->relay->config->family;
    struct ip ip;
    explain->state = EXPLAIN_FINDING_ADDRESSES;
    explain->addresses =
        (struct route_addresses){.items = explain->address_items, .capacity = ROUTE_ADDRESSES_MAX};
    explain->address_index = 0;
    explain->addresses_failed = explain->has_retried_tls = false;
    explain->addresses_detail = SLICE_EMPTY;
    if (ip_parse(explain_host(explain), &ip)) {
        struct resolve_record record = {.ip = ip};
        struct resolve_answer answer = {.status = RESOLVE_FOUND, .records = &record, .count = 1};
        add_answer(explain, &answer);
        return;
    }
    explain->a_pending = family != CONFIG_IPV6;
    explain->aaaa_pending = family != CONFIG_IPV4;
    if (explain->a_pending)
        resolve_start(&explain->a, RECORD_A, explain_host(explain), on_a);
    if (explain->aaaa_pending)
        resolve_start(&explain->aaaa, RECORD_AAAA, explain_host(explain), on_aaaa);
}

static void on_a(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct explain *explain = LIST_OF(resolve, struct explain, a);
    explain->a_pending = false;
    add_answer(explain, answer);
}

static void on_aaaa(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct explain *explain = LIST_OF(resolve, struct explain, aaaa);
    explain->aaaa_pending = false;
    add_answer(explain, answer);
}

static void add_answer(struct explain *explain, const struct resolve_answer *answer)
{
    route_add_addresses(&explain->addresses, answer, explain->relay->config, explain->smart_host.length > 0);
    if (resolve_is_temporary(answer->status)) {
        explain->addresses_failed = true;
        if (!arena_print(explain->arena, &explain->addresses_detail, "%s%s%.*s", resolve_status_text(answer->status),
                         answer->detail.length > 0 ? ", " : "", SLICE_ARGS(answer->detail)))
            explain->addresses_detail = SLICE_EMPTY;
    }
    if (!explain->a_pending && !explain->aaaa_pending)
        addresses_known(explain);
}

static void addresses_known(struct explain *explain)
{
    struct route_addresses *addresses = &explain->addresses;
    struct json *step = json_object_new();
    struct json *list = json_array_new();
    char text[48];
    route_interleave(addresses);
    json_set_string(step, "step", "addresses");
    json_set_text(step, "host", explain_host(explain));
    for (size_t i = 0; i < addresses->count; i++)
        json_append_text(list, ip_print(&addresses->items[i], text));
    json_set(step, "addresses", &list);
    json_set_number(step, "refused", (int64_t)addresses->refused);
    bool is_nowhere = explain->route.is_implicit && !explain->addresses_failed && addresses->refused == 0;
    struct trouble_facts facts = {
        .trouble = addresses->own > 0           ? TROUBLE_LOOP
                   : addresses->refused > 0     ? TROUBLE_NOT_GLOBAL
                   : is_nowhere                 ? TROUBLE_NO_DOMAIN
                   : explain->addresses_failed ? TROUBLE_ADDRESS_LOOKUP
                                                : TROUBLE_NO_ADDRESS,
        .host = addresses->own > 0 ? explain->domain : explain_host(explain),
        .domain = explain->domain,
        .by_policy = explain->by_policy,
        .detail = explain->addresses_detail,
    };
    if (facts.trouble == TROUBLE_NO_DOMAIN)
        facts.detail = SLICE("it has neither MX nor address records");
    if (facts.trouble == TROUBLE_NOT_GLOBAL &&
        !arena_slice(explain->arena, ip_print(&addresses->refused_first, text), &facts.detail))
        facts.detail = SLICE_EMPTY;
    bool is_usable = addresses->count > 0 && addresses->own == 0;
    if (!is_usable)
        explain_add_problem(step, &facts);
    explain->tell(explain, &step);
    if (addresses->own > 0)
        explain->route.host_count = explain->host_index; /* we are this host: it and all less preferred ones are not tried */
    if (addresses->own > 0 && explain->host_index > 0) {
        explain_next_host(explain);
    } else if (!is_usable) {
        explain_host_failed(explain, &facts);
    } else if (explain->connects) {
        try_address(explain);
    } else {
        explain->would_go = true;
        explain->host_index++;
        explain_next_host(explain);
    }
}

/* ---- a connection ---- */

/* From address_index on; else the next host. A delivery ends behind so many that failed, too. */
static void try_address(struct explain *explain)
{
    if (explain->address_index == explain->addresses.count) {
        explain->host_index++;
        explain_next_host(explain);
        return;
    }
    if (!explain->would_go && explain->tried_count++ >= ROUTE_TRIED_MAX) {
        end_hosts(explain);
        return;
    }
    explain_connect(explain);
}

void explain_connect(struct explain *explain)
{
    struct endpoint peer = {.ip = explain->addresses.items[explain->address_index], .port = explain->port};
    struct endpoint source;
    explain->state = EXPLAIN_CONNECTING;
    explain->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    timer_start(&explain->timer, CONNECT_TIMEOUT_MS, on_timeout);
    enum err err = channel_connect(&explain->channel, &peer,
                                   route_source(explain->relay->config, peer.ip.family, &source));
    if (err != ERR_NONE) {
        struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = slice_of(err_text(err))};
        connection_failed(explain, &facts);
    }
}

void explain_hang_up(struct explain *explain)
{
    timer_cancel(&explain->timer);
    smtp_client_free(&explain->client);
    if (channel_is_open(&explain->channel))
        channel_close(&explain->channel);
}

static bool demands_proof(const struct explain *explain)
{
    return explain->tls == CONFIG_TLS_VERIFY || explain->tls == CONFIG_TLS_IMPLICIT;
}

/* TLS is tried in any case, and only then does the verdict say whether it was demanded: the point is to learn what the host can.
 * But where proof is demanded of an address a delivery does not even begin. */
static bool secure(struct explain *explain)
{
    struct ip ip;
    struct slice name = explain_host(explain);
    bool is_address = ip_parse(name, &ip);
    struct trouble_facts facts = {.trouble = TROUBLE_INTERNAL, .stage = SMTP_STAGE_STARTTLS, .detail = SLICE_EMPTY};
    if (is_address && demands_proof(explain)) {
        facts.trouble = TROUBLE_HANDSHAKE;
        facts.detail = SLICE(VERDICT_NO_NAME);
        connection_failed(explain, &facts);
        return false;
    }
    timer_start(&explain->timer, TALK_TIMEOUT_MS, on_timeout);
    struct tls_session *session =
        tls_session_client(explain->relay->tls, TLS_ENCRYPT, is_address ? SLICE_EMPTY : name, NULL);
    bool has_session = session != NULL;
    if (has_session && channel_secure(&explain->channel, &session))
        return true;
    if (has_session)
        facts.trouble = TROUBLE_NO_STARTTLS;
    facts.detail = slice_of(smtp_client_fault_text(SMTP_CLIENT_FAULT_INJECTION));
    connection_failed(explain, &facts);
    return false;
}

static void on_connected(struct channel *channel, enum err err)
{
    struct explain *explain = LIST_OF(channel, struct explain, channel);
    struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = slice_of(err_text(err))};
    if (err != ERR_NONE) {
        connection_failed(explain, &facts);
        return;
    }
    bool is_implicit = explain->tls == CONFIG_TLS_IMPLICIT;
    struct slice hostname; /* a reload may replace the configuration meanwhile */
    if (!arena_slice(explain->arena, explain->relay->config->hostname, &hostname))
        hostname = SLICE("localhost");
    struct smtp_client_options options = {
        .hostname = hostname,
        .starttls = is_implicit                              ? SMTP_CLIENT_STARTTLS_NEVER
                    : explain->tls != CONFIG_TLS_OPPORTUNISTIC ? SMTP_CLIENT_STARTTLS_MUST
                                                               : SMTP_CLIENT_STARTTLS_MAY,
        .secured = is_implicit,
    };
    explain->state = EXPLAIN_TALKING;
    explain->client = smtp_client_new(&options);
    timer_start(&explain->timer, TALK_TIMEOUT_MS, on_timeout);
    if (explain->client == NULL) {
        facts.trouble = TROUBLE_INTERNAL;
        connection_failed(explain, &facts);
    } else if (is_implicit) {
        (void)secure(explain);
    }
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct explain *explain = LIST_OF(channel, struct explain, channel);
    if (verdict->retry_at_once && !explain->has_retried_tls) {
        explain->has_retried_tls = true;
        explain_hang_up(explain);
        explain_connect(explain);
        return;
    }
    if (verdict->secured && (verdict->verified || !demands_proof(explain))) {
        if (!smtp_client_is_secured(explain->client))
            smtp_client_secured(explain->client);
        drive(explain);
        return;
    }
    struct trouble_facts facts = {.trouble = TROUBLE_HANDSHAKE, .stage = SMTP_STAGE_SECURING};
    char why[512];
    if (!arena_slice(explain->arena, tls_verdict_print(verdict, why), &facts.detail))
        facts.detail = SLICE_EMPTY;
    connection_failed(explain, &facts);
}

static void on_readable(struct channel *channel)
{
    struct explain *explain = LIST_OF(channel, struct explain, channel);
    if (explain->client != NULL)
        drive(explain);
}

static void on_writable(struct channel *channel)
{
    (void)channel;
}

static void on_ended(struct channel *channel, enum err err)
{
    struct explain *explain = LIST_OF(channel, struct explain, channel);
    struct trouble_facts facts = {.trouble = TROUBLE_LOST, .detail = slice_of(err_text(err))};
    if (explain->client == NULL) {
        connection_failed(explain, &facts);
        return;
    }
    smtp_client_lost(explain->client);
    drive(explain);
}

static void on_timeout(struct timer *timer)
{
    struct explain *explain = LIST_OF(timer, struct explain, timer);
    struct trouble_facts facts = {.trouble = TROUBLE_TIMEOUT, .detail = SLICE_EMPTY};
    if (explain->state == EXPLAIN_CONNECTING)
        facts = (struct trouble_facts){.trouble = TROUBLE_CONNECT, .detail = SLICE("timed out")};
    else if (explain->client != NULL)
        facts.stage = smtp_client_stage(explain->client);
    connection_failed(explain, &facts);
}

static void session_failed(struct explain *explain, const struct smtp_client_event *event)
{
    struct trouble_facts facts = {.stage = event->stage, .reply = event->reply, .detail = SLICE_EMPTY};
    switch (event->fault) {
    case SMTP_CLIENT_FAULT_REFUSED:
    case SMTP_CLIENT_FAULT_SHUTDOWN:
        facts.trouble = TROUBLE_GREETING;
        break;
    case SMTP_CLIENT_FAULT_INJECTION:
        facts.detail = slice_of(smtp_client_fault_text(event->fault));
        facts.trouble = TROUBLE_NO_STARTTLS;
        break;
    case SMTP_CLIENT_FAULT_NO_STARTTLS:
    case SMTP_CLIENT_FAULT_STARTTLS_REFUSED:
        facts.trouble = TROUBLE_NO_STARTTLS;
        break;
    case SMTP_CLIENT_FAULT_MALFORMED:
        facts.trouble = TROUBLE_MALFORMED;
        break;
    default:
        facts.trouble = event->fault == SMTP_CLIENT_FAULT_MEMORY ? TROUBLE_INTERNAL : TROUBLE_LOST;
        break;
    }
    connection_failed(explain, &facts);
}

static void drive(struct explain *explain)
{
    for (;;) {
        size_t taken = smtp_client_feed(explain->client, channel_input(&explain->channel));
        channel_consume(&explain->channel, taken);
        struct smtp_client_event event = smtp_client_next(explain->client);
        struct slice output = smtp_client_output(explain->client);
        if (output.length > 0) {
            channel_write(&explain->channel, output);
            smtp_client_sent(explain->client, output.length);
        }
        if (event.kind == SMTP_CLIENT_WAIT && taken == 0)
            return;
        if (event.kind == SMTP_CLIENT_STARTTLS) {
            (void)secure(explain); /* goes on in on_secured() */
            return;
        }
        if (event.kind == SMTP_CLIENT_FAILED) {
            session_failed(explain, &event);
            return;
        }
        if (event.kind == SMTP_CLIENT_READY) {
            connection_ready(explain);
            return;
        }
    }
}

/* ---- what came of it ---- */

static void add_certificate(struct json *step, const struct tls_verdict *verdict)
{
    char text[32];
    json_set_string(step, "tls", verdict->version);
    json_set_string(step, "cipher", verdict->cipher);
    json_set_flag(step, "verified", verdict->verified);
    json_set_string(step, "certificate", verdict->verified ? "verified" : tls_failure_text(verdict->failure));
    if (verdict->subject[0] != '\0')
        json_set_string(step, "name", verdict->subject);
    if (verdict->not_after_ms != 0)
        json_set_text(step, "not_after", text_date_iso(verdict->not_after_ms, text));
    if (verdict->detail[0] != '\0' && !verdict->verified)
        json_set_string(step, "detail", verdict->detail);
}

static void add_extensions(struct json *step, const struct smtp_extensions *extensions)
{
    static const struct {
        const char *name;
        unsigned bit;
    } all[] = {
#define X(word, number) {#word, SMTP_EXTENSION_##word},
        SMTP_EXTENSION_LIST(X)
#undef X
    };
    struct json *names = json_array_new();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (extensions->set & all[i].bit)
            json_append_text(names, slice_of(all[i].name));
    }
    json_set(step, "extensions", &names);
}

static struct json *connection_step(const struct explain *explain)
{
    char text[48];
    struct json *step = json_object_new();
    json_set_string(step, "step", "connect");
    json_set_text(step, "host", explain_host(explain));
    json_set_text(step, "address", ip_print(&explain->addresses.items[explain->address_index], text));
    if (channel_is_open(&explain->channel) && channel_verdict(&explain->channel) != NULL)
        add_certificate(step, channel_verdict(&explain->channel));
    return step;
}

/* Where nothing is demanded, a host whose TLS fails gets the mail in plaintext, as one that has none. */
static bool may_fall_back(const struct explain *explain, const struct trouble_facts *facts)
{
    return explain->tls == CONFIG_TLS_OPPORTUNISTIC && verdict_is_tls_failure(facts);
}

static void end_hosts(struct explain *explain)
{
    explain->host_index = explain->route.host_count;
    explain_next_host(explain);
}

static void go_on(struct explain *explain)
{
    explain_hang_up(explain);
    explain->would_go = true;
    explain->host_index++;
    explain_next_host(explain);
}

static void connection_failed(struct explain *explain, struct trouble_facts *facts)
{
    char text[48];
    struct slice kept;
    struct json *step = connection_step(explain);
    if (verdict_is_mute(facts) && route_may_expect_tls(explain->port, explain->tls))
        facts->trouble = TROUBLE_EXPECTS_TLS;
    facts->host = explain_host(explain);
    facts->required_tls = explain->tls != CONFIG_TLS_OPPORTUNISTIC;
    facts->by_policy = explain->by_policy;
    facts->domain = explain_domain(explain);
    facts->address = ip_print(&explain->addresses.items[explain->address_index], text);
    explain_add_problem(step, facts);
    bool falls_back = may_fall_back(explain, facts);
    json_set_flag(step, "ok", falls_back);
    json_set_flag(step, "plaintext", falls_back);
    explain->tell(explain, &step);
    if (falls_back) {
        go_on(explain);
        return;
    }
    /* What is told at the end outlives the connection. */
    facts->address = arena_slice(explain->arena, facts->address, &kept) ? kept : SLICE_EMPTY;
    facts->reply.text = arena_slice(explain->arena, facts->reply.text, &kept) ? kept : SLICE_EMPTY;
    explain_hang_up(explain);
    explain_trouble(explain, facts);
    explain->address_index++;
    if (facts->trouble == TROUBLE_NO_MECHANISM)
        end_hosts(explain); /* at the next address the same account would only fail once more */
    else
        try_address(explain);
}

static bool can_log_in(const struct explain *explain)
{
    return (smtp_client_extensions(explain->client)->auth & (SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN)) != 0;
}

/* Whether the credentials are right only a delivery learns. */
static void cannot_log_in(struct explain *explain)
{
    char text[VERDICT_MECHANISMS_TEXT];
    struct trouble_facts facts = {.trouble = TROUBLE_NO_MECHANISM, .stage = SMTP_STAGE_AUTH};
    const char *names = smtp_client_extensions(explain->client)->auth_names;
    if (!arena_slice(explain->arena, verdict_mechanisms(names, text), &facts.detail))
        facts.detail = SLICE_EMPTY;
    connection_failed(explain, &facts);
}

static void connection_ready(struct explain *explain)
{
    if (explain->logs_in && !can_log_in(explain)) {
        cannot_log_in(explain);
        return;
    }
    struct json *step = connection_step(explain);
    add_extensions(step, smtp_client_extensions(explain->client));
    json_set_flag(step, "ok", true);
    json_set_flag(step, "plaintext", !channel_is_secured(&explain->channel));
    explain->tell(explain, &step);
    smtp_client_quit(explain->client);
    struct slice output = smtp_client_output(explain->client);
    channel_write(&explain->channel, output);
    smtp_client_sent(explain->client, output.length);
    go_on(explain);
}
