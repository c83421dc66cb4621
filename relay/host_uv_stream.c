/* Streams over libuv. What libuv knows of a stream is a block of its own (struct connection), so that the owner's
 * struct may vanish at any time; the block goes when libuv has closed it. stream_close() only cuts the two apart: the
 * block stays for a while to bring the last bytes out.
 *
 * - CONNECTING: stream_connect() was called; what is written waits.
 * - OPEN: bytes go both ways.
 * - FAILED: an error came; it is reported, or about to be.
 * - FLUSHING: the owner is gone; its last bytes are leaving.
 * - LINGERING: all has left and our side is shut; waits for the peer's side. A socket that is closed with unread bytes
 *   in it sends a reset, and a reset may overtake the last reply.
 * - CLOSED: libuv is closing it. */
#include "base/buffer.h"
#include "relay/host_uv_loop.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BUFFER_SIZE 65536U
#define CLOSE_DEADLINE_MS 5000
/* Bytes taken from a peer that goes on sending to a stream that is closed here. */
#define DISCARD_MAX ((size_t)1 << 20)

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_OPEN,
    CONNECTION_FAILED,
    CONNECTION_FLUSHING,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
};

struct connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct host_deferred settle; /* an error or drained() that has to be told outside of the owner's call */
    struct timer deadline;       /* of FLUSHING and LINGERING */
    struct list_node node;       /* in closing, in these two */
    struct stream *owner;        /* NULL once it has closed */
    enum connection_state state;
    struct buffer writing, waiting; /* what libuv has, and what comes after it */
    struct endpoint peer;
    enum err err;
    size_t discarded;
    bool is_reading; /* the owner wants the peer's bytes */
    bool has_ended;  /* ended() was called, or the peer's end was seen while closing */
    bool owes_drained;
};

static char read_buffer[READ_BUFFER_SIZE]; /* one for all: received() is over before the next read */
static size_t connection_count;
static struct list closing = {.head = {&closing.head, &closing.head}}; /* the oldest first */

static struct connection *connection_of(const struct stream *stream);
static struct connection *connection_new(struct stream *stream);
static int connection_init_handle(struct connection *connection, bool is_unix);
static void connection_close(struct connection *connection);
static void connection_fail(struct connection *connection, enum err err);
static void connection_start(struct connection *connection, const struct endpoint *source);
static int open_bound_socket(const struct endpoint *peer, const struct endpoint *source);
static void use_tcp_options(struct connection *connection);
static bool has_pending(const struct connection *connection);
static uv_buf_t uv_buffer_of(struct slice bytes);
static void write_waiting(struct connection *connection);
static void finish_flush(struct connection *connection);
static void read_start(struct connection *connection);
static void deliver_unread(struct connection *connection);
static void discard(struct connection *connection, ssize_t length);
static struct stream *cut(struct connection *connection);
static void settle(struct host_deferred *deferred);
static void settle_error(struct connection *connection);
static void on_connected(uv_connect_t *request, int status);
static void on_written(uv_write_t *request, int status);
static void on_shut(uv_shutdown_t *request, int status);
static void on_deadline(struct timer *timer);
static void on_buffer_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer);
static void on_read(uv_stream_t *uv, ssize_t length, const uv_buf_t *buffer);
static void on_closed(uv_handle_t *handle);

void stream_connect(struct stream *stream, const struct endpoint *peer, const struct endpoint *source)
{
    assert(stream->connected != NULL);
    assert(stream->received != NULL);
    struct connection *connection = connection_new(stream);
    connection->peer = *peer;
    int status = connection_init_handle(connection, peer->path[0] != '\0');
    assert(status == 0);
    connection_start(connection, source);
}

enum err host_stream_adopt(struct stream *stream, uv_stream_t *server)
{
    struct connection *connection = connection_new(stream);
    int status = connection_init_handle(connection, server->type == UV_NAMED_PIPE);
    assert(status == 0);
    status = uv_accept(server, &connection->uv.stream);
    if (status != 0) {
        cut(connection);
        connection_close(connection);
        return host_err(status);
    }
    connection->state = CONNECTION_OPEN;
    use_tcp_options(connection);
    uv_os_fd_t fd = -1;
    if (uv_fileno(&connection->uv.handle, &fd) == 0) {
        connection->peer = host_socket_peer(fd);
    }
    return ERR_NONE;
}

void stream_read(struct stream *stream, bool on)
{
    struct connection *connection = connection_of(stream);
    connection->is_reading = on;
    if (connection->state != CONNECTION_OPEN || connection->has_ended) {
        return;
    }
    if (on) {
        read_start(connection);
    } else {
        uv_read_stop(&connection->uv.stream);
    }
}

void stream_write(struct stream *stream, struct slice bytes)
{
    struct connection *connection = connection_of(stream);
    connection->owes_drained = true;
    if (connection->state == CONNECTION_OPEN && !has_pending(connection) && bytes.length > 0) {
        uv_buf_t buffer = uv_buffer_of(bytes);
        int written = uv_try_write(&connection->uv.stream, &buffer, 1);
        if (written < 0 && written != UV_EAGAIN) {
            connection_fail(connection, host_err(written));
        }
        bytes = slice_from(bytes, written > 0 ? (size_t)written : 0);
    }
    if (connection->state == CONNECTION_FAILED || bytes.length == 0) {
        host_defer(&connection->settle, settle);
        return;
    }
    buffer_add(&connection->waiting, bytes);
    if (buffer_failed(&connection->waiting)) {
        connection_fail(connection, ERR_MEMORY);
    } else if (connection->state == CONNECTION_OPEN && buffer_length(&connection->writing) == 0) {
        write_waiting(connection);
    }
}

void stream_acknowledge(struct stream *stream)
{
    const struct connection *connection = stream->host;
    uv_os_fd_t fd;
    int on = 1;
    /* No harm where it fails: then the peer waits. */
    if (connection != NULL && connection->uv.handle.type == UV_TCP && uv_fileno(&connection->uv.handle, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
}

size_t stream_pending(const struct stream *stream)
{
    const struct connection *connection = stream->host;
    if (connection == NULL || connection->state == CONNECTION_FAILED) {
        return 0;
    }
    return uv_stream_get_write_queue_size(&connection->uv.stream) + buffer_length(&connection->waiting);
}

void stream_close(struct stream *stream)
{
    struct connection *connection = stream->host;
    if (connection == NULL) {
        return;
    }
    cut(connection);
    host_defer_cancel(&connection->settle);
    bool can_flush = connection->state == CONNECTION_OPEN && (has_pending(connection) || !connection->has_ended);
    if (!can_flush) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_FLUSHING;
    timer_start(&connection->deadline, CLOSE_DEADLINE_MS, on_deadline);
    list_add_last(&closing, &connection->node);
    if (!connection->has_ended) {
        read_start(connection);
    }
    if (connection->state == CONNECTION_FLUSHING && !has_pending(connection)) {
        finish_flush(connection);
    }
}

void stream_abort(struct stream *stream)
{
    struct connection *connection = stream->host;
    if (connection == NULL) {
        return;
    }
    cut(connection);
    connection_close(connection);
}

bool stream_is_open(const struct stream *stream)
{
    const struct connection *connection = stream->host;
    return connection != NULL && connection->state != CONNECTION_FAILED;
}

struct endpoint stream_peer(const struct stream *stream)
{
    return connection_of(stream)->peer;
}

struct endpoint stream_local(const struct stream *stream)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno(&connection_of(stream)->uv.handle, &fd) != 0) {
        return (struct endpoint){0};
    }
    return host_socket_local(fd);
}

int host_stream_fd(const struct stream *stream)
{
    const struct connection *connection = connection_of(stream);
    uv_os_fd_t fd = -1;
    return uv_fileno(&connection->uv.handle, &fd) == 0 ? fd : -1;
}

size_t host_connection_count(void)
{
    return connection_count;
}

/* One that only waits for its peer's end is the first to go. */
void host_connection_shed(void)
{
    struct list_node *node = list_first(&closing);
    while (node != NULL && LIST_OF(node, struct connection, node)->state != CONNECTION_LINGERING) {
        node = list_next(&closing, node);
    }
    node = node == NULL ? list_first(&closing) : node;
    if (node != NULL) {
        connection_close(LIST_OF(node, struct connection, node));
    }
}

static struct connection *connection_of(const struct stream *stream)
{
    assert(stream->host != NULL);
    return stream->host;
}

static struct connection *connection_new(struct stream *stream)
{
    assert(stream->host == NULL);
    struct connection *connection = host_allocate(sizeof *connection);
    connection->owner = stream;
    connection->state = CONNECTION_CONNECTING;
    buffer_init(&connection->writing, SIZE_MAX / 2);
    buffer_init(&connection->waiting, SIZE_MAX / 2);
    stream->host = connection;
    connection_count++;
    return connection;
}

static int connection_init_handle(struct connection *connection, bool is_unix)
{
    int status =
        is_unix ? uv_pipe_init(host_loop(), &connection->uv.pipe, 0) : uv_tcp_init(host_loop(), &connection->uv.tcp);
    connection->uv.handle.data = connection;
    return status;
}

/* Parts the owner from the connection; nothing is told any more. */
static struct stream *cut(struct connection *connection)
{
    struct stream *stream = connection->owner;
    connection->owner = NULL;
    stream->host = NULL;
    return stream;
}

static void connection_close(struct connection *connection)
{
    assert(connection->owner == NULL);
    assert(connection->state != CONNECTION_CLOSED);
    connection->state = CONNECTION_CLOSED;
    timer_cancel(&connection->deadline);
    host_defer_cancel(&connection->settle);
    if (list_has(&connection->node)) {
        list_remove(&closing, &connection->node);
    }
    uv_close(&connection->uv.handle, on_closed);
    connection_count--;
    host_listeners_wake();
}

static void connection_start(struct connection *connection, const struct endpoint *source)
{
    struct sockaddr_storage address;
    if (connection->uv.handle.type == UV_NAMED_PIPE) {
        uv_pipe_connect(&connection->connect, &connection->uv.pipe, connection->peer.path, on_connected);
        return;
    }
    int status = UV_EAFNOSUPPORT;
    if (host_address(&connection->peer, &address) != 0) {
        int fd = open_bound_socket(&connection->peer, source);
        status = fd;
        if (fd >= 0) {
            status = uv_tcp_open(&connection->uv.tcp, fd);
            if (status != 0) {
                close(fd);
            }
        }
    }
    if (status == 0) {
        status =
            uv_tcp_connect(&connection->connect, &connection->uv.tcp, (const struct sockaddr *)&address, on_connected);
    }
    if (status != 0) {
        connection_fail(connection, host_err(status));
    }
}

/* A socket of the peer's family, bound to the source if there is one; a negated errno on failure. */
static int open_bound_socket(const struct endpoint *peer, const struct endpoint *source)
{
    int fd = socket(peer->ip.family == IP_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (source == NULL) {
        return fd;
    }
    struct sockaddr_storage address;
    socklen_t length = host_address(source, &address);
    int on = 1;
    /* The port is chosen at connect(), by the pair of addresses, so that one source serves many peers. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (source->ip.family != peer->ip.family || bind(fd, (const struct sockaddr *)&address, length) != 0) {
        int number = source->ip.family != peer->ip.family ? EADDRNOTAVAIL : errno;
        close(fd);
        return -number;
    }
    return fd;
}

static void use_tcp_options(struct connection *connection)
{
    if (connection->uv.handle.type == UV_TCP) {
        /* Fails only for a connection that is gone already; reading will tell. */
        (void)uv_tcp_nodelay(&connection->uv.tcp, 1);
    }
}

/* The owner is told later: by ended(), or by connected() when there was no connection yet. */
static void connection_fail(struct connection *connection, enum err err)
{
    if (connection->owner == NULL) {
        connection_close(connection);
        return;
    }
    connection->err = err;
    if (connection->state == CONNECTION_OPEN) {
        connection->state = CONNECTION_FAILED;
    }
    host_defer(&connection->settle, settle);
}

static bool has_pending(const struct connection *connection)
{
    return buffer_length(&connection->writing) > 0 || buffer_length(&connection->waiting) > 0;
}

/* uv_buf_t has no const, but what is written is only read. */
static uv_buf_t uv_buffer_of(struct slice bytes)
{
    return (uv_buf_t){.base = (char *)(uintptr_t)bytes.data, .len = bytes.length};
}

static void write_waiting(struct connection *connection)
{
    assert(buffer_length(&connection->writing) == 0);
    struct buffer empty = connection->writing;
    connection->writing = connection->waiting;
    connection->waiting = empty;
    uv_buf_t buffer = uv_buffer_of(buffer_slice(&connection->writing));
    int status = uv_write(&connection->write, &connection->uv.stream, &buffer, 1, on_written);
    if (status != 0) {
        buffer_free(&connection->writing);
        connection_fail(connection, host_err(status));
    }
}

/* All has left: shuts our side, then waits for the peer's. */
static void finish_flush(struct connection *connection)
{
    if (connection->has_ended) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    if (uv_shutdown(&connection->shutdown, &connection->uv.stream, on_shut) != 0) {
        connection_close(connection);
    }
}

static void read_start(struct connection *connection)
{
    int status = uv_read_start(&connection->uv.stream, on_buffer_wanted, on_read);
    if (status != 0 && status != UV_EALREADY) {
        connection_fail(connection, host_err(status));
    }
}

static void settle(struct host_deferred *deferred)
{
    struct connection *connection = LIST_OF(deferred, struct connection, settle);
    struct stream *stream = connection->owner;
    assert(stream != NULL);
    if (connection->err != ERR_NONE && connection->state == CONNECTION_CONNECTING) {
        enum err err = connection->err;
        cut(connection);
        connection_close(connection);
        stream->connected(stream, err);
    } else if (connection->err != ERR_NONE && !connection->has_ended) {
        settle_error(connection);
    } else if (connection->owes_drained && stream_pending(stream) == 0) {
        /* After a failure too: an owner that waits to close, and was told of the end before, must not wait for ever. */
        connection->owes_drained = false;
        stream->drained(stream);
    }
}

/* What the peer said before it broke off, a reply with the reason perhaps, comes first. */
static void settle_error(struct connection *connection)
{
    if (connection->is_reading) {
        deliver_unread(connection);
    }
    if (connection->owner != NULL && !connection->has_ended) {
        connection->has_ended = true;
        uv_read_stop(&connection->uv.stream);
        connection->owner->ended(connection->owner, connection->err);
    }
}

static void deliver_unread(struct connection *connection)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno(&connection->uv.handle, &fd) != 0) {
        return;
    }
    size_t delivered = 0;
    ssize_t length = 1;
    while (length > 0 && delivered < DISCARD_MAX && connection->owner != NULL && connection->is_reading) {
        length = recv(fd, read_buffer, sizeof read_buffer, MSG_DONTWAIT);
        if (length > 0) {
            delivered += (size_t)length;
            connection->owner->received(connection->owner, slice_make(read_buffer, (size_t)length));
        }
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct connection *connection = request->handle->data;
    if (connection->state != CONNECTION_CONNECTING) {
        return;
    }
    struct stream *stream = connection->owner;
    host_defer_cancel(&connection->settle);
    if (status != 0 || connection->err != ERR_NONE) {
        enum err err = status != 0 ? host_err(status) : connection->err;
        cut(connection);
        connection_close(connection);
        stream->connected(stream, err);
        return;
    }
    connection->state = CONNECTION_OPEN;
    use_tcp_options(connection);
    if (buffer_length(&connection->waiting) > 0) {
        write_waiting(connection);
    } else if (connection->owes_drained) {
        host_defer(&connection->settle, settle);
    }
    if (connection->is_reading) {
        read_start(connection);
    }
    stream->connected(stream, ERR_NONE);
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = request->handle->data;
    if (connection->state == CONNECTION_CLOSED) {
        return; /* the buffers go with the connection */
    }
    buffer_free(&connection->writing);
    if (status != 0) {
        connection_fail(connection, host_err(status));
    } else if (connection->state == CONNECTION_FAILED) {
        host_defer(&connection->settle, settle);
    } else if (buffer_length(&connection->waiting) > 0) {
        write_waiting(connection);
    } else if (connection->state == CONNECTION_FLUSHING) {
        finish_flush(connection);
    } else if (connection->owes_drained) {
        connection->owes_drained = false;
        connection->owner->drained(connection->owner);
    }
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct connection *connection = request->handle->data;
    if (status != 0 && connection->state == CONNECTION_LINGERING) {
        connection_close(connection);
    }
}

static void on_deadline(struct timer *timer)
{
    connection_close(LIST_OF(timer, struct connection, deadline));
}

static void on_buffer_wanted(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(read_buffer, READ_BUFFER_SIZE);
}

static void on_read(uv_stream_t *uv, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *connection = uv->data;
    if (length == 0) {
        return; /* nothing there after all */
    }
    if (connection->owner == NULL) {
        discard(connection, length);
        return;
    }
    struct stream *stream = connection->owner;
    if (length > 0) {
        stream->received(stream, slice_make(buffer->base, (size_t)length));
        return;
    }
    uv_read_stop(uv);
    if (length != UV_EOF) {
        connection->state = CONNECTION_FAILED;
        connection->err = host_err((int)length);
    }
    if (!connection->has_ended) {
        connection->has_ended = true;
        stream->ended(stream, host_err((int)length));
    }
}

/* The peer's bytes and its end after the owner has closed. */
static void discard(struct connection *connection, ssize_t length)
{
    if (length > 0) {
        connection->discarded += (size_t)length;
        if (connection->discarded > DISCARD_MAX) {
            connection_close(connection);
        }
        return;
    }
    connection->has_ended = true;
    uv_read_stop(&connection->uv.stream);
    if (length != UV_EOF || connection->state == CONNECTION_LINGERING) {
        connection_close(connection);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    buffer_free(&connection->writing);
    buffer_free(&connection->waiting);
    free(connection);
}
