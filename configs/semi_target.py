"""Phase 2 of SemiISP: the function ISP itself, or another ISP, on 30 pairs and the photos that have none.

    python3 dev.py run -m train configs/semi_target.py --folder runs/semi-target

About four minutes on two cores, after ``configs/semi_function.py``, from whose weights it goes on. Another ISP, trained
on the pairs before: ``--target lut3d --start WEIGHTS``. Your own photos: ``--pairs FOLDER --val-pairs FOLDER --unpaired
FOLDER``. The paper's settings: ``train.semi.published.published_target``.
"""

from pathlib import Path

from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig
from train.semi.task import SemiExperiment

EXPERIMENT = SemiExperiment(
    name="function_isp-semi",
    isp=FunctionISPConfig(resize=64),
    teacher=Path("runs/semi-function/best.safetensors"),
    start=Path("runs/semi-function/best.safetensors"),
    pseudo=8,
    beta=3.0,
    loop=LoopConfig(steps=1500, batch=12, validate_every=250, log_every=20),
)
