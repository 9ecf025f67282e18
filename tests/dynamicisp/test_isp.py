"""Laws of the function ISP and its network: what it starts as, its ranges, grids, batches, every float, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.color import SRGB_TO_XYZ, apply_matrix
from modisp_jax.config import FunctionISPConfig, PipelineConfig
from modisp_jax.dynamicisp import apply_functions, invert_functions, predict_functions, render_functions
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.parameters import at_pixels, base_parameters
from modisp_jax.nets import function_isp
from modisp_jax.nets.function_isp import RANGES, functions_of, in_range
from modisp_jax.params import check_params, config_of
from tests.dynamicisp.samples import CONFIGS, FLOATS, SMALL, compiled, drawn, gentle, network, within
from tests.samples import photo

every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)

predict = compiled(predict_functions, static_argnames=("config", "local"))
apply = compiled(apply_functions, static_argnames="config")
invert = compiled(invert_functions, static_argnames="config")


@every_config
def test_it_starts_plain(config):
    """Untrained, for any image: a gamma of 2.2, after the matrix to sRGB if it is XYZ; or all but nothing."""
    image = photo(20, 30)
    start = predict(network(config, numbered=False), image, config=config)
    base = compiled(base_parameters, static_argnums=0)(config)
    for found, expected in zip(jax.tree.leaves(start), jax.tree.leaves(base), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    rendered = apply(start, image, config=config)
    if config.enhance:
        assert np.abs(rendered - image).max() < 0.03
    else:
        linear = image @ np.linalg.inv(SRGB_TO_XYZ).T if config.xyz else image
        np.testing.assert_allclose(rendered, np.clip(linear, 0, 1) ** (1 / 2.2), atol=1e-5)


@every_config
def test_the_configuration_is_read_off_the_parameters(config):
    params = {"function_isp": network(config)}
    assert config_of(params) == PipelineConfig(None, None, None, function_isp=FunctionISPConfig(config.enhance))
    check_params(params)


@every_config
def test_any_steering_stays_in_range(config):
    """Also where the network's numbers have grown large; and colour can always be undone."""
    rng = np.random.default_rng(0)
    far = rng.choice(np.float32([-1e30, -1e3, -30, 0, 30, 1e3, 1e30]), (300, 9))
    steering = np.concatenate([far, rng.normal(0, 3, (300, 9)).astype(np.float32)])
    for name in functions_of(config):
        slope = compiled(jax.grad(lambda t: in_range(name, t, config).sum()))(steering)  # noqa: B023
        assert np.isfinite(slope).all()
        found = within(name, steering, config).reshape(-1, 3, 3)
        if name != "color":
            low, high = np.float32(RANGES[name]).T[..., None]
            assert (found >= low).all()
            assert (found <= high).all()
            continue
        if config.xyz:
            found = found @ SRGB_TO_XYZ.astype(np.float32)
        diagonal = np.diagonal(found, axis1=1, axis2=2)
        assert diagonal.min() > 0.2499
        assert diagonal.max() < 4.0001
        others = np.abs(found).sum(axis=-1) - diagonal
        assert (others <= 0.901 * diagonal).all()
        inverse = compiled(f.inverse_matrix)(found).astype(np.float64)
        np.testing.assert_allclose(inverse @ found, np.broadcast_to(np.eye(3), found.shape), atol=1e-4)


@every_config
def test_there_and_back(config):
    """Of parameters from all ranges; where colours leave [0, 1] they are clipped, which nothing undoes."""

    def round_trip(parameters, image):
        found = invert_functions(parameters, apply_functions(parameters, image, config=config), config=config)
        toned = f.tone_lift(image, *jnp.moveaxis(parameters.tone, -2, 0)) if config.enhance else image
        corrected = apply_matrix(parameters.color, toned)
        return found, ((corrected >= 0) & (corrected <= 1)).all(axis=-1)

    image = np.float32(np.random.default_rng(0).random((100, 3, 20, 3)))
    if config.enhance:
        image = 0.3 + 0.7 * image  # the tone curve leaves less of the darks than float32 keeps
    found, counts = compiled(jax.vmap(round_trip))(drawn(0, config, (100,)), image)
    assert counts.mean() > 0.05
    assert np.abs(found - image)[counts].max() < (5e-4 if config.enhance else 1e-5)


def test_results_are_in_range_whatever_comes_in():
    image = np.float32(np.random.default_rng(0).normal(0.5, 2, (12, 10, 3)))
    for run in (apply, invert):
        found = run(drawn(0), image, config=SMALL)
        assert found.min() == 0
        assert found.max() == 1


@compiled
def everything(net, parameters, image):
    """The sum of all that can be made of an image, and all its derivatives."""

    def total(net, parameters, image):
        rendered = render_functions(net, image, config=CONFIGS["enhance"])
        there, back = (run(parameters, image, config=CONFIGS["enhance"]) for run in (apply_functions, invert_functions))
        return rendered.sum() + there.sum() + back.sum()

    return jax.value_and_grad(total, (0, 1, 2))(net, parameters, image)


def test_every_float_has_finite_values_and_gradients():
    net = network(CONFIGS["enhance"])
    image = np.random.default_rng(0).choice(FLOATS, (33, 40, 3))
    for extremes in (image, np.zeros_like(image), np.ones_like(image)):
        for seed in range(3):
            found = everything(net, drawn(seed, CONFIGS["enhance"]), extremes)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_an_untrained_network_learns_from_every_float():
    """Up to 1e4: the gradient of a weight multiplies two numbers of the image's size, and 1e60 is no float32."""
    net = network(CONFIGS["enhance"], numbered=False)
    image = np.random.default_rng(0).choice(FLOATS, (33, 40, 3)).clip(-1e4, 1e4)
    _, (slopes, *_) = everything(net, drawn(0, CONFIGS["enhance"]), image)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert all(np.abs(slopes[f"{name}_head"]["kernel"]).max() > 0 for name in functions_of(CONFIGS["enhance"]))


def test_compiled_is_as_interpreted_and_batched_as_one_by_one():
    images = np.stack([photo(6, 9, seed) for seed in range(3)])
    sets = drawn(2, shape=(3,))
    for run, alone in ((apply_functions, apply), (invert_functions, invert)):
        batched = compiled(jax.vmap(run))(sets, images)
        for n in range(3):
            one = jax.tree.map(lambda p: p[n], sets), images[n]  # noqa: B023
            np.testing.assert_allclose(batched[n], alone(*one), atol=1e-5)
        np.testing.assert_allclose(batched[n], run(*jax.tree.map(jnp.asarray, one)), atol=1e-5)


def test_rendering_is_to_predict_and_to_apply():
    images = np.stack([photo(40, 50, seed) for seed in range(2)])
    net = network()
    batched = compiled(jax.vmap(lambda x: render_functions(net, x, config=SMALL, local=False)))(images)
    for n in range(2):
        parameters = predict(net, images[n], config=SMALL, local=False)
        np.testing.assert_allclose(batched[n], apply(parameters, images[n], config=SMALL), atol=2e-5)
    assert parameters.color.shape == (3, 3)
    assert parameters.tone is None


def test_a_map_of_one_cell_is_for_all_of_the_image():
    net, image = network(CONFIGS["enhance"]), photo(30, 44)
    whole, cells = (predict(net, image, config=CONFIGS["enhance"], local=local) for local in (False, True))
    for one, cell in zip(jax.tree.leaves(whole), jax.tree.leaves(cells), strict=True):
        assert cell.shape == (1, 1, 3, 3)
        np.testing.assert_allclose(cell[0, 0], one, atol=2e-6)
    np.testing.assert_allclose(apply(cells, image), apply(whole, image), atol=2e-5)


def test_parts_of_an_image_have_their_own_parameters():
    """Where features do not differ the map is constant; where they do, each part of it sees its surroundings."""
    config = FunctionISPConfig(resize=64)
    image = photo(70, 90)
    start = predict(network(numbered=False), image, config=config, local=True)
    assert start.color.shape == (2, 2, 3, 3)
    assert all(np.ptp(leaf, axis=(0, 1)).max() == 0 for leaf in jax.tree.leaves(start))
    learned = predict(network(), image, config=config, local=True)
    assert all(np.ptp(leaf, axis=(0, 1)).max() > 1e-3 for leaf in jax.tree.leaves(learned))
    other = predict(network(), image * (np.arange(90) < 70)[:, None].astype(np.float32), config=config, local=True)
    assert np.abs(other.color - learned.color)[:, 1].max() > 1e-3


def test_maps_are_spread_over_the_image():
    grid = drawn(0, shape=(2, 3))
    spread = compiled(at_pixels, static_argnums=1)(grid, (12, 27))
    for cells, pixels in zip(jax.tree.leaves(grid), jax.tree.leaves(spread), strict=True):
        assert pixels.shape == (12, 27, 3, 3)
        assert (pixels >= cells.min((0, 1)) - 1e-6).all()
        assert (pixels <= cells.max((0, 1)) + 1e-6).all()
        np.testing.assert_allclose(pixels[0, 0], cells[0, 0], atol=1e-6)
        np.testing.assert_allclose(pixels[-1, -1], cells[-1, -1], atol=1e-6)
        np.testing.assert_allclose(pixels[5:7, 13].mean(0), cells[:, 1].mean(0), atol=1e-6)  # the centre
    color = spread.color
    diagonal = np.diagonal(color, axis1=-2, axis2=-1)
    assert (np.abs(color).sum(-1) - diagonal < diagonal).all()  # dominant still
    image = np.full((12, 27, 3), 0.4, np.float32)
    one_by_one = apply(jax.tree.map(lambda p: p[3, 7], spread), image[:1, :1])
    np.testing.assert_allclose(apply(grid, image)[3, 7], one_by_one[0, 0], atol=2e-6)


def test_what_is_clear_goes_there_and_back_by_parts():
    grid = gentle(1, (3, 2))
    image = np.float32(np.random.default_rng(0).uniform(0.2, 0.6, (17, 21, 3)))
    np.testing.assert_allclose(invert(grid, apply(grid, image)), image, atol=1e-5)


def test_bases_are_within_the_ranges():
    for name, bounds in RANGES.items():
        for value, (low, high) in zip(function_isp.BASE[name], bounds, strict=True):
            assert low < value < high
    low, high = RANGES["gamma"][0]
    assert low < function_isp.ENHANCING_GAMMA < high


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((4, 4), np.float32), r"image: expected an image \[H, W, 3\], got shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.float32), r"image: expected an image \[H, W, 3\]"),
        (np.zeros((0, 4, 3), np.float32), "image: expected"),
        (np.zeros((4, 4, 3), np.uint8), "image: expected floating-point values"),
    ],
)
def test_what_is_no_image(image, match):
    for run in (predict_functions, render_functions):
        with pytest.raises(ValueError, match=match):
            run(network(), image, config=SMALL)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window": "door"}, r"window: expected one of \('window', 'rival'\), got 'door'"),
        ({"resize": 0}, "resize: expected a multiple of 32, got 0"),
        ({"resize": 100}, "resize: expected a multiple of 32, got 100"),
    ],
)
def test_what_is_no_configuration(options, match):
    with pytest.raises(ValueError, match=match):
        FunctionISPConfig(**options)
