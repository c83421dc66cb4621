#include "relay/host_uv_loop.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

enum err host_err(int status)
{
    if (status >= 0) {
        return ERR_NONE;
    }
    if (status == UV_EOF) {
        return ERR_END;
    }
    /* On unix a libuv status is a negated errno. */
    return err_from_errno(-status);
}

socklen_t host_address(const struct endpoint *endpoint, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (endpoint->path[0] != '\0') {
        struct sockaddr_un *un = (struct sockaddr_un *)address;
        _Static_assert(sizeof un->sun_path >= sizeof endpoint->path, "a path fits");
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, endpoint->path, strnlen(endpoint->path, sizeof endpoint->path - 1));
        return sizeof *un;
    }
    if (endpoint->ip.family == IP_V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)address;
        in->sin_family = AF_INET;
        in->sin_port = htons(endpoint->port);
        memcpy(&in->sin_addr, endpoint->ip.bytes, 4);
        return sizeof *in;
    }
    if (endpoint->ip.family == IP_V6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(endpoint->port);
        memcpy(&in6->sin6_addr, endpoint->ip.bytes, 16);
        return sizeof *in6;
    }
    return 0;
}

struct endpoint host_endpoint(const struct sockaddr_storage *address, socklen_t length)
{
    struct endpoint endpoint = {0};
    if (address->ss_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        uint8_t bytes[4];
        memcpy(bytes, &in->sin_addr, sizeof bytes);
        endpoint.ip = ip_v4(bytes);
        endpoint.port = ntohs(in->sin_port);
    } else if (address->ss_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        endpoint.ip = ip_v6(in6->sin6_addr.s6_addr);
        endpoint.port = ntohs(in6->sin6_port);
    } else if (address->ss_family == AF_UNIX && length > offsetof(struct sockaddr_un, sun_path)) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)address;
        size_t room = length - offsetof(struct sockaddr_un, sun_path);
        size_t path_length = strnlen(un->sun_path, room < sizeof endpoint.path - 1 ? room : sizeof endpoint.path - 1);
        memcpy(endpoint.path, un->sun_path, path_length);
    }
    return endpoint;
}

struct endpoint host_socket_local(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        return (struct endpoint){0};
    }
    return host_endpoint(&address, length);
}

struct endpoint host_socket_peer(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0) {
        return (struct endpoint){0};
    }
    return host_endpoint(&address, length);
}
