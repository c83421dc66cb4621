/* `status` and `reload`. */
#include "relay/cli_ask.h"
#include "relay/cli_commands.h"
#include "relay/cli_text.h"

#include "base/clock.h"

#define TEXT_MAX (1u << 20)

static void put_status(void *owner, const struct json *answer)
{
    struct buffer text;
    (void)owner;
    buffer_init(&text, TEXT_MAX);
    cli_text_status(&text, answer, clock_wall_ms());
    cli_put(buffer_slice(&text));
    buffer_free(&text);
}

int cli_status(const struct cli *cli)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "status");
    asking.answer = put_status;
    return cli_ask(&asking);
}

int cli_reload(const struct cli *cli)
{
    struct cli_asking asking;
    cli_ask_new(&asking, cli, "reload");
    int status = cli_ask(&asking);
    if (status == CLI_DONE && !cli_has(cli, CLI_OPTION_JSON))
        cli_put(SLICE("The configuration is reloaded.\n"));
    return status;
}
