from receiver.wire.records cimport Message
