/*
 * Each socket keeps some datagrams on their way.  Each datagram bears a number,
 * by which its reply is known; one that does not come back is counted, and
 * another takes its place.
 */

#include "load.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    EVENTS = 64,
    TICK = 50,          /* milliseconds between two looks for lost ones */
    LARGEST = 65536,
};

#define PATIENCE 0.2    /* seconds until a datagram is lost */

struct question {
    uint64_t number;    /* place among the questions + n * plan.flying */
    double since;
    bool flying;
};

struct source {
    int fd;
    struct question *questions;
};

static struct source *all;
static int queue, busy;
static char buffer[LARGEST + 1];

static void compose(struct source *source, uint64_t number)
{
    memcpy(buffer, &number, sizeof number);
    memcpy(buffer + sizeof number, text(source - all, number), plan.size - sizeof number);
}

static void begin(struct source *source, struct question *question)
{
    question->number += plan.flying;
    question->since = now();
    question->flying = true;
    compose(source, question->number);
    if (send(source->fd, buffer, plan.size, MSG_DONTWAIT) < 0 && errno != EAGAIN)
        fail("cannot send: %s", strerror(errno));
}

static void end(struct source *source, struct question *question, bool more)
{
    question->flying = false;
    if (more)
        begin(source, question);
    else
        busy--;
}

static uint64_t verified(struct source *source, ssize_t got)
{
    uint64_t number;
    const char *body = buffer + sizeof number;

    memcpy(&number, buffer, sizeof number);
    if ((size_t)got != plan.size)
        fail("wrong length: %zd instead of %zu", got, plan.size);
    if (memcmp(body, text(source - all, number), plan.size - sizeof number))
        fail("wrong byte in a datagram");
    return number;
}

static void answer(struct source *source, ssize_t got, double until)
{
    uint64_t number = verified(source, got);
    struct question *question = &source->questions[number % plan.flying];
    double time = now();

    if (number > question->number)
        fail("a datagram that was never sent");
    if (number < question->number || !question->flying) {
        late();
        return;
    }
    finished(time - question->since);
    end(source, question, time < until);
}

/* No more than were on their way: a fast server's replies would never end, and others wait. */
static void serve(struct source *source, double until)
{
    for (int i = 0; i < plan.flying; i++) {
        ssize_t got = recv(source->fd, buffer, sizeof buffer, MSG_DONTWAIT);

        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0)
            fail("cannot receive: %s", strerror(errno));
        answer(source, got, until);
    }
}

static void sweep(double time, double until)
{
    for (int i = 0; i < plan.peers; i++)
        for (int j = 0; j < plan.flying; j++) {
            struct question *question = &all[i].questions[j];

            if (question->flying && question->since + PATIENCE < time) {
                lost();
                end(&all[i], question, time < until);
            }
        }
}

static void part(double seconds)
{
    struct epoll_event events[EVENTS];
    double until = now() + seconds, swept = now();

    busy = plan.peers * plan.flying;
    for (int j = 0; j < plan.flying; j++)
        for (int i = 0; i < plan.peers; i++)
            begin(&all[i], &all[i].questions[j]);
    while (busy) {
        int count = epoll_wait(queue, events, EVENTS, TICK);
        double time = now();

        for (int i = 0; i < count; i++)
            serve(events[i].data.ptr, until);
        if (time - swept > TICK / 1e3) {
            sweep(time, until);
            swept = time;
        }
    }
}

void datagrams(void)
{
    queue = epoll_create1(EPOLL_CLOEXEC);
    all = calloc(plan.peers, sizeof *all);
    if (queue < 0 || !all)
        fail("no epoll, or no memory");
    if (plan.size < sizeof(uint64_t) || plan.size > LARGEST)
        fail("a datagram has from %zu to %d bytes", sizeof(uint64_t), LARGEST);
    for (int i = 0; i < plan.peers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};

        all[i].fd = opened(SOCK_DGRAM);
        all[i].questions = calloc(plan.flying, sizeof *all[i].questions);
        if (!all[i].questions || epoll_ctl(queue, EPOLL_CTL_ADD, all[i].fd, &event) < 0)
            fail("epoll: %s", strerror(errno));
        for (int j = 0; j < plan.flying; j++)
            all[i].questions[j].number = j;
    }
    measured(part);
}
