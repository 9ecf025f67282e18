"""A look's global part as a table: the identity, what interpolation keeps, and what local maps become in it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.color import srgb_decode, srgb_encode
from modisp_jax.io.cube import read_cube, write_cube
from modisp_jax.ops.lut import identity_chroma_lut, identity_rgb_lut, lookup
from tests.samples import EXTREMES, photo

SIZE = (24, 32)
SCENE = photo(*SIZE) ** 2.2


def look(**changes):
    """A plausible look whose local tone maps change nothing (their blend is 0)."""
    maps = np.broadcast_to(np.array([-1e9, 1, 1, 1, 1], np.float32), (*SIZE, 5))
    rotated = identity_chroma_lut() @ np.array([[1.1, 0.1], [-0.05, 1.2]], np.float32)
    values = {
        "gain": jnp.float32(1.4),
        "gtm": jnp.array([1.1, 0.9, 1.3]),
        "ltm": jnp.asarray(maps),
        "chroma_lut": jnp.asarray(rotated),
        "inverse_gamma": jnp.float32(1 / 2.2),
    }
    return mj.Look(**values | changes)


def local_look(height=SIZE[0]):
    """The same with local maps that go with luma: the shadows twice as light, the lights as they are."""
    luma = SCENE.mean(axis=-1)
    maps = np.stack([2 - 6 * luma, 0.9 + 0 * luma, 1 + 0 * luma, 0.8 + 0 * luma, 2 - luma], axis=-1)
    return look(ltm=jnp.asarray(maps, jnp.float32)[:height])


def through(table, scene, encode=srgb_encode):
    """What other software makes of a scene by a table."""
    return lookup(table, encode(jnp.asarray(scene)))


def nodes(n):
    axis = np.linspace(0, 1, n, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def test_the_strengths_of_a_mix_count():
    weak = mj.mix_looks([look()], {"gain": [0.5], "gtm": [0.3], "ltm": [0.7], "chroma": [0.4], "gamma": [0.8]})
    error = np.abs(through(mj.global_lut(weak, size=65), SCENE) - mj.apply_look(weak, jnp.asarray(SCENE)))
    assert error.max() < 0.01
    assert np.abs(through(mj.global_lut(look(), size=65), SCENE) - mj.apply_look(weak, jnp.asarray(SCENE))).max() > 0.05


@pytest.mark.parametrize("rgb_lut", [None, identity_rgb_lut()])
def test_the_identity_is_the_identity_up_to_the_gamma(rgb_lut):
    neutral = look(gain=jnp.float32(1), gtm=jnp.ones(3), chroma_lut=identity_chroma_lut(), rgb_lut=rgb_lut)
    for encoding, decode in (("srgb", srgb_decode), ("linear", lambda x: x)):
        expected = np.asarray(decode(nodes(17))) ** (1 / 2.2)
        error = np.abs(mj.global_lut(neutral, size=17, encoding=encoding) - expected)
        # The conversion to chroma and back is to four digits; 2e-5 of a black channel is 7e-3 after the power curve.
        assert error.max() < 0.01
        assert error.mean() < 2e-4


@pytest.mark.parametrize("rgb_lut", [None, identity_rgb_lut() ** 1.1])
@pytest.mark.parametrize(("size", "tolerance"), [(33, (0.04, 1e-3)), (65, (0.03, 2.5e-4))])
def test_interpolation_gives_what_the_look_gives(size, tolerance, rgb_lut):
    """Largest and mean error of the picture: a quarter at twice the nodes, but for what a stage clips."""
    plain = look(rgb_lut=None if rgb_lut is None else jnp.asarray(rgb_lut))
    picture = mj.apply_look(plain, SCENE)
    table = mj.global_lut(plain, size=size)
    assert table.shape == (size, size, size, 3)
    error = np.abs(through(table, SCENE) - picture)
    assert error.max() < tolerance[0]
    assert error.mean() < tolerance[1]


def test_nodes_are_exact():
    scene = np.asarray(srgb_decode(nodes(9))).reshape(27, 27, 3)
    plain = look(ltm=jnp.broadcast_to(look().ltm[0, 0], (27, 27, 5)))
    table = mj.global_lut(plain, size=9)
    np.testing.assert_allclose(table.reshape(27, 27, 3), mj.apply_look(plain, scene), atol=2e-5)


def test_through_a_file(tmp_path):
    table = mj.global_lut(look(), size=9)
    found = read_cube(write_cube(tmp_path / "a.cube", table, title="a look"))
    np.testing.assert_allclose(found.table, table, atol=5.1e-7)


def test_maps_that_are_the_same_everywhere_are_part_of_the_table():
    """Then the mean effect is the effect, with the scene or without."""
    everywhere = look(ltm=jnp.broadcast_to(jnp.array([0.3, 1.2, 0.9, 0.8, 1.5]), (*SIZE, 5)))
    without = mj.global_lut(everywhere, size=17)
    np.testing.assert_allclose(mj.global_lut(everywhere, size=17, scene=SCENE), without, atol=1e-4)
    scene = np.asarray(srgb_decode(nodes(17)))[:, :, 0]
    image_look = look(ltm=jnp.broadcast_to(everywhere.ltm[0, 0], (17, 17, 5)))
    np.testing.assert_allclose(without[:, :, 0], mj.apply_look(image_look, scene), atol=2e-5)


def test_local_maps_count_as_said():
    """Left out, then by mean coefficients, then by the scene: nearer to the whole at each step."""
    local = local_look()
    whole = mj.apply_look(local, SCENE)
    tables = [mj.global_lut(local, local=False), mj.global_lut(local), mj.global_lut(local, scene=SCENE)]
    errors = [float(jnp.mean(jnp.square(through(table, SCENE) - whole))) for table in tables]
    assert errors[2] < 0.7 * errors[1] < 0.35 * errors[0], errors
    np.testing.assert_array_equal(tables[0], mj.global_lut(look()))


def test_chunks_change_nothing(monkeypatch):
    expected = mj.global_lut(local_look(), size=9, scene=SCENE)
    jax.clear_caches()
    monkeypatch.setattr("modisp_jax.cube._CHUNK", 100)
    np.testing.assert_allclose(mj.global_lut(local_look(), size=9, scene=SCENE), expected, atol=1e-5)
    jax.clear_caches()


def test_greys_rise():
    for scene in (None, SCENE, np.zeros_like(SCENE), np.ones_like(SCENE)):
        table = np.asarray(mj.global_lut(local_look(), scene=scene))
        greys = table[np.arange(33), np.arange(33), np.arange(33)]
        assert (np.diff(greys, axis=0) > -1e-3).all()  # chroma of grey: the node of the map nearest to it is not 0
        assert table.min() >= 0
        assert table.max() <= 1


def test_jit_vmap_and_extremes():
    looks = jax.tree.map(lambda a, b: jnp.stack([a, b]), look(), local_look())
    together = jax.jit(jax.vmap(lambda x: mj.global_lut(x, size=5, scene=SCENE)))(looks)
    for table, one in zip(together, (look(), local_look()), strict=True):
        np.testing.assert_allclose(table, mj.global_lut(one, size=5, scene=SCENE), atol=1e-5)
    total = jax.jit(jax.value_and_grad(lambda x: mj.global_lut(x, size=5, scene=SCENE).sum()))
    for value in EXTREMES:
        for field in dataclasses.fields(mj.Look)[:5]:
            extreme = look(**{field.name: jnp.full_like(getattr(look(), field.name), value)})
            result, gradient = total(extreme)
            assert np.isfinite(result), (field.name, value)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)), (field.name, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "log"}, r"encoding: expected one of \('srgb', 'linear'\), got 'log'"),
        ({"size": 1}, "size: expected 2 to 256 nodes, got 1"),
        ({"scene": SCENE[:-1]}, r"scene: expected the size \(24, 32\) of look.ltm, got \(23, 32\)"),
        ({"scene": SCENE[..., 0]}, "scene: expected an image"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mj.global_lut(look(), **options)
    with pytest.raises(ValueError, match=r"look: expected a modisp_jax\.Look, got dict"):
        mj.global_lut({})
