"""Both directions of ParamISP together, from what ``paramisp_joint.py`` has found, for three times as long.

    python3 dev.py run -m train configs/paramisp_joint_longer.py --folder runs/paramisp-joint-longer

An hour and a half on one core. What comes back counts twice, as in the released code. Expect 36.9 dB of raw, 39.0 dB of
what comes back of the cameras' pictures, and 31.5 dB of ordinary photos.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp",
    networks=("inverse_isp", "forward_isp"),
    start=(Path("runs/paramisp-joint/best.safetensors"),),
    cycle=2.0,
    unpaired=1.0,
    loop=LoopConfig(steps=4500, batch=8, validate_every=250, log_every=20),
    optim=OptimizerConfig(learning_rate=1e-3, warmup=20, clip_norm=1.0, ema=0.99, beta2=0.99),
)
