"""How exactly and how fast the function ISP is undone: Newton's method, halving, and the paper's table.

    python3 dev.py run benchmarks/dynamicisp_inverse.py --write

Errors are of ``|f^-1(f(i)) - i|`` with i uniform in [0, 1] and parameters uniform in their ranges; where float32 is
named, all is computed in it. The whole chain counts pixels whose corrected colours stay in [0, 1], as nothing undoes
what was clipped. Times are of one picture, with one set of parameters and with one for each pixel, in one process.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compile_time, machine, run_times, summary, write_results
from modisp_jax.bench import parse_size
from modisp_jax.color import apply_matrix
from modisp_jax.config import FunctionISPConfig
from modisp_jax.dynamicisp import apply_functions, invert_functions
from modisp_jax.dynamicisp import functions as f
from modisp_jax.dynamicisp.inversion import bisect_increasing
from modisp_jax.dynamicisp.parameters import from_flat
from modisp_jax.dynamicisp.table import gamma_table, inverse_by_table
from modisp_jax.nets.function_isp import RANGES, functions_of, in_range

MODERATE = ((1.0, 3.0), (0.5, 1.5), (0.2, 1.0))
WIDE = ((1.0, 4.0), (0.1, 2.0), (0.05, 1.0))
TABLES = (
    ((1.8, 2.6), (0.8, 1.2), (0.3, 0.7)),
    ((1.0, 2.0), (0.9, 1.1), (0.3, 0.9)),
    ((1.6, 2.8), (0.8, 1.2), (0.4, 0.8)),
    MODERATE,
    WIDE,
    RANGES["gamma"],
)
"""Ranges of g1, g2 and k that a table covers; the last are the network's."""

INPUTS = (10_000, 300_000)
"""Levels among which a table's entries are chosen: the paper's, and so many that rounding to them does not count."""

CURVES = {
    "gamma, moderate": (f.gamma_curve, f.inverse_gamma_curve, MODERATE),
    "gamma, wide": (f.gamma_curve, f.inverse_gamma_curve, WIDE),
    "tone": (f.tone_lift, f.inverse_tone_lift, RANGES["tone"]),
}
METHODS = (("bisection", 30), ("bisection", 24), ("newton", 3), ("newton", 6))
CHAINS = {
    "window": FunctionISPConfig(),
    "rival": FunctionISPConfig(window="rival"),
    "enhance": FunctionISPConfig(enhance=True),
}


def draws(ranges, count, dtype=np.float64):
    """Levels and three parameters, [count] each."""
    rng = np.random.default_rng(0)
    return [x.astype(dtype) for x in (rng.random(count), *(rng.uniform(*bounds, count) for bounds in ranges))]


def errors(found, truth):
    """Mean and largest absolute difference."""
    off = np.abs(np.asarray(found) - truth)
    return {"mean": float(off.mean()), "max": float(off.max())}


def table_errors(ranges, inputs, count):
    """Those of the table, in float64 but for its entries."""
    i, *parameters = draws(ranges, count)
    table = gamma_table(ranges, inputs=inputs)
    y = jax.jit(f.gamma_curve)(i, *parameters)
    row = {"ranges": ranges, "inputs": inputs, "megabytes": table.inputs.nbytes // 10**6}
    return row | errors(jax.jit(inverse_by_table)(table, y, *parameters), i)


def inverse_of(curve, inverse, method, steps):
    """A function from y and parameters to i."""
    if method == "newton":
        return lambda y, *p: inverse(y, *p, steps=steps)
    return lambda y, *p: bisect_increasing(lambda x: curve(x, *p), y, iterations=steps)


def method_errors(name, method, steps, dtype, count):
    """Those of one method, curve and dtype."""
    curve, inverse, ranges = CURVES[name]
    arguments = draws(ranges, count, dtype)
    undo = inverse_of(curve, inverse, method, steps)
    found = jax.jit(lambda i, *p: undo(curve(i, *p), *p))(*arguments)
    row = {"curve": name, "method": method, "steps": steps, "dtype": np.dtype(dtype).name}
    return row | errors(found, arguments[0])


def chain_parameters(config, count, dtype):
    """Parameters uniform in the network's ranges, and colour matrices of normal steering."""
    rng, found = np.random.default_rng(0), {}
    for name in functions_of(config):
        if name == "color":
            found[name] = in_range(name, jnp.asarray(rng.normal(size=(count, 9)), dtype), config)
        else:
            found[name] = np.concatenate([rng.uniform(*bounds, (count, 3)) for bounds in RANGES[name]], axis=-1)
    return jax.tree.map(lambda p: jnp.asarray(p, dtype), from_flat(found))


def chain_errors(name, dtype, count):
    """Those of the whole function ISP, with ``count`` sets of parameters and 256 pixels for each."""
    config = CHAINS[name]

    def there_and_back(parameters, image):
        found = invert_functions(parameters, apply_functions(parameters, image, config=config), config=config)
        toned = image if parameters.tone is None else f.tone_lift(image, *jnp.moveaxis(parameters.tone, -2, 0))
        corrected = apply_matrix(parameters.color, toned)
        return found, ((corrected >= 0) & (corrected <= 1)).all(axis=-1)

    image = np.random.default_rng(1).random((count, 16, 16, 3)).astype(dtype)
    found, counts = jax.jit(jax.vmap(there_and_back))(chain_parameters(config, count, dtype), image)
    counts = np.asarray(counts)
    row = {"chain": name, "dtype": np.dtype(dtype).name, "share_of_pixels": round(float(counts.mean()), 3)}
    return row | errors(np.asarray(found)[counts], image[counts])


def speeds(size, repeats):
    """Seconds a megapixel of each way to undo the gamma curve, and how many times Newton's that is."""
    height, width = parse_size(size)
    rng, ranges, rows = np.random.default_rng(0), RANGES["gamma"], []
    image, table = rng.random((height, width, 3), np.float32), gamma_table(ranges)
    ways = {
        "newton 6": f.inverse_gamma_curve,
        "bisection 24": inverse_of(f.gamma_curve, None, "bisection", 24),
        "table": lambda y, *p: inverse_by_table(table, y, *p),
    }
    for parameters, shape in (("one set", (3,)), ("each pixel", image.shape)):
        arguments = [jnp.asarray(x, jnp.float32) for x in (image, *(rng.uniform(*b, shape) for b in ranges))]
        times = {}
        for name, way in ways.items():
            program, _ = compile_time(jax.jit(way), *arguments)
            times[name] = summary(run_times(lambda: program(*arguments), repeats))["median_s"]  # noqa: B023
        for name, seconds in times.items():
            speed = seconds / (height * width / 1e6)
            ratio = round(seconds / times["newton 6"], 2)
            rows.append({"parameters": parameters, "method": name, "s_per_megapixel": speed, "of_newton": ratio})
    return rows


def lines(rows):
    """A table of rows that have the same keys."""
    show = lambda x: f"{x:.2e}" if isinstance(x, float) and abs(x) < 0.01 else str(x)  # noqa: E731
    head = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return [*head, *("| " + " | ".join(map(show, row.values())) + " |" for row in rows), ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000, help="of each curve; a table gets half of them")
    parser.add_argument("--sets", type=int, default=2000, help="of parameters of the whole chain")
    parser.add_argument("--size", default="1000x1000", help="of the picture that is timed")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    about = machine()
    with jax.enable_x64(True):
        dtypes = (np.float64, np.float32)
        results = {
            "table": [table_errors(r, n, options.samples // 2) for r in TABLES for n in INPUTS],
            "methods": [method_errors(c, *m, t, options.samples) for c in CURVES for m in METHODS for t in dtypes],
            "chain": [chain_errors(name, t, options.sets) for name in CHAINS for t in dtypes],
        }
    results["speed"] = speeds(options.size, options.repeats)
    for rows in results.values():
        print(*lines(rows), sep="\n")
    if options.write:
        write_results("dynamicisp_inverse", {"samples": options.samples} | results, about)


if __name__ == "__main__":
    main()
