"""How near to float64 are ways to solve guided upsampling's normal equations in float32, and how fast?

Compares, on the same images and in one run, ways to fit the grid of affine models. All are float32 JAX but where the
name says float64; all are applied by the same code in float64, so that the errors are those of the fit. Errors are of
the result (in [0, 1]) against ``guided_upsample_oracle``, speed is that of the fit alone, in turn, as a ratio to the
package's. Then times the package's whole upsampling and its gradient at full size.

    python benchmarks/guided_upsample.py            # table on the terminal, results/guided_upsample.json
    python benchmarks/guided_upsample.py --help

The candidates:

* ``published``: the stored output of the published PyTorch code (float32; needs ../shared).
* ``plain *``: sums of ``v v^T`` and ``t v^T`` as they stand, 4 x 4 systems. ``float64 solve`` keeps the float32 sums
  and solves in float64: what is left is the rounding of the sums, and no better solver can mend it.
* ``* deviation``: the same, solved for the deviation from the prior, ``T - A0 S``.
* ``luma shift``: moments about each depth's luma, re-centred at the node's mean afterwards; 3 x 3 systems.
* ``two passes``: moments about the node's mean; 3 x 3 systems.
* ``package``: two passes, the second of residuals and in principal axes (``modisp_jax.ops.guided_upsample``).
"""

import dataclasses
import json
import time
from functools import partial
from pathlib import Path

import common
import guided_upsample_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from modisp_jax.color import luma
from modisp_jax.numerics import safe_divide
from modisp_jax.ops import guided_upsample as package
from modisp_jax.ops.bilateral_grid import hat_weights, splat_grid

HERE = Path(__file__).resolve().parent
SPLAT = {"align": "edges", "outside": "zero"}
RIDGE = package.RIDGE


@dataclasses.dataclass(frozen=True)
class Options:
    """How much to measure, and where to write it."""

    repeats: int = 5
    """Timed runs of each program, candidates in turn."""
    small: tuple[int, int] = (750, 1000)
    """Height and width of the small image of the large synthetic cases and of the speed test."""
    full: tuple[int, int] = (3000, 4000)
    """Height and width of the full image of the speed test; 0 0 leaves it out."""
    shared: Path = HERE.parent.parent / "shared"
    """Folder with reference/vectors; its cases are left out where it is absent."""
    out: Path = HERE / "results" / "guided_upsample.json"
    """Where to write the results."""


# Candidates: small input and target [h, w, 3] -> models [gh, gw, 16, 3, 4]


def nodes_of(image):
    return (max(1, round(image.shape[0] / 16)), max(1, round(image.shape[1] / 16)), 16)


def plain_moments(v, t):
    """``S`` [gh, gw, gd, 4, 4] and ``T`` [.., 3, 4] by one pass of plain float32 sums."""
    v1 = jnp.concatenate([v, jnp.ones_like(v[..., :1])], -1)
    products = jnp.concatenate([v1, t], -1)[..., :, None] * v1[..., None, :]
    sums = splat_grid(products.reshape(*v.shape[:2], 28), luma(v) * 15, nodes_of(v), **SPLAT)
    sums = sums.reshape(*sums.shape[:3], 7, 4)
    return sums[..., :4, :], sums[..., 4:, :]


def prior_of(count, sum_v, sum_t):
    return package._prior(count[..., None], jnp.concatenate([sum_v, sum_t], -1))


def plain(v, t, solver, deviation=False):
    s, moments = plain_moments(v, t)
    ridge = RIDGE * (s[..., 3, 3] + 1)
    gain, _ = prior_of(s[..., 3, 3], s[..., 3, :3], moments[..., 3])
    prior = jnp.concatenate([gain[..., None] * jnp.eye(3), jnp.zeros_like(gain)[..., None]], -1)
    system = s + ridge[..., None, None] * jnp.eye(4)
    if deviation:
        return prior + solver(system, moments - gain[..., None] * s[..., :3, :])
    return solver(system, moments + ridge[..., None, None] * prior)


def lu(m, r):
    return jnp.swapaxes(jnp.linalg.solve(m, jnp.swapaxes(r, -1, -2)), -1, -2)


def cholesky(m, r):
    """Unrolled, so that no pivot under a thousandth of the ridge can make a NaN of it."""
    low = [[None] * 4 for _ in range(4)]
    for i in range(4):
        for j in range(i + 1):
            rest = m[..., i, j] - sum(low[i][k] * low[j][k] for k in range(j))
            low[i][j] = jnp.sqrt(jnp.maximum(rest, 1e-10)) if i == j else rest / low[j][j]
    y, x = [None] * 4, [None] * 4
    for i in range(4):
        y[i] = (r[..., i] - sum(low[i][k][..., None] * y[k] for k in range(i))) / low[i][i][..., None]
    for i in reversed(range(4)):
        x[i] = (y[i] - sum(low[k][i][..., None] * x[k] for k in range(i + 1, 4))) / low[i][i][..., None]
    return jnp.stack(x, -1)


def adjugate(m, r):
    """Closed-form inverse by 2 x 2 minors."""
    a, b = m[..., :2, :], m[..., 2:, :]
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    s = {p: a[..., 0, p[0]] * a[..., 1, p[1]] - a[..., 0, p[1]] * a[..., 1, p[0]] for p in pairs}
    c = {p: b[..., 0, p[0]] * b[..., 1, p[1]] - b[..., 0, p[1]] * b[..., 1, p[0]] for p in pairs}
    determinant = s[0, 1] * c[2, 3] - s[0, 2] * c[1, 3] + s[0, 3] * c[1, 2]
    determinant += s[1, 2] * c[0, 3] - s[1, 3] * c[0, 2] + s[2, 3] * c[0, 1]

    def entry(i, j):  # of the inverse: cofactor of (j, i)
        row = 1 - j if j < 2 else 5 - j
        minors = c if j < 2 else s
        k = [n for n in range(4) if n != i]
        rest = lambda n: tuple(x for x in k if x != n)  # noqa: E731
        cofactor = sum((-1) ** q * m[..., row, n] * minors[rest(n)] for q, n in enumerate(k))
        return (-1) ** (i + j) * cofactor

    inverse = jnp.stack([jnp.stack([entry(i, j) for j in range(4)], -1) for i in range(4)], -2)
    inverse = inverse / determinant[..., None, None]
    return sum(r[..., k, None] * inverse[..., None, k, :] for k in range(4))


def centred_solve(count, mean, sums, spread, cross):
    """The 3 x 3 system of the package's first step, from moments about the mean."""
    gain, residual = prior_of(count[..., 0], sums[..., :3], sums[..., 3:])
    eye, axes = jnp.eye(3), jnp.broadcast_to(jnp.eye(3), (*count.shape[:3], 3, 3))
    moments = jnp.concatenate([spread, jnp.swapaxes(cross - gain[..., None] * spread, -1, -2)], -1)
    return package._exact_fit(count, gain, residual, mean[..., :3], gain[..., None] * eye, axes, moments)


def luma_shift(v, t):
    """The shift is one number for each depth, so that it can be taken off before the sums over rows and columns."""
    depth, nodes = luma(v) * 15, nodes_of(v)
    hats = jnp.moveaxis(hat_weights(depth, 16, "zero"), -1, 0)

    def one_depth(args):
        hat, shift = args
        u = jnp.concatenate([v - shift, t - shift], -1)
        products = (u[..., :3, None] * u[..., None, :]).reshape(*hat.shape, 18)
        values = jnp.concatenate([jnp.ones_like(hat)[..., None], u, products], -1)
        return splat_grid(values * hat[..., None], jnp.zeros_like(hat), (*nodes[:2], 1), **SPLAT)[:, :, 0]

    shifts = jnp.arange(16) / jnp.float32(15)
    sums = jnp.moveaxis(jax.lax.map(one_depth, (hats, shifts)), 0, 2)
    count, first, second = sums[..., :1], sums[..., 1:7], sums[..., 7:].reshape(*nodes, 3, 6)
    mean = safe_divide(first, count, package.FEW)
    second = second - first[..., :3, None] * mean[..., None, :]
    mean += jnp.where(count > 0, shifts[:, None], 0)
    cross = jnp.swapaxes(second[..., 3:], -1, -2)
    return centred_solve(count, mean, count * mean, second[..., :3], cross)


def two_passes(v, t):
    depth, nodes = luma(v) * 15, nodes_of(v)
    colours = jnp.concatenate([v, t], -1)
    sums = splat_grid(jnp.concatenate([jnp.ones_like(v[..., :1]), colours], -1), depth, nodes, **SPLAT)
    count, sums = sums[..., :1], sums[..., 1:]
    mean = safe_divide(sums, count, package.FEW)
    axes = jnp.broadcast_to(jnp.eye(3), (*nodes, 3, 3))
    second = package._moments(colours, depth, mean, jnp.zeros_like(axes), axes)
    return centred_solve(count, mean, sums, second[..., :3], jnp.swapaxes(second[..., 3:], -1, -2))


CANDIDATES = {
    "plain LU": partial(plain, solver=lu),
    "plain Cholesky": partial(plain, solver=cholesky),
    "plain adjugate": partial(plain, solver=adjugate),
    "plain LU deviation": partial(plain, solver=lu, deviation=True),
    "plain Cholesky deviation": partial(plain, solver=cholesky, deviation=True),
    "luma shift": luma_shift,
    "two passes": two_passes,
    "package": package.fit_affine_grid,
}


def plain_float64_solve(v, t):
    s, moments = (np.asarray(x) for x in jax.jit(plain_moments)(v, t))
    return oracle.solve(s.shape[:3], s.reshape(-1, 4, 4), moments.reshape(-1, 3, 4))


# Images


def scene(h, w, seed=0, noise=0.01):
    """A smooth scene of saturated and muted colours with noise, [h, w, 3] in [0, 1]; the same at every size."""
    y, x = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
    colours = [0.1 + 0.8 * x * y, 0.5 + 0.4 * np.sin(9 * x + 4 * y), 0.35 + 0.3 * np.cos(7 * y - 5 * x)]
    noise = noise * np.random.default_rng(seed).normal(size=(h, w, 3))
    return np.clip(np.stack(colours, -1) + noise, 0, 1).astype(np.float32)


def half_flat(h, w, seed=0):
    image = scene(h, w, seed)
    image[:, : w // 2] = 0.4
    return image


def two_colours(h, w):
    odd = (np.arange(h)[:, None] * 16 // h + np.arange(w) * 16 // w) % 2
    return np.where(odd[..., None], [1.0, 0.3, 0.0], [0.0, 0.62, 1.0]).astype(np.float32)


def edit(image):
    return np.clip(image[..., ::-1] * 0.2 + 0.75 * image**0.45, 0, 1).astype(np.float32)


def cases(options):
    """Name -> (small input, small target, full input, published output or None)."""
    found = {}
    vectors = options.shared / "reference" / "vectors"
    if vectors.is_dir():
        npz = np.load(vectors / "bgu.npz")
        keys = ("low_input", "low_target", "high_input", "out_reg1")
        found["bgu photo"] = tuple(npz[f"photo/{key}"] for key in keys)
        for name in ("style0", "style1lut"):
            npz = np.load(vectors / f"pipeline_{name}.npz")
            keys = ("lsrgb_quarter", "gamma", "lsrgb", "bgu")
            found[f"pipeline {name}"] = tuple(npz[f"default/{key}"] for key in keys)
    flat = np.full((48, 64, 3), 0.3, np.float32)
    found["flat"] = (flat, 2 * flat, np.full((192, 256, 3), 0.3, np.float32), None)
    found["black"] = (0 * flat, 0 * flat, np.zeros((192, 256, 3), np.float32), None)
    small = half_flat(*options.small)
    found["half flat, large"] = (small, edit(small), half_flat(*options.small, seed=1), None)
    small = scene(4, 4, noise=0.1)
    found["4 x 4"] = (small, edit(small), scene(16, 16, seed=1, noise=0.1), None)
    small, full = two_colours(48, 64), two_colours(192, 256)
    full += np.float32(0.1) * (np.random.default_rng(0).uniform(size=full.shape).astype(np.float32) - full)
    found["two colours"] = (small, edit(small), full, None)
    return found


# Measurement


def errors(got, want):
    difference = np.abs(np.asarray(got, np.float64) - want)
    return {"max": float(difference.max()), "p999": float(np.quantile(difference, 0.999))}


def measure_errors(options):
    table = {}
    for name, (small, target, full, published) in cases(options).items():
        want = oracle.guided_upsample(small, target, full)
        rows = {}
        if published is not None:  # the pipelines' are clipped
            rows["published"] = errors(published, np.clip(want, 0, 1) if "pipeline" in name else want)
        rows["plain, float64 solve"] = errors(oracle.apply(plain_float64_solve(small, target), full), want)
        for candidate, fit in CANDIDATES.items():
            rows[candidate] = errors(oracle.apply(jax.jit(fit)(small, target), full), want)
        applied = jax.jit(lambda *a: package.apply_affine_grid(package.fit_affine_grid(*a[:2]), a[2]))
        rows["package, float32 applied"] = errors(applied(small, target, full), want)
        table[name] = rows
        print_table(f"{name}: error against float64", rows)
    return table


def compile_program(fn, *args):
    start = time.perf_counter()
    program = jax.jit(fn).lower(*args).compile()
    return program, time.perf_counter() - start


def time_programs(programs, repeats):
    """Median and interquartile range in seconds of each (program, args), run in turn after one warm-up."""
    times = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, (program, args) in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(*args))
            if turn:
                times[name].append(time.perf_counter() - start)
    quartiles = {name: np.quantile(x, [0.25, 0.5, 0.75]) for name, x in times.items()}
    return {name: {"median_s": float(q[1]), "iqr_s": float(q[2] - q[0])} for name, q in quartiles.items()}


def measure_speed(options):
    small = jnp.asarray(scene(*options.small))
    target = jnp.asarray(edit(np.asarray(small)))
    programs, compiled = {}, {}
    for name, fit in CANDIDATES.items():
        program, compiled[name] = compile_program(fit, small, target)
        programs[name] = (program, (small, target))
    rows = time_programs(programs, options.repeats)
    for name, row in rows.items():
        row["compile_s"] = compiled[name]
        row["ratio"] = row["median_s"] / rows["package"]["median_s"]
        row["temporaries_mb"] = programs[name][0].memory_analysis().temp_size_in_bytes / 1e6
    print_table(f"fit of {options.small[0]} x {options.small[1]}", rows)
    if not all(options.full):
        return {"fit": rows}

    full = jnp.asarray(scene(*options.full, seed=1))
    loss = lambda *a: jnp.mean(package.guided_upsample(*a) ** 2)  # noqa: E731
    whole = {}
    for name, fn in (("upsampling", package.guided_upsample), ("its gradient", jax.grad(loss, (0, 1, 2)))):
        program, seconds = compile_program(fn, small, target, full)
        whole[name] = time_programs({name: (program, (small, target, full))}, options.repeats)[name]
        whole[name]["compile_s"] = seconds
        whole[name]["temporaries_mb"] = program.memory_analysis().temp_size_in_bytes / 1e6
    print_table(f"whole, to {options.full[0]} x {options.full[1]}", whole)
    return {"fit": rows, "whole": whole}


def print_table(title, rows):
    columns = list(next(iter(rows.values())))
    print(f"\n{title}\n{'':28s}" + "".join(f"{c:>20s}" for c in columns))
    for name, row in rows.items():
        cells = (f"{row[c]:20.2e}" if abs(row[c]) < 1e-2 else f"{row[c]:20.3f}" for c in columns)
        print(f"{name:28s}" + "".join(cells), flush=True)


def main(options: Options):
    about = common.machine()  # first: it notes the load before this program adds to it
    sizes = {"repeats": options.repeats, "small": options.small, "full": options.full}
    speed = measure_speed(options)  # first: a program already compiled would not be compiled again
    results = {"machine": about, "options": sizes, **speed, "errors": measure_errors(options)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten to {options.out}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
