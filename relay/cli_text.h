/* What the commands print for people. Pure: from values to text, the present time given. */
#ifndef RELAY_CLI_TEXT_H
#define RELAY_CLI_TEXT_H

#include "base/json.h"
#include "relay/cli.h"

/* Text from elsewhere without what would command a terminal: controls but newline and tab become '?'; UTF-8 stays. */
void cli_text_clean(struct buffer *out, struct slice text);
/* "2026-11-24T03:05:22Z (in 4m)" or "(4m ago)" from a member with an ISO time; nothing when it is absent. */
void cli_text_time(struct buffer *out, const struct json *answer, const char *key, int64_t now_ms);
/* How a policy was found, in words: "confirmed by its TXT record" for "cached". */
struct slice cli_text_source(struct slice source);
/* "1.2K" */
void cli_text_size(struct buffer *out, uint64_t bytes);
/* "1 message", "2 messages" */
void cli_text_count(struct buffer *out, uint64_t count, const char *one, const char *many);

/* A message of `queue list` and its recipients; the same of `queue show`. */
void cli_text_listed(struct buffer *out, const struct json *message, int64_t now_ms);
/* A row of `queue list --summary`. */
void cli_text_summed(struct buffer *out, const struct json *group, int64_t now_ms);
void cli_text_shown(struct buffer *out, const struct json *message, int64_t now_ms);
/* `queue why`: one entry in words. */
void cli_text_why(struct buffer *out, const struct json *entry, int64_t now_ms);
/* `queue flush` and its like. */
void cli_text_changed(struct buffer *out, const struct json *answer);

/* `policy list`, `policy show` and `refresh`, `policy match` (pattern NULL: none admits the host). */
void cli_text_policy_line(struct buffer *out, const struct json *policy, int64_t now_ms);
void cli_text_policy(struct buffer *out, const struct json *policy, int64_t now_ms);
void cli_text_match(struct buffer *out, const char *host, const char *pattern, bool as_json);

/* `status`. */
void cli_text_status(struct buffer *out, const struct json *status, int64_t now_ms);

/* A step of `explain`; what became of a recipient of `test-send`. */
void cli_text_step(struct buffer *out, const struct json *step, int64_t now_ms);
void cli_text_outcome(struct buffer *out, const struct json *answer);

#endif
