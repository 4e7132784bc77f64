# Compiled for speed alone: nothing here is called from C.
