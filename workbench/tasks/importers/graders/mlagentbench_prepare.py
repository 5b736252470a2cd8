"""Make the baseline of MLAgentBench's ``vectorization`` as upstream does: run the starter, and average what its evaluation reads.

Other than upstream's, the starter's clock counts what the processor does for it, which is the time it takes on a machine
that does nothing else. A baseline that was made while others work would call the untouched starter an improvement.

The result is left as the ``submission.csv`` of the untouched workspace, from which it is cleared before an agent starts.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHMARK = Path(sys.argv[2]) / "MLAgentBench" / "benchmarks" / "vectorization"
RUNS = 3
"""As many as upstream's ``baseline.sh`` makes."""
STARTER = "import runpy, sys, time; time.time = time.process_time; runpy.run_path(sys.argv[1], run_name='__main__')"


def main() -> None:
    """Run the starter, each time in a folder of its own, and write down the mean."""
    spec = importlib.util.spec_from_file_location("upstream", BENCHMARK / "scripts" / "eval.py")
    upstream = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(upstream)
    scores = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", "-c", STARTER, str(BENCHMARK / "env" / "train.py")], cwd=folder, check=True)
            scores.append(upstream.get_score(folder))
    Path("workspace").mkdir()
    Path("workspace/submission.csv").write_text(f"{statistics.fmean(scores)}\n")


main()
