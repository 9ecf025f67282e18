"""The function ISP of SemiISP: closed forms that a network steers, exactly invertible, and pairs made with them."""

from modisp_jax.dynamicisp.isp import apply_functions, invert_functions, predict_functions, render_functions
from modisp_jax.dynamicisp.memory import Memory, draw_parameters, empty_memory, remember
from modisp_jax.dynamicisp.parameters import FunctionParameters
from modisp_jax.dynamicisp.pseudo import PseudoConfig, photo_to_raws, pseudo_pair, remember_used

__all__ = [
    "FunctionParameters",
    "Memory",
    "PseudoConfig",
    "apply_functions",
    "draw_parameters",
    "empty_memory",
    "invert_functions",
    "photo_to_raws",
    "predict_functions",
    "pseudo_pair",
    "remember",
    "remember_used",
    "render_functions",
]
