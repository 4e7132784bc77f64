from receiver.telemetry.metrics cimport Metrics, Series
from receiver.telemetry.sampling cimport Sampler
from receiver.telemetry.spans cimport Identities, Spans
from receiver.wire.records cimport Endpoints, Message, Roundtrip, Sink
from receiver.wire.records cimport VANTAGE_SERVER

cimport cython

cdef Py_ssize_t INBOUND_MAX
cdef Py_ssize_t SENT_MAX
cdef int HAS_IS_REMOTE
cdef int IS_REMOTE
cdef int OWN
cdef int EMIT
cdef int METRICS_ONLY
cdef int INTERNAL
cdef bytes EXPORT_HTTP
cdef bytes EXPORT_GRPC

@cython.final
cdef class Telemetry(Sink):
    cdef readonly Metrics metrics
    cdef readonly Spans spans
    cdef public Sampler sampler
    cdef Identities identities
    cdef readonly bint links
    cdef readonly bint both_ends
    cdef readonly int beside
    cdef readonly bint makes_spans
    cdef readonly bint exports_spans
    cdef readonly dict inbound
    cdef readonly dict sent
    cdef readonly long long written
    cdef readonly long long not_sampled
    cdef readonly long long not_emitted
    cdef readonly long long instrumented
    cdef readonly dict errors
    cdef set logged
    cdef int _begins(self, Endpoints endpoints, Message request) except -1
    cdef int _emit(self, Roundtrip roundtrip, Series series) except -1
    cdef bytes _seen_by_both(self, bytes context, Endpoints endpoints, long long key)
    cdef bint _is_instrumented(self, Roundtrip roundtrip) except -1
    cdef bytes _links(self, bytes contexts, bytes link)
    cdef int _span(self, Roundtrip roundtrip, Series series) except -1
