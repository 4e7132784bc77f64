import pytest

pytest.register_assert_rewrite("tests.l7.harness")
