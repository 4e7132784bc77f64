from receiver.telemetry.metrics cimport Metrics, Series
from receiver.telemetry.sampling cimport Sampler
from receiver.telemetry.spans cimport Identities, Spans
from receiver.wire.records cimport Endpoints, Message, Roundtrip, Sink
from receiver.wire.records cimport VANTAGE_SERVER

cimport cython

cdef Py_ssize_t INBOUND_MAX
cdef int HAS_IS_REMOTE
cdef int IS_REMOTE

@cython.final
cdef class Telemetry(Sink):
    cdef readonly Metrics metrics
    cdef readonly Spans spans
    cdef public Sampler sampler
    cdef Identities identities
    cdef readonly dict inbound
    cdef readonly long long written
    cdef readonly long long not_sampled
    cdef readonly long long not_emitted
    cdef readonly long long full
    cdef readonly Py_ssize_t batch_max
    cdef object on_full
    cdef int _span(self, Roundtrip roundtrip, Series series) except -1
