from receiver.wire.records cimport Message

# Compiled for speed alone: nothing here is called from C.
