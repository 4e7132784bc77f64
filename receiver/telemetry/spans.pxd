from receiver.telemetry.metrics cimport Form, Series
from receiver.telemetry.redact cimport Redactor
from receiver.wire.records cimport Endpoints, Message, Roundtrip
from receiver.wire.records cimport OUTCOME_OK, OUTCOME_ERROR, OUTCOME_LOST, OUTCOME_ONE_WAY
from receiver.wire.cursor cimport Cursor
from receiver.wire.writer cimport Writer

cimport cython

cdef Py_ssize_t TEXT_MAX
cdef Py_ssize_t BATCH_ROOM
cdef Py_ssize_t BATCH_MAX
cdef Py_ssize_t CROWD_MAX
cdef Py_ssize_t NEAR
cdef bytes KIND_INTERNAL
cdef bytes HEAD
cdef bytes SPAN_ID
cdef bytes PARENT_ID
cdef bytes FLAGS
cdef bytes KEY_REPEATS
cdef bytes KEY_OUTCOME
cdef bytes KEY_CLIENT
cdef bytes KEY_CLIENT_PORT
cdef bytes KEY_PEER_ADDRESS
cdef bytes KEY_PEER_PORT
cdef bytes KEY_TRANSPORT
cdef bytes KEY_SERVER_ADDRESS
cdef bytes KEY_SERVER_PORT
cdef bytes KEY_PATH
cdef bytes KEY_QUERY
cdef bytes KEY_FULL
cdef bytes KEY_REQUEST_BODY
cdef bytes KEY_RESPONSE_BODY

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
    cdef bytes ends
    cdef str scheme
    cdef bytes origin

@cython.final
cdef class Spans:
    cdef readonly Writer writer
    cdef readonly int count
    cdef readonly bint full
    cdef readonly Redactor redactor
    cdef Py_ssize_t batch_max
    cdef Py_ssize_t crowd_max
    cdef Py_ssize_t whole
    cdef dict _keys
    cdef list _near_names
    cdef list _near_keys
    cdef Writer _piece
    cdef readonly long long cut
    cdef readonly long long crowded
    cdef int write(self, Roundtrip roundtrip, Series series, bytes trace_id, bytes span_id, bytes parent_id, int flags, bytes tracestate, bytes link, bint internal) except -1
    cdef int undo(self) except -1
    cdef bytes link(self, bytes trace_id, bytes span_id, int flags, bytes tracestate)
    cdef int _attributes(self, list attributes, Form form) except -1
    cdef int _attribute(self, bytes key, object value) except -1
    cdef int _string(self, Writer w, bytes key, str words) except -1
    cdef int _text(self, Writer w, bytes key, bytes text) except -1
    cdef bytes _key(self, str name)
    cdef Encoded _encoded(self, Endpoints endpoints, Form form)
    cdef bytes _client(self, Encoded encoded, Endpoints endpoints)
    cdef int _server(self, Encoded encoded, Message request, Endpoints endpoints, Form form) except -1
    cdef int _url(self, Message request, Endpoints endpoints, Form form) except -1
    cdef bytes _origin(self, Encoded encoded, Message request, Endpoints endpoints)
