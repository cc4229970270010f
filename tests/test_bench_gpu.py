"""The GPU benchmark, on a CPU with a small model: every step of it runs and its figures make sense."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "bench" / "gpu.py"


def test_every_step_runs_without_a_gpu(tmp_path: Path) -> None:
    source = Path(__file__).parent / "parsing_samples"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--texts", "12", "--seconds", "0.1"]
    command += ["--source", str(source if any(source.glob("*.py")) else Path(__file__).parent)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert json.loads((tmp_path / "out.json").read_text()) == report
    assert list(report["exits"]) == ["4", "9", "18", "36"]
    for row in report["exits"].values():
        assert row["functions_per_s"] > 0 and 0 < row["share_of_peak"] < 1
        assert row["padded_functions_per_s"] > 0
    assert report["exits"]["4"]["functions_per_s"] > report["exits"]["36"]["functions_per_s"]
    assert 0 < report["function_ms"]["p50"] <= report["function_ms"]["p95"]
    assert report["peak_tflops"] > 0
    # Thirty-six layers of random weights, sixteen wide, carry rounding errors further than a trained model's.
    assert report["distance_to_float32"]["4"] < 2e-3
    assert max(report["distance_alone"].values()) < 2e-2
    assert "functions/s  share of peak" in done.stdout
