"""Weights that ship: found by name, any denoiser with any style, and each with a card that says where it comes from."""

import dataclasses
import hashlib
from pathlib import Path

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import checkpoints
from modisp_jax.checkpoints import SIZES, STYLES
from modisp_jax.config import DENOISERS, PhotofinishConfig, PipelineConfig
from modisp_jax.params import check_params, param_shapes
from modisp_jax.tree import flatten, unflatten
from tests.samples import TINY, numbered_params, raw

SHIPPED = checkpoints.WEIGHTS
NAMES = (*(f"denoise-{size}" for size in SIZES), *(f"style-{style}" for style in STYLES), "paramisp")


def numbers(config, scale):
    return numbered_params(unflatten({name: np.zeros(s) for name, s in param_shapes(config).items()}), scale)


@pytest.fixture(scope="module")
def sets():
    """What an installation has, by file name; each unlike the others. The style mono has no enhancement."""
    styles = {f"style-{style}": PipelineConfig(None, PhotofinishConfig(), TINY.enhance) for style in STYLES}
    styles["style-mono"] = PipelineConfig(None, PhotofinishConfig(), None)
    sizes = {f"denoise-{size}": PipelineConfig(DENOISERS[size], None, None) for size in SIZES}
    return {name: numbers(config, 1 + 0.1 * k) for k, (name, config) in enumerate({**sizes, **styles}.items())}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty folder in place of the package's."""
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def all_weights(sets, tmp_path_factory):
    """A folder with all that ships, which no test changes."""
    folder = tmp_path_factory.mktemp("weights")
    for name, params in sets.items():
        mj.save_params(folder / f"{name}.safetensors", params, {"what": f"words on {name}"})
    return folder


@pytest.fixture
def installed(all_weights, monkeypatch):
    """That folder in place of the package's."""
    monkeypatch.setattr(checkpoints, "WEIGHTS", all_weights)
    return all_weights


def assert_equal(actual, *expected):
    expected = {name: value for part in expected for name, value in part.items()}
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    found = flatten(actual)
    for name, value in flatten(expected).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_default_is_lite_and_natural(installed, sets):
    assert_equal(mj.load_params(), sets["denoise-lite"], sets["style-natural"])
    assert_equal(mj.load_params("default"), sets["denoise-lite"], sets["style-natural"])


@pytest.mark.parametrize("size", SIZES)
def test_a_denoiser_by_name(installed, sets, size):
    assert_equal(mj.load_params(size), sets[f"denoise-{size}"], sets["style-natural"])


@pytest.mark.parametrize("style", ["vivid", "mono"])
def test_any_denoiser_with_any_style(installed, sets, style):
    assert_equal(mj.load_params(style=style), sets["denoise-lite"], sets[f"style-{style}"])
    assert_equal(mj.load_params("base", style=style), sets["denoise-base"], sets[f"style-{style}"])
    assert_equal(mj.load_params("neutral", style=style), sets[f"style-{style}"])


def test_neutral_stays_neutral(installed):
    neutral = mj.load_params("neutral")
    assert_equal(neutral, mj.init_params(jax.random.key(0), PipelineConfig(denoise=None, enhance=None)))
    assert_equal(mj.load_params("neutral", style="neutral"), neutral)


def test_a_style_keeps_no_enhancement_of_another(installed, sets):
    assert "enhance" in mj.load_params()
    assert "enhance" not in mj.load_params(style="mono")
    assert sorted(mj.load_params(style="neutral")) == ["denoise", "photofinish"]


def test_a_style_from_a_file(installed, sets, tmp_path):
    whole = {**sets["denoise-base"], **sets["style-vivid"]}
    mj.save_params(tmp_path / "mine.safetensors", whole)
    assert_equal(mj.load_params(style=tmp_path / "mine.safetensors"), sets["denoise-lite"], sets["style-vivid"])
    assert_equal(mj.load_params(tmp_path / "mine.safetensors", style="warm"), sets["denoise-base"], sets["style-warm"])


def test_a_file_in_place_of_a_name(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vivid").write_text("a file of that name")
    assert "photofinish" in mj.load_params(style="vivid")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        mj.load_params(style="./vivid")


def test_styles_are_listed_in_order_with_their_words(installed):
    assert list(mj.list_styles().items()) == [(style, f"words on style-{style}") for style in STYLES]


def test_without_weights_the_default_is_neutral(weights):
    assert mj.list_styles() == {}
    assert_equal(mj.load_params(), mj.load_params("neutral"))


def test_the_default_is_what_there_is(weights, sets):
    mj.save_params(weights / "denoise-lite.safetensors", sets["denoise-lite"])
    assert_equal(mj.load_params(), sets["denoise-lite"], mj.load_params("neutral"))
    mj.save_params(weights / "style-natural.safetensors", sets["style-natural"])
    assert_equal(mj.load_params(), sets["denoise-lite"], sets["style-natural"])
    (weights / "denoise-lite.safetensors").unlink()
    assert_equal(mj.load_params(), sets["style-natural"])
    assert mj.list_styles() == {"natural": ""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "base"}, "denoise-base.safetensors: expected weights that come with modisp_jax, but this install"),
        ({"style": "vivid"}, "style-vivid.safetensors: expected weights that come with modisp_jax, but this install"),
        ({"style": "nosuch"}, r"nosuch: expected a style \(natural, vivid, warm, moody, mono, neutral\) or a param"),
        (
            {"source": "nosuch"},
            r"nosuch: expected a parameter file or .* \(default, lite, base, neutral\), got no such",
        ),
    ],
)
def test_what_is_not_there_is_said(weights, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        mj.load_params(**options)
    assert "\n" not in str(caught.value)


def test_a_damaged_default_is_no_neutral_one(weights):
    """Weights that cannot be read must not pass as none."""
    (weights / "style-natural.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"style-natural\.safetensors: not a readable safetensors file"):
        mj.load_params()


def test_a_style_needs_photofinishing(installed):
    path = installed / "denoise-lite.safetensors"
    with pytest.raises(ValueError, match=r"style .*denoise-lite\.safetensors: expected a set with photofinishing"):
        mj.load_params(style=path)


# What ships with this version.

has_weights = any(SHIPPED.glob("*.safetensors"))
ships = pytest.mark.skipif(not has_weights, reason="no weights in modisp_jax/weights yet")


@ships
def test_what_has_the_shapes_of_what_ships_is_spared_the_run_of_its_networks(monkeypatch):
    params = mj.load_params("base", style="warm")

    def run(name, config):
        raise AssertionError(f"{name} is run")

    monkeypatch.setattr("modisp_jax.params._shapes_of", run)
    check_params(params)
    check_params(mj.load_params("paramisp"))
    for change in ({"in_conv": params["denoise"]["in_conv"]}, params["denoise"] | {"extra": np.zeros(2)}):
        with pytest.raises(AssertionError, match="denoise is run"):
            check_params(params | {"denoise": change})


@ships
@pytest.mark.parametrize("name", NAMES)
def test_shipped(name):
    path = SHIPPED / f"{name}.safetensors"
    params = mj.load_params(path)
    config = mj.config_of(params)
    # Not by check_params, to which these shapes are right because they ship.
    assert {name: leaf.shape for name, leaf in flatten(params).items()} == param_shapes(config)
    kind, _, short = name.partition("-")
    networks = {"denoise": {"denoise"}, "style": {"photofinish", "enhance"}, "paramisp": {"inverse_isp", "forward_isp"}}
    assert set(params) == networks[kind]
    assert kind != "denoise" or config.denoise == DENOISERS[short]

    card = mj.read_card(path)
    assert card["name"] == name
    assert card["licence"] == "Apache-2.0"
    assert all(card[key] for key in ("what", "data", "command", "numbers", "hours", "date", "commit"))
    for key in ("command", "seed", "steps", "numbers"):
        assert set(card[key]) == set(params), key
    assert all(np.isfinite(value) for numbers in card["numbers"].values() for value in numbers.values())
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert checksum in path.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{checksum}  {path.name}\n" in (SHIPPED / "SHA256SUMS").read_text(encoding="utf-8")


@ships
def test_nothing_else_ships():
    expected = {f"{name}{suffix}" for name in NAMES for suffix in (".safetensors", ".md")} | {"README.md", "SHA256SUMS"}
    assert {path.name for path in SHIPPED.iterdir()} == expected
    assert len((SHIPPED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()) == len(NAMES)


@ships
def test_what_ships_is_a_few_megabytes():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 16e6


@ships
@pytest.mark.parametrize("source", ["default", *SIZES])
def test_shipped_sets_by_name(source):
    assert set(mj.load_params(source)) == {"denoise", "photofinish", "enhance"}
    assert list(mj.list_styles()) == list(STYLES)


def test_weights_lie_in_the_package():
    assert Path(mj.__file__).parent / "weights" == SHIPPED
    assert SHIPPED.is_dir()


@ships
def test_black_and_white_has_no_colour_at_all():
    """Not even from what enhancement adds, or where the light is coloured and nearly black."""
    dark = np.linspace(0, 1, 40, dtype=np.float32)[:, None, None] ** 4
    picture = raw(40, 48)
    srgb = mj.render(mj.load_params("neutral", style="mono"), dataclasses.replace(picture, image=picture.image * dark))
    assert srgb.max() - srgb.min() > 0.2
    assert np.ptp(srgb, axis=-1).max() < 1e-5
