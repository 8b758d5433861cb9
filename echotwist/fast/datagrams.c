/*
  * The work for each datagram on the fast way, in C: a part of speedups.c.
 */

#include "speedups.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64 /* datagrams received at once */

/* Set headers, and the memory that they point to, back to their state before a receive. */
static void renew(struct mmsghdr *headers, int count, const struct msghdr *fresh, size_t told)
{
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &headers[i].msg_hdr;
        memset(header->msg_name, 0, told);
        header->msg_namelen = fresh->msg_namelen;
        header->msg_controllen = fresh->msg_controllen;
        header->msg_flags = 0;
    }
}

static PyObject *turn(PyObject *state, PyObject *number)
{
    static struct mmsghdr replies[BATCH];
    static struct iovec pieces[BATCH];
    struct mmsghdr *requests = PyLong_AsVoidPtr(PyTuple_GetItem(state, 0));
    unsigned long long *counts = PyLong_AsVoidPtr(PyTuple_GetItem(state, 1)), bytes = 0;
    PyObject *known = PyTuple_GetItem(state, 2);
    const struct msghdr fresh = requests->msg_hdr;
    const size_t told = (char *)fresh.msg_control + fresh.msg_controllen - (char *)fresh.msg_name;
    int sent, fd = (int)PyLong_AsLong(number), count = recvmmsg(fd, requests, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0)
        return Py_BuildValue("(ii)", 0, errno);
    for (int i = 0; i < count; i++) {
        PyObject *key = PyBytes_FromStringAndSize(requests[i].msg_hdr.msg_name, told);
        PyObject *answer = key ? PyDict_GetItemWithError(known, key) : NULL;
        Py_XDECREF(key);
        if (!answer) {
            PyErr_Clear();
            return Py_BuildValue("(ii)", count, 0);
        }
        pieces[i].iov_base = requests[i].msg_hdr.msg_iov->iov_base;
        pieces[i].iov_len = requests[i].msg_len;
        replies[i].msg_hdr = (struct msghdr){
            .msg_name = requests[i].msg_hdr.msg_name,
            .msg_namelen = fresh.msg_namelen,
            .msg_iov = &pieces[i],
            .msg_iovlen = 1,
            .msg_control = PyBytes_AsString(answer),
            .msg_controllen = PyBytes_Size(answer),
        };
        bytes += requests[i].msg_len;
    }
    sent = sendmmsg(fd, replies, count, MSG_DONTWAIT);
    if (sent != count)
        return Py_BuildValue("(ii)", count, sent < 0 ? 0 : sent);
    counts[0] += count;
    counts[1] += bytes;
    /* The kernel may have begun one more datagram, and given it up. */
    renew(requests, count < BATCH ? count + 1 : BATCH, &fresh, told);
    Py_RETURN_NONE;
}

static PyMethodDef TURN = {"turn", turn, METH_O, NULL};

PyObject *turns(PyObject *Py_UNUSED(module), PyObject *state)
{
    return PyCFunction_NewEx(&TURN, state, NULL);
}
