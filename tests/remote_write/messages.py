"""Remote write messages as protobuf reads them: an independent reading, from the published field numbers.

Sources: prometheus/prompb/types.proto and remote.proto (1.0); prompb/io/prometheus/write/v2/types.proto with the change
of rc.4 (start_timestamp moved from TimeSeries to Sample and Histogram).
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto


def build(package, messages):
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            repeated = kind.endswith("*")
            kind = kind.rstrip("*")
            label = F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL
            if kind[0].isupper():
                message.field.add(
                    name=field, number=number, label=label, type=F.TYPE_MESSAGE, type_name=f".{package}.{kind}"
                )
            else:
                message.field.add(name=field, number=number, label=label, type=F.Type.Value(f"TYPE_{kind.upper()}"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


V1 = build(
    "prometheus",
    {
        "WriteRequest": [(1, "timeseries", "TimeSeries*")],
        "TimeSeries": [(1, "labels", "Label*"), (2, "samples", "Sample*")],
        "Label": [(1, "name", "string"), (2, "value", "string")],
        "Sample": [(1, "value", "double"), (2, "timestamp", "int64")],
    },
)

V2 = build(
    "io.prometheus.write.v2",
    {
        "Request": [(4, "symbols", "string*"), (5, "timeseries", "TimeSeries*")],
        "TimeSeries": [
            (1, "labels_refs", "uint32*"),
            (2, "samples", "Sample*"),
            (3, "histograms", "Histogram*"),
            (5, "metadata", "Metadata"),
        ],
        "Sample": [(1, "value", "double"), (2, "timestamp", "int64"), (3, "start_timestamp", "int64")],
        "Metadata": [(1, "type", "int32"), (3, "help_ref", "uint32"), (4, "unit_ref", "uint32")],
        "Histogram": [
            (1, "count_int", "uint64"),
            (3, "sum", "double"),
            (4, "schema", "sint32"),
            (11, "positive_spans", "BucketSpan*"),
            (12, "positive_deltas", "sint64*"),
            (15, "timestamp", "int64"),
            (16, "custom_values", "double*"),
            (17, "start_timestamp", "int64"),
        ],
        "BucketSpan": [(1, "offset", "sint32"), (2, "length", "uint32")],
    },
)
