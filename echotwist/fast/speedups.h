/* Common declarations of the C files. */

#ifndef SPEEDUPS_H
#define SPEEDUPS_H

#define _GNU_SOURCE 1             /* recvmmsg(2), sendmmsg(2) and splice(2) */
#define Py_LIMITED_API 0x030A0000 /* Python 3.10 and later */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define BUILD 2 /* as in compiled.py */

#pragma GCC visibility push(hidden) /* other libraries may have the same names */

extern unsigned long long *passed; /* on each descriptor, since it was last taken */

long descriptor(PyObject *number);
int passOn(long fd, ssize_t *size, ssize_t *sent);
int isBare(PyObject *function);
PyObject *unusual(ssize_t size, ssize_t sent, int error);

PyObject *accepted(PyObject *module, PyObject *number);
PyObject *bares(PyObject *module, PyObject *state);
PyObject *taken(PyObject *module, PyObject *number);
PyObject *turns(PyObject *module, PyObject *state);

#pragma GCC visibility pop

#endif
