"""Results that must not change unnoticed, also where there is no reference material."""

import numpy as np
import pytest

from tests.golden.make_golden import PATH, compute

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def outputs():
    return compute()


def test_golden_values(outputs):
    golden = np.load(PATH)
    assert sorted(golden.files) == sorted(outputs)
    for name in golden.files:
        # The tolerance is for other processors' order of summation.
        np.testing.assert_allclose(outputs[name], golden[name], atol=2e-5, err_msg=name)


def test_every_stage_did_something(outputs):
    """Otherwise the values above would hold still whatever the code did."""
    assert abs(outputs["gain"] - 1) > 0.01
    assert np.abs(outputs["gtm"] - 1).max() > 0.01
    assert np.ptp(outputs["ltm"][..., 1:], axis=(0, 1)).max() > 1e-3
    assert np.ptp(outputs["srgb"]) > 0.1
    assert 1 / 3 < outputs["inverse_gamma"] < 1 / 1.2
