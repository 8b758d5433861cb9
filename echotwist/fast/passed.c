/*
 * The table of the bytes that passed on each descriptor: a part of speedups.c.
 */

#include "speedups.h"

#include <string.h>

unsigned long long *passed;
static long places; /* for descriptors */

/* Return the descriptor, with a place in the table; -1 and an exception without one. */
long descriptor(PyObject *number)
{
    long fd = PyLong_AsLong(number), count;
    unsigned long long *grown;
    if (fd < places)
        return fd;
    count = 2 * fd + 1024;
    grown = PyMem_Realloc(passed, count * sizeof *passed);
    if (!grown) {
        PyErr_NoMemory();
        return -1;
    }
    memset(grown + places, 0, (count - places) * sizeof *passed);
    passed = grown;
    places = count;
    return fd;
}

PyObject *taken(PyObject *Py_UNUSED(module), PyObject *number)
{
    long fd = PyLong_AsLong(number);
    unsigned long long size = 0;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (fd >= 0 && fd < places) {
        size = passed[fd];
        passed[fd] = 0;
    }
    return PyLong_FromUnsignedLongLong(size);
}
