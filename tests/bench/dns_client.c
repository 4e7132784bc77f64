/* A DNS client that asks each question from a port of its own, as resolvers do, and waits for every answer: what it counts is the
 * truth that observers are compared with. One thread, one epoll.
 *
 *   dns_client HOST PORT TOTAL RATE
 *
 * RATE is questions a second, evenly spaced; 0 asks as fast as the answers come. At most 16 wait at a time; when all do, the next
 * one is late, not left out. Prints one line of JSON when the last answer is there.
 */
#include "client.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WINDOW = 16, ANSWER_MAX = 4096, STALL_S = 2 };

/* [id][recursion desired][1 question] www.bench.test A IN      RFC 1035, 4.1 */
static const unsigned char QUESTION[] = "\0\0\1\0\0\1\0\0\0\0\0\0\3www\5bench\4test\0\0\1\0\1";
enum { QUESTION_LEN = sizeof QUESTION - 1 };

int main(int argc, char **argv) {
    if (argc != 5) fail("usage: dns_client HOST PORT TOTAL RATE");
    long long total = atoll(argv[3]);
    double rate = atof(argv[4]);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) fail("HOST is an IPv4 address");
    unsigned char question[QUESTION_LEN], answer[ANSWER_MAX];
    memcpy(question, QUESTION, QUESTION_LEN);

    int ep = epoll_create1(0);
    if (ep < 0) die("epoll_create1");
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    struct { int fd; unsigned id; } asked[WINDOW];
    int idle[WINDOW], idle_count = WINDOW;
    for (int i = 0; i < WINDOW; i++) idle[i] = i;

    long long sent = 0, answered = 0, refused = 0, bytes = 0, late_ns = 0;
    long long start = now_ns(), last_progress = start;
    double interval = rate > 0 ? 1e9 / rate : 0;
    struct epoll_event events[WINDOW];
    while (answered < total) {
        long long now = now_ns(), due = 0;
        while (sent < total && idle_count > 0) {
            due = start + (long long)((double)sent * interval);
            if (due > now) break;
            if (interval > 0 && now - due > late_ns) late_ns = now - due;
            int which = idle[--idle_count];
            int fd = socket(AF_INET, SOCK_DGRAM, 0);
            if (fd < 0) die("socket");
            if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) die("connect");
            asked[which].fd = fd;
            asked[which].id = (unsigned)sent & 0xFFFF;
            question[0] = (unsigned char)(asked[which].id >> 8);
            question[1] = (unsigned char)asked[which].id;
            if (send(fd, question, QUESTION_LEN, 0) != QUESTION_LEN) die("send");
            struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)which};
            if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
            sent++;
        }
        struct timespec wait = {.tv_sec = STALL_S};
        if (sent < total && idle_count > 0) {
            long long left = due - now_ns();
            if (left < 0) left = 0;
            wait.tv_sec = left / 1000000000LL;
            wait.tv_nsec = left % 1000000000LL;
        }
        int n = epoll_pwait2(ep, events, WINDOW, &wait, NULL);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            int which = (int)events[i].data.u32;
            ssize_t size = recv(asked[which].fd, answer, sizeof answer, 0);
            if (size < 0) die("recv");
            close(asked[which].fd); /* takes it out of the epoll as well */
            idle[idle_count++] = which;
            answered++;
            bytes += size;
            /* Its id, NOERROR, at least one record. */
            if (size < 12 || answer[0] << 8 != (int)(asked[which].id & 0xFF00) || answer[1] != (asked[which].id & 0xFF) || answer[3] & 0xF ||
                !(answer[6] || answer[7]))
                refused++;
            last_progress = now_ns();
        }
        if (sent > answered && now_ns() - last_progress > STALL_S * 1000000000LL) fail("a question had no answer");
    }
    long long end = now_ns();
    printf("{\"requests\": %lld, \"responses\": %lld, \"refused\": %lld, \"bytes\": %lld, \"start_ns\": %lld, \"elapsed_ns\": %lld, \"late_ns\": %lld}\n",
           sent, answered, refused, bytes, start, end - start, late_ns);
    if (refused) fail("answers are not to what was asked");
    return 0;
}
