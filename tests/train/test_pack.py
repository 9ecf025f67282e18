"""Packing: what ships says where it comes from, and nothing else ships."""

import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import checkpoints
from modisp_jax.config import DENOISERS, ParamISPConfig, PhotofinishConfig, PipelineConfig
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.params import init_params, param_shapes
from modisp_jax.tree import flatten, unflatten
from tests.conftest import REPOSITORY
from tests.samples import TINY, numbered_params
from train import pack
from train.targets import STYLES, Renderer

CONFIGS = {
    "denoise": PipelineConfig(DENOISERS["lite"], None, None),
    "photofinish": PipelineConfig(None, PhotofinishConfig(), None),
    "enhance": PipelineConfig(None, None, TINY.enhance),
}
CARD = {"name": "run", "what": "a network", "data": "photos", "seed": 3, "steps": 7, "validation": {"score": 30.0}}
DATE = "2026-01-02"


@pytest.fixture(scope="module")
def networks():
    """A parameter set of each network."""
    zeros = {name: {k: np.zeros(shape) for k, shape in param_shapes(c).items()} for name, c in CONFIGS.items()}
    return {name: numbered_params(unflatten(flat)) for name, flat in zeros.items()}


@pytest.fixture
def runs(tmp_path, networks):
    """Files as training keeps them, by network, and the folder ``weights``."""
    (tmp_path / "weights").mkdir()
    for number, (name, params) in enumerate(networks.items()):
        mj.save_params(tmp_path / f"{name}.safetensors", params, {**CARD, "seed": number, "what": f"some {name}"})
    return tmp_path


def packed(runs, *names, **options):
    files = [runs / f"{name}.safetensors" for name in names]
    options = {"name": "style-vivid", "hours": 1.5, "data": "74 photos, CC0", "date": DATE} | options
    options = {"commands": [f"train {name}" for name in names], "weights": runs / "weights"} | options
    return pack.pack(files, **options)


def files_of(runs):
    return {path.name: path.read_bytes() for path in (runs / "weights").iterdir()}


def test_styles_are_the_renderers():
    assert tuple(STYLES) == checkpoints.STYLES


def test_the_page_on_weights_states_the_renderers():
    """A row for each field in docs/weights.md, with every style's value."""
    page = (REPOSITORY / "docs" / "weights.md").read_text(encoding="utf-8")

    def cell(value):
        if isinstance(value, bool):
            return "yes" if value else "no"
        return ", ".join(f"{x:g}" for x in value) if isinstance(value, tuple) else f"{value:g}"

    renderers = {name: renderer for name, renderer in STYLES.items() if renderer is not None}
    for field in dataclasses.fields(Renderer)[1:]:
        cells = [cell(getattr(renderer, field.name)) for renderer in renderers.values()]
        assert " | ".join([f"| `{field.name}`", *cells]) + " |" in page
    for name, renderer in renderers.items():
        assert f"| `style-{name}` | {renderer.what}" in page


def test_a_style_of_two_runs(runs, networks):
    card = packed(runs, "photofinish", "enhance")
    path = runs / "weights" / "style-vivid.safetensors"
    expected = flatten({**networks["photofinish"], **networks["enhance"]})
    found = flatten(mj.load_params(path))
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert card == mj.read_card(path)
    assert (card["name"], card["licence"], card["data"]) == ("style-vivid", "Apache-2.0", "74 photos, CC0")
    assert (card["hours"], card["date"], card["version"]) == (1.5, DATE, mj.__version__)
    assert card["what"] == STYLES["vivid"].what
    assert card["command"] == {"photofinish": "train photofinish", "enhance": "train enhance"}
    assert card["seed"] == {"photofinish": 1, "enhance": 2}
    assert card["numbers"]["enhance"] == {"score": 30.0}
    assert card["commit"]


def test_a_denoiser_keeps_its_description(runs):
    card = packed(runs, "denoise", name="denoise-lite")
    assert card["what"] == "some denoise"
    assert card["networks"] == {"denoise": "lite, 245,223 parameters"}
    assert packed(runs, "denoise", name="denoise-lite", what="other words")["what"] == "other words"


def test_card_and_checksums_beside_the_weights(runs):
    packed(runs, "photofinish")
    packed(runs, "denoise", name="denoise-lite")
    files = files_of(runs)
    names = ["denoise-lite.safetensors", "style-vivid.safetensors"]
    assert sorted(files) == ["SHA256SUMS", "denoise-lite.md", names[0], "style-vivid.md", names[1]]
    sums = {name: hashlib.sha256(files[name]).hexdigest() for name in names}
    assert pack.read_sums(runs / "weights" / "SHA256SUMS") == sums
    assert files["SHA256SUMS"].decode() == "".join(f"{sums[name]}  {name}\n" for name in names)
    page = files["style-vivid.md"].decode()
    for text in (
        sums[names[1]],
        "Apache-2.0",
        "74 photos, CC0",
        "`train photofinish`",
        "seed 1, 7 steps",
        "| score | 30 |",
    ):
        assert text in page


def test_packing_again_changes_nothing_and_other_weights_one_line(runs, networks):
    packed(runs, "photofinish")
    packed(runs, "denoise", name="denoise-lite")
    before = files_of(runs)
    packed(runs, "photofinish")
    assert files_of(runs) == before
    packed(runs, "photofinish", "enhance")
    after = files_of(runs)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"SHA256SUMS", "style-vivid.md", "style-vivid.safetensors"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"license": "CC BY-NC 4.0"}, "expected weights of our own under Apache-2.0, got the licence 'CC BY-NC 4.0'"),
        ({"licence": "MIT"}, "got the licence 'MIT'"),
        ({"licence": ""}, "got the licence ''"),
        ({"license": "Apache-2.0", "origin": "imported from x"}, "got imported ones"),
        ({"sources": {}}, "got imported ones"),
        *(({key: None}, f"{key} is missing or no ") for key in pack.SAID),
        ({"seed": "0"}, "seed is missing or no int"),
        ({"validation": {}}, "expected the validation's numbers"),
        ({"validation": {"score": "good"}}, "expected the validation's numbers"),
    ],
)
def test_weights_that_are_not_ours_are_refused(runs, networks, change, message):
    card = {key: value for key, value in {**CARD, **change}.items() if value is not None}
    mj.save_params(runs / "photofinish.safetensors", networks["photofinish"], card)
    with pytest.raises(ValueError, match=message) as caught:
        packed(runs, "photofinish")
    assert str(runs / "photofinish.safetensors") in str(caught.value)
    assert files_of(runs) == {}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "at least one file"),
        (["photofinish"], {"name": "style-neon"}, "--name style-neon: expected one of denoise-lite, "),
        (["photofinish"], {"commands": []}, "--command: expected one for each of 1 files"),
        (["photofinish"], {"commands": [" "]}, "--command: expected one"),
        (["photofinish"], {"hours": 0.0}, "--hours: expected a positive number, got 0"),
        (["photofinish"], {"hours": float("nan")}, "--hours: expected a positive number, got nan"),
        (["photofinish"], {"data": ""}, "--data: expected what"),
        (["photofinish"], {"name": "denoise-lite"}, "expected denoise alone, got photofinish"),
        (["denoise"], {"name": "denoise-base"}, "denoise-base: expected NAFNetConfig.width=8"),
        (["enhance"], {}, "expected photofinish and perhaps enhance, got enhance"),
        (["photofinish", "denoise"], {}, "expected photofinish and perhaps enhance, got denoise, photofinish"),
        (["photofinish", "photofinish"], {}, "photofinish is in .*photofinish.safetensors already"),
        (["missing"], {}, "missing.safetensors: expected a parameter file, got no such file"),
    ],
)
def test_what_does_not_make_the_set_is_refused(runs, names, options, message):
    with pytest.raises(ValueError, match=message):
        packed(runs, *names, **options)
    assert files_of(runs) == {}


@pytest.mark.parametrize("network", ["photofinish", "enhance"])
def test_networks_of_another_style_are_refused(runs, networks, network):
    mj.save_params(runs / f"{network}.safetensors", networks[network], {**CARD, "what": "style warm: golden"})
    with pytest.raises(ValueError, match=f"style-vivid: expected {network} of that style, got run: style warm: golden"):
        packed(runs, "photofinish", "enhance")
    assert packed(runs, "photofinish", "enhance", name="style-warm")["trained"][network] == "style warm: golden"


def test_program(runs, capsys):
    weights = ["--weights", str(runs / "weights")]
    arguments = [
        str(runs / "photofinish.safetensors"),
        str(runs / "enhance.safetensors"),
        "--name",
        "style-mono",
        *weights,
    ]
    arguments += ["--command", "first", "--command", "second", "--hours", "2", "--data", "d", "--date", DATE]
    assert pack.main(arguments) == 0
    card = mj.read_card(runs / "weights" / "style-mono.safetensors")
    assert json.loads(capsys.readouterr().out) == card
    assert card["command"] == {"photofinish": "first", "enhance": "second"}
    assert pack.main([*arguments, "--hours", "-1"]) == 2
    assert capsys.readouterr().err == "pack: error: --hours: expected a positive number, got -1.0\n"


def test_paramisp_is_both_networks_of_one_reading(tmp_path):
    config = ParamISPConfig(width=2, embedding=3, blocks=0, stages=1)
    params = init_params(jax.random.key(0), PipelineConfig(None, None, None, inverse_isp=config, forward_isp=config))
    (tmp_path / "weights").mkdir()
    card = {**CARD, "paramisp": dataclasses.asdict(config)}
    mj.save_params(tmp_path / "both.safetensors", params, card)
    found = packed(tmp_path, "both", name="paramisp")
    assert found["command"] == {"inverse_isp": "train both", "forward_isp": "train both"}
    path = tmp_path / "weights" / "paramisp.safetensors"
    assert load_paramisp(path)[1] == config
    assert "## inverse_isp: ParamISP of width 2, steered" in path.with_suffix(".md").read_text(encoding="utf-8")

    mj.save_params(tmp_path / "one.safetensors", {"inverse_isp": params["inverse_isp"]}, card)
    mj.save_params(tmp_path / "none.safetensors", params, CARD)
    other = {**card, "paramisp": dataclasses.asdict(dataclasses.replace(config, mask_start=0.5))}
    mj.save_params(tmp_path / "other.safetensors", {"forward_isp": params["forward_isp"]}, other)
    for names, message in (
        (["one"], "paramisp: expected inverse_isp and forward_isp, got inverse_isp"),
        (["none"], "paramisp: expected cards with one configuration of ParamISP, got "),
        (["one", "other"], "paramisp: expected cards with one configuration of ParamISP, got "),
    ):
        with pytest.raises(ValueError, match=message):
            packed(tmp_path, *names, name="paramisp")
