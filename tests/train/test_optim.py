"""Schedules, rules that freeze and slow, clipping, penalties, and the average of the weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.optim import OptimizerConfig, average, factors, optimizer, schedule

PARAMS = {
    "net": {"body": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([0.5])}, "head": {"kernel": jnp.array([3.0])}}
}
GRADIENT = {
    "net": {"body": {"kernel": jnp.array([0.2, -0.4]), "bias": jnp.array([0.1])}, "head": {"kernel": jnp.array([-2.0])}}
}
ALL = (("net/", 1.0),)
PLAIN = OptimizerConfig(learning_rate=0.1, final_fraction=1.0)


def update(config, rules=ALL, gradient=GRADIENT, steps=10, times=1):
    """Parameters after some steps with one gradient."""
    params, transform = PARAMS, optimizer(config, steps, PARAMS, rules)
    state = transform.init(params)
    for _ in range(times):
        change, state = transform.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, change)
    return params


def adam(gradient, rate=0.1, beta1=0.9, beta2=0.999):
    """The first step of Adam, by its formula."""
    mean, square = (1 - beta1) * gradient / (1 - beta1), (1 - beta2) * gradient**2 / (1 - beta2)
    return -rate * mean / (np.sqrt(square) + 1e-8)


def close(actual, expected, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), actual, expected)


# Schedule


def test_a_cosine_from_the_peak_to_its_fraction():
    rate = schedule(OptimizerConfig(learning_rate=2.0, final_fraction=0.1), 100)
    expected = [2.0, 2.0 * (0.1 + 0.9 * (1 + np.cos(np.pi / 4)) / 2), 1.1, 0.2, 0.2]
    np.testing.assert_allclose([rate(step) for step in (0, 25, 50, 100, 150)], expected, rtol=1e-6)


def test_warm_up_is_a_line_and_the_cosine_takes_the_rest():
    rate = schedule(OptimizerConfig(learning_rate=2.0, final_fraction=0.0, warmup=10), 110)
    np.testing.assert_allclose([rate(step) for step in (0, 5, 10, 60, 110)], [0.0, 1.0, 2.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(schedule(OptimizerConfig(warmup=10), 5)(4), 4e-4, rtol=1e-6)  # shorter than its warm-up


# Rules


def test_the_first_rule_that_matches_decides():
    rules = (("net/head", 0.1), (r"net/.*/bias", 0), ("net/", 1.0))
    assert factors(PARAMS, rules) == {"net": {"body": {"kernel": 1.0, "bias": 0.0}, "head": {"kernel": 0.1}}}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((("net/body", 1.0),), "no rule says whether net/head/kernel is trained"),
        ((), "no rule says"),
        ((("head", 1.0), ("net/body", 1.0)), "net/head/kernel"),  # from the start of the path
        ((("net/", 1.0), ("net/head", 0.0)), "rule 'net/head' decides no parameter"),
        ((("net/", 1.0), ("net/", 1.0)), "rule 'net/' decides no parameter"),
        ((("net/", -0.5),), "factor of 0 or more, got -0.5"),
        ((("net/", float("nan")),), "got nan"),
        ((("net/", float("inf")),), "got inf"),
        ((("net/", "slow"),), "got 'slow'"),
        ((("net/(", 1.0),), "expected a regular expression"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        factors(PARAMS, rules)
    with pytest.raises(ValueError, match="rule"):
        optimizer(PLAIN, 10, PARAMS, rules)


def test_factor_0_leaves_every_bit_and_has_no_state():
    config = OptimizerConfig(learning_rate=0.1, l2=0.1, weight_decay=0.1, clip_norm=1.0)
    rules = (("net/head", 0), ("net/", 1.0))
    new = update(config, rules, times=3)
    np.testing.assert_array_equal(new["net"]["head"]["kernel"], PARAMS["net"]["head"]["kernel"])
    assert not np.any(np.equal(new["net"]["body"]["kernel"], PARAMS["net"]["body"]["kernel"]))
    count = lambda rules: sum(x.size for x in jax.tree.leaves(optimizer(config, 10, PARAMS, rules).init(PARAMS)))  # noqa: E731
    assert count(ALL) - count(rules) == 2  # mean and square of the one frozen number


def test_a_factor_scales_the_step():
    whole, slow = update(PLAIN), update(PLAIN, (("net/head", 0.25), ("net/", 1.0)))
    step = lambda new: new["net"]["head"]["kernel"] - PARAMS["net"]["head"]["kernel"]  # noqa: E731
    np.testing.assert_allclose(step(slow), 0.25 * step(whole), rtol=1e-5)
    np.testing.assert_array_equal(slow["net"]["body"]["kernel"], whole["net"]["body"]["kernel"])


# Penalties and clipping


def test_adam():
    close(update(PLAIN), jax.tree.map(lambda w, g: w + adam(np.float64(g)), PARAMS, GRADIENT))


def test_soap_steps_of_matrices_only_and_leaves_what_is_frozen():
    params = {"net": {"a": jnp.ones((3, 4)), "b": jnp.ones((3, 4)), "bias": jnp.ones(4)}}
    config = dataclasses.replace(PLAIN, method="soap")
    transform = optimizer(config, 10, params, (("net/b$", 0.0), ("net/", 1.0)))
    gradient = jax.tree.map(lambda x: jnp.asarray(np.random.default_rng(0).normal(size=x.shape), x.dtype), params)
    change, _ = transform.update(gradient, transform.init(params), params)
    np.testing.assert_allclose(change["net"]["bias"], adam(gradient["net"]["bias"]), rtol=1e-5)
    assert not np.any(change["net"]["b"])
    assert np.abs(change["net"]["a"] - adam(gradient["net"]["a"])).max() > 0.01


def test_l2_is_part_of_the_gradient():
    # Adam forgets the first gradient's size, but not its sign: this penalty turns the sign for the head.
    new = update(OptimizerConfig(learning_rate=0.1, final_fraction=1.0, l2=1.0))
    close(new, jax.tree.map(lambda w, g: w + adam(np.float64(g + 1.0 * w)), PARAMS, GRADIENT))
    assert new["net"]["head"]["kernel"][0] < 3.0 < update(PLAIN)["net"]["head"]["kernel"][0]


def test_weight_decay_is_not():
    new = update(OptimizerConfig(learning_rate=0.1, final_fraction=1.0, weight_decay=0.5))
    close(new, jax.tree.map(lambda w, g: w + adam(np.float64(g)) - 0.1 * 0.5 * w, PARAMS, GRADIENT))


def test_clipping_sees_the_whole_gradient():
    # With beta1 = 0 and a second step of another size, Adam's step depends on the gradient's size.
    config = OptimizerConfig(learning_rate=0.1, final_fraction=1.0, clip_norm=0.5)
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(GRADIENT)))
    transform = optimizer(config, 10, PARAMS, (("net/head", 0.0), ("net/", 1.0)))
    state = transform.init(PARAMS)
    small = jax.tree.map(lambda g: g * 1e-3, GRADIENT)
    _, state = transform.update(GRADIENT, state, PARAMS)
    change, _ = transform.update(small, state, PARAMS)
    g = np.float64(GRADIENT["net"]["body"]["kernel"])
    first, second = g * 0.5 / norm, 1e-3 * g  # the second is under the limit
    mean = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    square = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    expected = -0.1 * mean / (np.sqrt(square) + 1e-8)
    np.testing.assert_allclose(change["net"]["body"]["kernel"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"ema": 1.0},
        {"learning_rate": -1.0},
        {"l2": float("nan")},
        {"weight_decay": float("inf")},
        {"warmup": -1},
        {"clip_norm": 0.0},
        {"method": "sgd"},
    ],
)
def test_bad_options(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected"):
        OptimizerConfig(**bad)


# Average


def test_the_average_forgets_the_start_and_then_decays():
    old, new = {"w": jnp.array([1.0])}, {"w": jnp.array([2.0])}
    for step, decay in ((0, 0.1), (8, 0.5), (10_000, 0.99)):
        np.testing.assert_allclose(average(old, new, step, 0.99)["w"], decay * 1.0 + (1 - decay) * 2.0, rtol=1e-6)
    np.testing.assert_array_equal(average(new, new, 3, 0.9)["w"], new["w"])
