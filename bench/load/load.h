/* What the kinds of load share. */

#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>

/* What was asked for on the command line. */
struct plan {
    int port;           /* on 127.0.0.1 */
    int peers;          /* connections or sockets */
    int flying;         /* datagrams on their way from each socket */
    size_t size;        /* bytes of a message */
    double warm;        /* seconds of warm-up */
    double seconds;     /* seconds of the timed part */
};

extern struct plan plan;

/* End with one line and status 1. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Seconds on a clock that only goes forward. */
double now(void);

/* The bytes of a message: no two peers have the same, nor two messages in a row. */
const char *text(int peer, uint64_t number);

/* A connection or a socket to the server, with a time limit on every call. */
int opened(int type);

/* Many connections, no faster than the server accepts them. */
int *openedMany(int count);

/* Have one byte echoed. */
void ask(int fd);
void answered(int fd);

/* A message came back after so many seconds. */
void finished(double latency);

/* One was not answered in time; one was answered after that. */
void lost(void);
void late(void);

/* Run a part twice: to warm up, and when told to go on, for the record. */
void measured(void (*part)(double seconds));

/* Say that all is in place, and wait for a word. */
void ready(void);

void streams(void);
void datagrams(void);
void accepts(void);
void idle(void);

#endif
