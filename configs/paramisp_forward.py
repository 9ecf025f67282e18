"""ParamISP from raw to sRGB, pre-trained on the five imaginary cameras.

    python3 dev.py run -m train configs/paramisp_forward.py --folder runs/paramisp-forward

About half an hour on two cores. Expect 28.4 dB: the cameras are not told apart, and how they differ is error.
"""

from train.loop import LoopConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp-forward",
    networks=("forward_isp",),
    loop=LoopConfig(steps=1500, batch=8, validate_every=250, log_every=20),
)
