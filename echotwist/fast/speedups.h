/* Common declarations of the C files. */

#ifndef SPEEDUPS_H
#define SPEEDUPS_H

#define _GNU_SOURCE 1             /* recvmmsg(2), sendmmsg(2) and splice(2) */
#define Py_LIMITED_API 0x030A0000 /* Python 3.10 and later */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define BUILD 1 /* as in compiled.py */

#pragma GCC visibility push(hidden) /* other libraries may have the same names */

PyObject *accepted(PyObject *module, PyObject *number);
PyObject *turns(PyObject *module, PyObject *state);

#pragma GCC visibility pop

#endif
