/* sternpost-sim: runs the relay's engine in a seeded world, seed after seed, until a rule is broken.
 *
 *   sternpost-sim --seeds 1000 [--first N]   the seeds kept in seeds.txt, then as many from N (1) on
 *   sternpost-sim --seed N [--verbose]       one of them, with its log; the same each time
 *   ... --classes                          tells how often each class of situations was met
 *   ... --break RULE                       policies, proofs, mail, outcomes: what the stand-ins say of them is not so; the
 *                                          oracles must find it
 *   ... --crowd                              an attacker with hundreds of subdomains instead
 *   ... --attack                             a siege instead: for days the attacker has DNS and the network */
#include "base/slice.h"
#include "test/sim/sim_client.h"
#include "test/sim/sim_dns.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_host.h"
#include "test/sim/sim_https.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_mx.h"
#include "test/sim/sim_net.h"
#include "test/sim/sim_oracle.h"
#include "test/sim/sim_peer.h"
#include "test/sim/sim_relay.h"
#include "test/sim/sim_seen.h"
#include "test/sim/sim_story.h"
#include "test/sim/sim_waits.h"
#include "test/sim/sim_wire.h"
#include "test/sim/world_crowd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR_MS INT64_C(3600000)
#define TAIL_BYTES 24000
#define EVENTS_MAX 3000000
/* A seed whose number this divides is run twice. */
#define REPEAT_EVERY 50
/* Clients stay for 400 s at most; then the relay has its time-outs to find out that they are gone. */
#define SESSION_MAX_MS (HOUR_MS / 3)
/* From so many seeds on, the least of envelopes judged under an enforced policy (the mean is over four times as much); and from
 * so many on every class of situations has been met. */
#define JUDGED_SEEDS_MIN 20
#define JUDGED_PER_SEED 2
#define CLASS_SEEDS_MIN 200
#define CROWD_SEEDS_MIN 8
/* What the relay may hold at most, whatever happens. */
#define MEMORY_MAX ((size_t)24 << 20)

static struct options {
    uint64_t first, count, seed;
    bool has_seed, is_verbose, shows_classes;
    enum world_kind kind;
    const char *broken;
} options;

static bool run_seed(uint64_t seed, bool is_verbose, uint64_t *hash);
static void run_until_over(void);

/* ---- what the network asks ---- */

static enum sim_net_answer on_incoming(struct sim_link *link)
{
    const struct endpoint *to = &link->ends[1].address;
    const struct world_host *host = world_find_address(&to->ip);
    const struct world_domain *domain = world_find_policy_address(&to->ip);
    if (to->port == 25 && host != NULL) {
        sim_oracle_connecting(host);
        if (sim_net_count(25) > world.connections_max)
            sim_fail("more than %u connections to mail hosts", world.connections_max);
        return sim_mx_accept(link, host);
    }
    if (to->port == 443 && world_crowd_is_mute_address(&to->ip)) {
        sim_saw(SIM_SEEN_CROWD_MUTE);
        return SIM_NET_SILENT;
    }
    if (to->port == 443 && domain != NULL)
        return sim_https_accept(link, domain);
    return SIM_NET_REFUSED; /* the relay is down, or nobody listens there */
}

static void on_written(struct sim_link *link, struct slice bytes)
{
    if (link->is_inbound)
        sim_oracle_answered(bytes);
    else
        sim_wire_written(link, bytes);
}

static void on_given(struct sim_link *link)
{
    if (link->wire != NULL)
        sim_ledger_given(link);
    sim_known_given(link);
}

static void on_closed(struct sim_link *link)
{
    sim_wire_close(link);
}

static void on_asked(struct slice name)
{
    struct slice label = SLICE("_mta-sts.");
    const struct world_domain *domain = world_find_domain(slice_from(name, label.length));
    sim_oracle_asked(name);
    if (domain != NULL && slice_starts(name, label))
        sim_known_asked(domain);
}

/* Whoever says that a domain does not exist may be believed, unless its policy is known. */
static void on_denied(const struct world_domain *domain)
{
    if (!sim_known_of(domain).is_free)
        sim_saw(SIM_SEEN_DENIED_ENFORCED);
    else
        sim_ledger_excuse_domain(domain);
}

/* ---- a run ---- */

static bool is_broken(const char *rule)
{
    return options.broken != NULL && strcmp(options.broken, rule) == 0;
}

/* The stand-ins break their word, so that the oracles have something to find. False: there is no such rule. */
static bool break_rule(void)
{
    static const struct {
        const char *rule;
        enum queue_change_kind lost;
    } rows[] = {{"policies", QUEUE_CHANGE_POLICY}, {"mail", QUEUE_CHANGE_ACCEPT}, {"outcomes", QUEUE_CHANGE_UPDATE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!is_broken(rows[i].rule))
            continue;
        queue_memory_lose(sim_relay_disk(), rows[i].lost);
        return true;
    }
    sim_tls_believe(is_broken("proofs"));
    return options.broken == NULL || is_broken("proofs");
}

static void open_world(uint64_t seed, bool is_verbose)
{
    static const struct sim_net_world net = {on_incoming, on_written, on_given, on_closed};
    static const struct sim_dns_watch dns = {on_asked, on_denied};
    sim_event_start();
    sim_log_start(is_verbose);
    sim_memory_reset();
    world_make(seed, options.kind);
    world_describe();
    sim_host_start();
    sim_net_start(&net);
    sim_dns_start(&dns);
    sim_peers_start();
    sim_wires_start();
    sim_ledger_start();
    sim_oracle_start();
    sim_known_start();
    sim_waits_start();
    sim_relay_begin();
    if (!break_rule())
        sim_fail("there is no rule \"%s\"", options.broken);
    sim_story_start();
    sim_clients_start(world.message_count);
    sim_relay_start();
}

static void close_world(void)
{
    sim_relay_end();
    sim_story_end();
    sim_clients_end();
    sim_peers_end();
    sim_wires_end();
    sim_net_end();
    sim_dns_end();
    sim_host_end();
    sim_ledger_end();
    sim_known_end();
    sim_waits_end();
    sim_event_end();
}

static bool run_seed(uint64_t seed, bool is_verbose, uint64_t *hash)
{
    open_world(seed, is_verbose);
    run_until_over();
    *hash = sim_log_hash();
    close_world();
    return !sim_failed();
}

/* Until then, or until the rules are broken. */
static void run_events(int64_t until_ms, bool (*is_over)(void))
{
    size_t count = 0;
    while (!sim_failed() && !is_over() && sim_event_next(until_ms)) {
        sim_net_reap();
        sim_peers_reap();
        if (sim_memory_used() > MEMORY_MAX)
            sim_fail("the relay holds %zu bytes", sim_memory_used());
        if (count % 128 == 0 && sim_net_oldest_ms() > SESSION_MAX_MS)
            sim_fail("a client's connection is still open after %lld s", (long long)sim_net_oldest_ms() / 1000);
        if (++count > EVENTS_MAX)
            sim_fail("more than %d events: something turns in circles", EVENTS_MAX);
    }
}

static bool is_never_over(void)
{
    return false;
}

static bool is_delivered(void)
{
    return sim_clients_are_done() && sim_relay_is_up() && !sim_relay_is_stopping() && sim_oracle_queue_is_empty();
}

static bool is_down(void)
{
    return !sim_relay_is_up();
}

/* The storm; then a world in which all is well, until the queue is empty; then the relay's end. */
static void run_until_over(void)
{
    run_events(world.storm_ms, is_never_over);
    if (sim_failed())
        return;
    sim_log("the storm is over");
    if (world.crowd != WORLD_CROWD_NONE)
        sim_known_all();
    int64_t quiet_end_ms = world.storm_ms + world.expire_ms + 24 * HOUR_MS;
    run_events(quiet_end_ms, is_delivered);
    if (!sim_failed() && !is_delivered())
        sim_fail("all has been well for %lld h, and %s", (long long)((sim_now_ms() - world.storm_ms) / HOUR_MS),
                 !sim_clients_are_done() ? "a client is still not rid of its mail" : "the queue is not empty");
    if (sim_failed())
        return;
    sim_relay_keep_up(false);
    sim_relay_stop();
    run_events(sim_now_ms() + world.stop_timeout_ms + 60000, is_down);
    run_events(sim_now_ms() + 60000, is_never_over);
    if (!sim_failed())
        sim_ledger_close();
    size_t lines_max = 2000 + 2000 * sim_ledger_count();
    if (!sim_failed() && sim_log_relay_count() > lines_max)
        sim_fail("the relay wrote %zu log lines", sim_log_relay_count());
    sim_log("over: %zu of %zu messages promised, %zu log lines, at most %zu bytes", sim_ledger_promised_count(),
            sim_ledger_count(), sim_log_relay_count(), sim_memory_peak());
}

/* ---- seeds ---- */

static volatile sig_atomic_t is_ending;

/* A fault inside the engine (an assertion, a sanitizer) must say in which seed it was. */
static void on_fatal(int number)
{
    char text[64];
    if (!is_ending) {
        is_ending = 1;
        fflush(stdout); /* not allowed here, and worth a try */
        sim_log_print_tail(TAIL_BYTES);
        int length = snprintf(text, sizeof text, "died of signal %d in seed %llu\n", number, (unsigned long long)world.seed);
        ssize_t written = write(STDOUT_FILENO, text, length > 0 ? (size_t)length : 0);
        (void)written;
    }
    signal(number, SIG_DFL);
    raise(number);
}

static const char *const kind_options[] = {"", " --attack", " --crowd"};

static void tell(uint64_t seed, bool is_verbose)
{
    fflush(stdout);
    if (!is_verbose)
        sim_log_print_tail(TAIL_BYTES);
    printf("seed %llu: %s\n", (unsigned long long)seed, sim_failure());
    printf("replay it: sternpost-sim%s --seed %llu --verbose; then keep it in test/sim/seeds.txt\n",
           kind_options[options.kind], (unsigned long long)seed);
}

static bool try_seed(uint64_t seed, bool is_verbose, bool is_repeated)
{
    uint64_t hash, again;
    if (!run_seed(seed, is_verbose, &hash)) {
        tell(seed, is_verbose);
        return false;
    }
    if (!is_repeated)
        return true;
    if (run_seed(seed, false, &again) && hash == again)
        return true;
    printf("seed %llu: a second run went another way\n", (unsigned long long)seed);
    return false;
}

/* One number a line; what follows it is a remark. Returns the count of failures; -1 when there is no such file. */
static int try_kept_seeds(const char *path)
{
    char line[512];
    int failures = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL) {
        struct slice rest = slice_of(line), word;
        uint64_t seed;
        if (line[0] != '#' && slice_word(&rest, &word) && slice_number(word, UINT64_MAX, &seed))
            failures += !try_seed(seed, false, true);
    }
    fclose(file);
    return failures;
}

/* Whoever judged nothing has found nothing. */
static bool has_judged(void)
{
    struct buffer text;
    uint64_t judged = sim_seen_count(SIM_SEEN_ENFORCED);
    buffer_init(&text, 65536);
    bool is_enough = options.count < JUDGED_SEEDS_MIN || judged >= options.count * JUDGED_PER_SEED;
    bool has_all = options.count < (options.kind == WORLD_CROWDED ? CROWD_SEEDS_MIN : CLASS_SEEDS_MIN) || sim_seen_all(&text);
    if (!is_enough)
        buffer_print(&text, "too few envelopes were judged: nothing is known about policies\n");
    if (options.shows_classes)
        sim_seen_print(&text);
    printf("%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
    return is_enough && has_all;
}

static bool read_options(int argc, char **argv)
{
    options.first = 1;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--first") == 0   ? &options.first
                           : strcmp(argv[i], "--seeds") == 0 ? &options.count
                           : strcmp(argv[i], "--seed") == 0  ? &options.seed
                                                             : NULL;
        if (strcmp(argv[i], "--verbose") == 0)
            options.is_verbose = true;
        else if (strcmp(argv[i], "--attack") == 0)
            options.kind = WORLD_SIEGE;
        else if (strcmp(argv[i], "--crowd") == 0)
            options.kind = WORLD_CROWDED;
        else if (strcmp(argv[i], "--classes") == 0)
            options.shows_classes = true;
        else if (strcmp(argv[i], "--break") == 0 && i + 1 < argc)
            options.broken = argv[++i];
        else if (number == NULL || i + 1 == argc || !slice_number(slice_of(argv[++i]), UINT64_MAX, number))
            return false;
        options.has_seed = options.has_seed || number == &options.seed;
    }
    return options.has_seed || options.count > 0;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: sternpost-sim [--attack | --crowd] [--classes] --seeds COUNT [--first SEED] | --seed SEED [--verbose]\n");
        return 64;
    }
    signal(SIGABRT, on_fatal);
    signal(SIGSEGV, on_fatal);
    if (options.has_seed)
        return try_seed(options.seed, options.is_verbose, true) ? 0 : 1;
    int failures = options.kind != WORLD_PLAIN ? 0 : try_kept_seeds("seeds.txt");
    if (failures < 0) {
        fprintf(stderr, "sternpost-sim: seeds.txt is not here; run it in test/sim\n");
        return 66;
    }
    for (uint64_t i = 0; i < options.count && failures < 5; i++)
        failures += !try_seed(options.first + i, false, (options.first + i) % REPEAT_EVERY == 0);
    printf("%llu seeds, %d failed; %llu envelopes were judged under an enforced policy, %llu connections were the attacker's\n",
           (unsigned long long)options.count, failures, (unsigned long long)sim_seen_count(SIM_SEEN_ENFORCED),
           (unsigned long long)sim_seen_count(SIM_SEEN_ATTACKED));
    printf("%llu reports on the failures of %llu messages\n", (unsigned long long)sim_seen_count(SIM_SEEN_REPORT),
           (unsigned long long)sim_seen_count(SIM_SEEN_REPORTED));
    return failures == 0 && has_judged() ? 0 : 1;
}
