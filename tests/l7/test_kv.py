import pytest
from tests.l7 import streams
from tests.l7.harness import load_all
@pytest.mark.parametrize("v", load_all("http2"), ids=str)
def test_v(v): streams.check_vector(v)
