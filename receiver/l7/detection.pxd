from receiver.l7.detect cimport Detector
from receiver.l7.reading cimport Reading
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Connection, Endpoints, Protocol
from receiver.wire.records cimport TO_SERVER, TO_CLIENT

cimport cython

# Answers of `take`.
cdef enum Known:
    WAITS = 0
    KNOWN = 1
    ANEW = 2
    GIVEN_UP = 3

cdef Py_ssize_t DETECT_BYTES
cdef int DETECT_TRIES
cdef int PREAMBLES_MAX
cdef bytes FIRST_BYTES

@cython.final
cdef class Head:
    cdef bytes said
    cdef Protocol hint
    cdef int tries

@cython.final
cdef class Detection:
    cdef Reading reading
    cdef Connection connection
    cdef readonly bint from_start
    cdef bint datagrams
    cdef Head to_server
    cdef Head to_client
    cdef list waited
    cdef readonly Protocol protocol
    cdef readonly bint swapped
    cdef readonly int last_direction
    cdef bint fresh
    cdef object preamble
    cdef int preambles_left
    cdef int serve(self, Connection connection) except -1
    cdef bint passes(self, int direction) except -1
    cdef bint unfinished(self) except -1
    cdef int take(self, int direction, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns, Py_ssize_t cut_off) except -1
    cdef list release(self)
    cdef int drop(self) except -1
    cdef int gap(self) except -1
    cdef int _wait(self, int direction, Head head, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns) except -1
    cdef bint _agree(self, int direction, Protocol hint) except -1
    cdef bint _may_begin(self, int direction, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _before(self, int direction, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns) except -1
