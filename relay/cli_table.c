#include "relay/cli_commands.h"

const struct cli_command cli_commands[] = {
    {
        .words = "serve",
        .synopsis = "",
        .summary = "Run the relay in the foreground",
        .help = "SIGTERM and SIGINT drain it within [delivery] stop-timeout and end it with status 0; SIGHUP reads the\n"
                "configuration again without dropping a connection. Its log goes to standard error.",
        .run = cli_serve,
    },
    {
        .words = "check-config",
        .synopsis = "",
        .help = "",
        .summary = "Say every fault of the configuration with file and line",
        .run = cli_check_config,
    },
    {
        .words = "version",
        .synopsis = "",
        .help = "",
        .summary = "Print the version",
        .run = cli_version,
    },
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];
