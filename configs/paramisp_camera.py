"""ParamISP from sRGB to raw, fine-tuned on one of the imaginary cameras, from the networks that ship.

    python3 dev.py run -m train configs/paramisp_camera.py --folder runs/paramisp-camera

A quarter of an hour on one core. Expect 42.0 dB. For a camera of your own, from a folder of its raw photos and JPEGs:
``--pairs FOLDER --val-pairs FOLDER``; for the way back ``--networks forward_isp``.
"""

from pathlib import Path

from train.loop import LoopConfig
from train.optim import OptimizerConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp-camera",
    networks=("inverse_isp",),
    cameras=(2,),
    start=(Path("modisp_jax/weights/paramisp.safetensors"),),
    loop=LoopConfig(steps=1500, batch=8, validate_every=100, log_every=20),
    optim=OptimizerConfig(learning_rate=1e-3, warmup=10, clip_norm=1.0, ema=0.99, beta2=0.99),
)
