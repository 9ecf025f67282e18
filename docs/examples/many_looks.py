"""One photo in many looks at once: ``vmap`` over a batch of coefficients.

python docs/examples/many_looks.py [size]
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp

import modisp_jax as mj
from modisp_jax.io.synthetic import synthetic_scene


def main(size=256, count=5):
    """Mean brightness of a picture from a dark to a bright gain, by one call."""
    linear = jnp.asarray(synthetic_scene((3 * size // 4, size)), jnp.float32).clip(0, 1)
    look = mj.predict_look(mj.load_params("neutral", style="natural")["photofinish"], linear)
    gains = look.gain * jnp.exp2(jnp.linspace(-2.0, 1.0, count))

    def finish(gain):
        return mj.apply_look(dataclasses.replace(look, gain=gain), linear)

    pictures = jax.jit(jax.vmap(finish))(gains)  # [count, h, w, 3]
    for gain, picture in zip(gains, pictures, strict=True):
        print(f"gain {float(gain):.2f}: mean {float(picture.mean()):.3f}")
    return pictures


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
