"""A style of one's own from ten pairs of linear images and finished pictures.

python docs/examples/own_style.py [size [steps]]
"""

import sys

import jax.numpy as jnp
import numpy as np

import modisp_jax as mj
from modisp_jax.color import srgb_encode
from modisp_jax.fit import FitStyleConfig
from modisp_jax.io.synthetic import synthetic_scene


def finish(linear):
    """How the pairs were finished, which the networks do not know: brighter, warm, with lifted blacks."""
    return 0.08 + 0.9 * srgb_encode(1.3 * linear * np.array([1.1, 1.0, 0.8], np.float32))


def main(size=128, steps=100, count=10):
    """PSNR on an unseen scene, of the style it started from and of what became of it."""
    scenes = [
        jnp.asarray(synthetic_scene((3 * size // 4, size), seed=k), jnp.float32).clip(0, 1) for k in range(count + 1)
    ]
    pairs = [(scene, finish(scene)) for scene in scenes[:-1]]
    params = mj.load_params("neutral", style="natural")
    config = FitStyleConfig(size=(3 * size // 4, size))
    fitted = mj.fit_style(params, pairs, rgb_lut=True, steps=steps, config=config)
    scores = []
    for name, found in (("start", params), ("fitted", fitted.params)):
        picture = mj.apply_look(mj.predict_look(found["photofinish"], scenes[-1]), scenes[-1])
        scores.append(float(-10 * jnp.log10(jnp.mean((picture - finish(scenes[-1])) ** 2))))
        print(f"{name:7} {scores[-1]:.2f} dB")
    return scores  # mj.save_params("mine.safetensors", fitted.params) keeps it for modisp render --style


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
