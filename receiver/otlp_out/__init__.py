"""The exporter that speaks OTLP over gRPC.

Room: otlp_out.
"""

import os

# gRPC writes its own lines to standard error, one for each attempt to connect, and reads this when it is first imported. What went
# wrong is in a call's status as well, and said there in the log's own form. Whoever sets it wants them.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
