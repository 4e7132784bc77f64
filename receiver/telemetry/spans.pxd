from receiver.telemetry.metrics cimport Form, Series
from receiver.telemetry.redact cimport Redactor
from receiver.wire.records cimport Endpoints, Message, Roundtrip
from receiver.wire.records cimport OUTCOME_OK, OUTCOME_ERROR, OUTCOME_LOST, OUTCOME_ONE_WAY
from receiver.wire.cursor cimport Cursor
from receiver.wire.writer cimport Writer

cimport cython

cdef Py_ssize_t TEXT_MAX
cdef str CLIENT
cdef bytes KIND_INTERNAL
cdef bytes KEY_PATH
cdef bytes KEY_QUERY
cdef bytes KEY_FULL

@cython.final
cdef class Identities:
    cdef bytes _pool
    cdef Py_ssize_t _at
    cdef Cursor _cursor
    cdef object _source
    cdef bytes take(self, Py_ssize_t n)

@cython.final
cdef class Encoded:
    cdef bytes peer
    cdef bytes client
    cdef str server_address
    cdef int server_port
    cdef bytes server

@cython.final
cdef class Spans:
    cdef readonly Writer writer
    cdef readonly int count
    cdef readonly Redactor redactor
    cdef dict _keys
    cdef readonly long long cut
    cdef int write(self, Roundtrip roundtrip, Series series, bytes trace_id, bytes span_id, bytes parent_id, int flags, bytes tracestate, bytes link, bint internal) except -1
    cdef bytes link(self, bytes trace_id, bytes span_id, int flags, bytes tracestate)
    cdef int _message(self, Message message, Form form) except -1
    cdef int _attribute(self, str name, object value) except -1
    cdef int _text(self, bytes key, bytes text) except -1
    cdef int _number(self, bytes key, long long value) except -1
    cdef bytes _key(self, str name)
    cdef Encoded _encoded(self, Endpoints endpoints, Form form)
    cdef object _server(self, Encoded encoded, Message request, Endpoints endpoints, Form form)
    cdef int _url(self, Message request, Endpoints endpoints, Form form) except -1
    cdef bytes _clean(self, bytes text)
