"""ParamISP: forward and inverse ISPs steered by exposure data, and what can be done with them."""

from modisp_jax.paramisp.capture import Capture, capture_of
from modisp_jax.paramisp.isp import forward_isp, inverse_isp
from modisp_jax.paramisp.photos import photo_to_raw, raw_to_photo

__all__ = ["Capture", "capture_of", "forward_isp", "inverse_isp", "photo_to_raw", "raw_to_photo"]
