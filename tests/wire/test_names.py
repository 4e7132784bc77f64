"""The address-to-name table: who may name an address, for how long, and how many."""

from __future__ import annotations

import pytest

from receiver.wire.names import NAMES_MAX, Names, is_host_name, pack_address, read_hosts

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
A = bytes((192, 0, 2, 1))
B = pack_address("2001:db8::1")


def test_an_answer_goes_before_the_users_map_and_that_before_the_hosts_file() -> None:
    names = Names({"192.0.2.1": "map.test"}, {"192.0.2.1": "hosts.test", "192.0.2.2": "only-hosts.test"})
    assert names.name_of(A, NOW) == "map.test"
    assert names.name_of(bytes((192, 0, 2, 2)), NOW) == "only-hosts.test"
    names.learn(A, "answer.test", 300, NOW)
    assert names.name_of(A, NOW) == "answer.test"
    assert names.name_of(A, NOW + 301 * SECOND) == "map.test"


def test_an_address_may_be_written_in_more_than_one_way() -> None:
    names = Names({"2001:DB8:0::1": "six.test"})
    assert names.name_of(B, NOW) == "six.test"
    assert Names({"::ffff:192.0.2.1": "mapped.test"}).name_of(A, NOW) == "mapped.test"


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(0, 60), (5, 60), (61, 61), (3600, 3600), (2**32 - 1, 86400)])
def test_kept_for_its_ttl_a_minute_at_least_a_day_at_most(ttl_s: int, kept_s: int) -> None:
    names = Names()
    names.learn(A, "a.test", ttl_s, NOW)
    assert names.name_of(A, NOW + kept_s * SECOND - 1) == "a.test"
    assert names.name_of(A, NOW + kept_s * SECOND) is None
    assert names.size() == 0


def test_the_last_answer_counts() -> None:
    names = Names()
    names.learn(A, "old.test", 300, NOW)
    names.learn(A, "new.test", 300, NOW + 200 * SECOND)
    assert names.name_of(A, NOW + 400 * SECOND) == "new.test"
    assert names.size() == 1


def test_one_more_than_there_is_room_for_pushes_out_the_oldest() -> None:
    names = Names()
    for i in range(NAMES_MAX + 1):
        names.learn(bytes((10, 0, i >> 8, i & 255)), f"n{i}.test", 300, NOW)
    assert (names.size(), names.limits["names"]) == (NAMES_MAX, 1)
    assert names.name_of(bytes((10, 0, 0, 0)), NOW) is None
    assert names.name_of(bytes((10, 0, 0, 1)), NOW) == "n1.test"


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "127.0.0.1", "127.1.2.3", "224.0.0.251", "255.255.255.255", "::", "::1", "ff02::fb"]
)
def test_addresses_that_stand_for_many_are_not_learnt(address: str) -> None:
    """A filtering resolver answers 0.0.0.0 or 127.0.0.1; all of loopback would get that name."""
    names = Names(hosts=read_hosts(f"{address} blocked.test"))
    names.learn(pack_address(address), "blocked.test", 300, NOW)
    assert names.name_of(pack_address(address), NOW) is None


def test_the_user_may_name_any_address() -> None:
    assert Names({"127.0.0.1": "me"}).name_of(pack_address("127.0.0.1"), NOW) == "me"


def test_a_key_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.300"):
        Names({"192.0.2.300": "a"})


def test_hosts_file() -> None:
    """hosts(5): address, canonical name, aliases; comments; the first line of an address counts."""
    text = """
127.0.0.1\tlocalhost
# 192.0.2.9 commented.test
192.0.2.1   Db.Test. db   # the database
192.0.2.1   other.test
2001:db8::1 six.test
fe80::1%eth0 link-local.test
192.0.2.3
nonsense here
192.0.2.4 bad!name
0.0.0.0 ads.example
"""
    assert read_hosts(text) == {"192.0.2.1": "db.test", "2001:db8::1": "six.test", "fe80::1%eth0": "link-local.test"}


@pytest.mark.parametrize("name", ["", ".", ".a", "a b", "a\\046b", "*.test", "A.test", "ä.test", "a" * 254])
def test_what_is_no_host_name(name: str) -> None:
    assert not is_host_name(name)


@pytest.mark.parametrize("name", ["a", "_sip._tcp.test", "xn--4ca.test", "10-0-0-1.pod.cluster.local", "a" * 253])
def test_what_is_a_host_name(name: str) -> None:
    assert is_host_name(name)
