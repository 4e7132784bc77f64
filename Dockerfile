# syntax=docker/dockerfile:1
# Two images. The default one runs as a user without rights: its interpreter carries CAP_NET_RAW as a file capability.
#   docker build -t pcap-receiver .
#   docker build -t pcap-receiver:root --target root .      uid 0, for where file capabilities are not honoured
# Both need CAP_NET_RAW in the container's bounding set (`--cap-drop ALL --cap-add NET_RAW`) and nothing else: without it the
# kernel refuses to start the default image's interpreter ("operation not permitted"). The root file system may be read-only.
# The base is pinned by digest; for another one: --build-arg PYTHON=python:3.13-slim-trixie@sha256:...
ARG PYTHON=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${PYTHON} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev libpcap-dev libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
# --copies: the interpreter that gets the capability is this environment's own file, not the one that everybody uses.
RUN python -m venv --copies /opt/pcap-receiver
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY receiver receiver
# pcapy-ng from source: its wheel brings a libpcap of its own, years older than the distribution's.
# pip compiles the bytecode: nothing is written at run time. pip itself stays behind.
RUN /opt/pcap-receiver/bin/python -m pip install --no-cache-dir --no-binary pcapy-ng . \
    && /opt/pcap-receiver/bin/python -m pip check \
    && /opt/pcap-receiver/bin/python -m pip uninstall -y pip \
    && cd / && /opt/pcap-receiver/bin/python -m receiver components

FROM build AS capable
RUN setcap cap_net_raw=ep "$(readlink -f /opt/pcap-receiver/bin/python)"

FROM ${PYTHON} AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpcap0.8 \
    && rm -rf /var/lib/apt/lists/*
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The interpreter itself, no shell and no script: under no-new-privileges only the entry point gets its file capability.
ENTRYPOINT ["/opt/pcap-receiver/bin/python", "-m", "receiver"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["/opt/pcap-receiver/bin/python", "-m", "receiver", "health"]

FROM base AS root
COPY --from=build /opt/pcap-receiver /opt/pcap-receiver

FROM base AS nonroot
COPY --from=capable /opt/pcap-receiver /opt/pcap-receiver
# A builder that does not copy extended attributes would make an image that cannot capture: better no image.
RUN ["python", "-c", "import os; os.getxattr('/opt/pcap-receiver/bin/python', 'security.capability')"]
USER 65532:65532
