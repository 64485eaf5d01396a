"""A job that is killed leaves nothing at the name of its output, and the next run resumes."""

import time

from workflow_project import killed_at_last, tiny

from pertprobe.workflow.warm import DOOR

STALL = """
import os

def stalled(source, target, *, replace=os.replace, **options):
    if os.path.basename(os.fspath(target)) == os.environ["PERTPROBE_TEST_STALL"]:
        import time
        open(os.environ["PERTPROBE_TEST_MARKER"], "w").close()
        time.sleep(3600)
    return replace(source, target, **options)

if "PERTPROBE_TEST_STALL" in os.environ:
    os.replace = stalled
"""
"""Python reads sitecustomize.py when it starts, as a job does that loads for itself: it stops just before it gives its
output its name.
"""


def kill_at_the_last_step(project, target, marker, config):
    """Start to make `target`; kill everything once the job has written all of it under another name."""
    (project.folder / "src/sitecustomize.py").write_text(STALL)
    stall = {"PERTPROBE_TEST_STALL": target.name, "PERTPROBE_TEST_MARKER": str(marker), DOOR: ""}
    name = str(target.relative_to(project.folder))
    with killed_at_last(project.start("--cores", "1", "--", name, config=config, environment=stall)) as process:
        while not marker.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)


def test_a_killed_job_leaves_no_output_and_the_next_run_resumes(finished, tmp_path):
    config = tiny()
    config["sae"]["joint"]["k"] = 5  # so that the autoencoder has to be trained again
    weights = finished.results / "sae/joint/sae_weights.safetensors"
    weights.unlink()
    kill_at_the_last_step(finished, weights, tmp_path / "marker", config)
    assert not weights.exists()
    finished.finish("--unlock", config=config)
    name = str(weights.relative_to(finished.folder))
    said = finished.finish("--cores", "1", "--", name, config=config)
    assert "rule train_sae" in said
    assert "rule train:" not in said
    assert weights.is_file()
    assert finished.plan(config, name).jobs == {}
