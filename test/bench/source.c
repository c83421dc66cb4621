/* The near end of the benchmark: clients that hand over one message after the other, each waiting for every reply as
 * ordinary programs do.
 *     sternpost-source ADDRESS PORT MESSAGES [CLIENTS [BYTES [DOMAINS [PER-CONNECTION]]]]
 * Message i has the number i in a field X-Bench and goes to user@d(i mod DOMAINS).bench.example; PER-CONNECTION of 0
 * keeps connections for all of them. Prints when the first command was sent and when the last 250 after END came. Any
 * other reply ends the program with it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define MESSAGE_MAX (64 * 1024 * 1024)

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_END, STEP_QUIT };

struct client {
    int fd;
    enum step step; /* whose reply is awaited */
    uint64_t number, sent_here;
    size_t in_used, out_length, out_sent;
    bool writes;
    char in[4096], *out;
};

static struct sockaddr_in peer;
static struct client clients[CLIENTS_MAX];
static uint64_t message_count, next_number, done_count, domain_count = 10, per_connection;
static size_t message_size = 4096;
static int epoll;

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* ---- what is said */

static void say(struct client *client, const char *text)
{
    client->out_sent = 0;
    client->out_length = strlen(text);
    memcpy(client->out, text, client->out_length);
}

static void say_message(struct client *client)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog, and again over the dog..\r\n";
    int length = snprintf(client->out, 1024,
                          "From: Source <source@source.example>\r\nTo: user@d%llu.bench.example\r\n"
                          "Subject: message %llu\r\nDate: Tue, 01 Jul 2025 12:00:00 +0000\r\n"
                          "Message-ID: <%llu.%d@source.example>\r\nX-Bench: %llu\r\n\r\n",
                          (unsigned long long)(client->number % domain_count), (unsigned long long)client->number,
                          (unsigned long long)client->number, (int)getpid(), (unsigned long long)client->number);
    size_t used = (size_t)length;
    while (used + sizeof line + 5 <= message_size) {
        memcpy(client->out + used, line, sizeof line - 1);
        used += sizeof line - 1;
    }
    memcpy(client->out + used, ".\r\n", 3);
    client->out_sent = 0;
    client->out_length = used + 3;
}

static void open_client(struct client *client);

/* After a message or the greeting: the next message, else the end. */
static void go_on(struct client *client)
{
    if (next_number == message_count || (per_connection > 0 && client->sent_here == per_connection)) {
        say(client, "QUIT\r\n");
        client->step = STEP_QUIT;
        return;
    }
    client->number = next_number++;
    client->sent_here++;
    say(client, "MAIL FROM:<source@source.example>\r\n");
    client->step = STEP_MAIL;
}

static void recipient(struct client *client)
{
    char text[128];
    snprintf(text, sizeof text, "RCPT TO:<user@d%llu.bench.example>\r\n",
             (unsigned long long)(client->number % domain_count));
    say(client, text);
    client->step = STEP_RCPT;
}

static void answer(struct client *client, const char *reply)
{
    static const char wanted[] = {'2', '2', '2', '2', '3', '2', '2'};
    if (reply[0] != wanted[client->step]) {
        fprintf(stderr, "message %llu, step %d: %s\n", (unsigned long long)client->number, (int)client->step, reply);
        exit(EXIT_FAILURE);
    }
    switch (client->step) {
        case STEP_GREETING:
            say(client, "EHLO source.example\r\n");
            client->step = STEP_EHLO;
            break;
        case STEP_EHLO:
            go_on(client);
            break;
        case STEP_MAIL:
            recipient(client);
            break;
        case STEP_RCPT:
            say(client, "DATA\r\n");
            client->step = STEP_DATA;
            break;
        case STEP_DATA:
            say_message(client);
            client->step = STEP_END;
            break;
        case STEP_END:
            done_count++;
            go_on(client);
            break;
        case STEP_QUIT:
            close(client->fd);
            if (next_number < message_count) {
                open_client(client);
            }
            break;
    }
}

/* ---- bytes */

static void watch(struct client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (client->writes ? EPOLLOUT : 0), .data.ptr = client};
    if (epoll_ctl(epoll, operation, client->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void send_rest(struct client *client)
{
    while (client->out_sent < client->out_length) {
        ssize_t sent =
            send(client->fd, client->out + client->out_sent, client->out_length - client->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            die("send");
        }
        if (sent < 0) {
            break;
        }
        client->out_sent += (size_t)sent;
    }
    bool writes = client->out_sent < client->out_length;
    if (writes != client->writes) {
        client->writes = writes;
        watch(client, EPOLL_CTL_MOD);
    }
}

/* The last line of a reply, or NULL when there is more to come. */
static char *whole_reply(struct client *client)
{
    char *line = client->in, *end;
    client->in[client->in_used] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        if (end - line >= 4 && line[3] != '-') {
            *end = '\0';
            client->in_used = 0;
            return line;
        }
        line = end + 1;
    }
    return NULL;
}

static void receive(struct client *client)
{
    ssize_t got = read(client->fd, client->in + client->in_used, sizeof client->in - 1 - client->in_used);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        fprintf(stderr, "step %d: the connection ended\n", (int)client->step);
        exit(EXIT_FAILURE);
    }
    client->in_used += (size_t)got;
    char *reply = whole_reply(client);
    if (reply != NULL) {
        bool ends = client->step == STEP_QUIT;
        answer(client, reply);
        if (!ends) {
            send_rest(client);
        }
    }
}

static void open_client(struct client *client)
{
    int on = 1;
    char *out = client->out;
    *client = (struct client){.step = STEP_GREETING, .out = out};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&peer, sizeof peer) != 0) {
        die("connect");
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(client, EPOLL_CTL_ADD);
}

static unsigned long long number_of(const char *text, unsigned long long minimum, unsigned long long maximum)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (*end != '\0' || number < minimum || number > maximum) {
        fprintf(stderr, "%s is no number from %llu to %llu\n", text, minimum, maximum);
        exit(64);
    }
    return number;
}

static void run(void)
{
    struct epoll_event events[64];
    double first_s = now_s();
    while (done_count < message_count) {
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                send_rest(client);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) {
                receive(client);
            }
        }
    }
    printf("messages=%llu first=%.6f last=%.6f\n", (unsigned long long)done_count, first_s, now_s());
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 8) {
        fprintf(stderr, "usage: sternpost-source ADDRESS PORT MESSAGES [CLIENTS [BYTES [DOMAINS [PER-CONNECTION]]]]\n");
        return 64;
    }
    peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number_of(argv[2], 1, 65535))};
    if (inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1) {
        fprintf(stderr, "%s is no IPv4 address\n", argv[1]);
        return 64;
    }
    message_count = number_of(argv[3], 1, 100000000);
    unsigned long long client_count = argc > 4 ? number_of(argv[4], 1, CLIENTS_MAX) : 20;
    message_size = argc > 5 ? number_of(argv[5], 512, MESSAGE_MAX) : message_size;
    domain_count = argc > 6 ? number_of(argv[6], 1, 1000000) : domain_count;
    per_connection = argc > 7 ? number_of(argv[7], 0, 100000000) : 0;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned long long i = 0; i < client_count; i++) {
        clients[i].out = malloc(message_size + 1024);
        if (clients[i].out == NULL) {
            die("memory");
        }
        open_client(&clients[i]);
    }
    run();
    return EXIT_SUCCESS;
}
