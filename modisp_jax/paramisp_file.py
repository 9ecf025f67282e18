"""ParamISP's networks from a file, with the reading of the paper that its card says they are of."""

import dataclasses

from modisp_jax.checkpoints import load_params, read_card, shipped
from modisp_jax.config import PARAMISP_READINGS, ParamISPConfig
from modisp_jax.nets.paramisp import EXPONENTS, differences
from modisp_jax.params import config_of


def load_paramisp(source="paramisp", networks=tuple(EXPONENTS)):
    """Loads ParamISP's networks.

    Args:
      source: path of a parameter file, or ``"paramisp"``, the networks that ship.
      networks: which must be there: ``"inverse_isp"``, ``"forward_isp"`` or both.

    Returns:
      ``(params, config)``: a dict with both networks, as far as they are there, and their ``ParamISPConfig``.

    Raises:
      ValueError: no such file, one that lacks a network, networks of two shapes, or a card that does not fit them.
    """
    params = load_params(source)
    shapes = config_of(params)
    missing = [name for name in networks if name not in params]
    if missing or not params.keys() & EXPONENTS.keys():
        raise ValueError(f"{source}: expected the networks {', '.join(networks or EXPONENTS)}, got {', '.join(params)}")
    params = {name: params[name] for name in EXPONENTS if name in params}
    found = {getattr(shapes, name) for name in params}
    if len(found) != 1:
        raise ValueError(f"{source}: expected networks of one shape, got {' and '.join(map(str, found))}")
    said = read_card(shipped(source) if source == "paramisp" else source).get("paramisp", {})
    return params, _reading(found.pop(), said, source)


def _reading(shape, said, source):
    """The configuration of a shape with the readings that a card says."""
    try:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
        card = ParamISPConfig(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{source}: expected a card with a configuration of ParamISP, got {said!r} ({error})"
        ) from None
    config = dataclasses.replace(shape, **{name: getattr(card, name) for name in PARAMISP_READINGS})
    if said and differences(config, card):
        raise ValueError(f"{source}: expected networks as its card has them, {card}, got {shape}")
    return config
