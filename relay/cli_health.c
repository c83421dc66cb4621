/* `health` and `metrics`: what probes and monitors ask. */
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"

/* Silent, and 1 whatever the matter is: a probe knows yes and no. */
int cli_health(const struct cli *cli)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "health");
    asking.is_quiet = true;
    return cli_ask(&asking) == CLI_DONE ? CLI_DONE : CLI_NO;
}

static void put_text(void *owner, const struct json *answer)
{
    (void)owner;
    cli_put(json_text(answer, "text"));
}

int cli_metrics(const struct cli *cli)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "metrics");
    asking.answer = put_text;
    return cli_ask(&asking);
}
