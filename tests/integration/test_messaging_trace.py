"""One trace over HTTP, AMQP and Kafka: a web request that publishes, a consumer that calls on.

The application is real, as are both brokers; it hands the trace on in headers as an SDK does, with the id of a span of its own.
What the receiver tells beside it hangs together by those alone: parents and links are as the headers say, in the Collector's
output. Needs root, the Collector, RabbitMQ, Java and Kafka (`KAFKA_ROOT`, or Maven).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.servers import Site, Span, wait_for
from tests.vectors import amqp_broker, kafka_broker

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
REQUESTS = 5
SERVER, CLIENT, CONSUMER = 2, 3, 5  # Span.SpanKind

# For each request prints the trace's id and the ids of the application's own spans: of the caller, of each publish, of the call on.
APPLICATION_CODE = r"""
import http.client, http.server, json, os, sys, threading
sys.path.insert(0, sys.argv[1])
import confluent_kafka, pika
from confluent_kafka.admin import AdminClient, NewTopic
from amqp_broker import SECRET, broker as rabbitmq
from kafka_broker import broker as kafka
from record import free_port

def span():
    return os.urandom(8).hex()
def context(trace, own):
    return f"00-{trace}-{own}-01"
def trace_of(header):
    return header.split("-")[1]
def call(port, path, header):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"traceparent": header})
    connection.getresponse().read()
    connection.close()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/order":
            trace = trace_of(self.headers["traceparent"])
            publishes, sends = span(), span()
            told[trace] |= {"publish": publishes, "send": sends}
            headers = {"traceparent": context(trace, publishes)}
            channel.basic_publish("", "orders", b"order", pika.BasicProperties(headers=headers))
            producer.produce("orders", b"order", headers={"traceparent": context(trace, sends)})
            producer.flush()
        self.send_response(204)
        self.end_headers()
    def log_message(self, *more): pass

def work():
    connection = pika.BlockingConnection(parameters)
    works = connection.channel()
    works.basic_qos(prefetch_count=1)
    def got(channel, method, properties, body):
        header = properties.headers["traceparent"]
        calls = span()
        told[trace_of(header)]["call"] = calls
        call(stock.server_address[1], "/reserve", context(trace_of(header), calls))
        channel.basic_ack(method.delivery_tag)
        done.append(1)
        if len(done) == count:
            works.stop_consuming()
    works.basic_consume("orders", got)
    works.start_consuming()
    connection.close()

count, told, done = int(sys.argv[2]), {}, []
shop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
stock = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
for server in (shop, stock):
    threading.Thread(target=server.serve_forever, daemon=True).start()
port, kafka_port = free_port(), free_port()
with rabbitmq(port, free_port(), free_port()), kafka(kafka_port, free_port(), free_port(), free_port()):
    parameters = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials("lab", SECRET), heartbeat=0)
    channel = pika.BlockingConnection(parameters).channel()
    channel.queue_declare("orders")
    channel.confirm_delivery()
    common = {"bootstrap.servers": f"127.0.0.1:{kafka_port}", "log_level": 0}
    admin = AdminClient(common)
    admin.create_topics([NewTopic("orders", 1, 1)], operation_timeout=10)["orders"].result()
    producer = confluent_kafka.Producer({**common, "client.id": "shop"})
    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(count):
        trace, caller = os.urandom(16).hex(), span()
        told[trace] = {"caller": caller}
        call(shop.server_address[1], "/order", context(trace, caller))
    worker.join(30)
    consumer = confluent_kafka.Consumer({**common, "group.id": "audit", "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])
    got = 0
    while got < count:
        got += len(consumer.consume(count, 5))
    consumer.close()
print(json.dumps(told))
"""


def links(span: Span) -> list[tuple[str, str]]:
    return [(link["traceId"], link["spanId"]) for link in span.get("links", [])]


@pytest.mark.parametrize("stored", [False, True], ids=["collector", "store"])
def test_parents_and_links_are_as_the_headers_say(site: Site, stored: bool) -> None:
    """In the Collector's output, and in the trace store behind it."""
    for module in (amqp_broker, kafka_broker):
        missing = module.why_not()
        if missing is not None:
            pytest.skip(f"NOT RUN: {missing} is missing")
    jaeger = site.jaeger() if stored else None
    collector = site.collector(False, None, "collector.yaml", *(["collector-jaeger.yaml"] if stored else []))
    receiver = site.receiver()
    command = [sys.executable, "-W", "ignore", "-c", APPLICATION_CODE, os.fspath(VECTORS), str(REQUESTS)]
    told: dict[str, dict[str, str]] = json.loads(site.application.run(*command, timeout_s=120).stdout)
    assert len(told) == REQUESTS

    def polls() -> list[Span]:
        return [span for span in collector.spans() if span["name"] == "poll orders" and span.get("links")]

    wait_for(lambda: len({link for span in polls() for link in links(span)}) == REQUESTS, "what Kafka's consumer was given")
    wait_for(lambda: len([span for span in collector.spans() if span["traceId"] in told]) == 5 * REQUESTS, "the traces")
    polled = {link for span in polls() for link in links(span)}
    for trace_id, own in told.items():
        spans = {span["name"]: span for span in collector.spans() if span["traceId"] == trace_id}
        expected = {
            ("GET /order", SERVER, own["caller"]),
            ("publish orders", CLIENT, own["publish"]),
            ("send orders", CLIENT, own["send"]),
            ("consume orders", CONSUMER, own["publish"]),
            ("GET /reserve", SERVER, own["call"]),
        }
        found = {(span["name"], span["kind"], span["parentSpanId"]) for span in collector.spans() if span["traceId"] == trace_id}
        assert found == expected
        assert links(spans["consume orders"]) == [(trace_id, own["publish"])]
        assert (trace_id, own["send"]) in polled
    if jaeger is not None:
        for trace_id, own in told.items():
            wait_for(lambda trace_id=trace_id: len(jaeger.trace(trace_id)) == 5, "the trace in the store")
            kept = jaeger.trace(trace_id)
            assert {(one["operationName"], ref["refType"], ref["spanID"]) for one in kept for ref in one["references"]} == {
                ("GET /order", "CHILD_OF", own["caller"]),
                ("publish orders", "CHILD_OF", own["publish"]),
                ("send orders", "CHILD_OF", own["send"]),
                ("consume orders", "FOLLOWS_FROM", own["publish"]),  # parent and link are one to Jaeger
                ("GET /reserve", "CHILD_OF", own["call"]),
            }
    assert receiver.packets_dropped() == 0
