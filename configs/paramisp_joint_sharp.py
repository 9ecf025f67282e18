"""Both directions of ParamISP together, once more, so that sharp photos come back as well as soft ones.

    python3 dev.py run -m train configs/paramisp_joint_sharp.py --folder runs/paramisp-joint-sharp

An hour and a quarter on one core. What comes back counts by its squared error, in which edges weigh more, and half of
the patches are not enlarged. Expect 36.6 dB of raw, 40.5 dB of what comes back of the cameras' pictures, and 34.6 dB of
ordinary photos.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp",
    networks=("inverse_isp", "forward_isp"),
    start=(Path("runs/paramisp-joint-longer/best.safetensors"),),
    cycle=2.0,
    cycle_error="squared",
    unpaired=1.0,
    unchanged=0.5,
    loop=LoopConfig(steps=1900, batch=8, validate_every=190, log_every=20),
    optim=OptimizerConfig(method="soap", learning_rate=1e-3, warmup=20, clip_norm=1.0, ema=0.99, beta2=0.99),
)
