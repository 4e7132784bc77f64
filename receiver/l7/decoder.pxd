from receiver.l7.asked cimport Asked
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Message
from receiver.wire.records cimport VANTAGE_SERVER

cimport cython

# Answers of `frame` that are no number of bytes.
cdef enum Framed:
    MORE = 0
    NOT_OURS = -1
    ANSWERS_BEGUN = -3

# Answers of `parse`, `begun`, `on_close` and `more`.
cdef enum Parsed:
    NOTHING = 0
    MESSAGE = 1
    SEVERAL = 2

# Answers of `probe`.
cdef enum Probed:
    NO = 0
    PERHAPS = 1
    YES = 2

# Values of `skip` that are no number of bytes.
cdef enum Skip:
    SKIP_TO_CLOSE = -1
    SKIP_UNKNOWN = -2
    SKIP_LOST = -3

cdef Asked _NOBODY

@cython.no_gc
cdef class Decoder:
    cdef public Asked asked
    cdef public bint detail
    cdef public Py_ssize_t skip
    cdef public int vantage
    cdef public bint datagrams
    cdef public Py_ssize_t cut_off
    cdef public bint at_home
    cdef public str successor
    cdef public dict limits
    cdef public dict errors
    cdef int begin(self, Endpoints endpoints) except -1
    cdef int reset(self) except -1
    cdef Py_ssize_t frame(self, int direction, Cursor c) except -2
    cdef int parse(self, int direction, Cursor c, long long ts_ns, Message out) except -1
    cdef int more(self, int direction, long long ts_ns, Message out) except -1
    cdef int take_over(self, Message request) except -1
    cdef int begun(self, int direction, Cursor c, long long ts_ns, Message out) except -1
    cdef int on_close(self, int direction, long long ts_ns, Message out) except -1
    cdef int lost(self, int direction, Py_ssize_t missing) except -1
    cdef bint resync(self, int direction, Cursor c) except -1
    cdef int probe(self, int direction, Cursor c) except -1
    cdef bint agree(self, bytes asked, bytes told) except -1
