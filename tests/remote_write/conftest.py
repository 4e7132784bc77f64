import pytest

from tests.remote_write.messages import V1, V2


@pytest.fixture
def read_v1():
    return V1["WriteRequest"].FromString


@pytest.fixture
def read_v2():
    return V2["Request"].FromString


@pytest.fixture
def bits_of():
    """The eight bytes of a sample's value, which a float in Python may have changed."""

    def bits(sample):
        return sample.SerializeToString()[1:9]

    return bits
