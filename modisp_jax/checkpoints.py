"""Our own format of parameter sets: one safetensors file, with its card in the header.

Tensors are named by their path (``denoise/in_conv/kernel``). The header's metadata holds ``format``, ``version``
and ``card``, a JSON object that says what the weights are, where they come from and under which licence.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from modisp_jax.config import PipelineConfig
from modisp_jax.io.images import replacing
from modisp_jax.params import check_params, flatten, init_params, unflatten

FORMAT = "modisp_jax parameters"
VERSION = "1"

BUILT_IN = {"neutral": PipelineConfig(denoise=None, enhance=None)}
"""Parameter sets by name. ``neutral`` is untrained: the plain, correct rendering, without restoration."""

DEFAULT = "neutral"
"""What the name ``default`` stands for: the best set that ships with this version."""


def save_params(path, params, card=None):
    """Writes a parameter set, whole or not at all.

    Args:
      path: of the file, usually ``NAME.safetensors``.
      params: nested dict of arrays; any of ``denoise``, ``photofinish``, ``enhance``.
      card: JSON-serialisable dict about the weights (what, data, licence, ...).

    Raises:
      ValueError: ``params`` is no complete, finite parameter set.
    """
    check_params(params)
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in flatten(params).items()}
    metadata = {"format": FORMAT, "version": VERSION, "card": json.dumps(card or {}, sort_keys=True)}
    with replacing(path, error=ValueError) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_params(source="default"):
    """Loads a parameter set.

    Args:
      source: path of a file that :func:`save_params` wrote, or the name of a built-in set: ``"default"`` or
        ``"neutral"``.

    Returns:
      Nested dict of float32 arrays.

    Raises:
      ValueError: no such file or name, a damaged file, or one that is no parameter set; says what came.
    """
    name = DEFAULT if source == "default" else source
    if name in BUILT_IN:
        return init_params(jax.random.key(0), BUILT_IN[name])
    flat, _ = _read(source)
    params = unflatten({name: jnp.asarray(tensor, jnp.float32) for name, tensor in flat.items()})
    try:
        check_params(params)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    return params


def read_card(path):
    """Reads what a parameter file says of itself: the card's dict, without loading the weights."""
    return _read(path, tensors=False)[1]


def _read(path, tensors=True):
    """Tensors by path (none where not wanted) and card of a parameter file."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file, nor the name of a built-in set ({', '.join(['default', *BUILT_IN])})")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a file of modisp_jax parameters, got {metadata.get('format', 'another')!r}")
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path}: expected format version {VERSION}, got {metadata.get('version')}")
    return flat, json.loads(metadata.get("card", "{}"))
