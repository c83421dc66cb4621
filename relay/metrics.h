/* Counters of what happened, printed as OpenMetrics text. Names end in units; labels are bounded (never a domain). */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include "base/buffer.h"

/* name, label text (or ""), help: one X per time series; series of one name stand together. */
#define METRICS_LIST(X)                                                                                                \
    X(accepted, "sternpost_messages_accepted_total", "", "Messages accepted: 250 was answered")                        \
    X(rejected, "sternpost_messages_rejected_total", "", "Messages and recipients rejected at the door")                \
    X(delivered, "sternpost_recipients_delivered_total", "", "Recipients delivered")                                   \
    X(deferred_dns, "sternpost_recipients_deferred_total", "reason=\"dns\"", "Deferrals by reason")                    \
    X(deferred_connect, "sternpost_recipients_deferred_total", "reason=\"connect\"", "")                               \
    X(deferred_tls, "sternpost_recipients_deferred_total", "reason=\"tls\"", "")                                       \
    X(deferred_policy, "sternpost_recipients_deferred_total", "reason=\"policy\"", "")                                 \
    X(deferred_reply, "sternpost_recipients_deferred_total", "reason=\"reply\"", "")                                   \
    X(deferred_internal, "sternpost_recipients_deferred_total", "reason=\"internal\"", "")                             \
    X(bounced, "sternpost_recipients_bounced_total", "", "Recipients failed for good")                                 \
    X(expired, "sternpost_recipients_expired_total", "", "Recipients that waited until [retry] expire")                \
    X(reports, "sternpost_reports_queued_total", "", "Bounces and delay notices queued")                               \
    X(policy_fetched, "sternpost_policy_fetches_total", "result=\"fetched\"", "Policy fetches over HTTPS by result")   \
    X(policy_failed, "sternpost_policy_fetches_total", "result=\"failed\"", "")                                        \
    X(policy_invalid, "sternpost_policy_fetches_total", "result=\"invalid\"", "")                                      \
    X(policy_kept, "sternpost_policy_kept_total", "", "Times a cached policy was kept although its confirmation failed") \
    X(policy_changed, "sternpost_policy_changed_total", "", "Policies replaced by another")                            \
    X(policy_weakened, "sternpost_policy_weakened_total", "", "Policies that went from enforce to testing or none")    \
    X(policy_record_gone, "sternpost_policy_record_gone_total", "", "Live policies whose TXT record was gone")         \
    X(policy_refresh_failed, "sternpost_policy_refresh_failed_total", "", "Background refreshes that failed")          \
    X(policy_would_defer, "sternpost_policy_would_defer_total", "", "Deliveries that an enforced policy would have deferred") \
    X(policy_exempted, "sternpost_policy_exempted_total", "", "Deliveries under an administrator's exemption")         \
    X(policy_floor, "sternpost_policy_floor_total", "", "Deliveries bound by an expired policy ([sts] expired-floor)") \
    X(policy_corrupt, "sternpost_policy_corrupt_total", "", "Cache entries that were damaged and looked up afresh")    \
    X(handshake_verified, "sternpost_tls_handshakes_total", "result=\"verified\"", "Outbound TLS handshakes by result") \
    X(handshake_unverified, "sternpost_tls_handshakes_total", "result=\"unverified\"", "")                             \
    X(handshake_failed, "sternpost_tls_handshakes_total", "result=\"failed\"", "")                                     \
    X(plaintext, "sternpost_plaintext_transactions_total", "", "Transactions without TLS, where nothing demanded it")  \
    X(commits, "sternpost_journal_commits_total", "", "Transactions committed")                                        \
    X(commit_writes, "sternpost_journal_writes_total", "", "Writes in those transactions (their quotient: batch size)") \
    X(commit_us, "sternpost_journal_commit_microseconds_total", "", "Time spent in commits")                           \
    X(commit_failed, "sternpost_journal_commits_failed_total", "", "Transactions that failed")                         \
    X(connections_in, "sternpost_connections_accepted_total", "", "Connections accepted")                              \
    X(connections_out, "sternpost_connections_opened_total", "", "Connections opened to deliver")

struct metrics {
#define X(name, series, label, help) uint64_t name;
    METRICS_LIST(X)
#undef X
};
/* Values that are read when asked for. */
struct metrics_gauges {
    uint64_t queue_messages, queue_bytes, queue_entries;
    int64_t oldest_age_ms;
    uint64_t policies[3]; /* by enum sts_mode */
    uint64_t connections_in, connections_out;
    bool ready;
};
void metrics_print(const struct metrics *metrics, const struct metrics_gauges *gauges, struct buffer *out);

#endif
