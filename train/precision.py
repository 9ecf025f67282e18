"""Computing in bfloat16 while parameters, gradients and losses stay in float32."""

from typing import Literal

import jax.numpy as jnp

from modisp_jax.tree import flatten, unflatten

ComputeDtype = Literal["float32", "bfloat16"]

WEIGHTS = ("kernel", "bias", "scale", "beta", "gamma")
"""Names of what layers multiply and add. Others are tables (LUTs), which are results and keep all their digits."""


def for_compute(params, dtype):
    """The parameters as the networks of a loss shall compute with them.

    A layer computes in the dtype of its kernel, so casting the kernels is all it takes. The last layers of the
    photofinishing networks, which make the coefficients, stay in float32, and so does all that follows in closed form;
    NAFNets add what they find to the float32 image. The gradient of a cast is a cast: gradients come back in float32.

    Args:
      params: a parameter set.
      dtype: ``"float32"``, which changes nothing, or ``"bfloat16"``.

    Returns:
      A parameter set like ``params``.
    """
    if dtype == "float32":
        return params

    def cast(path, leaf):
        *_, layer, name = path.split("/")
        return leaf.astype(jnp.bfloat16) if name in WEIGHTS and layer != "head" else leaf

    return unflatten({path: cast(path, leaf) for path, leaf in flatten(params).items()})
