import json

import pytest

from modisp_jax import bench, cli
from modisp_jax.config import DENOISERS, ENHANCEMENT


def test_bench_prints_a_table_and_writes_json(tmp_path, capsys):
    target = tmp_path / "bench.json"
    assert cli.main(["bench", "--sizes", "48x64", "--repeats", "1", "-o", str(target)]) == 0
    printed = capsys.readouterr().out
    content = json.loads(target.read_text())
    (case,) = content["cases"].values()
    assert list(case["stages"]) == ["denoise", "colour", "photofinish", "upsample", "enhance"]
    for name, row in case["stages"].items():
        assert name in printed
        assert row["median_s"] > 0
        assert row["floor_s"] >= 0
    assert "█" in printed
    assert case["peak_memory_mb"] > 100
    assert content["machine"]["backend"] == "cpu"
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "huge"], "expected HEIGHTxWIDTH such as 3000x4000, got 'huge'"),
        (["--sizes", "8x800"], "at least 16 pixels a side"),
        (["--variants", "tiny"], "--variants: expected one of lite, base, large, got 'tiny'"),
        (["--activations", "int4"], "--activations: expected one of float32, bfloat16, got 'int4'"),
        (["--repeats", "0"], "--repeats: expected at least 1"),
    ],
)
def test_bad_options_are_refused_before_any_work(arguments, message, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_costs_are_linear_in_pixels_and_halve_in_bytes_with_bfloat16():
    for config in (*DENOISERS.values(), ENHANCEMENT):
        products, moved = bench.nafnet_cost(config, 2**20)
        assert bench.nafnet_cost(config, 2**22) == (4 * products, 4 * moved)
        assert bench.nafnet_cost(config, 2**20, "bfloat16")[0] == products
        assert 0.5 < bench.nafnet_cost(config, 2**20, "bfloat16")[1] / moved < 0.7


def test_the_cost_of_one_block_by_hand():
    # 4 channels, one pixel: 4x8 + 8x9 + 4 + 4 + 4x4 + 4x8 + 4 + 4x4 + 4, give or take the scales.
    one, _ = bench.nafnet_cost(
        bench.dataclasses.replace(ENHANCEMENT, width=4, encoder_blocks=(1,), middle_blocks=0, decoder_blocks=(0,)), 4
    )
    none, _ = bench.nafnet_cost(
        bench.dataclasses.replace(ENHANCEMENT, width=4, encoder_blocks=(0,), middle_blocks=0, decoder_blocks=(0,)), 4
    )
    assert (one - none) // 4 == 2 * (4 * 8 + 4 * 4) + 8 * 9 + 4 * 4


def test_a_failed_measurement_says_so(monkeypatch):
    monkeypatch.setattr(bench.sys, "executable", "false")
    with pytest.raises(ValueError, match="measuring process ended with code 1"):
        bench.run_apart(bench.Case("48x64"))
