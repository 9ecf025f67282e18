"""Both directions of ParamISP together, with the cycle, from what each has learned by itself.

    python3 dev.py run -m train configs/paramisp_joint.py --folder runs/paramisp-joint

About three quarters of an hour on two cores. Expect 37.1 dB of raw, 37.2 dB of what comes back of the cameras'
pictures, and 28.8 dB of ordinary photos.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp",
    networks=("inverse_isp", "forward_isp"),
    start=(
        Path("runs/paramisp-inverse/best.safetensors"),
        Path("runs/paramisp-forward/best.safetensors"),
    ),
    unpaired=1.0,
    loop=LoopConfig(steps=1500, batch=8, validate_every=250, log_every=20),
    optim=OptimizerConfig(learning_rate=1e-3, warmup=20, clip_norm=1.0, ema=0.99, beta2=0.99),
)
