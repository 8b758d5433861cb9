/* Connections that say a byte and leave, and connections that say nothing. */

#include "load.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct visit {
    int fd;
    double since;
};

static void leave(struct visit *visit)
{
    answered(visit->fd);
    close(visit->fd);
    finished(now() - visit->since);
}

/* Some visits at a time, in a ring; no epoll, which would cost us more than the server. */
static void part(double seconds)
{
    double end = now() + seconds;
    struct visit *ring = calloc(plan.peers, sizeof *ring);
    int next = 0, count = 0;

    if (!ring)
        fail("no memory for %d connections", plan.peers);
    for (; now() < end; next = (next + 1) % plan.peers) {
        if (count == plan.peers)
            leave(&ring[next]);
        else
            count++;
        ring[next].since = now();
        ring[next].fd = opened(SOCK_STREAM);
        ask(ring[next].fd);
    }
    for (int i = 0; i < count; i++)
        leave(&ring[i]);
    free(ring);
}

void accepts(void)
{
    measured(part);
}

void idle(void)
{
    free(openedMany(plan.peers));
    ready();
}
