/* Asks the resolver in a test, and keeps what came of it. Each test has one name server, a second if it opens one. */
#ifndef TEST_UNIT_ASK_H
#define TEST_UNIT_ASK_H

#include "test/unit/dns_script.h"
#include "test/unit/loop.h"

#define ATTEMPT_MS 300
#define TOTAL_MS 1200

/* A lookup and what came of it, copied, since an answer lives only during the call. */
struct asked {
    struct resolve resolve;
    size_t calls;
    enum resolve_status status;
    bool secure;
    uint32_t ttl_s;
    size_t count, dropped;
    char canonical[256], detail[256], first[6000]; /* first: the first record, as text */
    struct asked *cancels;                         /* in done() */
    const char *then;                              /* another lookup that done() starts with the same struct */
};

static struct dns_server one, two;
static size_t news_count[3], change_count[3]; /* by enum resolver_news: what the resolver told of its servers */
static size_t done_count;

static inline void print_record(const struct resolve_answer *answer, enum record_kind kind, char *out, size_t size)
{
    char ip[48];
    const struct resolve_record *record = &answer->records[0];
    struct slice text = kind == RECORD_MX     ? record->name
                        : kind == RECORD_TXT  ? record->text
                        : kind == RECORD_TLSA ? record->data
                                              : ip_print(&record->ip, ip);
    snprintf(out, size, "%.*s", SLICE_ARGS(text));
}

static enum record_kind kind_asked;
static inline void ask(struct asked *asked, enum record_kind kind, const char *name);

static inline void done(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct asked *asked = LIST_OF(resolve, struct asked, resolve);
    done_count++;
    asked->calls++;
    asked->status = answer->status;
    asked->secure = answer->secure;
    asked->ttl_s = answer->ttl_s;
    asked->count = answer->count;
    asked->dropped = answer->dropped;
    snprintf(asked->canonical, sizeof asked->canonical, "%.*s", SLICE_ARGS(answer->canonical));
    snprintf(asked->detail, sizeof asked->detail, "%.*s", SLICE_ARGS(answer->detail));
    assert_true((answer->count > 0) == (answer->status == RESOLVE_FOUND));
    assert_true((answer->detail.length > 0) ==
                (resolve_is_temporary(answer->status) || (answer->canonical.length == 0)));
    if (answer->count > 0) {
        print_record(answer, kind_asked, asked->first, sizeof asked->first);
    }
    if (asked->cancels != NULL) {
        resolve_cancel(&asked->cancels->resolve);
    }
    const char *then = asked->then;
    asked->then = NULL;
    if (then != NULL) {
        ask(asked, kind_asked, then);
    }
}

static inline void ask(struct asked *asked, enum record_kind kind, const char *name)
{
    size_t before = done_count;
    kind_asked = kind;
    resolve_start(&asked->resolve, kind, slice_of(name), done);
    assert_int_equal(done_count, before); /* never within the call */
}

static inline struct asked ask_and_wait(enum record_kind kind, const char *name)
{
    struct asked asked = {0};
    size_t before = done_count;
    ask(&asked, kind, name);
    loop_until(name, &done_count, before + 1);
    check_number(name, asked.calls, 1);
    assert_null(asked.resolve.host);
    return asked;
}

static inline void told(void *owner, const struct resolver_event *event)
{
    assert_ptr_equal(owner, &one);
    assert_true(event->server->port == one.endpoint.port || event->server->port == two.endpoint.port);
    news_count[event->news]++;
    change_count[event->news] += event->is_change ? 1 : 0;
}

static inline void use(const struct endpoint *servers, size_t count)
{
    const struct resolver_options options = {.servers = servers,
                                             .server_count = count,
                                             .attempt_timeout_ms = ATTEMPT_MS,
                                             .total_timeout_ms = TOTAL_MS,
                                             .told = told,
                                             .owner = &one};
    memset(news_count, 0, sizeof news_count);
    memset(change_count, 0, sizeof change_count);
    assert_int_equal(resolver_open(&options), ERR_NONE);
    check_number("servers", resolver_server_count(), count);
}

static inline void use_both(void)
{
    const struct endpoint servers[] = {one.endpoint, two.endpoint};
    use(servers, COUNT_OF(servers));
}

static inline int set_up(void **state)
{
    (void)state;
    done_count = 0;
    loop_open();
    dns_server_open(&one, dns_script, "127.0.0.1", true);
    use(&one.endpoint, 1);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    resolver_close();
    loop_close();
    dns_server_close(&one);
    return 0;
}

#endif
