"""Photofinishing in the style "warm", defined by ``train.targets.STYLES``; starts from the networks of "natural".

    python3 dev.py run -m train configs/warm.py --folder runs/warm

About 20 minutes on one of two busy cores. Expect 27.13 dB, the neutral rendering has 20.07.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.photofinish import PhotofinishExperiment

EXPERIMENT = PhotofinishExperiment(
    name="warm",
    style="warm",
    start=Path("runs/natural/best.safetensors"),
    size=(96, 128),
    loop=LoopConfig(steps=300, batch=4, validate_every=100, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, l2=1e-7, clip_norm=1.0, warmup=20, ema=0.98),
)
