"""Phase 3 of SemiISP: what phase 2 has trained, on the pairs alone.

    python3 dev.py run -m train configs/semi_finetune.py --folder runs/semi-finetune

A minute on two cores, after ``configs/semi_target.py``; with its ``--target``.
"""

from pathlib import Path

from modisp_jax.config import FunctionISPConfig
from train.loop import LoopConfig
from train.semi.task import SemiExperiment

EXPERIMENT = SemiExperiment(
    name="function_isp-semi-tuned",
    isp=FunctionISPConfig(resize=64),
    start=Path("runs/semi-target/best.safetensors"),
    loop=LoopConfig(steps=750, batch=12, validate_every=250, log_every=20),
)
