from receiver.l7.decoder cimport MORE, NOT_OURS, NOTHING, NO, PERHAPS, SKIP_TO_CLOSE, YES
from receiver.l7.prefixed cimport Prefixed
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Message
from receiver.wire.records cimport TO_SERVER

cimport cython

cdef int CHANGE_CIPHER_SPEC
cdef int ALERT
cdef int HANDSHAKE
cdef int APPLICATION_DATA
cdef int CLIENT_HELLO
cdef int SERVER_HELLO
cdef Py_ssize_t RECORD_HEAD
cdef Py_ssize_t RECORD_MAX
cdef Py_ssize_t HELLO_MAX
cdef int EXTENSION_SERVER_NAME
cdef int EXTENSION_ALPN
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t PROTOCOLS_MAX

@cython.final
cdef class TlsDecoder(Prefixed):
    cdef Endpoints endpoints
    cdef int _hello(self, Cursor c) except -1
    cdef int _server_name(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _protocols(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
