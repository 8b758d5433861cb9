/*
 * How the fast way accepts a connection, in C, and serves one that is only a descriptor: a part
 * of speedups.c.
 */

#include "speedups.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENDED, WATCHED }; /* the words of bare.py */

/* The state of bare connections, as in speedups.pyi. */
enum { WORDS, ENDS, NAMES, USUAL, EPOLL };

static int newOne(int listener, struct sockaddr_in6 *name)
{
    socklen_t size = sizeof *name; /* the largest; those of a socket have the same size */
    memset(name, 0, sizeof *name);
    return accept4(listener, (struct sockaddr *)name, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

PyObject *accepted(PyObject *Py_UNUSED(module), PyObject *number)
{
    struct sockaddr_in6 name;
    int fd, listener = (int)PyLong_AsLong(number);
    if (listener == -1 && PyErr_Occurred())
        return NULL;
    fd = newOne(listener, &name);
    if (fd >= 0)
        return Py_BuildValue("(iy#)", fd, &name, (Py_ssize_t)sizeof name);
    if (errno == EAGAIN || errno == EINTR)
        Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static int set(PyObject *table, int fd, PyObject *value)
{
    PyObject *number = PyLong_FromLong(fd);
    int result = number && value ? PyDict_SetItem(table, number, value) : -1;
    Py_XDECREF(number);
    return result;
}

static unsigned long long *numbers(PyObject *state, int place)
{
    return PyLong_AsVoidPtr(PyTuple_GetItem(state, place));
}

/* Watch a new connection; return -1 and an exception, or the number of the error, or 0. */
static int watched(PyObject *state, int fd, const struct sockaddr_in6 *name, PyObject *function)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)name, sizeof *name);
    int result = set(PyTuple_GetItem(state, NAMES), fd, bytes);
    Py_XDECREF(bytes);
    if (result < 0)
        close(fd);
    else if (epoll_ctl(PyLong_AsLong(PyTuple_GetItem(state, EPOLL)), EPOLL_CTL_ADD, fd, &event) < 0)
        result = errno;
    else
        result = set(PyTuple_GetItem(state, USUAL), fd, function);
    return result;
}

static PyObject *acceptBare(PyObject *state, PyObject *arguments)
{
    struct sockaddr_in6 name;
    int listener, most, fd = -1, count = 0, error = 0;
    if (!PyArg_ParseTuple(arguments, "ii", &listener, &most))
        return NULL;
    for (; count < most && !error; count += !error) {
        fd = newOne(listener, &name);
        error = fd < 0 ? errno : watched(PyTuple_GetItem(state, 0), fd, &name, PyTuple_GetItem(state, 1));
    }
    return error < 0 ? NULL : Py_BuildValue("(iii)", count, error, error ? fd : -1);
}

/* Close a connection that has ended, of which the peer has everything. */
static PyObject *ended(PyObject *state, long fd, PyObject *number)
{
    if (close(fd) < 0)
        return Py_BuildValue("(Oi)", Py_None, -errno);
    numbers(state, WORDS)[ENDED] += passed[fd];
    passed[fd] = 0;
    if (PyDict_DelItem(PyTuple_GetItem(state, NAMES), number) < 0 ||
        PyDict_DelItem(PyTuple_GetItem(state, USUAL), number) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *bareEcho(PyObject *state, PyObject *number)
{
    long fd = descriptor(number);
    ssize_t size, sent;
    int error, waiting, isOver;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (passOn(fd, &size, &sent)) {
        if (numbers(state, WORDS)[WATCHED])
            Py_RETURN_NONE;
        return Py_BuildValue("(Oi)", Py_None, 0);
    }
    error = errno;
    isOver = size < 0 ? error == ECONNRESET : !size && !ioctl(fd, TIOCOUTQ, &waiting) && !waiting;
    if (isOver && *numbers(state, ENDS))
        return ended(state, fd, number);
    return unusual(size, sent, error);
}

/* Tell whether a function handles any event of its descriptor with something to read. */
int isBare(PyObject *function)
{
    return PyCFunction_Check(function) && PyCFunction_GetFunction(function) == bareEcho;
}

static PyMethodDef ACCEPT = {"accept", acceptBare, METH_VARARGS, NULL};
static PyMethodDef ECHO = {"echo", bareEcho, METH_O, NULL};

PyObject *bares(PyObject *Py_UNUSED(module), PyObject *state)
{
    PyObject *echo = PyCFunction_NewEx(&ECHO, state, NULL);
    PyObject *both = echo ? PyTuple_Pack(2, state, echo) : NULL;
    PyObject *accept = both ? PyCFunction_NewEx(&ACCEPT, both, NULL) : NULL;
    Py_XDECREF(both);
    return Py_BuildValue("(NN)", accept, echo);
}
