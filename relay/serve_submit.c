#include "relay/serve_submit.h"
#include "relay/serve_say.h"

#include "base/text.h"
#include "relay/control.h"
#include "relay/drop.h"
#include "relay/drop_files.h"
#include "relay/relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_CANNOT_CREATE 73
#define FAULT_MAX 8192

static void make_drop(struct slice path, const struct system_identity *identity);
static int judge(struct relay *relay, const char *key, bool is_configured, const struct buffer *fault);

void serve_submit_prepare(const struct config *config, const struct system_identity *identity)
{
    if (config->submit_socket.length > 0)
        system_make_parent(config->submit_socket, 0755, identity);
    if (config->drop_path.length > 0)
        make_drop(config->drop_path, identity);
}

/* One that is there already is left to drop_open(), which looks at it as the user it is for. Failures show there too. It appears with
 * its mode: a sendmail that finds it closed would give up. */
static void make_drop(struct slice path, const struct system_identity *identity)
{
    struct stat status;
    char name[4096];
    char hidden[4096 + 8];
    text_print(name, sizeof name, "%.*s", SLICE_ARGS(path));
    snprintf(hidden, sizeof hidden, "%s.new", name);
    if (path.length >= sizeof name || lstat(name, &status) == 0 || mkdir(hidden, 0700) != 0)
        return;
    int directory = open(hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_made = directory >= 0 && (!identity->changes || fchown(directory, identity->uid, identity->gid) == 0) &&
                   fchmod(directory, DROP_MODE) == 0 && renameat2(AT_FDCWD, hidden, AT_FDCWD, name, RENAME_NOREPLACE) == 0;
    if (!is_made)
        (void)rmdir(hidden);
    if (directory >= 0)
        close(directory);
}

int serve_submit_open(struct relay *relay)
{
    const struct config *config = relay->config;
    struct buffer fault;
    int status = 0;
    buffer_init(&fault, FAULT_MAX);
    if (config->submit_socket.length > 0 && control_open_submit(relay->control, &fault) != ERR_NONE)
        status = judge(relay, "[submit] socket", config->submit_given, &fault);
    buffer_clear(&fault);
    if (status == 0 && config->drop_path.length > 0 && drop_open(relay->drop, &fault) != ERR_NONE)
        status = judge(relay, "[submit] drop", config->drop_given, &fault);
    buffer_free(&fault);
    return status;
}

static int judge(struct relay *relay, const char *key, bool is_configured, const struct buffer *fault)
{
    struct log_line line;
    if (is_configured) {
        serve_say(relay->log, "%s: %.*s", key, SLICE_ARGS(buffer_slice(fault)));
        return EXIT_CANNOT_CREATE;
    }
    if (log_open(&line, relay->log, LOG_WARNING, "submit")) {
        log_string(&line, "key", key);
        log_text(&line, "problem", buffer_slice(fault));
        log_string(&line, "advice", "sendmail cannot use it; make it, or set the key to a place that the relay may write to");
        log_close(&line);
    }
    return 0;
}
