#include "relay/explain_lookup.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/relay.h"

static void step(struct explain_lookup *lookup);
static void on_txt(struct resolve *resolve, const struct resolve_answer *answer);
static void on_fetched(struct fetch *fetch, struct slice body, struct slice failure);

static enum err read_cache(struct explain_lookup *lookup)
{
    struct slice bytes;
    struct queue *queue = lookup->relay->queue;
    enum err err = queue == NULL ? ERR_NOT_FOUND : queue_policy_get(queue, lookup->domain, lookup->arena, &bytes);
    return err == ERR_NONE ? sts_entry_decode(bytes, lookup->arena, &lookup->cached) : err;
}

void explain_lookup_start(struct explain_lookup *lookup)
{
    enum err err = read_cache(lookup);
    struct sts_lookup_request request = {
        .domain = lookup->domain,
        .purpose = STS_LOOKUP_DELIVERY,
        .cached = err == ERR_NONE ? &lookup->cached : NULL,
        .is_damaged = err != ERR_NONE && err != ERR_NOT_FOUND,
        .now_ms = steady_now_ms(&lookup->relay->steady),
        .arena = lookup->arena,
    };
    sts_lookup_start(&lookup->machine, &request);
    step(lookup);
}

void explain_lookup_cancel(struct explain_lookup *lookup)
{
    resolve_cancel(&lookup->txt);
    if (lookup->is_fetching)
        fetch_cancel(&lookup->fetch);
    lookup->is_fetching = false;
}

static struct slice name_of(struct explain_lookup *lookup, const char *prefix)
{
    return text_print(lookup->name, sizeof lookup->name, "%s%.*s", prefix, SLICE_ARGS(lookup->domain));
}

/* The first step is always the TXT record, so that done() cannot come inside the start. */
static void step(struct explain_lookup *lookup)
{
    switch (sts_lookup_next(&lookup->machine)) {
    case STS_LOOKUP_TXT:
        resolve_start(&lookup->txt, RECORD_TXT, name_of(lookup, "_mta-sts."), on_txt);
        break;
    case STS_LOOKUP_HTTPS:
        lookup->is_fetching = true;
        fetch_start(&lookup->fetch, lookup->relay, name_of(lookup, "mta-sts."), on_fetched);
        break;
    case STS_LOOKUP_DONE: {
        struct finding finding = {.result = *sts_lookup_result(&lookup->machine)};
        finding.exempt = sts_entry_is_exempt(&finding.result.entry, steady_latest_ms(&lookup->relay->steady));
        finding.exempt_reason = finding.exempt ? finding.result.entry.exempt_reason : SLICE_EMPTY;
        finding.exempt_level = finding.result.entry.exempt_level;
        lookup->done(lookup, &finding);
        break;
    }
    }
}

static void on_txt(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct explain_lookup *lookup = LIST_OF(resolve, struct explain_lookup, txt);
    enum sts_txt_status status = answer->status == RESOLVE_FOUND            ? STS_TXT_FOUND
                                 : resolve_is_temporary(answer->status) ? STS_TXT_FAILED
                                                                        : STS_TXT_NONE;
    struct slice *texts = arena_array(lookup->arena, answer->count + 1, sizeof *texts);
    for (size_t i = 0; texts != NULL && i < answer->count; i++)
        texts[i] = answer->records[i].text;
    struct slice detail = answer->detail.length > 0 ? answer->detail : slice_of(resolve_status_text(answer->status));
    if (texts == NULL)
        sts_lookup_give_up(&lookup->machine, SLICE("memory ran out when its record came"));
    else
        sts_lookup_txt(&lookup->machine, status, texts, answer->count, detail);
    step(lookup);
}

static void on_fetched(struct fetch *fetch, struct slice body, struct slice failure)
{
    struct explain_lookup *lookup = LIST_OF(fetch, struct explain_lookup, fetch);
    lookup->is_fetching = false;
    if (failure.length == 0)
        sts_lookup_body(&lookup->machine, body);
    else if (fetch->is_starved)
        sts_lookup_give_up(&lookup->machine, SLICE("memory or descriptors ran out while its policy was fetched"));
    else
        sts_lookup_fetch_failed(&lookup->machine, failure);
    step(lookup);
}
