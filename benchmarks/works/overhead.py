"""What the workflow adds: jobs of about a minute through Snakemake, beside the same functions called from Python."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from measure import Row, seconds

ROOT = Path(__file__).resolve().parents[2]
STEPS = 5000
"""Training steps of a job that takes about a minute."""
SIZE = {
    "run": "overhead",
    "models": {name: {"train": {"steps": STEPS}} for name in ("a_fewshot", "b_fewshot", "a_zeroshot")},
}
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}
MODELS = ("a_fewshot", "b_fewshot")
CALLS = """
import sys
from pathlib import Path
import torch, yaml
torch.set_num_threads(1)
from pertprobe.data.simulate import simulate, write_simulation
from pertprobe.models.state.train import train
config = yaml.safe_load(Path(sys.argv[1]).read_text())
folder = Path(sys.argv[2])
write_simulation(simulate(**config["simulate"], seed=0), folder / "simulated")
for name in sys.argv[4:]:
    entry = config["models"][name]
    cells = config["cells"][entry["context"]]
    columns = ("context_column", "perturbation_column", "batch_column", "control", "space", "set_size")
    train(folder / "simulated/cells.h5ad", context=entry["context"], regime=entry["regime"], seed=0,
          output=folder / name, **{key: cells[key] for key in columns}, **entry["train"] | {"steps": int(sys.argv[3])})
"""


def rows() -> list[Row]:
    """Return the one row: the same cells simulated and the same models trained, one after the other."""
    config, targets = ROOT / "config" / "config.yaml", [f"results/overhead/trained/{model}" for model in MODELS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "size.yaml").write_text(yaml.safe_dump(SIZE))
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
        command += ["--cores", "1", "--quiet", "all", "--configfile", config, folder / "size.yaml", "--", *targets]
        calls = [sys.executable, "-c", CALLS, config, folder / "called", str(STEPS), *MODELS]
        direct, through = (
            seconds(lambda each=each: subprocess.run(each, check=True, env=ALONE)) for each in (calls, command)
        )
        same = all(
            weights(folder / "called" / model) == weights(folder / target)
            for model, target in zip(MODELS, targets, strict=True)
        )
    told = (
        f"{len(MODELS)} models trained: {direct:.0f} s called, {through:.0f} s through Snakemake; same weights: {same}"
    )
    return [Row("the workflow itself, jobs of a minute", "the same functions called from Python", through,
                direct / through, value=through / direct - 1, unit="overhead",
                limits={"value": ("at most", 0.15)}, note=told)]  # fmt: skip


def spent(command: list[object]) -> float:
    """Return the seconds of a process."""
    return seconds(lambda: subprocess.run(command, check=True, env=ALONE))


def weights(folder: Path) -> bytes:
    """Return the weights of a State directory as they are on disk."""
    (file,) = folder.rglob("final.ckpt")
    return file.read_bytes()
