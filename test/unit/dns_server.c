#include "test/unit/dns_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t address_of(const struct endpoint *endpoint, struct sockaddr_storage *address);
static int bind_socket(struct dns_server *server, int type);
static void *run(void *argument);
static void serve_udp(struct dns_server *server);
static void serve_tcp(struct dns_server *server);
static bool read_all(int fd, char *bytes, size_t length);
static const struct dns_entry *entry_of(struct dns_server *server, struct slice packet, struct dns_query *query);
static bool say(bool answers, struct dns_message *message);
static void send_udp(struct dns_server *server, struct dns_message *message, const struct sockaddr_storage *peer,
                     socklen_t peer_length);
static bool read_query(struct slice packet, struct dns_query *query);
static void need(bool holds, const char *what);

void dns_server_open(struct dns_server *server, const struct dns_entry *script, const char *address, bool has_tcp)
{
    *server = (struct dns_server){.script = script, .has_tcp = has_tcp, .tcp = -1};
    need(ip_parse(slice_of(address), &server->endpoint.ip), "address");
    server->udp = bind_socket(server, SOCK_DGRAM);
    /* The port that UDP has got may be another's in TCP. */
    while (has_tcp && (server->tcp = bind_socket(server, SOCK_STREAM)) < 0) {
        close(server->udp);
        server->endpoint.port = 0;
        server->udp = bind_socket(server, SOCK_DGRAM);
    }
    need(!has_tcp || listen(server->tcp, 50) == 0, "listen");
    need(pipe(server->stop) == 0, "pipe");
    need(pthread_create(&server->thread, NULL, run, server) == 0, "thread");
}

void dns_server_close(struct dns_server *server)
{
    need(write(server->stop[1], "", 1) == 1, "stop");
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->stop[1]);
    close(server->udp);
    if (server->tcp >= 0) {
        close(server->tcp);
    }
}

void dns_answer(const struct dns_query *query, struct dns_message *message, unsigned flags)
{
    dns_begin(message, query->id, DNS_QR | DNS_RD | DNS_RA | flags);
    dns_question(message, query->asked, query->type);
}

void dns_answer_lowered(const struct dns_query *query, struct dns_message *message, unsigned flags)
{
    dns_begin(message, query->id, DNS_QR | DNS_RD | DNS_RA | flags);
    dns_question(message, query->name, query->type);
}

static socklen_t address_of(const struct endpoint *endpoint, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (endpoint->ip.family == IP_V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)address;
        in->sin_family = AF_INET;
        in->sin_port = htons(endpoint->port);
        memcpy(&in->sin_addr, endpoint->ip.bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(endpoint->port);
    memcpy(&in6->sin6_addr, endpoint->ip.bytes, 16);
    return sizeof *in6;
}

static int bind_socket(struct dns_server *server, int type)
{
    struct sockaddr_storage address;
    socklen_t length = address_of(&server->endpoint, &address);
    int fd = socket(address.ss_family, type | SOCK_CLOEXEC, 0);
    need(fd >= 0, "socket");
    if (bind(fd, (struct sockaddr *)&address, length) != 0) {
        close(fd);
        return -1;
    }
    need(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
    server->endpoint.port = ntohs(((struct sockaddr_in *)&address)->sin_port); /* at the same place in both families */
    return fd;
}

static void *run(void *argument)
{
    struct dns_server *server = argument;
    struct pollfd polls[3] = {{.fd = server->stop[0], .events = POLLIN},
                              {.fd = server->udp, .events = POLLIN},
                              {.fd = server->tcp, .events = POLLIN}};
    while (polls[0].revents == 0) {
        need(poll(polls, 3, -1) > 0 || errno == EINTR, "poll");
        if (polls[1].revents != 0) {
            serve_udp(server);
        }
        if (polls[2].revents != 0) {
            serve_tcp(server);
        }
    }
    return NULL;
}

static void serve_udp(struct dns_server *server)
{
    char bytes[4096];
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    ssize_t length = recvfrom(server->udp, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&peer, &peer_length);
    if (length < 0) {
        return;
    }
    struct dns_query query = {.source_port = ntohs(((struct sockaddr_in *)&peer)->sin_port)};
    struct dns_message message = {0};
    query.count = ++server->udp_count;
    const struct dns_entry *entry = entry_of(server, slice_make(bytes, (size_t)length), &query);
    for (size_t i = 0; entry != NULL && entry->forge != NULL && say(entry->forge(&query, &message, i), &message); i++) {
        send_udp(server, &message, &peer, peer_length);
    }
    buffer_free(&message.bytes); /* of the forger's that was not sent */
    if (entry != NULL && say(entry->answer(&query, &message), &message)) {
        send_udp(server, &message, &peer, peer_length);
    }
    buffer_free(&message.bytes);
}

static void send_udp(struct dns_server *server, struct dns_message *message, const struct sockaddr_storage *peer,
                     socklen_t peer_length)
{
    struct slice packet = buffer_slice(&message->bytes);
    sendto(server->udp, packet.data, packet.length, 0, (const struct sockaddr *)peer, peer_length);
    buffer_free(&message->bytes);
}

/* The answer goes out byte by byte at first, so that its parts come one by one. */
static void serve_tcp(struct dns_server *server)
{
    char head[2], bytes[4096];
    struct dns_query query = {.is_tcp = true};
    struct dns_message message = {0};
    int fd = accept(server->tcp, NULL, NULL);
    need(fd >= 0, "accept");
    query.count = ++server->tcp_count;
    if (read_all(fd, head, sizeof head)) {
        size_t length = (size_t)((unsigned char)head[0] << 8 | (unsigned char)head[1]);
        need(length <= sizeof bytes && read_all(fd, bytes, length), "query");
        const struct dns_entry *entry = entry_of(server, slice_make(bytes, length), &query);
        if (entry != NULL && say(entry->answer(&query, &message), &message)) {
            struct slice packet = buffer_slice(&message.bytes);
            char size[2] = {(char)(packet.length >> 8), (char)packet.length};
            send(fd, size, 1, MSG_NOSIGNAL);
            usleep(1000);
            send(fd, size + 1, 1, MSG_NOSIGNAL);
            usleep(1000);
            send(fd, packet.data, packet.length / 2, MSG_NOSIGNAL);
            usleep(1000);
            packet = slice_from(packet, packet.length / 2);
            send(fd, packet.data, packet.length, MSG_NOSIGNAL);
        }
    }
    close(fd);
    buffer_free(&message.bytes);
}

static bool read_all(int fd, char *bytes, size_t length)
{
    return recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static const struct dns_entry *entry_of(struct dns_server *server, struct slice packet, struct dns_query *query)
{
    need(read_query(packet, query), "query");
    server->edns_count += query->has_edns ? 1 : 0;
    if (!query->is_tcp && query->count <= COUNT_OF(server->ports)) {
        server->ports[query->count - 1] = query->source_port;
        server->ids[query->count - 1] = query->id;
    }
    for (const struct dns_entry *entry = server->script; entry->name != NULL; entry++) {
        if (slice_ends(slice_of(query->name), slice_of(entry->name))) {
            return entry;
        }
    }
    return NULL;
}

static bool say(bool answers, struct dns_message *message)
{
    if (answers && buffer_length(&message->bytes) >= 12) {
        dns_bytes(message);
    }
    return answers;
}

static bool read_query(struct slice packet, struct dns_query *query)
{
    struct reader reader = reader_of(packet);
    query->id = reader_u16(&reader);
    query->flags = reader_u16(&reader);
    reader_u16(&reader);
    reader_u32(&reader);
    unsigned additional = reader_u16(&reader);
    size_t length = 0;
    for (unsigned label = reader_u8(&reader); label > 0 && !reader.failed; label = reader_u8(&reader)) {
        struct slice bytes = reader_bytes(&reader, label);
        if (length > 0) {
            query->asked[length++] = '.';
        }
        memcpy(query->asked + length, bytes.data, bytes.length);
        length += bytes.length;
    }
    for (size_t i = 0; i < length; i++) {
        query->name[i] = byte_lower(query->asked[i]);
    }
    query->type = reader_u16(&reader);
    reader_u16(&reader);
    query->has_edns = additional == 1;
    if (query->has_edns) {
        reader_u8(&reader);
        reader_u16(&reader);
        query->udp_size = reader_u16(&reader);
        query->has_do = (reader_u32(&reader) & 0x8000) != 0;
        reader_u16(&reader);
    }
    return reader_done(&reader);
}

/* cmocka's own checks may be used on its own thread only. */
static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "dns_server: %s: error %d\n", what, errno);
        abort();
    }
}
