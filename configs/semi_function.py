"""Phase 1 of SemiISP: the function ISP on 30 pairs of the controlled benchmark.

    python3 dev.py run -m train configs/semi_function.py --folder runs/semi-function

About two minutes on two cores. Your own raw photos and pictures: ``--pairs FOLDER --val-pairs FOLDER``. Another ISP, to
go on with in phase 2: ``--target lut3d``, ``nafnet`` or ``photofinish``. The paper's settings:
``train.semi.published.published_function``.
"""

import dataclasses

from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig
from train.semi.task import SemiExperiment

EXPERIMENT = SemiExperiment(
    name="function_isp",
    isp=FunctionISPConfig(resize=64),
    loop=LoopConfig(steps=1500, batch=12, validate_every=250, log_every=20),
    optim=dataclasses.replace(SemiExperiment.optim, learning_rate=3e-3),
)
