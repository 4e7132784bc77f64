"""MongoDB: vectors from real servers and pymongo, then each rule of the protocol and each attack by name.

Expected values come from pymongo's own command monitoring in the vectors, from bsonspec.org and MongoDB's specifications.
"""

from __future__ import annotations

import pytest

from receiver.l7.mongodb import rows
from receiver.l7.shared import Shared
from tests.l7.harness import Vector, check_vector, load_all

ALONE = rows(Shared())
VECTORS = load_all("mongodb")


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(ALONE, vector)
