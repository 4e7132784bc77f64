/* A client that sends HTTP/1.1 requests at a fixed rate, evenly spaced, over keep-alive connections, and finishes all of
 * them: what it counts is the truth that observers are compared with. One thread, one epoll, one system call to send and
 * one or two to receive.
 *
 *   client HOST PORT PATH CONNECTIONS RATE TOTAL SECONDS HOLD
 *
 * RATE is requests a second over all connections; 0 sends as fast as the answers come. TOTAL requests are sent, or those of
 * SECONDS where that is not 0, each on a connection that waits for no other answer; when all are busy the request is late,
 * not left out. HOLD 1 keeps the connections open until standard input ends. Prints one line of JSON when the last answer is
 * complete.
 */
#include "client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, STALL_S = 10 };

struct connection {
    int fd;
    int in_body;
    size_t head_len;
    long long body_left;
    char head[HEAD_MAX];
};

/* Reads what has come. 1: the answer is complete, 0: more to come. Bodies are dropped in the kernel, not copied. */
static int receive(struct connection *c, long long *bytes, long long *refused) {
    for (;;) {
        ssize_t n;
        if (!c->in_body) {
            n = recv(c->fd, c->head + c->head_len, HEAD_MAX - 1 - c->head_len, 0);
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
            if (n < 0) die("recv");
            if (n == 0) fail("the server closed a connection");
            *bytes += n;
            c->head_len += (size_t)n;
            c->head[c->head_len] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                if (c->head_len == HEAD_MAX - 1) fail("a response head over 4 KB");
                continue;
            }
            char *length = strcasestr(c->head, "\r\nContent-Length:");
            if (!length || length > end) fail("a response without Content-Length");
            if (c->head_len < 12 || c->head[9] != '2') ++*refused;
            c->body_left = atoll(length + 17) - (long long)(c->head_len - (size_t)(end + 4 - c->head));
            if (c->body_left < 0) fail("more bytes than the response has");
            c->in_body = 1;
        }
        if (c->body_left == 0) {
            c->in_body = 0;
            c->head_len = 0;
            return 1;
        }
        size_t want = c->body_left > (1 << 20) ? (1 << 20) : (size_t)c->body_left;
        n = recv(c->fd, NULL, want, MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
        if (n < 0) die("recv");
        if (n == 0) fail("the server closed a connection");
        *bytes += n;
        c->body_left -= n;
    }
}

int main(int argc, char **argv) {
    if (argc != 9) fail("usage: client HOST PORT PATH CONNECTIONS RATE TOTAL SECONDS HOLD");
    int connections = atoi(argv[4]);
    double rate = atof(argv[5]);
    long long total = atoll(argv[6]);
    long long limit_ns = (long long)(atof(argv[7]) * 1e9);
    int hold = atoi(argv[8]);
    if (limit_ns) total = 1LL << 62;

    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) fail("HOST is an IPv4 address");
    char request[1024];
    int request_len = snprintf(request, sizeof request,
                               "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n", argv[3], argv[1], argv[2]);
    if (request_len >= (int)sizeof request) fail("PATH is too long");

    struct connection *all = calloc((size_t)connections, sizeof *all);
    int *idle = calloc((size_t)connections, sizeof *idle);
    int ep = epoll_create1(0);
    if (!all || !idle || ep < 0) die("start");
    for (int i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0) die("socket");
        if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0) die("connect");
        int on = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        /* Held connections end by reset: 10 000 a time in TIME_WAIT would use up the ports after a few repeats. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (hold) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
    }
    /* The idle connections form a ring, so that they take turns. */
    int idle_first = 0, idle_count = connections;
    for (int i = 0; i < connections; i++) idle[i] = i;
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);

    long long sent = 0, received = 0, refused = 0, bytes = 0, late_ns = 0;
    long long start = now_ns(), last_progress = start;
    double interval = rate > 0 ? 1e9 / rate : 0;
    struct epoll_event events[256];
    while (received < total) {
        long long now = now_ns(), due = 0;
        if (limit_ns && now - start >= limit_ns) total = sent;
        while (sent < total && idle_count > 0) {
            due = start + (long long)((double)sent * interval);
            if (due > now) break;
            if (interval > 0 && now - due > late_ns) late_ns = now - due;
            struct connection *c = &all[idle[idle_first]];
            idle_first = (idle_first + 1) % connections;
            idle_count--;
            ssize_t n = send(c->fd, request, (size_t)request_len, MSG_NOSIGNAL);
            if (n != request_len) die("send");
            sent++;
        }
        struct timespec wait = {.tv_sec = 1};
        if (sent < total && idle_count > 0) {
            long long left = due - now_ns();
            if (left < 0) left = 0;
            wait.tv_sec = left / 1000000000LL;
            wait.tv_nsec = left % 1000000000LL;
        }
        int n = epoll_pwait2(ep, events, 256, &wait, NULL);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            int which = (int)events[i].data.u32;
            struct connection *c = &all[which];
            /* An answer can come only to a connection that asked; EPOLLIN on an idle one is the server's close. */
            if (receive(c, &bytes, &refused)) {
                received++;
                idle[(idle_first + idle_count) % connections] = which;
                idle_count++;
                last_progress = now_ns();
            }
        }
        if (sent > received && now_ns() - last_progress > STALL_S * 1000000000LL) fail("no answer for 10 s");
    }
    long long end = now_ns();
    printf("{\"requests\": %lld, \"responses\": %lld, \"refused\": %lld, \"bytes\": %lld, \"start_ns\": %lld, \"elapsed_ns\": %lld, \"late_ns\": %lld}\n",
           sent, received, refused, bytes, start, end - start, late_ns);
    fflush(stdout);
    char rest[64];
    while (hold && read(0, rest, sizeof rest) > 0) {}
    return 0;
}
