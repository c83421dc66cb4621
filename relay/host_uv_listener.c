/* Listeners. libuv takes one connection from the kernel and holds it until uv_accept(), so that a connection that is
 * not accepted here leaves all later ones in the kernel's queue. That is all there is to back-pressure. The sockets are
 * made here and not by libuv, which cuts long unix paths and reports a port in use only later. */
#include "relay/host_uv_loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

enum listening_state {
    LISTENING_IDLE,     /* no connection is held */
    LISTENING_OFFERED,  /* incoming() is running */
    LISTENING_DECLINED, /* the owner did not accept; waits for listener_resume() */
    LISTENING_RESUMED,  /* will be offered again in the next turn */
    LISTENING_HELD,     /* too many connections are open; waits until one is closed */
    LISTENING_CLOSED,
};

struct listening {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct list_node node; /* in held */
    struct host_deferred again;
    struct listener *owner;
    enum listening_state state;
    struct endpoint local;
    dev_t device; /* of the unix socket's file that was made here, */
    ino_t inode;  /* to remove no other at the end; 0: none was made */
};

static struct list held = {.head = {&held.head, &held.head}};

static enum err open_socket(const struct listener_options *options, int *fd);
static enum err bind_socket(int fd, const struct listener_options *options);
static enum err bind_unix(int fd, const struct listener_options *options);
static bool is_abandoned(const struct sockaddr_storage *address, socklen_t length);
static int adopt(struct listening *listening, int fd, int domain);
static int stream_socket_domain(int fd);
static void note_place(struct listening *listening, int fd, bool made_file);
static void remove_file(const struct listening *listening);
static void offer(struct listening *listening);
static void offer_again(struct host_deferred *deferred);
static void on_connection(uv_stream_t *uv, int status);
static void on_closed(uv_handle_t *handle);

enum err listener_open(struct listener *listener, const struct listener_options *options)
{
    assert(listener->incoming != NULL);
    assert(listener->host == NULL);
    int fd = options->fd;
    enum err err = fd >= 0 ? ERR_NONE : open_socket(options, &fd);
    if (err != ERR_NONE) {
        return err;
    }
    int domain = stream_socket_domain(fd);
    if (domain == AF_UNSPEC) {
        close(fd);
        return ERR_UNSUPPORTED;
    }
    struct listening *listening = host_allocate(sizeof *listening);
    listening->owner = listener;
    listener->host = listening;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* one that came from outside may lack it */
    int status = adopt(listening, fd, domain);
    if (status == 0) {
        note_place(listening, fd, options->fd < 0);
        status = uv_listen(&listening->uv.stream, BACKLOG, on_connection);
    }
    if (status != 0) {
        listener_close(listener);
    }
    return host_err(status);
}

enum err stream_accept(struct listener *listener, struct stream *stream)
{
    assert(listener->host != NULL);
    struct listening *listening = listener->host;
    if (listening->state == LISTENING_IDLE) {
        return ERR_NOT_FOUND;
    }
    host_defer_cancel(&listening->again);
    if (list_has(&listening->node)) {
        list_remove(&held, &listening->node);
    }
    listening->state = LISTENING_IDLE;
    return host_stream_adopt(stream, &listening->uv.stream);
}

void listener_resume(struct listener *listener)
{
    struct listening *listening = listener->host;
    if (listening == NULL) {
        return;
    }
    if (listening->state == LISTENING_DECLINED || listening->state == LISTENING_OFFERED) {
        listening->state = LISTENING_RESUMED;
        host_defer(&listening->again, offer_again);
    }
}

void listener_close(struct listener *listener)
{
    struct listening *listening = listener->host;
    if (listening == NULL) {
        return;
    }
    listener->host = NULL;
    listening->owner = NULL;
    listening->state = LISTENING_CLOSED;
    host_defer_cancel(&listening->again);
    if (list_has(&listening->node)) {
        list_remove(&held, &listening->node);
    }
    remove_file(listening);
    uv_close(&listening->uv.handle, on_closed);
}

struct endpoint listener_local(const struct listener *listener)
{
    assert(listener->host != NULL);
    const struct listening *listening = listener->host;
    return listening->local;
}

void host_listeners_wake(void)
{
    struct list_node *node = list_first(&held);
    if (node == NULL || host_connection_count() >= host_connection_max()) {
        return;
    }
    struct listening *listening = LIST_OF(node, struct listening, node);
    list_remove(&held, node);
    listening->state = LISTENING_RESUMED;
    host_defer(&listening->again, offer_again);
}

static enum err open_socket(const struct listener_options *options, int *fd)
{
    bool is_unix = options->endpoint.path[0] != '\0';
    if (!is_unix && options->endpoint.ip.family == IP_NONE) {
        return ERR_SYNTAX;
    }
    int domain = is_unix ? AF_UNIX : options->endpoint.ip.family == IP_V6 ? AF_INET6 : AF_INET;
    *fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        return err_from_errno(errno);
    }
    enum err err = is_unix ? bind_unix(*fd, options) : bind_socket(*fd, options);
    if (err == ERR_NONE && listen(*fd, BACKLOG) != 0) {
        err = err_from_errno(errno);
    }
    if (err != ERR_NONE) {
        close(*fd);
        *fd = -1;
    }
    return err;
}

static enum err bind_socket(int fd, const struct listener_options *options)
{
    struct sockaddr_storage address;
    socklen_t length = host_address(&options->endpoint, &address);
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return err_from_errno(errno);
    }
    /* [::] and 0.0.0.0 are two listeners, whatever the machine's default. */
    if (address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
        return err_from_errno(errno);
    }
    return bind(fd, (const struct sockaddr *)&address, length) == 0 ? ERR_NONE : err_from_errno(errno);
}

/* The mode is set before there is a file, so that at no time it is open to more users than wanted. The umask may have
 * taken bits away; giving them afterwards harms nobody. */
static enum err bind_unix(int fd, const struct listener_options *options)
{
    struct sockaddr_storage address;
    socklen_t length = host_address(&options->endpoint, &address);
    if (fchmod(fd, options->mode & 0777) != 0) {
        return err_from_errno(errno);
    }
    int status = bind(fd, (const struct sockaddr *)&address, length);
    if (status != 0 && errno == EADDRINUSE) {
        if (!is_abandoned(&address, length)) {
            return ERR_IN_USE;
        }
        if (unlink(options->endpoint.path) != 0 && errno != ENOENT) {
            return err_from_errno(errno);
        }
        status = bind(fd, (const struct sockaddr *)&address, length);
    }
    if (status != 0) {
        return err_from_errno(errno);
    }
    return chmod(options->endpoint.path, options->mode & 0777) == 0 ? ERR_NONE : err_from_errno(errno);
}

/* A socket's file that a process left behind: nobody listens there any more. */
static bool is_abandoned(const struct sockaddr_storage *address, socklen_t length)
{
    struct stat status;
    const struct sockaddr_un *un = (const struct sockaddr_un *)address;
    if (lstat(un->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    bool refused = connect(fd, (const struct sockaddr *)address, length) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Makes a libuv handle of the socket; from here on listener_close() is what closes it. */
static int adopt(struct listening *listening, int fd, int domain)
{
    int status;
    if (domain == AF_UNIX) {
        status = uv_pipe_init(host_loop(), &listening->uv.pipe, 0);
        assert(status == 0);
        status = uv_pipe_open(&listening->uv.pipe, fd);
    } else {
        status = uv_tcp_init(host_loop(), &listening->uv.tcp);
        assert(status == 0);
        status = uv_tcp_open(&listening->uv.tcp, fd);
    }
    listening->uv.handle.data = listening;
    if (status != 0) {
        close(fd);
    }
    return status;
}

/* The family of a stream socket that libuv can serve; AF_UNSPEC for anything else. */
static int stream_socket_domain(int fd)
{
    int type = 0, domain = AF_UNSPEC;
    socklen_t type_length = sizeof type, domain_length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_length) != 0) {
        return AF_UNSPEC;
    }
    return domain == AF_UNIX || domain == AF_INET || domain == AF_INET6 ? domain : AF_UNSPEC;
}

static void note_place(struct listening *listening, int fd, bool made_file)
{
    struct stat status;
    listening->local = host_socket_local(fd);
    if (made_file && listening->local.path[0] != '\0' && lstat(listening->local.path, &status) == 0) {
        listening->device = status.st_dev;
        listening->inode = status.st_ino;
    }
}

static void remove_file(const struct listening *listening)
{
    struct stat status;
    if (listening->inode != 0 && lstat(listening->local.path, &status) == 0 && status.st_dev == listening->device &&
        status.st_ino == listening->inode) {
        /* Where it cannot be removed any more, the next start finds it abandoned. */
        (void)unlink(listening->local.path);
    }
}

static void offer(struct listening *listening)
{
    if (host_connection_count() >= host_connection_max()) {
        host_connection_shed();
    }
    if (host_connection_count() >= host_connection_max()) {
        listening->state = LISTENING_HELD;
        list_add_last(&held, &listening->node);
        return;
    }
    listening->state = LISTENING_OFFERED;
    listening->owner->incoming(listening->owner);
    if (listening->state == LISTENING_OFFERED) {
        listening->state = LISTENING_DECLINED;
    }
}

static void offer_again(struct host_deferred *deferred)
{
    offer(LIST_OF(deferred, struct listening, again));
}

static void on_connection(uv_stream_t *uv, int status)
{
    struct listening *listening = uv->data;
    if (status == 0) {
        offer(listening);
    }
    /* Otherwise no descriptor was left for it and libuv has dropped it: what host_connection_max() is to prevent. */
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}
