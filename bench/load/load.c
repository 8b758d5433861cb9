/*
 * A closed-loop load generator that verifies every byte.
 *
 *     load streams|datagrams|accepts|idle PORT PEERS FLYING SIZE WARM SECONDS
 *
 * It connects, warms up, comes to rest and prints "ready".  Given a line on
 * standard input it runs the timed part, comes to rest again and prints one
 * line of JSON.  It leaves when standard input ends.  The server is idle
 * whenever this waits, so that its processor time can be read then.
 */

#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    SPARE = 65536,      /* bytes that texts may start at */
    TOGETHER = 32,      /* connections to open before one is tried; less than any backlog */
    PATIENCE = 10,      /* seconds until a call has failed */
    FOREVER = 60,       /* seconds, beyond those that were asked for, until all has failed */
};

struct plan plan;

static char *pool;
static uint32_t *latencies;     /* nanoseconds, 4.29 s at most */
static size_t done, room;
static uint64_t losses, lates;

void fail(const char *format, ...)
{
    va_list words;

    va_start(words, format);
    vfprintf(stderr, format, words);
    va_end(words);
    fputc('\n', stderr);
    exit(1);
}

double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

const char *text(int peer, uint64_t number)
{
    return pool + (peer * 7919 + number * 31) % SPARE;
}

static void fillPool(void)
{
    uint64_t state = 88172645463325252ULL;

    pool = malloc(plan.size + SPARE);
    if (!pool)
        fail("no memory for messages of %zu bytes", plan.size);
    for (size_t i = 0; i < plan.size + SPARE; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pool[i] = state >> 32;
    }
}

int opened(int type)
{
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(plan.port)};
    struct linger reset = {.l_onoff = 1};       /* leaves nothing in TIME_WAIT */
    struct timeval patience = {.tv_sec = PATIENCE};
    int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("no socket: %s", strerror(errno));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (type == SOCK_STREAM) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("cannot connect: %s", strerror(errno));
    return fd;
}

void ask(int fd)
{
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        fail("cannot send a byte: %s", strerror(errno));
}

void answered(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);

    if (got < 0)
        fail("no reply to a byte: %s", strerror(errno));
    if (got == 0)
        fail("the server closed a connection");
    if (byte != 'x')
        fail("wrong byte: 0x%02x instead of 0x%02x", byte & 0xff, 'x');
}

int *openedMany(int count)
{
    int *fds = calloc(count, sizeof *fds);

    if (!fds)
        fail("no memory for %d connections", count);
    for (int i = 0; i < count; i++) {
        fds[i] = opened(SOCK_STREAM);
        /* A full backlog would cost a second and more for each retransmission. */
        if (i % TOGETHER == TOGETHER - 1 || i == count - 1) {
            ask(fds[i]);
            answered(fds[i]);
        }
    }
    return fds;
}

void finished(double latency)
{
    if (done == room) {
        room = room ? 2 * room : 65536;
        latencies = realloc(latencies, room * sizeof *latencies);
        if (!latencies)
            fail("no memory for %zu latencies", room);
    }
    latencies[done++] = latency < 4.2 ? latency * 1e9 : UINT32_MAX;
}

void lost(void)
{
    losses++;
}

void late(void)
{
    lates++;
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* In microseconds: what so many of a thousand stay within. */
static double quantile(int thousandths)
{
    return latencies[(done - 1) * thousandths / 1000] / 1e3;
}

static void report(double seconds)
{
    if (!done)
        fail("nothing came back");
    qsort(latencies, done, sizeof *latencies, compare);
    printf("{\"messages\": %zu, \"seconds\": %.6f, \"p50\": %.3f, \"p99\": %.3f, "
           "\"p99.9\": %.3f, \"lost\": %llu, \"late\": %llu}\n",
           done, seconds, quantile(500), quantile(990), quantile(999),
           (unsigned long long)losses, (unsigned long long)lates);
    fflush(stdout);
}

void ready(void)
{
    char line[16];

    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(0);
}

void measured(void (*part)(double seconds))
{
    double start;

    part(plan.warm);
    done = losses = lates = 0;
    ready();
    start = now();
    part(plan.seconds);
    report(now() - start);
    while (getchar() != EOF)
        ;
}

static void giveUp(int number)
{
    static const char words[] = "too slow: given up\n";

    (void)number;
    if (write(2, words, sizeof words - 1) < 0)
        _exit(2);
    _exit(1);
}

static void openFiles(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } kinds[] = {
        {"streams", streams}, {"datagrams", datagrams}, {"accepts", accepts}, {"idle", idle},
    };

    if (count != 8)
        fail("usage: load streams|datagrams|accepts|idle PORT PEERS FLYING SIZE WARM SECONDS");
    plan = (struct plan){
        .port = atoi(words[2]), .peers = atoi(words[3]), .flying = atoi(words[4]),
        .size = atol(words[5]), .warm = atof(words[6]), .seconds = atof(words[7]),
    };
    signal(SIGALRM, giveUp);
    alarm(plan.warm + plan.seconds + FOREVER);
    openFiles();
    fillPool();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(words[1], kinds[i].name)) {
            kinds[i].run();
            return 0;
        }
    fail("no such load: %s", words[1]);
}
