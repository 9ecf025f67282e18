"""ParamISP from sRGB to raw, pre-trained on the five imaginary cameras.

    python3 dev.py run -m train configs/paramisp_inverse.py --folder runs/paramisp-inverse

About 25 minutes on two cores. Expect 37.2 dB.
"""

from train.loop import LoopConfig
from train.paramisp.task import ParamISPExperiment

EXPERIMENT = ParamISPExperiment(
    name="paramisp-inverse",
    networks=("inverse_isp",),
    loop=LoopConfig(steps=1500, batch=8, validate_every=250, log_every=20),
)
