"""ParamISP from sRGB to raw, fine-tuned on one of the imaginary cameras.

    python3 dev.py run -m train configs/paramisp_camera.py --folder runs/paramisp-camera

For a camera of your own, from a folder of its raw photos and JPEGs: ``--pairs FOLDER --val-pairs FOLDER``.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp-camera",
    networks=("inverse_isp",),
    cameras=(2,),
    start=(Path("runs/paramisp-inverse/best.safetensors"),),
    loop=LoopConfig(steps=300, batch=8, validate_every=100, log_every=20),
    optim=OptimizerConfig(learning_rate=1e-3, warmup=10, clip_norm=1.0, ema=0.99, beta2=0.99),
)
