/* Each connection sends a message, waits for all of it, and sends the next. */

#include "load.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    EVENTS = 512,
    PATIENCE = 10000,   /* milliseconds until no reply is coming */
};

struct stream {
    int fd;
    uint64_t number;    /* of the message */
    const char *text;   /* its bytes */
    size_t sent, got;   /* how many of them */
    double since;
};

static struct stream *all;
static int queue, busy;
static char buffer[1 << 18];

static void push(struct stream *stream)
{
    while (stream->sent < plan.size) {
        ssize_t taken = send(stream->fd, stream->text + stream->sent, plan.size - stream->sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);

        if (taken < 0 && errno == EAGAIN)
            return;
        if (taken < 0)
            fail("cannot send: %s", strerror(errno));
        stream->sent += taken;
    }
}

static void begin(struct stream *stream)
{
    stream->text = text(stream - all, stream->number++);
    stream->sent = stream->got = 0;
    stream->since = now();
    push(stream);
}

static void verify(struct stream *stream, size_t got)
{
    const char *due = stream->text + stream->got;

    if (got > stream->sent - stream->got)
        fail("more bytes than were sent");
    if (!memcmp(buffer, due, got))
        return;
    for (size_t i = 0; i < got; i++)
        if (buffer[i] != due[i])
            fail("wrong byte: 0x%02x instead of 0x%02x, byte %zu of message %llu",
                 buffer[i] & 0xff, due[i] & 0xff, stream->got + i,
                 (unsigned long long)stream->number);
}

/* Read what there is, and tell whether the message is whole. */
static bool pull(struct stream *stream)
{
    while (stream->got < plan.size) {
        ssize_t got = recv(stream->fd, buffer, sizeof buffer, MSG_DONTWAIT);

        if (got < 0 && errno == EAGAIN)
            return false;
        if (got < 0)
            fail("cannot receive: %s", strerror(errno));
        if (got == 0)
            fail("the server closed a connection");
        verify(stream, got);
        stream->got += got;
    }
    return true;
}

static void serve(struct stream *stream, double end)
{
    double time;

    if (!stream->text)
        fail("the server sent or closed unasked");
    push(stream);
    if (!pull(stream))
        return;
    time = now();
    finished(time - stream->since);
    if (time < end) {
        begin(stream);
    } else {
        stream->text = NULL;
        busy--;
    }
}

static void part(double seconds)
{
    struct epoll_event events[EVENTS];
    double end = now() + seconds;

    for (busy = 0; busy < plan.peers; busy++)
        begin(&all[busy]);
    while (busy) {
        int count = epoll_wait(queue, events, EVENTS, PATIENCE);

        if (count == 0)
            fail("no reply for %d s", PATIENCE / 1000);
        for (int i = 0; i < count; i++)
            /* Room to send is of no interest once all is sent. */
            if (events[i].events & ~EPOLLOUT || ((struct stream *)events[i].data.ptr)->text)
                serve(events[i].data.ptr, end);
    }
}

void streams(void)
{
    int *fds = openedMany(plan.peers);

    queue = epoll_create1(EPOLL_CLOEXEC);
    all = calloc(plan.peers, sizeof *all);
    if (queue < 0 || !all)
        fail("no epoll, or no memory");
    for (int i = 0; i < plan.peers; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};

        all[i].fd = fds[i];
        if (epoll_ctl(queue, EPOLL_CTL_ADD, fds[i], &event) < 0)
            fail("epoll: %s", strerror(errno));
    }
    measured(part);
}
