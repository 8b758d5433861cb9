/*
  * The work for each event and each message on the fast way, in C.
 *
  * This file decides nothing: any unusual event goes back to Python, which does all of this
  * itself where this file is not compiled.  speedups.pyi describes each function.
  * Only epoll_wait(2) blocks, and only that call runs without the GIL: no other thread
  * changes the data of the other functions.
 */

#include "speedups.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MOST 65536   /* bytes read at once */
#define BULK 1048576 /* bytes after which a full read is told */
#define PIECE 262144 /* bytes relayed at once */
#define EVENTS 256   /* taken at once; as many messages take some 2 ms */

static char buffer[PIECE];

/* Return to Python the bytes that were read, and the result of the last call. */
PyObject *unusual(ssize_t size, ssize_t sent, int error)
{
    if (size < 0 || sent >= 0) /* without a buffer, "y#" makes None */
        return Py_BuildValue("(y#n)", size < 0 ? NULL : buffer, size, size < 0 ? error : sent);
    return Py_BuildValue("(y#N)", buffer, size,
                         PyObject_CallFunction(PyExc_OSError, "is", error, strerror(error)));
}

/* Echo what has come, and count it; tell whether that was all there is to do. */
int passOn(long fd, ssize_t *size, ssize_t *sent)
{
    *size = read(fd, buffer, MOST);
    if (*size < 0 && errno == EINTR)
        return 1; /* the event will come again */
    *sent = *size > 0 ? write(fd, buffer, *size) : 0;
    if (*sent < 0 && errno == EINTR)
        *sent = 0;
    if (*size <= 0 || *sent != *size || (*size == MOST && passed[fd] >= BULK))
        return 0;
    passed[fd] += *size;
    return 1;
}

static PyObject *echo(PyObject *Py_UNUSED(module), PyObject *number)
{
    long fd = descriptor(number);
    ssize_t size, sent;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (passOn(fd, &size, &sent))
        Py_RETURN_NONE;
    return unusual(size, sent, errno);
}

/* Tell whether an error means that the peer, or the path to it, is gone. */
static int isEnding(int error)
{
    return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT ||
           error == EHOSTUNREACH || error == ENETUNREACH;
}

static PyObject *relay(PyObject *pipe, PyObject *number)
{
    const int outlet = PyLong_AsLong(PyTuple_GetItem(pipe, 0));
    const int inlet = PyLong_AsLong(PyTuple_GetItem(pipe, 1));
    const int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    long fd = descriptor(number);
    ssize_t size, sent;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    size = splice(fd, NULL, inlet, NULL, PIECE, flags);
    if (size < 0 && isEnding(errno)) /* the kernel tells it only once */
        return unusual(-1, 0, errno);
    if (size <= 0) /* recv(2) tells why, and gets past urgent data */
        return echo(NULL, number);
    sent = splice(outlet, NULL, fd, NULL, size, flags);
    if (sent < 0) /* the error shows again when the rest is written */
        sent = 0;
    passed[fd] += sent;
    if (sent == size)
        Py_RETURN_NONE;
    size -= sent;
    if (read(outlet, buffer, size) == size)
        return unusual(size, 0, 0);
    PyErr_SetFromErrno(PyExc_OSError);
    while (read(outlet, buffer, PIECE) > 0) /* no client gets the bytes of another */
        ;
    return NULL;
}

static PyMethodDef RELAY = {"relay", relay, METH_O, NULL};

static PyObject *relays(PyObject *Py_UNUSED(module), PyObject *pipe)
{
    return PyCFunction_NewEx(&RELAY, pipe, NULL);
}

static long long now(void) /* in milliseconds */
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* Call the function of a descriptor; return what it leaves undone, or its exception. */
static PyObject *called(PyObject *function, PyObject *number)
{
    PyObject *type, *value, *trace, *left;
    Py_INCREF(function); /* the call may take it out of the table */
    if (PyCFunction_Check(function) && PyCFunction_GetFlags(function) == METH_O)
        left = PyCFunction_GetFunction(function)(PyCFunction_GetSelf(function), number);
    else
        left = PyObject_CallFunctionObjArgs(function, number, NULL);
    Py_DECREF(function);
    if (left)
        return left;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace)
        PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

/*
  * Handle an event.  Work left undone goes into the list: at its start if a part was done,
  * so that Python finishes the event before anything else happens to its descriptor.
 *
 * Returns 1 to go on, 0 to leave the rest of this turn to Python, and -1 for an exception.
 */
static int handle(PyObject *usual, const struct epoll_event *event, PyObject *list, int *python)
{
    int fd = event->data.fd, result;
    PyObject *one, *left = NULL, *function = NULL, *number = PyLong_FromLong(fd);
    if (usual && number && event->events & EPOLLIN)
        function = PyDict_GetItemWithError(usual, number);
    if (function && (event->events == EPOLLIN || isBare(function))) {
        *python |= !PyCFunction_Check(function);
        left = called(function, number);
    }
    Py_XDECREF(number);
    if (left == Py_None) {
        Py_DECREF(left);
        return 1;
    }
    if (PyErr_Occurred())
        return -1;
    one = left ? Py_BuildValue("(iIN)", fd, event->events, left)
               : Py_BuildValue("(iI)", fd, event->events);
    result = !one ? -1 : left ? PyList_Insert(list, 0, one) : PyList_Append(list, one);
    Py_XDECREF(one);
    return result < 0 ? -1 : !left;
}

static PyObject *serve(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    struct epoll_event events[EVENTS];
    PyObject *usual, *list;
    int epoll, timeout, once, count, python = 0, result = 1;
    long long end;
    if (!PyArg_ParseTuple(arguments, "iO!ip", &epoll, &PyDict_Type, &usual, &timeout, &once))
        return NULL;
    list = PyList_New(0);
    end = timeout > 0 ? now() + timeout : 0;
    while (list) {
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(epoll, events, EVENTS, timeout);
        Py_END_ALLOW_THREADS
        if (count < 0 && errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            result = -1;
        }
        for (int i = 0; i < count && result >= 0; i++) /* 0 stays 0 */
            result = handle(result ? usual : NULL, &events[i], list, &python) - !result;
        if (result >= 0 && PyList_Size(list))
            return list; /* signal handlers must not run in between */
        if (result < 0 || PyErr_CheckSignals() < 0) {
            Py_CLEAR(list);
            return NULL;
        }
        if (end)
            timeout = end > now() ? (int)(end - now()) : 0;
        if (count < 0 || python || once || timeout == 0)
            return list;
    }
    return NULL;
}

static PyMethodDef METHODS[] = {
    {"accepted", accepted, METH_O, NULL},
    {"bares", bares, METH_O, NULL},
    {"echo", echo, METH_O, NULL},
    {"relays", relays, METH_O, NULL},
    {"serve", serve, METH_VARARGS, NULL},
    {"taken", taken, METH_O, NULL},
    {"turns", turns, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, .m_name = "speedups", .m_size = -1, .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit_speedups(void)
{
    PyObject *module = PyModule_Create(&MODULE);
    if (module && PyModule_AddIntConstant(module, "BUILD", BUILD) < 0)
        Py_CLEAR(module);
    return module;
}
