#include "relay/cli_text.h"

#include "base/text.h"

struct step_printer {
    struct slice name;
    void (*print)(struct buffer *out, const struct json *step, int64_t now_ms);
};

static void print_local(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_route(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_policy(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_host(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_addresses(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_connect(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_waiting(struct buffer *out, const struct json *step, int64_t now_ms);
static void print_verdict(struct buffer *out, const struct json *step, int64_t now_ms);

static const struct step_printer printers[] = {
    {SLICE_INIT("local"), print_local},     {SLICE_INIT("route"), print_route},
    {SLICE_INIT("policy"), print_policy},   {SLICE_INIT("host"), print_host},
    {SLICE_INIT("addresses"), print_addresses}, {SLICE_INIT("connect"), print_connect},
    {SLICE_INIT("waiting"), print_waiting}, {SLICE_INIT("verdict"), print_verdict},
};

static void add(struct buffer *out, const struct json *step, const char *key)
{
    cli_text_clean(out, json_text(step, key));
}

/* What the word of the configuration stands for. */
static void add_demand(struct buffer *out, const struct json *step)
{
    static const struct {
        struct slice tls;
        const char *text;
    } rows[] = {
        {SLICE_INIT("opportunistic"), "TLS where it is offered"},
        {SLICE_INIT("encrypt"), "TLS with any certificate"},
        {SLICE_INIT("verify"), "TLS with a certificate that proves the host's name"},
        {SLICE_INIT("sts"), "TLS with a certificate that proves the host's name, and the host's MTA-STS policy"},
        {SLICE_INIT("implicit"), "TLS from the first byte, with a certificate that proves the host's name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_equal(json_text(step, "tls"), rows[i].tls))
            buffer_print(out, "%s (tls = %.*s)", rows[i].text, SLICE_ARGS(rows[i].tls));
    }
}

static void add_list(struct buffer *out, const struct json *step, const char *key)
{
    const struct json *list = json_get(step, key);
    for (size_t i = 0; i < json_count(list); i++) {
        buffer_add(out, i > 0 ? SLICE(", ") : SLICE_EMPTY);
        cli_text_clean(out, json_string_text(json_at(list, i)));
    }
}

/* Each step is a line that begins with its name; a trouble follows in a line of its own. */
void cli_text_step(struct buffer *out, const struct json *step, int64_t now_ms)
{
    struct slice name = json_text(step, "step");
    bool is_verdict = slice_equal(name, SLICE("verdict"));
    if (!is_verdict)
        buffer_print(out, "%-11.*s", SLICE_ARGS(name));
    for (size_t i = 0; i < sizeof printers / sizeof printers[0]; i++) {
        if (slice_equal(name, printers[i].name))
            printers[i].print(out, step, now_ms);
    }
    if (!is_verdict && json_text(step, "problem").length > 0) {
        buffer_add(out, SLICE("\n           "));
        add(out, step, "problem");
    }
    buffer_add_byte(out, '\n');
}

static void print_local(struct buffer *out, const struct json *step, int64_t now_ms)
{
    (void)now_ms;
    add(out, step, "address");
    buffer_add(out, SLICE(" is our own"));
    if (json_count(json_get(step, "becomes")) > 0) {
        buffer_add(out, SLICE(" and becomes "));
        add_list(out, step, "becomes");
    }
}

static void print_route(struct buffer *out, const struct json *step, int64_t now_ms)
{
    (void)now_ms;
    struct slice by = json_text(step, "by");
    add(out, step, "address");
    if (slice_equal(by, SLICE("route"))) {
        buffer_add(out, SLICE(" goes by [route \""));
        add(out, step, "pattern");
        buffer_add(out, SLICE("\"] to "));
        add(out, step, "host");
        buffer_print(out, ":%lld", (long long)json_number(step, "port", 0));
    } else if (slice_equal(by, SLICE("mx"))) {
        buffer_add(out, SLICE(" goes to the MX hosts of "));
        add(out, step, "domain");
    } else {
        buffer_add(out, SLICE(" names the address of its host"));
    }
    buffer_add(out, slice_equal(by, SLICE("mx")) ? SLICE("; demanded without a policy: ") : SLICE("; demanded: "));
    add_demand(out, step);
}

static const char *meaning_of(struct slice mode)
{
    if (slice_equal(mode, SLICE("enforce")))
        return "mail goes only to the mail servers that it lists, and only when their certificates prove them";
    if (slice_equal(mode, SLICE("testing")))
        return "mail goes as without a policy; what would have held it is logged";
    return "its domain has withdrawn it; mail goes as without a policy";
}

static void add_policy(struct buffer *out, const struct json *step, int64_t now_ms)
{
    buffer_print(out, "%.*s: %s\n           of ", SLICE_ARGS(json_text(step, "mode")), meaning_of(json_text(step, "mode")));
    add(out, step, "domain");
    buffer_add(out, SLICE(", id "));
    add(out, step, "id");
    buffer_add(out, SLICE(", fetched "));
    cli_text_time(out, step, "fetched", now_ms);
    buffer_add(out, SLICE(", expires "));
    cli_text_time(out, step, "expires", now_ms);
    buffer_add(out, SLICE("; "));
    buffer_add(out, cli_text_source(json_text(step, "source")));
    if (json_count(json_get(step, "mx")) > 0)
        buffer_add(out, SLICE("\n           lists "));
    add_list(out, step, "mx");
}

static void print_policy(struct buffer *out, const struct json *step, int64_t now_ms)
{
    if (json_text(step, "mode").length == 0)
        buffer_add(out, cli_text_source(json_text(step, "source")));
    else
        add_policy(out, step, now_ms);
    if (json_text(step, "why").length > 0) {
        buffer_add(out, SLICE("\n           "));
        add(out, step, "why");
    }
    if (json_text(step, "exempt_until").length > 0) {
        buffer_add(out, SLICE("\n           EXEMPT until "));
        cli_text_time(out, step, "exempt_until", now_ms);
        buffer_add(out, SLICE(" ("));
        add(out, step, "exempt_level");
        buffer_add(out, SLICE("): "));
        add(out, step, "exempt_reason");
    }
}

static void print_host(struct buffer *out, const struct json *step, int64_t now_ms)
{
    (void)now_ms;
    add(out, step, "host");
    int64_t preference = json_number(step, "preference", -1);
    if (json_flag(step, "implicit", false))
        buffer_add(out, SLICE(" (the domain itself, since it has no MX record)"));
    else if (preference >= 0)
        buffer_print(out, " (preference %lld)", (long long)preference);
    if (!json_flag(step, "admitted", true))
        buffer_add(out, SLICE(": NOT ADMITTED by the policy, passed over"));
    else if (json_get(step, "listed") == NULL)
        return;
    else if (json_flag(step, "listed", false))
        buffer_add(out, SLICE(": admitted by the policy"));
    else
        buffer_add(out, SLICE(": not in the policy, which does not demand it"));
}

static void print_addresses(struct buffer *out, const struct json *step, int64_t now_ms)
{
    (void)now_ms;
    add(out, step, "host");
    bool has_any = json_count(json_get(step, "addresses")) > 0;
    buffer_add(out, has_any ? SLICE(": ") : SLICE(": none that may be connected to"));
    add_list(out, step, "addresses");
    int64_t refused = json_number(step, "refused", 0);
    if (refused > 0)
        buffer_print(out, " (%lld not on the open Internet)", (long long)refused);
}

static void add_certificate(struct buffer *out, const struct json *step, int64_t now_ms)
{
    add(out, step, "tls");
    if (json_flag(step, "verified", false)) {
        buffer_add(out, SLICE(", the certificate proves its name until "));
        cli_text_time(out, step, "not_after", now_ms);
    } else if (json_text(step, "problem").length == 0) {
        buffer_add(out, SLICE(", but "));
        add(out, step, "certificate");
    }
    buffer_add(out, SLICE("; "));
}

static void print_connect(struct buffer *out, const struct json *step, int64_t now_ms)
{
    add(out, step, "host");
    buffer_add(out, SLICE("["));
    add(out, step, "address");
    buffer_add(out, SLICE("]: "));
    if (json_text(step, "tls").length > 0)
        add_certificate(out, step, now_ms);
    if (json_flag(step, "plaintext", false))
        buffer_add(out, SLICE("mail goes in PLAINTEXT, since nothing demands TLS; "));
    if (json_count(json_get(step, "extensions")) > 0) {
        buffer_add(out, SLICE("offers "));
        add_list(out, step, "extensions");
    }
    if (json_text(step, "problem").length > 0 && !json_flag(step, "ok", false))
        buffer_add(out, SLICE("FAILED"));
}

static void print_waiting(struct buffer *out, const struct json *step, int64_t now_ms)
{
    buffer_add(out, SLICE("mail for "));
    add(out, step, "destination");
    buffer_add(out, SLICE(" has failed since "));
    cli_text_time(out, step, "failing_since", now_ms);
    buffer_add(out, SLICE(", "));
    cli_text_count(out, (uint64_t)json_number(step, "failures", 0), "attempt", "attempts");
    buffer_add(out, SLICE(" in a row; the next one is due "));
    cli_text_time(out, step, "next_attempt", now_ms);
}

static void print_verdict(struct buffer *out, const struct json *step, int64_t now_ms)
{
    (void)now_ms;
    bool is_bounce = slice_equal(json_text(step, "outcome"), SLICE("bounce"));
    if (json_flag(step, "would_go", false)) {
        buffer_print(out, "Mail %s; demanded%s: ",
                     json_flag(step, "connected", false) ? "can go" : "would go to the first of these hosts that answers",
                     json_flag(step, "by_policy", false) ? " by the domain's policy" : "");
        add_demand(out, step);
        buffer_add_byte(out, '.');
        return;
    }
    buffer_add(out, is_bounce ? SLICE("Mail would bounce") : SLICE("Mail would wait"));
    if (json_text(step, "problem").length > 0)
        buffer_add(out, SLICE(": "));
    add(out, step, "problem");
    buffer_add_byte(out, '.');
    if (json_text(step, "advice").length > 0)
        buffer_add(out, SLICE("\nWhat to do: "));
    add(out, step, "advice");
}

/* ---- test-send ---- */

void cli_text_outcome(struct buffer *out, const struct json *answer)
{
    struct slice status = json_text(answer, "status");
    if (slice_equal(status, SLICE("submitted"))) {
        buffer_add(out, SLICE("Submitted as "));
        add(out, answer, "id");
        buffer_add(out, SLICE(", waiting for its outcome.\n"));
        return;
    }
    add(out, answer, "address");
    buffer_add(out, SLICE(": "));
    add(out, answer, "status");
    if (json_text(answer, "host").length > 0) {
        buffer_add(out, slice_equal(status, SLICE("delivered")) ? SLICE(" to ") : SLICE(" by "));
        add(out, answer, "host");
    }
    if (json_text(answer, "text").length > 0)
        buffer_add(out, SLICE(": "));
    add(out, answer, "text");
    buffer_add_byte(out, '\n');
    if (json_text(answer, "problem").length > 0 && !slice_equal(json_text(answer, "problem"), json_text(answer, "text"))) {
        buffer_add(out, SLICE("  "));
        add(out, answer, "problem");
        buffer_add_byte(out, '\n');
    }
    if (json_text(answer, "advice").length > 0) {
        buffer_add(out, SLICE("  "));
        add(out, answer, "advice");
        buffer_add_byte(out, '\n');
    }
}
