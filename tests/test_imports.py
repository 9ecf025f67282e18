"""Imports point one way. The rooms of the house in order, and a checker that reads the source of every module."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TREES = ("modisp_jax", "train", "benchmarks")
LONGEST_MODULE = 420  # lines

# A module imports from earlier lines of this list and from its own room (a package), never from its own line.
# "modisp_jax" stands for the package's public names, which load lazily.
ROOMS = (
    ("_version",),
    ("types", "config", "numerics", "tree", "shipped"),
    ("color", "resample"),
    ("kernels",),
    ("ops",),
    ("nets",),
    ("stages",),
    ("params", "losses", "awb", "noise", "mix"),
    ("unprocess",),
    ("look",),
    ("cube", "video"),
    ("pipeline",),
    ("io", "torch_file", "torch_tables"),
    ("style_file",),
    ("dynamicisp",),
    ("fit", "paramisp", "export"),
    ("raw_adapter",),
    ("raw_jpeg",),
    (
        "checkpoints",
        "halo",
        "learned_awb",
        "metrics",
        "raw",
        "torch_import",
        "vgg_file",
        "white_balance",
    ),
    ("paramisp_file",),
    ("linearization",),
    ("modisp_jax",),
    ("save_stages", "describe", "sheet", "compile_cache", "bench", "interrupt"),
    ("render_settings",),
    ("inputs", "outputs"),
    ("render_files",),
    ("paramisp_commands",),
    ("batch",),
    ("editor",),
    ("evaluate", "contact_sheet", "export_cube", "fit_files"),
    ("cli_options",),
    ("cli_render", "cli_paramisp"),
    ("web",),
    ("cli",),
    ("train",),
    ("benchmarks",),
)
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}

ONLY_IN = {"flax": "nets", "fastapi": "web", "starlette": "web", "uvicorn": "web"}
"""Libraries that one room alone may import."""
NOT_IN_IO = {"jax", "jaxlib", "flax", "optax", "orbax", "chex", "torch"}
"""io is NumPy only."""
NEVER_AT_MODULE_LEVEL = {"cv2", "ray", "torch", "torchvision"}
"""Libraries that the package may import inside functions only."""


def room_of(name):
    """The room of a dotted module name, or None for a module of someone else."""
    top, *rest = name.split(".")
    if top == "modisp_jax":
        return rest[0] if rest else top
    return top if top in TREES else None


def imports(tree, name, is_package):
    """Yields (line, dotted name of what is imported, whether at module level) for every import in a syntax tree."""

    def visit(node, at_top):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, at_top
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".") + [""] * is_package
            base = [*parts[: -node.level], node.module] if node.level else [node.module]
            for alias in node.names:
                yield node.lineno, ".".join([*filter(None, base), alias.name]), at_top
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module":
            yield from ((node.lineno, arg.value, at_top) for arg in node.args[:1] if isinstance(arg, ast.Constant))
        at_top = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_top)

    return visit(tree, True)


def target_room(target):
    """The room that an imported name lives in, or None for a library."""
    if target == "modisp_jax.__version__":
        return "_version"
    room, parts = room_of(target), target.split(".")
    # "from modisp_jax import render" names an attribute, "from modisp_jax import look" a module.
    is_attribute = len(parts) == 2 and parts[0] == "modisp_jax" and room not in RANK
    return "modisp_jax" if is_attribute and not module_exists(target) else room


def module_exists(name):
    path = REPOSITORY.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def violations(name, source, is_package=False):
    """Lists in words how a module, given its dotted name and source, breaks the rule."""
    room, found = room_of(name), []
    if room not in RANK:
        return [f"{name}: has no rank; add its room to ROOMS in tests/test_imports.py"]
    for line, target, at_top in imports(ast.parse(source), name, is_package):
        where, library, other = f"{name}:{line}", target.split(".")[0], target_room(target)
        if other is None:
            if library in ONLY_IN and room != ONLY_IN[library]:
                found.append(f"{where}: imports {library}, which only {ONLY_IN[library]}/ may")
            if room == "io" and library in NOT_IN_IO:
                found.append(f"{where}: imports {library}; io is NumPy only")
            if library in NEVER_AT_MODULE_LEVEL and at_top and name.split(".")[0] == "modisp_jax":
                found.append(f"{where}: imports {library} at module level")
        elif other not in RANK:
            found.append(f"{where}: imports {target}, whose room has no rank")
        elif room == "io" and other not in ("io", "_version"):
            found.append(f"{where}: imports {target}; io stands apart from the other rooms")
        elif other != room and RANK[other] >= RANK[room]:
            found.append(f"{where}: imports {target}, but {other} does not come before {room}")
    return found


def modules():
    """Every module of the repository's trees: (dotted name, path)."""
    found = []
    for tree in TREES:
        for path in sorted((REPOSITORY / tree).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def test_imports_point_one_way():
    found = []
    for name, path in modules():
        found += violations(name, path.read_text(encoding="utf-8"), path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_the_walk_sees_the_package():
    names = [name for name, _ in modules()]
    assert {"modisp_jax", "modisp_jax.numerics", "modisp_jax.io", "modisp_jax.ops.demosaic"} <= set(names)
    tree = ast.parse((REPOSITORY / "modisp_jax" / "ops" / "demosaic.py").read_text(encoding="utf-8"))
    assert "modisp_jax.resample.pad_reflect" in [target for _, target, _ in imports(tree, "modisp_jax.ops.x", False)]


def test_modules_are_short():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules()}
    long = {name: length for name, length in lengths.items() if length > LONGEST_MODULE}
    assert not long, f"more than {LONGEST_MODULE} lines: {long}"


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("modisp_jax.numerics", "from modisp_jax.color import luma", "color does not come before numerics"),
        ("modisp_jax.numerics", "from modisp_jax import color", "color does not come before numerics"),
        ("modisp_jax.numerics", "from modisp_jax.types import Look", "types does not come before numerics"),
        ("modisp_jax.ops.lut", "import modisp_jax.stages.gain as gain", "stages does not come before ops"),
        ("modisp_jax.ops.lut", "from ..nets import layers", "nets does not come before ops"),
        ("modisp_jax.ops.lut", "def f():\n    from modisp_jax.pipeline import render", "lut:2: .* before ops"),
        ("modisp_jax.ops.lut", "from modisp_jax import render", "modisp_jax does not come before ops"),
        ("modisp_jax.ops.lut", "import importlib\nimportlib.import_module('modisp_jax.fit')", "fit does not come"),
        ("modisp_jax.pipeline", "import train.loop", "train does not come before pipeline"),
        ("modisp_jax.pipeline", "if True:\n    from benchmarks import common", "benchmarks does not come before"),
        ("modisp_jax.pipeline", "from modisp_jax.attic import x", "attic.x, whose room has no rank"),
        ("modisp_jax.attic", "", "modisp_jax.attic: has no rank"),
        ("modisp_jax.stages.gain", "import flax.linen as nn", "imports flax, which only nets/ may"),
        ("train.loop", "from flax import linen", "imports flax, which only nets/ may"),
        ("modisp_jax.io.raw", "import jax.numpy as jnp", "imports jax; io is NumPy only"),
        ("modisp_jax.io.raw", "def f():\n    import flax", "imports flax; io is NumPy only"),
        ("modisp_jax.io.raw", "from modisp_jax.types import Raw", "io stands apart"),
        ("modisp_jax.io", "from .. import numerics", "io stands apart"),
        ("modisp_jax.torch_import", "import torch", "imports torch at module level"),
        ("modisp_jax.torch_import", "class A:\n    from torch import nn", "imports torch at module level"),
    ],
)
def test_the_rule_can_fail(name, source, message):
    found = violations(name, source, is_package=name == "modisp_jax.io")
    assert any(re.search(message, violation) for violation in found), found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("modisp_jax.ops.lut", "import jax, numpy\nfrom modisp_jax.numerics import clip\nfrom modisp_jax.ops import x"),
        ("modisp_jax.ops.lut", "from . import tone_curve\nfrom .tone_curve import y\nfrom ..types import Look"),
        ("modisp_jax.nets.layers", "import flax.linen as nn"),
        ("modisp_jax.io.raw", "import numpy, rawpy\nfrom modisp_jax import __version__\nfrom .images import read"),
        ("modisp_jax.torch_import", "def f():\n    import torch"),
        ("modisp_jax.cli", "import modisp_jax as mj\nfrom modisp_jax import render, describe"),
        ("train.loop", "import modisp_jax as mj\nfrom modisp_jax.losses import total\nfrom train import data"),
    ],
)
def test_the_rule_lets_good_imports_pass(name, source):
    assert violations(name, source) == []


def test_the_package_and_its_io_start_without_jax():
    names = [name for name, _ in modules() if name == "modisp_jax" or room_of(name) == "io"]
    command = f"import sys, {', '.join(names)}; sys.exit(str({{'jax', 'flax', 'torch'}} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stderr.strip() == "", done.stderr
