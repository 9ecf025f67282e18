"""What the tests of the kernels share."""

import jax
import pytest

from modisp_jax.kernels import dispatch


@pytest.fixture
def by_xla(monkeypatch):
    """A function that calls another as XLA alone compiles it."""

    def call(function, *arrays):
        with monkeypatch.context() as patch:
            patch.setenv(dispatch.VARIABLE, "0")
            return jax.jit(lambda *a: function(*a))(*arrays)

    return call
