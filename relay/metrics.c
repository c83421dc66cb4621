#include "relay/metrics.h"

#include <string.h>

struct series {
    const char *name, *label, *help;
    size_t offset;
};
static const struct series table[] = {
#define X(name, series, label, help) {series, label, help, offsetof(struct metrics, name)},
    METRICS_LIST(X)
#undef X
};

static void print_gauge(struct buffer *out, const char *name, const char *help, uint64_t value);
static void print_policies(struct buffer *out, const struct metrics_gauges *gauges);

static uint64_t value_of(const struct metrics *metrics, const struct series *series)
{
    uint64_t value;
    memcpy(&value, (const char *)metrics + series->offset, sizeof value);
    return value;
}

/* In OpenMetrics the family of a counter is named without its "_total". */
static int family_length(const char *name)
{
    size_t length = strlen(name);
    return (int)(slice_ends(slice_of(name), SLICE("_total")) ? length - 6 : length);
}

void metrics_print(const struct metrics *metrics, const struct metrics_gauges *gauges, struct buffer *out)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct series *series = &table[i];
        if (i == 0 || strcmp(table[i - 1].name, series->name) != 0) {
            int length = family_length(series->name);
            buffer_print(out, "# HELP %.*s %s.\n", length, series->name, series->help);
            buffer_print(out, "# TYPE %.*s counter\n", length, series->name);
        }
        buffer_print(out, "%s%s%s%s %llu\n", series->name, series->label[0] == '\0' ? "" : "{", series->label,
                     series->label[0] == '\0' ? "" : "}", (unsigned long long)value_of(metrics, series));
    }
    print_gauge(out, "sternpost_queue_messages", "Messages in the queue", gauges->queue_messages);
    print_gauge(out, "sternpost_queue_bytes", "Bytes of content in the queue", gauges->queue_bytes);
    print_gauge(out, "sternpost_queue_entries", "Entries (message and destination) that wait", gauges->queue_entries);
    print_gauge(out, "sternpost_queue_oldest_age_seconds", "Age of the oldest message", (uint64_t)(gauges->oldest_age_ms / 1000));
    print_gauge(out, "sternpost_sessions_in", "Inbound sessions now", gauges->connections_in);
    print_gauge(out, "sternpost_deliveries", "Deliveries now", gauges->connections_out);
    print_gauge(out, "sternpost_ready", "1 when mail can be taken and delivered", gauges->ready ? 1 : 0);
    print_policies(out, gauges);
    buffer_add(out, SLICE("# EOF\n"));
}

static void print_gauge(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    buffer_print(out, "# HELP %s %s.\n# TYPE %s gauge\n%s %llu\n", name, help, name, name, (unsigned long long)value);
}

static void print_policies(struct buffer *out, const struct metrics_gauges *gauges)
{
    static const char *const modes[] = {"none", "testing", "enforce"};
    buffer_add(out, SLICE("# HELP sternpost_policies Live policies in the cache by mode.\n# TYPE sternpost_policies gauge\n"));
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        buffer_print(out, "sternpost_policies{mode=\"%s\"} %llu\n", modes[i], (unsigned long long)gauges->policies[i]);
}
