"""Detail enhancement for the style "warm", behind the lite denoiser and its photofinishing; starts from natural's.

    python3 dev.py run -m train configs/enhance_warm.py --folder runs/enhance-warm

About 6 minutes on one of two busy cores. Expect a gain of 0.56 dB (28.39 to 28.95).
"""

from pathlib import Path

from train.enhance import EnhanceExperiment
from train.loop import LoopConfig
from train.optim import OptimizerConfig

EXPERIMENT = EnhanceExperiment(
    name="enhance-warm",
    style="warm",
    denoiser=Path("runs/denoise-lite/best.safetensors"),
    photofinish=Path("runs/warm/best.safetensors"),
    start=Path("runs/enhance-natural/best.safetensors"),
    size=(448, 640),
    crop=64,
    loop=LoopConfig(steps=300, batch=8, validate_every=100, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, clip_norm=1.0, warmup=10, ema=0.98),
)
