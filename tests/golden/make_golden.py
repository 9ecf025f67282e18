"""Writes golden.npz: outputs of today's code, for tests that notice when they change.

Run it only where a change of results is meant, and say why in the commit:

    python -m tests.golden.make_golden
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np

import modisp_jax as mj
from modisp_jax.config import PUBLISHED_HALO_FIX
from tests.samples import TINY, numbered_params, photo, raw

PATH = Path(__file__).parent / "golden.npz"
CONFIG = mj.PipelineConfig(TINY.denoise, mj.PhotofinishConfig(rgb_lut=True), TINY.enhance)


def compute():
    """Outputs of the networks with numbered parameters on small images, thinned out."""
    params = numbered_params(mj.init_params(jax.random.key(0), CONFIG), scale=0.5)
    stages = mj.render_stages(params, raw(32, 48))
    look = stages.look
    several_scales = mj.RenderConfig(halo_fix=dataclasses.replace(PUBLISHED_HALO_FIX, iterations=20))
    halo_fix = mj.predict_look(params["photofinish"], photo(26, 37), config=several_scales)
    outputs = {
        "denoised": stages.denoised[::5, ::7],
        "linear": stages.linear[::5, ::7],
        "gain": look.gain,
        "gtm": look.gtm,
        "ltm": look.ltm,
        "chroma_lut": look.chroma_lut[::5, ::7],
        "inverse_gamma": look.inverse_gamma,
        "small": stages.finished.srgb,
        "upsampled": stages.upsampled[::5, ::7],
        "srgb": stages.srgb[::5, ::7],
        "halo_fix_ltm": halo_fix.ltm[::5, ::7],
    }
    return {name: np.asarray(value) for name, value in outputs.items()}


if __name__ == "__main__":
    np.savez_compressed(PATH, **compute())
    print(f"written to {PATH}")
