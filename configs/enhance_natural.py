"""Detail enhancement for the style "natural", behind the lite denoiser and that style's photofinishing.

    python3 dev.py run -m train configs/enhance_natural.py --folder runs/enhance-natural

About 9 minutes on one of two busy cores. Expect a gain of 0.29 dB (25.68 to 25.98).
"""

from pathlib import Path

from train.enhance import EnhanceExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = EnhanceExperiment(
    name="enhance-natural",
    style="natural",
    denoiser=Path("runs/denoise-lite/best.safetensors"),
    photofinish=Path("runs/natural/best.safetensors"),
    size=(448, 640),
    crop=64,
    loop=LoopConfig(steps=600, batch=8, validate_every=200, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0, warmup=10, ema=0.98),
)
