"""The gradient of a loss on the finished picture, through the whole pipeline, down to the networks' weights.

python docs/examples/gradient.py [size]
"""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import modisp_jax as mj
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.tree import flatten


def main(size=128):
    """Norm of the gradient of each stage, for a loss that asks for brighter shadows."""
    with tempfile.TemporaryDirectory() as folder:
        raw = mj.read_raw(write_synthetic_dng(Path(folder) / "scene.dng", size=(3 * size // 4, size)))
    params = mj.load_params("neutral", style="natural")  # no denoiser: the example stays small

    def loss(params):
        shadows = jnp.minimum(mj.render(params, raw), 0.3)
        return jnp.mean((0.3 - shadows) ** 2)

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    norms = {}
    for name, leaf in flatten(gradient).items():
        stage = "/".join(name.split("/")[: 2 if name.startswith("photofinish") else 1])
        norms[stage] = norms.get(stage, 0.0) + float(np.sum(np.square(leaf)))
    print(f"loss {float(value):.5f}")
    for stage, square in norms.items():
        print(f"{stage:20} |gradient| {square**0.5:.2e}")
    return norms


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
