from receiver.l7.decoder cimport MORE, ANSWERS_BEGUN, NOTHING, MESSAGE, NO, PERHAPS, YES, SKIP_TO_CLOSE, SKIP_UNKNOWN, SKIP_LOST
from receiver.l7.decoder cimport Decoder
from receiver.l7.http cimport HttpSettings, tell_status
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Message
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, ERROR_NONE, ERROR_CLIENT, ERROR_BOTH, VANTAGE_SERVER, UNNOTED

cimport cython

cdef int READ_HEAD
cdef int READ_CHUNK
cdef int TUNNEL
cdef int AWAIT
cdef int PLAIN
cdef int HEAD
cdef int CONNECT
cdef int CODING_NONE
cdef int CODING_CHUNKED
cdef int CODING_OTHER
cdef int CODING_TWICE
cdef Py_ssize_t LENGTH_UNKNOWN
cdef Py_ssize_t LENGTH_BAD
cdef Py_ssize_t LENGTH_LIMIT
cdef Py_ssize_t METHOD_MAX
cdef Py_ssize_t HOST_MAX
cdef Py_ssize_t CHUNK_LINE_MAX
cdef Py_ssize_t LONG_LINE
cdef Py_ssize_t REQUEST_LINE
cdef int BROKEN
cdef Py_ssize_t BROKEN_LINE_MAX
cdef bytes _CLASSES
cdef tuple _RECOGNISED

cdef HttpSettings _DEFAULT

@cython.final
cdef class Lines:
    cdef int state
    cdef bint first_chunk
    cdef Py_ssize_t at
    cdef Py_ssize_t searched
    cdef int method
    cdef int kind
    cdef int minor
    cdef int status
    cdef Py_ssize_t name_end
    cdef Py_ssize_t target
    cdef Py_ssize_t target_end
    cdef Py_ssize_t headers
    cdef Py_ssize_t host
    cdef Py_ssize_t host_end
    cdef Py_ssize_t length
    cdef int coding
    cdef bint expects
    cdef Py_ssize_t chunk
    cdef str broken_rule
    cdef bint unframed
    cdef bint cut
    cdef Py_ssize_t owed
    cdef bint urged
    cdef int start_message(self) noexcept
    cdef int break_rule(self, str rule) noexcept

@cython.final
cdef class Http1Decoder(Decoder):
    cdef readonly HttpSettings settings
    cdef Lines request
    cdef Lines response
    cdef bytes host_bytes
    cdef str host_name
    cdef int host_port
    cdef int host_default
    cdef bint trusting
    cdef Py_ssize_t _read_head(self, Lines lines, int direction, Cursor c) except -2
    cdef Py_ssize_t _read_request_line(self, Lines lines, Cursor c) except -2
    cdef Py_ssize_t _unreadable(self, Lines lines, Cursor c, str what) except -2
    cdef bint _asks(self, Cursor c, Py_ssize_t at) except -1
    cdef int _read_what_there_is(self, Lines lines, Cursor c, Py_ssize_t end) except -1
    cdef bint _read_begun_line(self, Lines lines, Cursor c) except -1
    cdef bint _answers_begun(self, Lines lines) noexcept
    cdef Py_ssize_t _await_body(self, Lines lines, Cursor c) except -2
    cdef int _goes_on(self, Cursor c, Py_ssize_t owed) except -1
    cdef bint _cut_short(self, Cursor c) except -1
    cdef int _count_broken_rule(self, Lines lines) except -1
    cdef Py_ssize_t _odd_status(self, Cursor c) except -2
    cdef Py_ssize_t _read_status_line(self, Lines lines, Cursor c) except -2
    cdef int _read_header(self, Lines lines, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef Py_ssize_t _read_chunk(self, Lines lines, Cursor c) except -2
    cdef Py_ssize_t _read_chunk_size(self, Lines lines, Cursor c, Py_ssize_t at, Py_ssize_t end) except -2
    cdef int _request(self, Lines lines, Cursor c, long long ts_ns, Message out) except -1
    cdef int _response(self, Lines lines, Cursor c, long long ts_ns, Message out) except -1
    cdef int _chunk(self, Lines lines, int direction, Message out) except -1
    cdef bint _upgrades(self, Lines lines, Cursor c) except -1
    cdef int _end_http(self) except -1
    cdef bint _connects(self) except -1
    cdef int _server_of(self, Lines lines, Cursor c, Message out) except -1
    cdef Py_ssize_t _authority_at(self, Cursor c, Py_ssize_t start, Py_ssize_t end) except -2
    cdef Py_ssize_t _path_at(self, Cursor c, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _server(self, Cursor c, Py_ssize_t start, Py_ssize_t end, int default_port, Message out) except -1
    cdef int _target(self, Lines lines, Cursor c, Message out) except -1
    cdef int _describe_request(self, Lines lines, Cursor c, Message out) except -1
    cdef bint _recognised(self, Cursor c, Py_ssize_t at) except -1
    cdef int _starts(self, int direction, Cursor c) except -1

cdef int _class(int byte) except -1
cdef Py_ssize_t _skip_empty(Cursor c) except -1
cdef bint _same(Cursor c, Py_ssize_t at, bytes name) except -1
cdef Py_ssize_t _after_name(Lines lines, Cursor c, Py_ssize_t at, Py_ssize_t end, bytes name) except -2
cdef bint _blank(int byte) noexcept
cdef Py_ssize_t _trim_start(Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
cdef Py_ssize_t _trim_end(Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
cdef bytes _value(Cursor c, Py_ssize_t at, Py_ssize_t end)
cdef Py_ssize_t _line_end(Cursor c, Py_ssize_t at) except -1
cdef Py_ssize_t _read_length(Cursor c, Py_ssize_t at, Py_ssize_t end) except -3
cdef int _read_coding(Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
cdef int _hex_value(int byte) noexcept
