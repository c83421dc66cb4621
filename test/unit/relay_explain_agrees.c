/* `explain` and a delivery in the same world: what the one says must be what the other does. Queue, scheduler, finder, delivery and
 * explanation are real; names, policy hosts and mail hosts are the test's, and are made anew for each of the two. */
#include "test/unit/mail_hosts.h"

#include "relay/explain.h"
#include "relay/locals.h"
#include "relay/upstream.h"

#define LOOK_MS (10 * MINUTE_MS) /* for one attempt, and before a paused route is tried again */

static struct {
    size_t done;
    bool has_gone;
    char problem[1024], outcome[32];
} explained;

/* ---- the two ---- */

static void exempt(void)
{
    struct finder_exemption exemption = {
        .until_ms = clock_wall_ms() + HOUR_MS, .reason = SLICE("their certificate"), .level = world.row->level};
    assert_int_equal(finder_exempt(delivering.relay.finder, SLICE("good.example"), &exemption), ERR_NONE);
    turn_settle();
}

static void set_route(struct config *config, const struct smart *smart_host)
{
    world.route = (struct config_route){.pattern = SLICE("*"),
                                        .host = slice_of(smart_host->host),
                                        .port = smart_host->port,
                                        .tls = smart_host->tls,
                                        .username = smart_host->logs_in ? SLICE("app") : SLICE_EMPTY,
                                        .password = smart_host->logs_in ? SLICE("secret") : SLICE_EMPTY};
    config->routes = &world.route;
    config->route_count = 1;
}

static void pause_route(void)
{
    struct upstream_key key = {.host = world.route.host, .port = world.route.port, .username = world.route.username,
     .password = world.route.password};
    assert_true(upstream_refused(&delivering.relay, &key, SLICE("535 5.7.8 no")) > 0);
}

static void begin(const struct row *row)
{
    struct config *config = &delivering.config;
    struct buffer warnings;
    delivering_set_up();
    memset(&world, 0, sizeof world);
    world.row = row;
    world.listen.endpoint.port = 25;
    assert_true(ip_parse(SLICE("192.0.2.25"), &world.listen.endpoint.ip));
    config->sts_cache_max = 1u << 20;
    config->hostname = SLICE("relay.example");
    config->listen = &world.listen;
    config->listen_count = 1;
    config->family = row->family;
    config->tls_default = row->tls;
    if (row->route != NULL)
        set_route(config, row->route);
    config->retry = (struct queue_schedule){.wait_ms = {4 * HOUR_MS, 4 * HOUR_MS}, .count = 2}; /* one attempt is enough */
    if (row->allowed != NULL) {
        assert_int_equal(ip_network_parse(slice_of(row->allowed), &world.allowed), ERR_NONE);
        config->allow_networks = (struct config_networks){.items = &world.allowed, .count = 1};
    }
    buffer_init(&warnings, 4096);
    assert_int_equal(locals_load(config, &delivering.relay.locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
    if (row->is_exempt)
        exempt();
    if (row->is_paused)
        pause_route();
    delivering.said_length = 0;
    delivering.said[0] = '\0';
}

static void end(void)
{
    upstream_free_all(&delivering.relay);
    locals_free(&delivering.relay.locals);
    delivering_tear_down();
}

static const char *domain_of(const struct row *row)
{
    return row->to != NULL ? row->to : "good.example";
}

static void tell(struct explain *explain, struct json **step)
{
    (void)explain;
    struct slice name = json_text(*step, "step");
    if (slice_equal(name, SLICE("connect")) && json_flag(*step, "ok", false) && !explained.has_gone) {
        explained.has_gone = true;
        world.course.is_plain = json_flag(*step, "plaintext", false);
        text_print(world.course.address, sizeof world.course.address, "%.*s", SLICE_ARGS(json_text(*step, "address")));
    }
    if (slice_equal(name, SLICE("verdict"))) {
        text_print(explained.problem, sizeof explained.problem, "%.*s", SLICE_ARGS(json_text(*step, "problem")));
        text_print(explained.outcome, sizeof explained.outcome, "%.*s", SLICE_ARGS(json_text(*step, "outcome")));
    }
    json_free(step);
}

static void on_done(struct explain *explain, bool would_go)
{
    (void)explain;
    explained.done++;
    world.course.goes = would_go;
}

/* In world.course, explained.problem and explained.outcome. */
static void explain_it(const struct row *row)
{
    char address[300];
    begin(row);
    memset(&explained, 0, sizeof explained);
    struct explain explain = {.tell = tell,
                              .done = on_done,
                              .relay = &delivering.relay,
                              .address = text_print(address, sizeof address, "bob@%s", domain_of(row)),
                              .sender = SLICE_EMPTY,
                              .connects = true};
    assert_true(explain_start(&explain));
    turn_for(LOOK_MS);
    check_number(row->name, explained.done, 1);
    explain_cancel(&explain);
    end();
}

static void check_course(const struct row *row, const struct course *told, const struct course *done)
{
    check_number(row->name, told->goes, done->goes);
    if (!done->goes) {
        check_slice(row->name, slice_of(told->tried), slice_of(done->tried));
        return;
    }
    /* The explanation looks at all hosts, also behind the one that takes the mail. */
    check_slice(row->name, slice_to(slice_of(told->tried), strlen(done->tried)), slice_of(done->tried));
    check_slice(row->name, slice_of(told->address), slice_of(done->address));
    check_number(row->name, told->is_plain, done->is_plain);
}

static void check_row(const struct row *row)
{
    char event[64], problem[1100], outcome[32], logged[1200];
    explain_it(row);
    struct course told = world.course;
    text_print(problem, sizeof problem, "%s", explained.problem);
    text_print(outcome, sizeof outcome, "%s", explained.outcome);
    begin(row);
    (void)delivering_mail("", domain_of(row));
    turn_for(LOOK_MS);
    struct course done = world.course;
    text_print(event, sizeof event, "event=%s ", row->event);
    if (delivering_said(event) != 1)
        print_error("%s\n", delivering.said);
    check_number(row->name, delivering_said(event), 1);
    check_slice(row->name, slice_of(done.tried), slice_of(row->tried));
    check_course(row, &told, &done);
    if (!done.goes) {
        check_slice(row->name, slice_of(outcome), strcmp(row->event, "bounced") == 0 ? SLICE("bounce") : SLICE("wait"));
        text_print(logged, sizeof logged, "problem=\"%s\"", problem);
        if (delivering_said(logged) != 1)
            print_error("explained: %s\nlogged: %s\n", problem, delivering.said);
        check_number(row->name, delivering_said(logged), 1);
    }
    end();
}

/* ---- the table ---- */

#define ENFORCE(hosts) "version: STSv1\nmode: enforce\n" hosts "max_age: 604800\n"
#define TESTING(hosts) "version: STSv1\nmode: testing\n" hosts "max_age: 604800\n"
#define MX1 "mx: mx1.good.example\n"
#define MX2 "mx: mx2.good.example\n"
#define ONE .mx = {{"mx1.good.example", 10}}
#define TWO .mx = {{"mx2.good.example", 20}, {"mx1.good.example", 10}}
#define THREE .mx = {{"mx3.good.example", 30}, {"mx1.good.example", 10}, {"mx2.good.example", 20}}
#define PEER1(habit) {"mx1.good.example", "11.0.0.1", habit}
#define PEER2(habit) {"mx2.good.example", "11.0.0.2", habit}
#define PEER3(habit) {"mx3.good.example", "11.0.0.3", habit}
#define OURS(name) {name, "192.0.2.25", TAKES}
#define SMART(habit) {"smart.example", "11.0.0.9", habit}

static const struct smart smart = {"smart.example", 587, CONFIG_TLS_VERIFY, true};
static const struct smart smart_open = {"smart.example", 25, CONFIG_TLS_OPPORTUNISTIC, false};
static const struct smart smart_sts = {"smart.example", 25, CONFIG_TLS_STS, false};
static const struct smart smart_465 = {"smart.example", PORT_IMPLICIT, CONFIG_TLS_IMPLICIT, false};
static const struct smart smart_465_starttls = {"smart.example", PORT_IMPLICIT, CONFIG_TLS_VERIFY, false};
static const struct smart smart_address = {"11.0.0.9", 25, CONFIG_TLS_VERIFY, false};

#define LOCAL_NETWORK "10.0.0.0/8"

static const struct row rows[] = {
    /* hosts, in order */
    {"the first takes it", ONE, .peers = {PEER1(TAKES)}, .event = "delivered", .tried = "11.0.0.1"},
    {"by preference", THREE, .peers = {PEER1(DEAD), PEER2(DEAD), PEER3(TAKES)}, .event = "delivered",
     .tried = "11.0.0.1 11.0.0.2 11.0.0.3"},
    {"the first is dead", TWO, .peers = {PEER1(DEAD), PEER2(TAKES)}, .event = "delivered",
     .tried = "11.0.0.1 11.0.0.2"},
    {"the first vanished", TWO, .peers = {PEER1(VANISHED), PEER2(TAKES)}, .event = "delivered",
     .tried = "11.0.0.1 11.0.0.2"},
    {"all are dead", TWO, .peers = {PEER1(DEAD), PEER2(VANISHED)}, .event = "deferred", .tried = "11.0.0.1 11.0.0.2"},
    {"all vanished", TWO, .peers = {PEER1(VANISHED), PEER2(DEAD)}, .event = "deferred", .tried = "11.0.0.1 11.0.0.2"},
    {"the second address", ONE, .peers = {PEER1(DEAD), {"mx1.good.example", "11.0.0.5", TAKES}},
     .event = "delivered", .tried = "11.0.0.1 11.0.0.5"},
    {"the first address is the more telling", ONE, .peers = {PEER1(REFUSES), {"mx1.good.example", "11.0.0.5", DEAD}},
     .event = "deferred", .tried = "11.0.0.1 11.0.0.5"},
    {"more telling than the next host", TWO, .peers = {PEER1(REFUSES), PEER2(DEAD)}, .event = "deferred",
     .tried = "11.0.0.1 11.0.0.2"},
    {"families take turns", ONE, .peers = {PEER1(DEAD), {"mx1.good.example", "11.0.0.5", DEAD},
     {"mx1.good.example", "2600::1", TAKES}}, .event = "delivered", .tried = "11.0.0.1 2600::1"},
    {"only IPv6", ONE, .peers = {PEER1(TAKES), {"mx1.good.example", "2600::1", DEAD}}, .family = CONFIG_IPV6,
     .event = "deferred", .tried = "2600::1"},
    {"the sixth address", ONE, .peers = {PEER1(DEAD), {"mx1.good.example", "11.0.0.5", DEAD},
     {"mx1.good.example", "11.0.0.6", DEAD}, {"mx1.good.example", "11.0.0.7", DEAD},
     {"mx1.good.example", "11.0.0.8", DEAD}, {"mx1.good.example", "11.0.0.10", TAKES}},
     .event = "delivered", .tried = "11.0.0.1 11.0.0.5 11.0.0.6 11.0.0.7 11.0.0.8 11.0.0.10"},
    {"enough were tried", TWO, .peers = {PEER1(DEAD), {"mx1.good.example", "11.0.1.1", DEAD},
     {"mx1.good.example", "11.0.1.2", DEAD}, {"mx1.good.example", "11.0.1.3", DEAD},
     {"mx1.good.example", "11.0.1.4", DEAD},
      {"mx1.good.example", "11.0.1.5", DEAD}, {"mx1.good.example", "11.0.1.6", DEAD},
      {"mx1.good.example", "11.0.1.7", DEAD}, {"mx1.good.example", "11.0.1.8", DEAD},
      {"mx1.good.example", "11.0.1.9", DEAD},
      {"mx1.good.example", "11.0.1.10", DEAD}, {"mx1.good.example", "11.0.1.11", DEAD}, PEER2(TAKES)},
     .event = "deferred",
     .tried = "11.0.0.1 11.0.1.1 11.0.1.2 11.0.1.3 11.0.1.4 11.0.1.5 11.0.1.6 11.0.1.7 11.0.1.8 11.0.1.9 11.0.1.10 11.0.1.11"},
    /* names */
    {"null MX", .mx = {{"", 0}}, .event = "bounced", .tried = ""},
    {"null MX under a policy", .mx = {{"", 0}}, .policy = ENFORCE(MX1), .event = "deferred", .tried = ""},
    {"no domain", .mx_status = RESOLVE_NXDOMAIN, .event = "bounced", .tried = ""},
    {"no domain, under a policy", .mx_status = RESOLVE_NXDOMAIN, .policy = ENFORCE(MX1), .event = "deferred",
     .tried = ""},
    {"no MX", .mx_status = RESOLVE_NODATA, .peers = {{"good.example", "11.0.0.1", TAKES}}, .event = "delivered",
     .tried = "11.0.0.1"},
    {"neither MX nor address", .mx_status = RESOLVE_NODATA, .event = "bounced", .tried = ""},
    {"no MX, and nothing is known of addresses", .mx_status = RESOLVE_NODATA, .addresses_fail = true,
     .event = "deferred", .tried = ""},
    {"MX fails", .mx_status = RESOLVE_SERVFAIL, .event = "deferred", .tried = ""},
    {"no address", ONE, .event = "deferred", .tried = ""},
    {"addresses fail", ONE, .addresses_fail = true, .event = "deferred", .tried = ""},
    {"no address, and the next takes it", TWO, .peers = {PEER2(TAKES)}, .event = "delivered", .tried = "11.0.0.2"},
    {"an address of the inside", ONE, .peers = {{"mx1.good.example", "10.0.0.1", TAKES}}, .event = "deferred",
     .tried = ""},
    {"an address of the inside that is allowed", ONE, .peers = {{"mx1.good.example", "10.0.0.1", TAKES}},
     .allowed = LOCAL_NETWORK, .event = "delivered", .tried = "10.0.0.1"},
    {"an address of the inside, and the next takes it", TWO, .peers = {{"mx1.good.example", "10.0.0.1", TAKES},
     PEER2(TAKES)}, .event = "delivered", .tried = "11.0.0.2"},
    {"no MX, and an address of the inside", .mx_status = RESOLVE_NODATA,
     .peers = {{"good.example", "10.0.0.1", TAKES}}, .event = "deferred", .tried = ""},
    {"a literal", .to = "[11.0.0.1]", .peers = {{"-", "11.0.0.1", TAKES}}, .event = "delivered", .tried = "11.0.0.1"},
    {"a literal of IPv6", .to = "[IPv6:2600::1]", .peers = {{"-", "2600::1", REFUSES}}, .event = "deferred",
     .tried = "2600::1"},
    {"a literal where proof is demanded", .to = "[11.0.0.1]", .tls = CONFIG_TLS_VERIFY,
     .peers = {{"-", "11.0.0.1", UNPROVED}}, .event = "deferred", .tried = "11.0.0.1"},
    /* ourselves */
    {"we are the most preferred by name", .mx = {{"relay.example", 10}, {"mx2.good.example", 20}},
     .peers = {PEER2(TAKES)}, .event = "bounced", .tried = ""},
    {"we are in the middle by name", .mx = {{"mx1.good.example", 10}, {"relay.example", 20},
     {"mx3.good.example", 30}}, .peers = {PEER1(DEAD), PEER3(TAKES)}, .event = "deferred", .tried = "11.0.0.1"},
    {"we are the least preferred by name", .mx = {{"mx1.good.example", 10}, {"relay.example", 20}},
     .peers = {PEER1(TAKES)}, .event = "delivered", .tried = "11.0.0.1"},
    {"we are one of the most preferred by name", .mx = {{"mx1.good.example", 10}, {"relay.example", 10}},
     .peers = {PEER1(TAKES)}, .event = "bounced", .tried = ""},
    {"we are the most preferred by address", TWO, .peers = {OURS("mx1.good.example"), PEER2(TAKES)},
     .event = "bounced", .tried = ""},
    {"we are in the middle by address", THREE, .peers = {PEER1(DEAD), OURS("mx2.good.example"), PEER3(TAKES)},
     .event = "deferred", .tried = "11.0.0.1"},
    {"we are in the middle by address, and the first takes it", THREE,
     .peers = {PEER1(TAKES), OURS("mx2.good.example"), PEER3(TAKES)}, .event = "delivered", .tried = "11.0.0.1"},
    {"we are the least preferred by address", THREE, .peers = {PEER1(DEAD), PEER2(DEAD), OURS("mx3.good.example")},
     .event = "deferred", .tried = "11.0.0.1 11.0.0.2"},
    {"we are behind a host without addresses", TWO, .peers = {OURS("mx2.good.example")}, .event = "deferred",
     .tried = ""},
    {"we are the host itself beside another address", ONE, .peers = {OURS("mx1.good.example"), PEER1(TAKES)},
     .event = "bounced", .tried = ""},
    {"we are the domain itself", .mx_status = RESOLVE_NODATA, .peers = {OURS("good.example")}, .event = "bounced",
     .tried = ""},
    {"we are it, under a policy", ONE, .peers = {OURS("mx1.good.example")}, .policy = ENFORCE(MX1),
     .event = "deferred", .tried = ""},
    {"we are behind a host that is not admitted", TWO, .peers = {PEER1(TAKES), OURS("mx2.good.example")},
     .policy = ENFORCE(MX2), .event = "deferred", .tried = ""},
    /* policies */
    {"enforce admits none", TWO, .peers = {PEER1(TAKES), PEER2(TAKES)}, .policy = ENFORCE("mx: other.example\n"),
     .event = "deferred", .tried = ""},
    {"enforce admits the second", TWO, .peers = {PEER1(TAKES), PEER2(TAKES)}, .policy = ENFORCE(MX2),
     .event = "delivered", .tried = "11.0.0.2"},
    {"enforce admits the second, which is dead", TWO, .peers = {PEER1(TAKES), PEER2(DEAD)}, .policy = ENFORCE(MX2),
     .event = "deferred", .tried = "11.0.0.2"},
    {"enforce, and no proof", ONE, .peers = {PEER1(UNPROVED)}, .policy = ENFORCE(MX1), .event = "deferred",
     .tried = "11.0.0.1"},
    {"enforce, and no proof of the first", TWO, .peers = {PEER1(UNPROVED), PEER2(TAKES)}, .policy = ENFORCE(MX1 MX2),
     .event = "delivered", .tried = "11.0.0.1 11.0.0.2"},
    {"enforce, and no STARTTLS", ONE, .peers = {PEER1(PLAIN)}, .policy = ENFORCE(MX1), .event = "deferred",
     .tried = "11.0.0.1"},
    {"testing admits none", ONE, .peers = {PEER1(TAKES)}, .policy = TESTING("mx: other.example\n"),
     .event = "delivered", .tried = "11.0.0.1"},
    {"testing, and no STARTTLS", ONE, .peers = {PEER1(PLAIN)}, .policy = TESTING(MX1), .event = "delivered",
     .tried = "11.0.0.1"},
    {"whether there is a policy is unknown", ONE, .peers = {PEER1(TAKES)}, .policy_is_unknown = true,
     .event = "deferred", .tried = ""},
    {"its policy host fails", ONE, .peers = {PEER1(PLAIN)}, .policy = "", .event = "delivered", .tried = "11.0.0.1"},
    {"exempt down to plaintext", ONE, .peers = {PEER1(PLAIN)}, .policy = ENFORCE(MX1), .is_exempt = true,
     .level = STS_EXEMPT_PLAIN, .event = "delivered", .tried = "11.0.0.1"},
    {"exempt, with encryption", ONE, .peers = {PEER1(PLAIN)}, .policy = ENFORCE(MX1), .is_exempt = true,
     .level = STS_EXEMPT_ENCRYPT, .event = "deferred", .tried = "11.0.0.1"},
    {"exempt, with any certificate", ONE, .peers = {PEER1(UNPROVED)}, .policy = ENFORCE("mx: other.example\n"),
     .is_exempt = true, .level = STS_EXEMPT_ENCRYPT, .event = "delivered", .tried = "11.0.0.1"},
    {"exempt, at any host", ONE, .peers = {PEER1(UNPROVED)}, .policy = ENFORCE("mx: other.example\n"),
     .is_exempt = true, .level = STS_EXEMPT_ANY_HOST, .event = "deferred", .tried = "11.0.0.1"},
    {"exempt from what is unknown", ONE, .peers = {PEER1(PLAIN)}, .policy_is_unknown = true, .is_exempt = true,
     .level = STS_EXEMPT_ENCRYPT, .event = "deferred", .tried = "11.0.0.1"},
    {"exempt from testing", ONE, .peers = {PEER1(PLAIN)}, .policy = TESTING(MX1), .is_exempt = true,
     .level = STS_EXEMPT_ENCRYPT, .event = "delivered", .tried = "11.0.0.1"},
    /* what a host says */
    {"a greeting that refuses", ONE, .peers = {PEER1(REFUSES)}, .event = "deferred", .tried = "11.0.0.1"},
    {"a greeting that refuses, and the next takes it", TWO, .peers = {PEER1(BUSY), PEER2(TAKES)},
     .event = "delivered", .tried = "11.0.0.1 11.0.0.2"},
    {"no greeting", ONE, .peers = {PEER1(MUTE)}, .event = "deferred", .tried = "11.0.0.1"},
    {"the end for a greeting", ONE, .peers = {PEER1(CLOSES)}, .event = "deferred", .tried = "11.0.0.1"},
    {"no reply", ONE, .peers = {PEER1(RAMBLES)}, .event = "deferred", .tried = "11.0.0.1"},
    {"EHLO is refused", ONE, .peers = {PEER1(EHLO_REFUSED)}, .event = "deferred", .tried = "11.0.0.1"},
    /* TLS */
    {"no STARTTLS", ONE, .peers = {PEER1(PLAIN)}, .event = "delivered", .tried = "11.0.0.1"},
    {"no STARTTLS under encrypt", ONE, .peers = {PEER1(PLAIN)}, .tls = CONFIG_TLS_ENCRYPT, .event = "deferred",
     .tried = "11.0.0.1"},
    {"no STARTTLS under encrypt, and the next has it", TWO, .peers = {PEER1(PLAIN), PEER2(TAKES)},
     .tls = CONFIG_TLS_ENCRYPT, .event = "delivered", .tried = "11.0.0.1 11.0.0.2"},
    {"no proof", ONE, .peers = {PEER1(UNPROVED)}, .event = "delivered", .tried = "11.0.0.1"},
    {"no proof under encrypt", ONE, .peers = {PEER1(UNPROVED)}, .tls = CONFIG_TLS_ENCRYPT, .event = "delivered",
     .tried = "11.0.0.1"},
    {"no proof under verify", ONE, .peers = {PEER1(UNPROVED)}, .tls = CONFIG_TLS_VERIFY, .event = "deferred",
     .tried = "11.0.0.1"},
    {"STARTTLS is refused", ONE, .peers = {PEER1(STARTTLS_REFUSED)}, .event = "delivered", .tried = "11.0.0.1"},
    {"STARTTLS is refused under encrypt", ONE, .peers = {PEER1(STARTTLS_REFUSED)}, .tls = CONFIG_TLS_ENCRYPT,
     .event = "deferred", .tried = "11.0.0.1"},
    {"something behind STARTTLS", ONE, .peers = {PEER1(INJECTS)}, .event = "deferred", .tried = "11.0.0.1"},
    {"something behind STARTTLS under encrypt", ONE, .peers = {PEER1(INJECTS)}, .tls = CONFIG_TLS_ENCRYPT,
     .event = "deferred", .tried = "11.0.0.1"},
    {"the handshake fails", ONE, .peers = {PEER1(TLS_FAILS)}, .event = "delivered", .tried = "11.0.0.1"},
    {"the handshake fails under encrypt", ONE, .peers = {PEER1(TLS_FAILS)}, .tls = CONFIG_TLS_ENCRYPT,
     .event = "deferred", .tried = "11.0.0.1"},
    {"silence for a handshake", ONE, .peers = {PEER1(TLS_MUTE)}, .event = "delivered", .tried = "11.0.0.1"},
    {"silence for a handshake under encrypt", ONE, .peers = {PEER1(TLS_MUTE)}, .tls = CONFIG_TLS_ENCRYPT,
     .event = "deferred", .tried = "11.0.0.1"},
    {"the end for a handshake", ONE, .peers = {PEER1(TLS_CLOSES)}, .event = "delivered", .tried = "11.0.0.1"},
    {"the end for a handshake under encrypt", ONE, .peers = {PEER1(TLS_CLOSES)}, .tls = CONFIG_TLS_ENCRYPT,
     .event = "deferred", .tried = "11.0.0.1"},
    {"a handshake once more", ONE, .peers = {PEER1(TLS_ONCE_MORE)}, .tls = CONFIG_TLS_VERIFY, .event = "delivered",
     .tried = "11.0.0.1"},
    {"a handshake twice more", ONE, .peers = {PEER1(TLS_TWICE_MORE)}, .tls = CONFIG_TLS_VERIFY, .event = "deferred",
     .tried = "11.0.0.1"},
    {"a handshake twice more, and nothing is demanded", ONE, .peers = {PEER1(TLS_TWICE_MORE)}, .event = "delivered",
     .tried = "11.0.0.1"},
    /* routes */
    {"a smart host", ONE, .route = &smart, .peers = {SMART(AUTH)}, .event = "delivered", .tried = "11.0.0.9"},
    {"a smart host without proof", .route = &smart, .peers = {SMART(UNPROVED)}, .event = "deferred",
     .tried = "11.0.0.9"},
    {"a smart host without an address", .route = &smart, .event = "deferred", .tried = ""},
    {"a smart host that offers no AUTH", .route = &smart, .peers = {SMART(TAKES)}, .event = "deferred",
     .tried = "11.0.0.9"},
    {"a smart host that offers no AUTH that is known", .route = &smart, .peers = {SMART(AUTH_UNKNOWN)},
     .event = "deferred", .tried = "11.0.0.9"},
    {"... and a second address is not tried", .route = &smart, .peers = {SMART(AUTH_UNKNOWN),
     {"smart.example", "11.0.0.8", AUTH}}, .event = "deferred", .tried = "11.0.0.9"},
    {"a paused route", .route = &smart, .is_paused = true, .peers = {SMART(AUTH)}, .event = "deferred", .tried = ""},
    {"a smart host of the inside", .route = &smart_open, .peers = {{"smart.example", "10.0.0.9", PLAIN}},
     .event = "delivered", .tried = "10.0.0.9"},
    {"the recipient's policy does not apply to it", .route = &smart_open, .policy = ENFORCE(MX1),
     .peers = {SMART(PLAIN)}, .event = "delivered", .tried = "11.0.0.9"},
    {"the smart host's policy", .route = &smart_sts, .policy = ENFORCE("mx: other.example\n"),
     .peers = {SMART(TAKES)}, .event = "deferred", .tried = ""},
    {"the smart host has no policy", .route = &smart_sts, .peers = {SMART(UNPROVED)}, .event = "deferred",
     .tried = "11.0.0.9"},
    {"implicit TLS", .route = &smart_465, .peers = {SMART(TAKES)}, .event = "delivered", .tried = "11.0.0.9"},
    {"implicit TLS without proof", .route = &smart_465, .peers = {SMART(UNPROVED)}, .event = "deferred",
     .tried = "11.0.0.9"},
    {"port 465 waits for TLS", .route = &smart_465_starttls, .peers = {SMART(TAKES)}, .event = "deferred",
     .tried = "11.0.0.9"},
    {"a smart host by address proves nothing", .route = &smart_address, .peers = {{"-", "11.0.0.9", UNPROVED}},
     .event = "deferred", .tried = "11.0.0.9"},
};

/* A test for each row, so that all differences are told. */
static void test_row(void **state)
{
    check_row(*state);
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(rows)];
    folder_use_memory();
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        tests[i] = (struct CMUnitTest){.name = rows[i].name, .test_func = test_row, .initial_state = (void *)&rows[i]};
    return cmocka_run_group_tests_name("explain agrees with delivery", tests, NULL, NULL);
}
