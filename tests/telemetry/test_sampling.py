"""Sampling: the specification's table of thresholds, the meaning of each sampler's name, consistency among ratios."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.telemetry.sampling import SAMPLERS, Sampler

LOW = b"\xff" * 9 + bytes(7)  # no randomness: the first to be rejected
HIGH = bytes(9) + b"\xff" * 7  # the last


# opentelemetry-specification, trace/tracestate-probability-sampling.md: 1-in-N, threshold with precision 4
@pytest.mark.parametrize(
    ("one_in", "th"),
    [
        (1, "0"),
        (2, "8"),
        (3, "aaab"),
        (4, "c"),
        (5, "cccd"),
        (8, "e"),
        (10, "e666"),
        (16, "f"),
        (100, "fd70a"),
        (1000, "ffbe77"),
        (10000, "fff9724"),
        (100000, "ffff583a"),
        (1000000, "ffffef39"),
    ],
)
def test_threshold_is_the_specifications(one_in: int, th: str) -> None:
    """As `ot=th:` in tracestate has it."""
    written = f"{Sampler('traceidratio', 1 / one_in).threshold:014x}"
    assert (written.rstrip("0") or "0") == th


def test_randomness_equal_to_the_threshold_is_kept_and_one_below_is_not() -> None:
    sampler = Sampler("traceidratio", 0.01)
    assert sampler.threshold == 0xFD70A << 36
    assert sampler.should_export(bytes(9) + sampler.threshold.to_bytes(7, "big"), False, 0)
    assert not sampler.should_export(b"\xff" * 9 + (sampler.threshold - 1).to_bytes(7, "big"), False, 0)


# (sampler, no parent: low and high trace id; parent sampled; parent not sampled)
MEANING = [
    ("always_on", True, True, True, True),
    ("always_off", False, False, False, False),
    ("traceidratio", False, True, False, False),
    ("parentbased_always_on", True, True, True, False),
    ("parentbased_always_off", False, False, True, False),
    ("parentbased_traceidratio", False, True, True, False),
]


@pytest.mark.parametrize(("name", "low", "high", "sampled", "unsampled"), MEANING)
def test_each_sampler_means_what_its_name_says(
    name: str, low: bool, high: bool, sampled: bool, unsampled: bool
) -> None:
    sampler = Sampler(name, 0.5)
    assert sampler.should_export(LOW, False, 0) == low
    assert sampler.should_export(HIGH, False, 0) == high
    assert sampler.should_export(LOW, True, 3) == sampled
    assert sampler.should_export(LOW, True, 2) == unsampled


def test_the_callers_decision_can_be_ignored() -> None:
    sampler = Sampler("parentbased_traceidratio", 0.5, respect_sampled=False)
    assert not sampler.should_export(LOW, True, 1)
    assert sampler.should_export(HIGH, True, 0)


def test_ratio_zero_rejects_and_one_keeps_everything() -> None:
    assert not Sampler("traceidratio", 0.0).should_export(HIGH, False, 0)
    assert not Sampler("traceidratio", 2.0**-60).should_export(HIGH, False, 0)
    assert Sampler("traceidratio", 2.0**-56).should_export(HIGH, False, 0)
    assert Sampler("traceidratio", 1.0).should_export(LOW, False, 0)


@pytest.mark.parametrize(
    ("tracestate", "kept"),
    [
        (b"ot=rv:ffffffffffffff", True),
        (b"a=b,ot=th:8;rv:80000000000000,c=d", True),
        (b"ot=rv:7fffffffffffff", False),
        (b"ot=rv:fffffffffffff", False),  # 13 digits: not valid, the trace id counts
        (b"ot=rv:FFFFFFFFFFFFFF", False),
        (b"ot=rv:+fffffffffffff", False),
        (b"xt=rv:ffffffffffffff", False),
    ],
)
def test_explicit_randomness_stands_for_the_trace_id(tracestate: bytes, kept: bool) -> None:
    assert Sampler("traceidratio", 0.5).should_export(LOW, False, 0, tracestate) == kept


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_ratio_outside_zero_to_one_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        Sampler("traceidratio", ratio)


def test_an_unknown_sampler_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="parentbased_jaeger_remote"):
        Sampler("parentbased_jaeger_remote")


def test_a_trace_id_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Sampler("traceidratio", 0.5).should_export(b"", False, 0)


@given(st.binary(min_size=16, max_size=16), st.floats(0, 1), st.floats(0, 1))
def test_what_a_ratio_keeps_every_larger_ratio_keeps(trace_id: bytes, a: float, b: float) -> None:
    small, large = sorted((a, b))
    if Sampler("traceidratio", small).should_export(trace_id, False, 0):
        assert Sampler("traceidratio", large).should_export(trace_id, False, 0)


@given(st.binary(min_size=16, max_size=16), st.booleans(), st.integers(0, 255), st.binary(max_size=60))
def test_no_tracestate_raises(trace_id: bytes, has_parent: bool, flags: int, tracestate: bytes) -> None:
    for name in SAMPLERS:
        Sampler(name, 0.3).should_export(trace_id, has_parent, flags, b"ot=rv:" + tracestate)
