from receiver.l7.decoder cimport MORE, ANSWERS_BEGUN, SEVERAL, SKIP_TO_CLOSE, SKIP_UNKNOWN
from receiver.l7.decoder cimport Decoder
from receiver.l7.detection cimport Detection
from receiver.l7.detection cimport KNOWN, GIVEN_UP, WAITS
from receiver.l7.matcher cimport Matcher
from receiver.l7.reading cimport Reading
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Connection, Consumer, Endpoints, Message, Protocol, new_message
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, OUTCOME_LOST, OUTCOME_CLOSED, VANTAGE_CLIENT

cimport cython

cdef int READING
cdef int DETECTING
cdef int SET_ASIDE
cdef Py_ssize_t JOINED
cdef Py_ssize_t JOINED_WHOLE

@cython.final
cdef class HalfStream:
    cdef bytes partial
    cdef long long partial_ns
    cdef long long seen_ns
    cdef Py_ssize_t need
    cdef Py_ssize_t skip
    cdef long long passed
    cdef Message ending
    cdef bint resync

@cython.final
cdef class Conversation(Consumer):
    cdef Reading reading
    cdef Connection connection
    cdef readonly Protocol protocol
    cdef Decoder decoder
    cdef Matcher matcher
    cdef HalfStream to_server
    cdef HalfStream to_client
    cdef int health
    cdef int faults
    cdef bint datagrams
    cdef Py_ssize_t cut_off
    cdef Detection detection
    cdef Py_ssize_t unread
    cdef bint ended
    cdef str server_address
    cdef int server_port
    cdef int serve(self, Connection connection) except -1
    cdef bint _again(self) except -1
    cdef int _read(self, int direction, HalfStream half, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns) except -1
    cdef int _keep(self, int direction, HalfStream half, bytes buf, Py_ssize_t start, Py_ssize_t end, long long first_ns, long long ts_ns, Py_ssize_t need) except -1
    cdef int _answer_begun(self, int direction) except -1
    cdef int _begun(self, int direction, HalfStream half, bytes buf, Py_ssize_t start, Py_ssize_t end, long long first_ns, long long ts_ns) except -1
    cdef int _break_off(self, int direction, HalfStream half, Message piece, Py_ssize_t rest, long long ts_ns) except -1
    cdef int _offer(self, HalfStream half, Message piece) except -1
    cdef int _ended(self, HalfStream half, long long ts_ns) except -1
    cdef int _detect(self, int direction, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns) except -1
    cdef int _drop_waited(self) except -1
    cdef int _drop_partial(self, HalfStream half) except -1
    cdef int _account(self) except -1
    cdef int _begin(self, Protocol protocol) except -1
    cdef int _introduce(self, Decoder decoder, Endpoints endpoints) except -1
    cdef int _more(self, int direction, long long first_ns, long long ts_ns) except -1
    cdef int _hand_over(self) except -1
    cdef int _passing(self, int direction, HalfStream half) except -1
    cdef int _on_malformed(self, int direction, str what, long long ts_ns) except -1
    cdef int _pass_over(self, int direction, Py_ssize_t size, long long ts_ns) except -1
    cdef int _lose(self, int direction, Py_ssize_t missing, long long ts_ns) except -1
    cdef int _set_aside(self, long long ts_ns) except -1

cpdef Conversation open_conversation(Reading reading, Connection connection, bint from_start, bint datagrams)
