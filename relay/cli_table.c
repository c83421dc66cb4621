#include "relay/cli_commands.h"

#define FILTER                                                                                                         \
    (1u << CLI_OPTION_TO | 1u << CLI_OPTION_FROM | 1u << CLI_OPTION_OLDER | 1u << CLI_OPTION_STATUS)
#define FILTER_TEXT "[--to DOMAIN] [--from ADDRESS] [--older TIME] [--status STATUS]"

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
        .words = "queue list",
        .synopsis = FILTER_TEXT,
        .summary = "List what waits, or with --done what has ended in the last days",
        .help = "STATUS is deferred (tried, to be tried again), held, active (being delivered now) or waiting (never tried).",
        .options = FILTER | 1u << CLI_OPTION_DONE,
        .run = cli_queue_list,
    },
    {
        .words = "queue show",
        .synopsis = "ID",
        .summary = "Show a message's envelope, recipients and header",
        .help = "",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_queue_show,
    },
    {
        .words = "queue why",
        .synopsis = "ID",
        .summary = "Say in words why a message waits and what can be done",
        .help = "",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_queue_why,
    },
    {
        .words = "queue flush",
        .synopsis = "[ID | FILTER]",
        .summary = "Try messages now, without an id or a filter all of them",
        .help = "The back-off of their destinations is forgotten. What is held stays held. FILTER: " FILTER_TEXT,
        .options = FILTER | 1u << CLI_OPTION_ALL,
        .arguments_max = 1,
        .run = cli_queue_flush,
    },
    {
        .words = "queue hold",
        .synopsis = "ID | FILTER | --all",
        .summary = "Keep messages from being tried until they are released",
        .help = "Recipients of one message in the same domain are held together. FILTER: " FILTER_TEXT,
        .options = FILTER | 1u << CLI_OPTION_ALL,
        .arguments_max = 1,
        .run = cli_queue_hold,
    },
    {
        .words = "queue release",
        .synopsis = "ID | FILTER | --all",
        .summary = "Let held messages go; they are due at once",
        .help = "FILTER: " FILTER_TEXT,
        .options = FILTER | 1u << CLI_OPTION_ALL,
        .arguments_max = 1,
        .run = cli_queue_release,
    },
    {
        .words = "queue delete",
        .synopsis = "ID | FILTER | --all",
        .summary = "Delete messages for good; nobody is told",
        .help = "With --to only recipients that it names are deleted. A message that is being delivered right now may arrive all the\n"
                "same. FILTER: " FILTER_TEXT,
        .options = FILTER | 1u << CLI_OPTION_ALL,
        .arguments_max = 1,
        .run = cli_queue_delete,
    },
    {
        .words = "queue export",
        .synopsis = "ID",
        .summary = "Write a message to standard output",
        .help = "",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_queue_export,
    },
    {
        .words = "queue check",
        .synopsis = "",
        .summary = "Verify every record of the queue, whether the relay runs or not",
        .help = "Reads only. Exit status 1 with faults.",
        .run = cli_queue_check,
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
