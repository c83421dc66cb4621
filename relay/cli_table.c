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
        .synopsis = "[--show]",
        .help = "Says which files it read. As root it reads them, and the certificates, keys and users that they name, as the user whom the\n"
                "relay becomes: what that user may not read is a fault. Exit status 0 valid, 78 not. Needs no relay. With --show a valid\n"
                "configuration is printed as one file, defaults and all.",
        .options = 1u << CLI_OPTION_SHOW,
        .summary = "Say every fault of the configuration with file and line",
        .run = cli_check_config,
    },
    {
        .words = "queue list",
        .synopsis = FILTER_TEXT " [--done] [--limit NUMBER] [--summary]",
        .summary = "List what waits, or with --done what has ended in the last days",
        .help = "STATUS is deferred (tried, to be tried again), held, active (being delivered now) or waiting (never tried); with --done\n"
                "delivered, failed, expired or deleted. What waits is listed oldest first, what has ended latest first, each with the\n"
                "time of its end. --summary counts by destination, status and reason, the largest first.",
        .options = FILTER | 1u << CLI_OPTION_DONE | 1u << CLI_OPTION_LIMIT | 1u << CLI_OPTION_SUMMARY,
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
        .words = "explain",
        .synopsis = "ADDRESS",
        .summary = "Say what would happen to mail for an address, step by step",
        .help = "Route, MX hosts, policy and what it says of each host. With --connect each host that is admitted is asked too, up to\n"
                "STARTTLS and its certificate; no mail is sent. Exit status 0 when mail could go to one host at least. Uses the\n"
                "relay's cache; without a running relay it says so and looks up afresh. --from: for routes by sender.",
        .options = 1u << CLI_OPTION_CONNECT | 1u << CLI_OPTION_FROM,
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_explain,
    },
    {
        .words = "test-send",
        .synopsis = "ADDRESS",
        .summary = "Send a test message and wait for what becomes of it",
        .help = "Exit status 0 only when it was delivered. One that would have to wait is withdrawn. --from: its sender; without it\n"
                "[bounce] postmaster, else postmaster at the relay's name.",
        .options = 1u << CLI_OPTION_FROM,
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_test_send,
    },
    {
        .words = "policy list",
        .synopsis = "",
        .summary = "List the policies that the relay keeps",
        .help = "",
        .run = cli_policy_list,
    },
    {
        .words = "policy show",
        .synopsis = "DOMAIN",
        .summary = "Show what is known of a domain's policy",
        .help = "",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_policy_show,
    },
    {
        .words = "policy refresh",
        .synopsis = "DOMAIN",
        .summary = "Fetch a domain's policy again, whether its id has changed or not",
        .help = "Exit status 1 when there is none, or it cannot be fetched; a policy in force is kept then. Mail that waited for the\n"
                "policy of before is tried at once where another has come.",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_policy_refresh,
    },
    {
        .words = "policy forget",
        .synopsis = "DOMAIN",
        .summary = "Forget what is known of a domain's policy",
        .help = "The next message for it looks it up afresh. Whoever can forge DNS answers can then have none found. An exemption is\n"
                "forgotten too. Mail that waited for it is tried at once.",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_policy_forget,
    },
    {
        .words = "policy exempt",
        .synopsis = "DOMAIN --until DATE --reason TEXT [--level LEVEL]",
        .summary = "Send mail for a domain without regard to its policy for a while",
        .help = "Each use is logged; it ends by itself, or at once with --until now. A date is the start of that day in UTC; a time may\n"
                "follow, as in 2026-12-01T18:00:00Z. Mail still goes over TLS to an MX host that proves its name, but to any: for a\n"
                "policy that names other hosts than DNS. --level encrypt takes any certificate, also that of whoever is on the way;\n"
                "--level plain sends in plaintext where no TLS is offered, as if there were no policy. Mail that waits is tried at once.",
        .options = 1u << CLI_OPTION_UNTIL | 1u << CLI_OPTION_REASON | 1u << CLI_OPTION_LEVEL,
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_policy_exempt,
    },
    {
        .words = "policy lint",
        .synopsis = "[FILE | -]",
        .summary = "Judge a policy: exit status 0 valid, 1 not",
        .help = "Prints one JSON object: valid, mode, mx, max_age, warnings and, when it is not valid, error. Needs no relay.",
        .arguments_max = 1,
        .run = cli_policy_lint,
    },
    {
        .words = "policy lint-record",
        .synopsis = "TXT...",
        .summary = "Judge the TXT records of _mta-sts.DOMAIN, an argument each",
        .help = "Prints one JSON object: valid, id, warnings and, when not exactly one of them is a record, error. Needs no relay.",
        .arguments_max = CLI_WORDS_MAX,
        .run = cli_policy_lint_record,
    },
    {
        .words = "policy match",
        .synopsis = "HOST PATTERN...",
        .summary = "Does one of the mx patterns admit the host: exit status 0 yes, 1 no",
        .help = "",
        .arguments_min = 1,
        .arguments_max = CLI_WORDS_MAX,
        .run = cli_policy_match,
    },
    {
        .words = "passwd",
        .synopsis = "NAME",
        .summary = "Make a line for the file of [access] users-file",
        .help = "Asks for the password twice, or reads it as one line from standard input where that is no terminal, and prints\n"
                "NAME:HASH. The hash is PBKDF2 with HMAC-SHA-256: the password cannot be read from it. Needs no relay.",
        .arguments_min = 1,
        .arguments_max = 1,
        .run = cli_passwd,
    },
    {
        .words = "dkim keygen",
        .synopsis = "DOMAIN SELECTOR [--out FILE]",
        .summary = "Make a key for [dkim \"DOMAIN\"], and its record for DNS",
        .help = "Prints the private key (RSA, 2048 bits, PEM) and behind it the TXT record that DNS must have, in the form of a\n"
                "zone file. The whole can be the file of the key: what stands behind the key is passed over. --out makes that\n"
                "file, readable by nobody else until you say so, and prints only the record. Needs no relay.",
        .options = 1u << CLI_OPTION_OUT,
        .arguments_min = 2,
        .arguments_max = 2,
        .run = cli_dkim_keygen,
    },
    {
        .words = "health",
        .synopsis = "",
        .summary = "Does the relay run: exit status 0 yes, 1 no; without a word",
        .help = "With --ready: can it take mail and find out where it goes? For container health checks and probes.",
        .options = 1u << CLI_OPTION_READY,
        .run = cli_health,
    },
    {
        .words = "status",
        .synopsis = "",
        .summary = "Say what the relay is doing: since when, the queue, sessions, deliveries, policies, paused routes",
        .help = "Exit status 0 when it runs and is ready, 1 when it is not ready, 69 when it does not run.",
        .run = cli_status,
    },
    {
        .words = "reload",
        .synopsis = "",
        .summary = "Have the relay read its configuration, certificates, users, aliases and keys again",
        .help = "As SIGHUP does, without dropping a connection; the faults and warnings are told here too. Exit status 78 with faults:\n"
                "nothing was changed then.",
        .run = cli_reload,
    },
    {
        .words = "metrics",
        .synopsis = "",
        .summary = "Print the relay's counters as Prometheus text",
        .help = "",
        .run = cli_metrics,
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
