"""What a finished run leaves behind."""

import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from run_figures import run_faults
from workflow_project import tiny

from pertprobe.workflow.usage import usages

MODELS = ("a_fewshot", "b_fewshot", "a_zeroshot")
PAIRS = ("a_fewshot-vs-b_fewshot", "a_fewshot-vs-a_zeroshot")
PROBES = ("sae_features", "pert_embedding", "targeted_jacobian", "knockout")
COMPARED = {"sae_features": PAIRS, "pert_embedding": PAIRS, "targeted_jacobian": (), "knockout": PAIRS[:1]}
"""Probe -> the pairs it has a question about: knock-outs only that of two contexts."""
EVIDENCE = [
    *("probe", "statistic", "adjustment", "model", "reference", "context", "regime", "role", "copy", "program"),
    *("panel", "unit", "n", "n_background", "estimate", "null_mean", "null_sd", "null_skewness", "null_own"),
    *("null_own_sd", "unit_sd", "effect", "ci_low", "ci_high", "p", "p_min", "p_stratified", "p_min_stratified"),
    *("p_strength", "p_without_pair", "p_beyond", "explained_by", "p_used", "p_tail", "n_permutations", "q"),
    *("estimate_published", "p_published", "q_published", "ceiling", "disattenuated", "share_low", "share_high"),
    *("excess_redrawn", "excess_redrawn_low", "excess_redrawn_high"),
    *("excess_rivals", "excess_rivals_low", "excess_rivals_high"),
    *("evaluable", "reason"),
]
SPACES = ["pert_encoder", "sae_middle", "knockout", "delta_y"]
FIGURES = ["scorecard", "verdict_matrix", "controls", "cascade", *PROBES, *(f"quality/{model}" for model in MODELS)]
OF_A_MODEL = [
    *("card.json", "names.json", "perturbations.tsv", "observed.nc", "quality.tsv", "program_quality.tsv"),
    *("distribution.tsv", "drift.tsv"),
]
OF_AN_SAE = [
    *("cfg.json", "sae_weights.safetensors", "pca.safetensors", "quality.tsv", "stability.tsv", "features.tsv"),
    *("seeds/1/cfg.json", "seeds/1/sae_weights.safetensors"),
]
TREE = [
    *("checks.json", "provenance.json", "run_times.tsv", "verdicts.tsv", "readings.tsv", "report.html", "quality.html"),
    "scorecard.tsv",
    *("simulated/cells.h5ad", "simulated/programs.gmt", "simulated/truth.tsv", "simulated/panels.tsv"),
    *("inputs/evaluability.tsv", "inputs/cells/line_a.h5ad", "inputs/cells/line_b.h5ad"),
    *(f"trained/{model}/checkpoints/final.ckpt" for model in MODELS),
    *(f"models/{model}/{name}" for model in MODELS for name in OF_A_MODEL),
    *(f"sae/joint/{name}" for name in OF_AN_SAE),
    *(f"measurements/{probe}/{model}.nc" for probe in (*PROBES, "delta_y") for model in MODELS),
    *(f"measurements/{probe}/derived/{model}.nc" for probe in PROBES for model in MODELS),
    *(f"evidence/{probe}/{name}.tsv" for probe in PROBES for name in (*MODELS, *COMPARED[probe])),
    *(f"evidence/{probe}.tsv" for probe in PROBES),
    *(f"figures/{figure}{suffix}" for figure in FIGURES for suffix in (".svg", ".pdf", ".png")),
    *(f"spaces/{space}/{model}.h5ad" for space in SPACES for model in MODELS),
    *(f"ranks/{model}.tsv" for model in MODELS),
]
COPIES = [f"{kind}_{number}" for number in (1, 2) for kind in ("redrawn", "shuffled")]
CASCADES = [f"cascade_{stage}" for stage in ("decode", "mix", "encode_cells", "encode_perturbations")]
REFERENCES = {"observed", "coexpression"}


def test_every_file_of_the_results_tree_is_made(demo):
    missing = [name for name in TREE if not (demo.results / name).is_file()]
    empty = [name for name in TREE if name not in missing and not (demo.results / name).stat().st_size]
    assert (missing, empty) == ([], [])


def test_shards_are_removed_and_nothing_half_written_remains(demo):
    assert not list(demo.results.rglob(".writing-*"))
    assert not list(demo.results.glob("measurements/*/shards/**/*.nc"))


def test_nothing_is_written_outside_the_results_of_the_run(demo):
    made = {path.name for path in demo.folder.iterdir()}
    assert made == {
        *("Snakefile", "rules", "scripts", "config", "envs", "profiles", "report", "src"),
        *("run.yaml", "results", ".snakemake"),
    }
    assert [path.name for path in (demo.folder / "results").iterdir() if path.is_dir()] == ["tiny"]


def test_every_log_says_what_its_job_took_and_none_has_a_traceback(demo):
    logs = {path.relative_to(demo.results / "logs"): path.read_text() for path in demo.results.glob("logs/**/*.log")}
    told = {f"{each.rule}/{each.job}.log" for each in usages(demo.results / "logs")}
    assert told == set(map(str, logs))
    assert [str(name) for name, text in logs.items() if "Traceback" in text] == []


@pytest.mark.parametrize("probe", PROBES)
def test_evidence_has_the_columns_of_the_contract_in_their_order(demo, probe):
    for path in (demo.results / f"evidence/{probe}.tsv", *(demo.results / f"evidence/{probe}").iterdir()):
        table = pd.read_csv(path, sep="\t")
        assert list(table.columns) == EVIDENCE, path.name
        assert set(table.probe) <= {probe}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("model", MODELS)
def test_untrained_copies_are_measured_beside_the_model_and_planted_models_beside_both(demo, probe, model):
    found = xr.load_dataset(demo.results / f"measurements/{probe}/{model}.nc", engine="h5netcdf")
    assert found.variant.values.tolist() == ["subject", *COPIES, *CASCADES]
    planted = xr.load_dataset(demo.results / f"measurements/{probe}/derived/{model}.nc", engine="h5netcdf")
    additive = ["additive"] if probe == "knockout" else []  # it has no stages
    assert planted.variant.values.tolist() == ["planted", "lookup", "covariation", *additive]
    np.testing.assert_array_equal(planted.perturbation, found.perturbation)


def test_of_delta_y_nothing_but_the_model_is_measured(demo):
    found = xr.load_dataset(demo.results / "measurements/delta_y/a_fewshot.nc", engine="h5netcdf")
    assert found.variant.values.tolist() == ["subject"]
    assert not (demo.results / "measurements/delta_y/derived").exists()


@pytest.mark.parametrize("probe", PROBES)
def test_every_control_has_rows_beside_the_model(demo, probe):
    table = pd.read_csv(demo.results / f"evidence/{probe}.tsv", sep="\t", keep_default_na=False)
    planted = {"planted", "lookup", "covariation"} | ({"additive"} if probe == "knockout" else set())
    assert set(table.role) == {"subject", "redrawn", "shuffled"} | planted | REFERENCES
    assert set(table[table.role == "shuffled"]["copy"]) == {1, 2}
    cascades = table[table.statistic.str.contains("_cascade_")]
    assert set(cascades.role) == {"redrawn"}
    assert table[table.role.isin(planted | REFERENCES) & (table.q != "")].evaluable.all()


def test_verdicts_say_how_the_planted_models_fared_and_what_could_have_been_seen(demo):
    verdicts = pd.read_csv(demo.results / "verdicts.tsv", sep="\t", keep_default_na=False)
    assert {"found", "missed"} & set(verdicts.planted_control)
    assert set(verdicts.planted_control) <= {"found", "missed", "absent"}
    assert set(verdicts.lookup_control) | set(verdicts.covariation_control) <= {"passes", "fails", "absent"}
    found = verdicts[(verdicts.planted_control != "absent") & (verdicts.planted_found != "")]
    assert found.planted_found.astype(float).between(0, 1).all()
    assert not verdicts[(verdicts.verdict == "fail") & (verdicts.d_low != "")].empty
    asked = verdicts[verdicts.reason.str.startswith("power: effect")]
    assert (asked.d_high.astype(float) >= 1).all()


@pytest.mark.parametrize("probe", PROBES)
def test_evidence_covers_every_model_and_the_pairs_it_compares(demo, probe):
    table = pd.read_csv(demo.results / f"evidence/{probe}.tsv", sep="\t", keep_default_na=False)
    asked = set(zip(table.model, table.reference, strict=True))
    assert asked == {(model, "") for model in MODELS} | {tuple(pair.split("-vs-")) for pair in COMPARED[probe]}


def test_verdicts_answer_for_every_probe_and_carry_the_planted_truth(demo):
    verdicts = pd.read_csv(demo.results / "verdicts.tsv", sep="\t", keep_default_na=False)
    assert set(verdicts.probe) == set(PROBES)
    assert (verdicts.verdict != "").all()
    represented = verdicts[verdicts.probe.isin(["sae_features", "pert_embedding"]) & (verdicts.reference == "")]
    assert set(represented.planted) == {"shared", "context_specific", "absent", "decoy"}


def test_readings_have_a_row_for_every_program_and_model(demo):
    readings = pd.read_csv(demo.results / "readings.tsv", sep="\t", keep_default_na=False)
    found = set(zip(readings.program, readings.model, strict=True))
    assert {(f"program_{number}", model) for number in range(1, 5) for model in MODELS} <= found
    compared = readings[readings.probe != ""]
    assert set(compared.comparison) == {"contexts", "regimes"}
    assert set(compared.probe) == {"sae_features", "pert_embedding", "targeted_jacobian"}  # knock-outs: pairs alone


@pytest.mark.parametrize("name", ["report.html", "quality.html"])
def test_the_pages_need_no_other_file_and_no_network(demo, name):
    page = re.sub(r"<script>.*?</script>", "", (demo.results / name).read_text(), flags=re.DOTALL)
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)["']|url\(\s*["']?([^"')]*)|@import\s+["']?(\S+)""", page)
    targets = {target for each in loaded for target in each if target and not target.startswith(("#", "data:"))}
    assert targets
    assert [each for each in sorted(targets) if not (demo.results / each).is_file()] == []  # links to files of the run
    assert "src=" not in page
    assert page.count("<svg") == (len(MODELS) if name == "quality.html" else 4 + len(PROBES))


def test_nothing_is_wrong_with_any_figure_as_it_was_written(demo):
    assert run_faults(demo.results / "figures") == []


def test_snakemakes_own_report_shows_every_figure_beneath_its_caption(demo, tmp_path):
    page = tmp_path / "snakemake.html"
    demo.finish("--report", str(page), "--", "all", "pert_embedding", config=tiny())
    text = page.read_text(encoding="utf-8").encode().decode("unicode_escape", errors="ignore")
    shown = _plain(unescape(re.sub(r"<[^>]*>", "", text)))
    figures = list(demo.results.glob("figures/**/*.svg"))
    assert len(figures) == len(FIGURES)
    captions = {path: path.with_suffix(".caption.txt").read_text(encoding="utf-8") for path in figures}
    assert [path.name for path, caption in captions.items() if _plain(caption) not in shown] == []
    assert all(name in shown for name in ("report.html", "scorecard.tsv", "verdicts.tsv", "readings.tsv"))


def _plain(text):
    """Return the letters and numbers of a text alone, whatever stands between them in a page."""
    return re.sub(r"[^a-z0-9.]+", " ", text.lower())


def test_provenance_names_versions_seed_and_hashes(demo):
    record = json.loads((demo.results / "provenance.json").read_text())
    assert record["seed"] == 0
    assert {"pertprobe", "torch", "numpy", "snakemake"} <= record["versions"].keys()
    assert record["models"].keys() == set(MODELS)
    assert record["cells"].keys() == {"line_a", "line_b"}
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in record["cells"].values())


def test_versions_and_dates_are_in_no_table(demo):
    record = json.loads((demo.results / "provenance.json").read_text())
    tables = [demo.results / "verdicts.tsv", demo.results / "readings.tsv", *demo.results.glob("evidence/*.tsv")]
    text = "".join(path.read_text() for path in tables)
    assert record["versions"]["torch"] not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_run_times_name_every_timed_job(demo):
    times = pd.read_csv(demo.results / "run_times.tsv", sep="\t")
    assert {"train", "measure", "test", "compare", "verdicts", "draw_controls"} <= set(times.rule)
    assert (times[["seconds", "cpu_seconds"]] >= 0).all(axis=None)
    assert times.max_rss_mb.between(10, 4000).all()
    assert len(times[times.rule == "measure"]) == len((*PROBES, "delta_y")) * len(tiny()["models"])
