"""Filters that libpcap takes, and what is said of those that it refuses. Those of real sources: `test_file.py`."""

from __future__ import annotations

import pytest

from receiver.pcap.dlt import DLT_RAW
from receiver.pcap.filter import check_filter


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("foo bar", 'cannot use the filter "foo bar": syntax error'),
        ("tcp port", 'syntax error after "tcp"'),
        ("tcp and and udp", 'syntax error at "and and"'),
        ("(tcp", "bracket"),
        ("tcp) or (udp", "syntax error"),
        ("host 300.1.1.1", "300.1.1.1"),
        ("vlan 5", "no VLAN support"),
        ("tcp[0:3] = 1", "data size must be 1, 2, or 4"),
        ("ip and ip6", "matches no packet"),
    ],
)
def test_a_filter_that_does_not_compile_is_explained_in_one_line(expression: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_filter(expression, DLT_RAW)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_filter_that_compiles_is_no_fault() -> None:
    check_filter("")
    check_filter("vlan 5 and tcp port 80")
