"""Packs what training runs made into the weights that ship: one file with its card, for one denoiser or one style.

    python -m train.pack runs/vivid/best.safetensors runs/vivid-enhance/best.safetensors --name style-vivid \\
        --command "python -m train configs/vivid.py --folder runs/vivid" \\
        --command "python -m train configs/vivid_enhance.py --folder runs/vivid-enhance" \\
        --hours 3.5 --data "74 photos by ..., CC0"

Writes NAME.safetensors and its card NAME.md, and renews SHA256SUMS beside them (``sha256sum -c SHA256SUMS``). Refuses
weights whose own card does not say how they were trained, and weights under another licence than ours.
"""

import datetime
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from modisp_jax import __version__
from modisp_jax.checkpoints import PARAMISP, SIZES, STYLES, load_params, read_card, save_params
from modisp_jax.config import DENOISERS
from modisp_jax.describe import describe_params
from modisp_jax.io.images import replacing
from modisp_jax.nets.paramisp import EXPONENTS
from modisp_jax.params import config_of
from train.provenance import LICENCE, check_ours, sha256
from train.targets import STYLES as RENDERERS

SUMS = "SHA256SUMS"
NAMES = (*(f"denoise-{size}" for size in SIZES), *(f"style-{style}" for style in STYLES), PARAMISP)
"""The sets that ship."""

SAID = {"what": str, "data": str, "seed": int, "steps": int, "validation": dict}
"""What the card of trained weights says at least (``train.loop`` writes it), and as what."""

INPUT = {
    "denoise": "camera RGB in [0, 1]: demosaiced, black level removed, white level 1",
    "style": "linear sRGB in [0, 1] after white balance and colour matrix",
    PARAMISP: "sRGB in [0, 1], or a Bayer mosaic, black 0 and white 1; light, colour matrix and exposure data",
}


def pack(files, *, weights, name, commands, hours, data, what=None, date=None):
    """Merges the parts of one shipped set and writes it with its card.

    Args:
      files: what runs kept as ``best.safetensors``, each with some of the set's networks.
      weights: folder to write into, usually ``modisp_jax/weights``.
      name: of the set, one of ``NAMES``.
      commands: the command that made each file.
      hours: how long it all took.
      data: what it was trained on, and under which licence that is.
      what: description in a few words; of a style by default its renderer's.
      date: of the card, ISO; today by default.

    Returns:
      The card.

    Raises:
      ValueError: a file that is no parameter set, is not ours or does not say how it was made, or parts that do not
        make the set.
    """
    _check_arguments(files, weights, name, commands, hours, data)
    params, sources = {}, {}
    for path, command in zip(files, commands, strict=True):
        card = check_card(read_card(path), path)
        for network, tensors in load_params(str(path)).items():
            if network in params:
                raise ValueError(f"{path}: {network} is in {sources[network]['file']} already")
            params[network] = tensors
            sources[network] = {**card, "file": str(path), "command": command}
    _check_networks(params, sources, name)
    of_each = lambda key: {network: source[key] for network, source in sources.items()}  # noqa: E731
    kind, _, short = name.partition("-")
    card = {
        "name": name,
        "what": what or (_style_in_words(short) if kind == "style" else next(iter(sources.values()))["what"]),
        "data": data,
        "licence": LICENCE,
        "input": INPUT[kind],
        "command": of_each("command"),
        "seed": of_each("seed"),
        "steps": of_each("steps"),
        "uses": {network: source.get("uses", {}) for network, source in sources.items()},
        "numbers": of_each("validation"),
        "trained": of_each("what"),
        "hours": hours,
        "date": date or datetime.date.today().isoformat(),
        "version": __version__,
        "commit": _commit(),
        **describe_params(params),
    }
    if name == PARAMISP:
        card[PARAMISP] = _one_reading(sources)
    path = weights / f"{name}.safetensors"
    save_params(path, params, card)
    checksum = sha256(path)
    _write(path.with_suffix(".md"), card_page(card, checksum))
    _renew_sums(weights / SUMS, path.name, checksum)
    return card


def check_card(card, path):
    """Raises ``ValueError`` unless a card says how the weights were trained, by us; returns it."""
    check_ours(card, path)
    for key, kind in SAID.items():
        if not isinstance(card.get(key), kind):
            raise ValueError(f"{path}: expected a card with {', '.join(SAID)}; {key} is missing or no {kind.__name__}")
    if not card["validation"] or not all(_is_finite(value) for value in card["validation"].values()):
        raise ValueError(f"{path}: expected the validation's numbers in its card, all finite, got {card['validation']}")
    return card


def card_page(card, checksum):
    """The card as a page of Markdown."""
    lines = [f"# {card['name']}", "", f"{card['what']}", ""]
    lines += [f"- sha256 of `{card['name']}.safetensors`: `{checksum}`", f"- licence: {card['licence']}"]
    lines += [f"- {key}: {card[key]}" for key in ("data", "input", "hours", "date", "version", "commit")]
    lines += [f"- parameters: {card['parameters']:,}"]
    for network, text in card["networks"].items():
        lines += ["", f"## {network}: {text}", "", f"- trained as: {card['trained'][network]}"]
        lines += [f"- command: `{card['command'][network]}`"]
        lines += [f"- seed {card['seed'][network]}, {card['steps'][network]:,} steps"]
        for role, used in card["uses"][network].items():
            lines += [f"- {role}: `{used['file']}`, sha256 `{used['sha256']}`"]
        lines += ["", "| validation | |", "|---|---|"]
        lines += [f"| {key} | {value:.4g} |" for key, value in card["numbers"][network].items()]
    return "\n".join(lines) + "\n"


def _check_arguments(files, weights, name, commands, hours, data):
    if not files:
        raise ValueError("expected at least one file to pack")
    if name not in NAMES:
        raise ValueError(f"--name {name}: expected one of {', '.join(NAMES)}")
    if len(commands) != len(files) or not all(command.strip() for command in commands):
        raise ValueError(f"--command: expected one for each of {len(files)} files, in their order, got {len(commands)}")
    if not (math.isfinite(hours) and hours > 0):
        raise ValueError(f"--hours: expected a positive number, got {hours}")
    if not data.strip():
        raise ValueError("--data: expected what the weights were trained on, and its licence, got nothing")
    if not weights.is_dir():
        raise ValueError(f"--weights {weights}: expected a folder")


def _check_networks(params, sources, name):
    """Raises unless the networks are the set's: a denoiser of its size, or its style's photofinishing, enhancement."""
    kind, _, short = name.partition("-")
    got = ", ".join(sorted(params))
    if kind == "denoise":
        if set(params) != {"denoise"}:
            raise ValueError(f"{name}: expected denoise alone, got {got}")
        if config_of(params).denoise != DENOISERS[short]:
            raise ValueError(f"{name}: expected {DENOISERS[short]}, got {config_of(params).denoise}")
    elif kind == PARAMISP:
        if set(params) != set(EXPONENTS):
            raise ValueError(f"{name}: expected {' and '.join(EXPONENTS)}, got {got}")
        _one_reading(sources)
    elif "photofinish" not in params or not set(params) <= {"photofinish", "enhance"}:
        raise ValueError(f"{name}: expected photofinish and perhaps enhance, got {got}")
    else:
        for network, source in sources.items():
            said = f"{source.get('name', '')}: {source['what']}"
            styles = [style for style in STYLES if re.search(rf"\b{style}\b", said)]
            if styles and short not in styles:
                raise ValueError(f"{name}: expected {network} of that style, got {said}")


def _one_reading(sources):
    """The configuration that the cards of all ParamISP's networks have."""
    found = [source.get(PARAMISP) for source in sources.values()]
    if found[0] is None or any(config != found[0] for config in found):
        raise ValueError(f"{PARAMISP}: expected cards with one configuration of ParamISP, got {found}")
    return found[0]


def _style_in_words(style):
    renderer = RENDERERS[style]
    return "as cameras finish their photos" if renderer is None else renderer.what


def _is_finite(value):
    return isinstance(value, int | float) and math.isfinite(value)


def _commit():
    """The commit of the working tree, and whether it has been changed since."""
    root = Path(__file__).resolve().parent.parent

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + (", with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _renew_sums(path, name, checksum):
    """Sets one file's line in a list as ``sha256sum`` writes it, sorted by name."""
    sums = read_sums(path) if path.is_file() else {}
    sums[name] = checksum
    _write(path, "".join(f"{sums[key]}  {key}\n" for key in sorted(sums)))


def read_sums(path):
    """Checksums by file name, of a list that ``sha256sum`` wrote."""
    pairs = [line.split(maxsplit=1) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    return {name.strip(): checksum for checksum, name in pairs}


def _write(path, text):
    with replacing(path, error=ValueError) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(arguments=None):
    """Entry point; returns the exit code: 0 done, 2 bad input."""

    def run(
        files: Positional[tuple[Path, ...]],
        /,
        *,
        name: str,
        command: UseAppendAction[tuple[str, ...]],
        hours: float,
        data: str,
        what: str | None = None,
        weights: Annotated[Path, arg(metavar="FOLDER")] = Path("modisp_jax/weights"),
        date: str | None = None,
    ):
        """Packs what training runs made into one of the sets that ship.

        Args:
            files: best.safetensors of the runs: a denoiser, a style's photofinishing and its enhancement, or ParamISP's
                networks.
            name: Of the set: denoise-lite, denoise-base, style-natural, ..., paramisp.
            command: The command that made each file, in their order; repeat the option.
            hours: How long it all took.
            data: What it was trained on, and under which licence that is.
            what: Description in a few words; of a style by default its renderer's.
            weights: Folder to write into.
            date: ISO date for the card; today by default.
        """
        return pack(files, weights=weights, name=name, commands=command, hours=hours, data=data, what=what, date=date)

    try:
        card = tyro.cli(run, prog="python -m train.pack", args=arguments)
    except (ValueError, OSError) as error:
        print(f"pack: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(card, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
