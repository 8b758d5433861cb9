/*
 * A UDP echo as one writes it in C.
 *
 *     datagram blocking|epoll
 *
 * The first waits in recvfrom, and has two system calls for a datagram.  The
 * second waits in epoll, and has two for all that came, up to 64.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    BATCH = 64,
    LARGEST = 65536,
};

static char buffers[BATCH][LARGEST];
static struct sockaddr_in clients[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static void blocking(int fd)
{
    for (;;) {
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        ssize_t got = recvfrom(fd, buffers[0], LARGEST, 0, (struct sockaddr *)&client, &length);

        if (got >= 0)
            sendto(fd, buffers[0], got, 0, (struct sockaddr *)&client, length);
    }
}

static void renew(int count)
{
    for (int i = 0; i < count; i++) {
        parts[i] = (struct iovec){buffers[i], LARGEST};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &clients[i], .msg_namelen = sizeof clients[i],
            .msg_iov = &parts[i], .msg_iovlen = 1,
        };
    }
}

/* Tell whether there may be more. */
static int batch(int fd)
{
    int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);

    if (got <= 0)
        return 0;
    for (int i = 0; i < got; i++)
        parts[i].iov_len = messages[i].msg_len;
    sendmmsg(fd, messages, got, 0);
    renew(got);
    return got == BATCH;
}

static void polling(int fd)
{
    int queue = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};

    epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
    renew(BATCH);
    for (;;)
        if (epoll_wait(queue, &event, 1, -1) > 0)
            while (batch(fd))
                ;
}

int main(int count, char **words)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, length)) {
        perror("bind");
        return 1;
    }
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    (count == 2 && !strcmp(words[1], "epoll") ? polling : blocking)(fd);
}
