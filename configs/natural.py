"""Photofinishing in the style "natural": the photos as their cameras finished them.

    python3 dev.py run -m train configs/natural.py --folder runs/natural

About 35 minutes on one of two busy cores. Expect 25.55 dB, the neutral rendering has 20.20.
"""

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.photofinish import PhotofinishExperiment

EXPERIMENT = PhotofinishExperiment(
    name="natural",
    style="natural",
    size=(96, 128),
    loop=LoopConfig(steps=500, batch=4, validate_every=100, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, l2=1e-7, clip_norm=1.0, warmup=30, ema=0.98),
)
