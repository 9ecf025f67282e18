"""What a file holds, in words: ``modisp info`` and the cards of ``modisp import-torch``."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import jax

from modisp_jax import __version__
from modisp_jax.checkpoints import load_params, read_card, save_params
from modisp_jax.config import DENOISERS, ENHANCEMENT
from modisp_jax.io.exif import read_settings
from modisp_jax.io.images import FORMATS, replacing
from modisp_jax.io.load import load_metadata
from modisp_jax.io.names import shown
from modisp_jax.nets.paramisp import EXPONENTS
from modisp_jax.params import config_of, count_params
from modisp_jax.style_file import read_style_file
from modisp_jax.torch_file import read_state_dict
from modisp_jax.torch_import import import_torch, recognise


def print_files(files, as_json):
    """Prints what each file holds; returns exit code 2 if one could not be read, after reporting it."""
    if not files:
        raise ValueError("info: expected at least one file")
    code = 0
    for path in files:
        try:
            facts = describe(path)
        except (ValueError, OSError) as error:
            print(f"modisp: error: {explain(error, path)}", file=sys.stderr)
            code = 2
            continue
        print(json.dumps({"file": str(path), **facts}) if as_json else _as_text(path, facts))
    return code


def explain(error, path):
    """What went wrong with a file, in one line that names it."""
    reason = str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        reason = f"out of memory {error}"
    if str(path) not in reason:
        reason = f"{path}: {reason or type(error).__name__}"
    return shown(" ".join(reason.split()) if str(path).isprintable() else reason)


def describe(path):
    """A JSON-safe dict of what a photo, a picture of ours, a parameter or style file or a checkpoint says of itself."""
    suffix = Path(path).suffix.lower()
    if suffix == ".safetensors":
        params = load_params(path)
        return {"kind": "modisp_jax parameters", **describe_params(params), "card": read_card(path)}
    if suffix in (".pth", ".pt"):
        state = read_state_dict(path)
        return {"kind": f"PyTorch checkpoint: {recognise(state)}", "tensors": len(state), "numbers": _size(state)}
    if suffix == ".json":
        style = dataclasses.asdict(read_style_file(path))
        return {
            "kind": "style file",
            **style,
            "mix": [f"{name}: {weight:g} {own or ''}" for name, weight, own in style["mix"]],
        }
    if suffix in FORMATS and (settings := read_settings(path)) is not None:
        return {"kind": "picture made by modisp_jax", **settings}
    return {"kind": "raw photo", **load_metadata(path).to_dict()}


def describe_params(params):
    """Networks of a parameter set with their parameter counts."""
    config = config_of(params)
    networks = {}
    if config.denoise is not None:
        size = next((name for name, known in DENOISERS.items() if known == config.denoise), str(config.denoise))
        networks["denoise"] = f"{size}, {count_params(params['denoise']):,} parameters"
    if config.photofinish is not None:
        lut = "with" if config.photofinish.rgb_lut else "without"
        networks["photofinish"] = f"{lut} colour LUT, {count_params(params['photofinish']):,} parameters"
    if config.enhance is not None:
        size = "published size" if config.enhance == ENHANCEMENT else str(config.enhance)
        networks["enhance"] = f"{size}, {count_params(params['enhance']):,} parameters"
    for name in config.awb:
        networks[f"awb, {name.replace('_', ' ')}"] = f"{count_params(params['awb'][name]):,} parameters"
    for name in config.io:
        networks[f"io, {name.replace('_', ' ')}"] = f"{count_params(params['io'][name]):,} parameters"
    for name in EXPONENTS:
        if (isp := getattr(config, name)) is not None:
            steered = "steered" if isp.steered else "not steered"
            networks[name] = f"ParamISP of width {isp.width}, {steered}, {count_params(params[name]):,} parameters"
    return {"networks": networks, "parameters": count_params(params)}


def import_and_save(output, sources, *, name, license):
    """Imports published checkpoints, writes the parameter file and its card; returns the exit code."""
    if output.suffix != ".safetensors":
        raise ValueError(f"--output {output}: expected a name that ends in .safetensors")
    params = import_torch(**sources)
    given = {role: path for role, path in sources.items() if path is not None}
    card = {
        "name": name,
        "license": license,
        "input": "camera RGB in [0, 1]: demosaiced, black level removed, white level 1",
        "origin": "imported from published PyTorch checkpoints; not trained by this project",
        "sources": {role: {"file": path.name, "sha256": _sha256(path)} for role, path in given.items()},
        "made_by": f"modisp_jax {__version__}, modisp import-torch",
        **describe_params(params),
    }
    page = output.with_suffix(".md")
    with replacing(page, error=ValueError) as new_page, replacing(output, error=ValueError) as new_file:  # both or none
        save_params(new_file, params, card)
        new_page.write_text(_card_page(card, _sha256(new_file)), encoding="utf-8", errors="backslashreplace")
    print(f"{shown(output)}: {card['parameters']:,} parameters, card in {shown(page)}")
    return 0


def _card_page(card, checksum):
    """The card as a page of Markdown."""
    networks = "\n".join(f"| {name} | {text} |" for name, text in card["networks"].items())
    sources = "\n".join(f"| {role} | {s['file']} | `{s['sha256']}` |" for role, s in card["sources"].items())
    return (
        f"# {card['name']}\n\n"
        f"- Licence: {card['license']}\n- Origin: {card['origin']}\n- Input: {card['input']}\n"
        f"- Made by: {card['made_by']}\n- sha256 of the file: `{checksum}`\n\n"
        f"| network | what |\n|---|---|\n{networks}\n\n"
        f"| source | file | sha256 |\n|---|---|---|\n{sources}\n"
    )


def _sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _size(state):
    return int(sum(leaf.size for leaf in jax.tree.leaves(state)))


def _as_text(path, facts):
    return "\n".join(shown(line) for line in [path, *_lines(facts, "  ")])


def _lines(facts, indent):
    """One line a fact; nested dicts and lists of dicts indented, a row of a matrix or a sentence a line."""
    for name, value in facts.items():
        if value is None or value in ({}, [], ""):
            continue
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and isinstance(value[0], dict):
            for number, item in enumerate(value, 1):
                yield f"{indent}{name} {number}:"
                yield from _lines(item, indent + "  ")
        elif isinstance(value, list) and isinstance(value[0], list | str):
            yield f"{indent}{name}:"
            yield from (f"{indent}  {_words(row)}" for row in value)
        else:
            yield f"{indent}{name}: {_words(value)}"


def _words(value):
    """A list as its items, numbers to six digits."""
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
