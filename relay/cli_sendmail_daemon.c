/* `sendmail -bd`: start scripts of old call it so. A relay that runs already is what they want; else one is started, in the background
 * with -bd, in the foreground with -bD. */
#include "relay/cli_sendmail.h"

#include "relay/cli_ask.h"
#include "relay/cli_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_INTERVAL_NS 50000000
#define LOOKS_MAX 600 /* half a minute */

static bool is_running(const struct sendmail *sendmail);
static int start_in_background(const struct sendmail *sendmail);
static int serve_apart(const struct sendmail *sendmail);

int sendmail_daemon(struct sendmail *sendmail)
{
    if (is_running(sendmail)) {
        if (sendmail->options.is_verbose)
            cli_say("a relay runs already");
        return SENDMAIL_DONE;
    }
    return sendmail->options.mode == SENDMAIL_SERVE ? cli_serve(&sendmail->cli) : start_in_background(sendmail);
}

/* It answers a question that anybody may ask. */
static bool is_running(const struct sendmail *sendmail)
{
    struct cli_asking asking;
    cli_ask_new(&asking, &sendmail->cli, "queue list");
    json_set_string(asking.request, "older", "1000d");
    asking.config = sendmail->config;
    asking.is_submit = asking.is_optional = asking.is_quiet = true;
    return cli_ask(&asking) == SENDMAIL_DONE;
}

/* Returns when it answers, or has given up. */
static int start_in_background(const struct sendmail *sendmail)
{
    pid_t child = fork();
    if (child == 0)
        _exit(serve_apart(sendmail));
    for (int i = 0; child > 0 && i < LOOKS_MAX; i++) {
        const struct timespec interval = {.tv_nsec = LOOK_INTERVAL_NS};
        int ended;
        if (waitpid(child, &ended, WNOHANG) == child)
            return WIFEXITED(ended) ? WEXITSTATUS(ended) : SENDMAIL_SOFTWARE;
        if (is_running(sendmail))
            return SENDMAIL_DONE;
        (void)nanosleep(&interval, NULL);
    }
    cli_say("the relay could not be started: %s", child < 0 ? strerrordesc_np(errno) : "it does not answer");
    return SENDMAIL_UNAVAILABLE;
}

/* Its log goes on to standard error; its faults at the start must be seen by whoever started it. */
static int serve_apart(const struct sendmail *sendmail)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)setsid();
    if (null < 0 || chdir("/") != 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return SENDMAIL_SOFTWARE;
    return cli_serve(&sendmail->cli);
}
