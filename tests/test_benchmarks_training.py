"""The benchmarks of training run to the end at a toy size, and their arithmetic is right."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
def test_the_gpu_ladder_in_its_quick_form() -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--quick"]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    for name in ("stock_default_micro_4", "and_one_cross_entropy", "ours_micro_32"):
        assert f"{name}_tokens_per_second: " in done.stdout and f"{name}_mfu: " in done.stdout
    assert "sampling_batch_4_tokens_per_second: " in done.stdout and '{"missed": []}' in done.stdout


@pytest.mark.slow
def test_the_proof_in_its_quick_form() -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "proof.py"), "--quick", "--arms", "chosen", "dpo", "online"]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=900)
    said = done.stdout
    assert "different_models: 4.0000 (bar: >= 4)" in said, said[-2000:] + done.stderr[-3000:]
    assert (
        "| DPO on own samples, 2 rounds, gated |" in said and "Seed 1" in said
    )  # the minute is not this test's business


def test_where_a_curve_crosses_a_level() -> None:
    from learning import crossing

    points = {0.5: 1.0, 0.6: 0.9, 0.7: 0.8}
    assert crossing(points, 0.9) == pytest.approx(0.6)
    assert 0.5 < crossing(points, 0.95) < 0.55  # straight over the logarithm
    assert crossing(points, 0.7) > 0.7 and crossing(points, 1.1) < 0.5  # beyond the ends
    assert crossing({0.5: 1.0, 0.7: 1.0}, 0.9) == float("inf")
    assert crossing({0.7: 1.0}, 1.0) == 0.7 and crossing({0.7: 1.0}, 0.9) == float("inf")


def test_the_grid_of_rates_grows_until_the_best_is_inside() -> None:
    from rates import best_rate

    for best in (1e-5, 1e-3, 0.316):
        loss, rate = best_rate((1e-4, 3.16e-4, 1e-3), lambda rate, best=best: abs(math.log(rate / best)))
        assert rate == pytest.approx(best, rel=0.02) and loss < 0.02


def test_lora_share_counts_a_tied_matrix_once(base: Path) -> None:
    from lora import config_of, lora_settings, trainable_share

    # 2 layers of width 32, MLP 64, q k v fused: per rank (32 + 64) of q and v, see litgpt.lora
    share = trainable_share(config_of(base), lora_settings(4, 8, "qv"))
    matrices = 480 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 64) + 5 * 32
    assert share == pytest.approx(2 * 4 * (2 * 32 + 2 * 32) / matrices)
    factors, both = (trainable_share(config_of(base), lora_settings(4, 8, m)) for m in ("all", "all+embeddings"))
    assert both - factors == pytest.approx(480 * 32 / matrices)


def test_the_recipe_of_lora_trains_what_its_page_says() -> None:
    """12 layers, per rank: q, k and v 3072, the projection 1024, the MLP 6144; and an embedding of 6656 x 512."""
    import yaml
    from litgpt import Config
    from lora import MOST, trainable_share

    import litgpt_zh.configs  # noqa: F401

    recipe = yaml.safe_load((ROOT / "recipes/sft-lora.yaml").read_text(encoding="utf-8"))
    settings = {key: value for key, value in recipe.items() if key.startswith("lora_")}
    settings["train_embeddings"] = recipe["data"]["init_args"]["train_embeddings"]
    share = trainable_share(Config.from_name("zh-tinystories-44m"), settings)
    expected = 12 * 24 * (3072 + 1024 + 6144) + 6656 * 512
    assert share == pytest.approx(expected / 44.32e6, rel=1e-3) and share < MOST
    for page in ("sft-lora", "course"):
        assert f"{share:.1%}" in (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
