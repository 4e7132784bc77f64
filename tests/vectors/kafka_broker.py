"""A real broker of Kafka, from Maven, and what is needed to run it.

    mvn dependency:copy-dependencies in a folder whose pom.xml names org.apache.kafka:kafka_2.13:4.1.0 makes `lib`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VERSION = "4.1.0"
HOME = Path(os.environ.get("KAFKA_ROOT", Path("~/.cache/pcap-receiver-upstreams/kafka").expanduser()))
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>lab</groupId><artifactId>lab</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency></dependencies></project>
"""

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INSIDE
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},INSIDE://127.0.0.1:{inside},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{seen},SASL://127.0.0.1:{seen_sasl},INSIDE://127.0.0.1:{inside}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_lab="{secret}";
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""

SECRET = "hunter2-never-shown"


def why_not() -> str | None:
    """What is missing, None when it can run."""
    if shutil.which("java") is None:
        return "java (apt install openjdk-17-jre-headless)"
    if not (HOME / "lib").is_dir() and shutil.which("mvn") is None:
        return f"Kafka in {HOME}/lib, or mvn to bring it (apt install maven)"
    return None


def jars() -> Path:
    """Where the broker's jars are; they are brought once."""
    lib = HOME / "lib"
    if not lib.is_dir():
        HOME.mkdir(parents=True, exist_ok=True)
        (HOME / "pom.xml").write_text(POM)
        command = ["mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib.part"]
        subprocess.run(command, cwd=HOME, check=True, capture_output=True, timeout=600)
        (HOME / "lib.part").rename(lib)
    return lib


@contextmanager
def broker(port: int, sasl: int, inside: int, controller: int, seen: int = 0, seen_sasl: int = 0) -> Iterator[None]:
    """A broker on `port` of the loopback, and on `sasl`; it says of itself that it is on `seen` and `seen_sasl`."""
    path = f"{jars()}/*"
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        properties = Path(folder, "server.properties")
        filled = {"seen": seen or port, "seen_sasl": seen_sasl or sasl, "secret": SECRET, "folder": folder}
        properties.write_text(PROPERTIES.format(port=port, sasl=sasl, inside=inside, controller=controller, **filled))
        form = ["java", "-cp", path, "kafka.tools.StorageTool", "format", "-t", "QTNBLTk0QTctNEQ3MC04NQ", "-c", str(properties)]
        form += ["--feature", "share.version=1"]
        subprocess.run(form, check=True, capture_output=True, timeout=60)
        command = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path, "kafka.Kafka", str(properties)]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            try:
                _wait(port, process, Path(folder, "log"))
                yield
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    from confluent_kafka.admin import AdminClient

    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(Exception):
            if AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}).list_topics(timeout=2).brokers:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the broker is not ready: {log.read_text()[-2000:]}")
