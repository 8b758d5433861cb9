/* A TCP echo as one writes it in C: epoll, read, write. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    char *rest;         /* what did not go out at once */
    size_t length;
};

static int queue;
static char buffer[1 << 18];    /* as much as asyncio and uvloop read */

static void watch(struct peer *peer, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};

    if (epoll_ctl(queue, how, peer->fd, &event) < 0) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void drop(struct peer *peer)
{
    close(peer->fd);
    free(peer->rest);
    free(peer);
}

/* Read no more until the rest is out. */
static void keep(struct peer *peer, const char *rest, size_t length)
{
    char *copy = malloc(length);

    memcpy(copy, rest, length);
    free(peer->rest);
    peer->rest = copy;
    peer->length = length;
    watch(peer, EPOLL_CTL_MOD, EPOLLOUT);
}

static void echo(struct peer *peer)
{
    ssize_t got = read(peer->fd, buffer, sizeof buffer), sent;

    if (got <= 0) {
        drop(peer);
        return;
    }
    sent = send(peer->fd, buffer, got, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
        sent = 0;
    if (sent < 0)
        drop(peer);
    else if (sent < got)
        keep(peer, buffer + sent, got - sent);
}

static void resume(struct peer *peer)
{
    ssize_t sent = send(peer->fd, peer->rest, peer->length, MSG_NOSIGNAL);

    if (sent < 0) {
        drop(peer);
    } else if ((size_t)sent < peer->length) {
        keep(peer, peer->rest + sent, peer->length - sent);
    } else {
        free(peer->rest);
        peer->rest = NULL;
        watch(peer, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void welcome(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    struct peer *peer;

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer = calloc(1, sizeof *peer);
    peer->fd = fd;
    watch(peer, EPOLL_CTL_ADD, EPOLLIN);
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    struct peer listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    struct epoll_event events[256];

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener.fd, (struct sockaddr *)&address, length) || listen(listener.fd, SOMAXCONN)) {
        perror("listen");
        return 1;
    }
    getsockname(listener.fd, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    queue = epoll_create1(0);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(queue, events, 256, -1);

        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;

            if (peer == &listener)
                welcome(listener.fd);
            else if (peer->rest)
                resume(peer);
            else
                echo(peer);
        }
    }
}
