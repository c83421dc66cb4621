/* What happened, counted, and how it is printed for collectors. Names end in units; labels are bounded (never a
 * domain). */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include "base/buffer.h"

/* name, label text (or ""), help: one X per counter; series of one name stand together. */
#define METRICS_LIST(X)                                                                                                \
    X(accepted, "sternpost_messages_accepted_total", "", "Messages accepted: 250 was answered")                        \
    X(rejected, "sternpost_messages_rejected_total", "", "Messages and recipients rejected at the door")               \
    X(logins, "sternpost_logins_total", "result=\"succeeded\"", "AUTH of clients by result")                             \
    X(logins_failed, "sternpost_logins_total", "result=\"failed\"", "")                                                \
    X(logins_put_off, "sternpost_logins_total", "result=\"put_off\"", "")                                              \
    X(sessions_ended_for_room, "sternpost_sessions_ended_for_room_total", "", "Sessions ended because all places were taken") \
    X(delivered, "sternpost_recipients_delivered_total", "", "Recipients delivered")                                   \
    X(routes_paused, "sternpost_routes_paused_total", "", "Times a route was paused because its smart host refused our credentials") \
    X(reports, "sternpost_reports_queued_total", "", "Bounces and delay notices queued")                               \
    X(policy_fetched, "sternpost_policy_fetches_total", "result=\"fetched\"", "Policy fetches over HTTPS by result")   \
    X(policy_failed, "sternpost_policy_fetches_total", "result=\"failed\"", "")                                        \
    X(policy_invalid, "sternpost_policy_fetches_total", "result=\"invalid\"", "")                                      \
    X(policy_kept, "sternpost_policy_kept_total", "",                                                                  \
      "Times a cached policy was kept although its confirmation failed")                                               \
    X(policy_unavailable, "sternpost_policy_unavailable_total", "", "Lookups that cannot tell whether a policy applies, none being known") \
    X(policy_crowded, "sternpost_policy_crowded_total", "",                                                            \
      "Lookups that ended early to make way, too many being under way")                                                \
    X(policy_changed, "sternpost_policy_changed_total", "", "Policies replaced by another")                            \
    X(policy_weakened, "sternpost_policy_weakened_total", "", "Policies that went from enforce to testing or none")    \
    X(policy_record_gone, "sternpost_policy_record_gone_total", "", "Live policies whose TXT record was gone")         \
    X(policy_refresh_failed, "sternpost_policy_refresh_failed_total", "", "Background refreshes that failed")          \
    X(policy_expiring, "sternpost_policy_expiring_total", "",                                                          \
      "Of them, with less than half of an enforced policy's time left")                                                \
    X(policy_overdue, "sternpost_policy_refresh_overdue_total", "", "Enforced policies in use that were not refreshed in time") \
    X(policy_lapsed, "sternpost_policy_lapsed_total", "", "Enforced policies in use that expired without a successor") \
    X(policy_forgotten, "sternpost_policy_forgotten_total", "",                                                        \
      "Cache entries forgotten to make room ([sts] cache-max)")                                                        \
    X(policy_would_defer, "sternpost_policy_would_defer_total", "",                                                    \
      "Deliveries that an enforced policy would have deferred")                                                        \
    X(policy_exempted, "sternpost_policy_exempted_total", "", "Deliveries under an administrator's exemption")         \
    X(policy_floor, "sternpost_policy_floor_total", "", "Deliveries bound by an expired policy ([sts] expired-floor)") \
    X(policy_corrupt, "sternpost_policy_corrupt_total", "", "Cache entries that were damaged and looked up afresh")    \
    X(handshake_verified, "sternpost_tls_handshakes_total", "result=\"verified\"",                                     \
      "Outbound TLS handshakes by result")                                                                             \
    X(handshake_unverified, "sternpost_tls_handshakes_total", "result=\"unverified\"", "")                             \
    X(handshake_failed, "sternpost_tls_handshakes_total", "result=\"failed\"", "")                                     \
    X(plaintext, "sternpost_plaintext_transactions_total", "", "Transactions without TLS, where nothing demanded it")  \
    X(commit_failed, "sternpost_journal_commits_failed_total", "", "Transactions of the queue that failed")            \
    X(connections_in, "sternpost_connections_accepted_total", "", "Connections accepted")                              \
    X(passed_over, "sternpost_addresses_passed_over_total", "", "Times an address was not tried because it was known to be dead") \
    X(dns_mismatched, "sternpost_dns_mismatched_total", "",                                                            \
      "Questions to a name server that were asked over TCP since answers over UDP did not match them")                 \
    X(connections_out, "sternpost_connections_opened_total", "", "Connections opened to deliver")

/* The words of verdict.h: why mail fails or waits. */
#define METRICS_REASON_LIST(X) X(dns) X(connect) X(tls) X(policy) X(reply) X(credentials) X(internal)
enum metrics_reason {
#define X(name) METRICS_REASON_##name,
    METRICS_REASON_LIST(X)
#undef X
        METRICS_REASON_COUNT,
};
/* name, series, help: counters with one series a reason. */
#define METRICS_BY_REASON_LIST(X)                                                                                      \
    X(deferred, "sternpost_recipients_deferred_total", "Deferrals by reason")                                          \
    X(bounced, "sternpost_recipients_bounced_total", "Recipients failed for good, by reason")                          \
    X(expired, "sternpost_recipients_expired_total",                                                                   \
      "Recipients that waited until [retry] expire, by reason of the last attempt")

/* Why a client was refused, or sent away; the first ones are those of the machine (smtp/server.h). */
#define METRICS_REFUSAL_LIST(X)                                                                                        \
    X(syntax) X(order) X(address) X(size) X(content) X(early) X(login) X(recipients) X(http) X(errors) X(memory)       \
    X(connections) X(room) X(proxy) X(tls) X(relaying) X(queue) X(user) X(alias) X(loop) X(disk) X(time) X(revoked) X(stop)
enum metrics_refusal {
#define X(name) METRICS_REFUSAL_##name,
    METRICS_REFUSAL_LIST(X)
#undef X
        METRICS_REFUSAL_COUNT,
};
const char *metrics_refusal_word(enum metrics_refusal refusal);

#define METRICS_BUCKETS_MAX 12
/* Values are whole numbers of a small unit, and printed in a larger one. */
struct metrics_histogram {
    uint64_t counts[METRICS_BUCKETS_MAX + 1]; /* of the buckets of its table; the last: above them all */
    uint64_t sum;
};
/* name, series, values in a printed unit, help. The bounds stand in metrics.c. */
#define METRICS_HISTOGRAM_LIST(X)                                                                                      \
    X(delay_ms, "sternpost_delivery_delay_seconds", 1000, "Time from acceptance to delivery of a recipient")           \
    X(batch, "sternpost_journal_batch_size", 1, "Writes in a committed transaction of the queue")                      \
    X(commit_us, "sternpost_journal_commit_seconds", 1000000, "Duration of a transaction of the queue, begin to commit")

struct metrics {
#define X(name, series, label, help) uint64_t name;
    METRICS_LIST(X)
#undef X
#define X(name, series, help) uint64_t name[METRICS_REASON_COUNT];
    METRICS_BY_REASON_LIST(X)
#undef X
    uint64_t refusals[METRICS_REFUSAL_COUNT];
#define X(name, series, unit, help) struct metrics_histogram name;
    METRICS_HISTOGRAM_LIST(X)
#undef X
};
enum metrics_histogram_kind {
#define X(name, series, unit, help) METRICS_HISTOGRAM_##name,
    METRICS_HISTOGRAM_LIST(X)
#undef X
};
/* The series of a reason; a word that is none of the list counts as internal. */
uint64_t *metrics_of_reason(uint64_t counters[METRICS_REASON_COUNT], struct slice reason);
uint64_t metrics_count(const struct metrics_histogram *histogram); /* how many values there were */
/* A value below 0 (a clock that stepped back) counts as 0. */
void metrics_observe(struct metrics *metrics, enum metrics_histogram_kind kind, int64_t value);

/* Values that are read when asked for. */
struct metrics_gauges {
    uint64_t queue_messages, queue_bytes, queue_entries;
    int64_t oldest_age_ms;
    int64_t clock_leap_ms; /* of the wall clock; negative: back */
    uint64_t policies[3]; /* by enum sts_mode */
    uint64_t policies_failing, policies_overdue, policy_cache_bytes;
    uint64_t connections_in, connections_out;
    int64_t started_ms; /* wall clock */
    bool ready;
};
/* The two differ in how the family of a counter is named, and at the end. */
enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };
void metrics_print(const struct metrics *metrics, const struct metrics_gauges *gauges, enum metrics_format format,
                   struct buffer *out);

#endif
