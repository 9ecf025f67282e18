"""Photofinishing in the style "mono", defined by ``train.targets.STYLES``; starts from the networks of "natural".

    python3 dev.py run -m train configs/mono.py --folder runs/mono

About 20 minutes on one of two busy cores. Expect 34.03 dB, the neutral rendering has 19.39.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.photofinish import PhotofinishExperiment

EXPERIMENT = PhotofinishExperiment(
    name="mono",
    style="mono",
    start=Path("runs/natural/best.safetensors"),
    rules=(
        ("photofinish/chroma/", 0.0),  # grey by construction, see train.photofinish.without_colour
        ("photofinish/gain/", 2.0),
        ("photofinish/", 1.0),
    ),
    size=(96, 128),
    loop=LoopConfig(steps=300, batch=4, validate_every=100, log_every=10),
    optim=OptimizerConfig(learning_rate=1e-3, l2=1e-7, clip_norm=1.0, warmup=20, ema=0.98),
)
