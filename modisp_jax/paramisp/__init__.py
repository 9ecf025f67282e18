"""ParamISP: forward and inverse ISPs steered by exposure data, and what can be done with them."""

from modisp_jax.paramisp.applications import expose, hdr, in_raw_space, transfer
from modisp_jax.paramisp.blur import motion_kernel, synthesize_blur
from modisp_jax.paramisp.capture import Capture, capture_of
from modisp_jax.paramisp.fusion import fuse_exposures
from modisp_jax.paramisp.isp import forward_isp, inverse_isp
from modisp_jax.paramisp.photos import photo_to_raw, raw_to_photo

__all__ = [
    "Capture",
    "capture_of",
    "expose",
    "forward_isp",
    "fuse_exposures",
    "hdr",
    "in_raw_space",
    "inverse_isp",
    "motion_kernel",
    "photo_to_raw",
    "raw_to_photo",
    "synthesize_blur",
    "transfer",
]
