from functools import partial
import pytest
from receiver.l7.mysql import rows
from receiver.l7.shared import Shared
from receiver.l7.registry import PROTOCOLS
from tests.l7.harness import *
ALONE = rows(Shared())
VECTORS = load_all("mysql")
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector):
    check_vector(ALONE, vector)
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_expected(vector):
    truth = feed_recorded(partial(Run, PROTOCOLS), vector)
    check_expected(vector, truth)
