"""How sure is a fitted look? A batch of fits to noisy versions of one picture.

python docs/examples/uncertainty.py [size [steps]]
"""

import sys

import jax
import jax.numpy as jnp

import modisp_jax as mj
from modisp_jax.io.synthetic import synthetic_scene


def main(size=128, steps=150, count=4, noise=0.02):
    """Spread of some coefficients, and of the pictures they make."""
    linear = jnp.asarray(synthetic_scene((3 * size // 4, size)), jnp.float32).clip(0, 1)
    look = mj.predict_look(mj.load_params("neutral", style="natural")["photofinish"], linear)
    picture = mj.apply_look(look, linear)
    targets = picture + noise * jax.random.normal(jax.random.key(0), (count, *picture.shape))
    found = jax.vmap(lambda target: mj.fit_look(linear, target.clip(0, 1), ltm=False, steps=steps))(targets)
    coefficients = {"gain": found.look.gain, "gamma": 1 / found.look.inverse_gamma}
    coefficients |= {name: found.look.gtm[:, k] for k, name in enumerate("abc")}
    for name, values in coefficients.items():
        print(f"{name:6} {float(values.mean()):.3f} +- {float(values.std()):.3f}")
    spread = float(found.picture.std(axis=0).mean())
    print(f"picture +- {spread:.5f}: noise of {noise} on each pixel, of which the look keeps little")
    return spread


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
