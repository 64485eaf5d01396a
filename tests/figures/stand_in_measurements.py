"""What probes would have measured of a model of a large run: every variable that figures could read, made of chance."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pertprobe.interpret.sources import SOURCES
from pertprobe.probes.base import labelled
from pertprobe.roles import SUBJECT

if TYPE_CHECKING:
    from stand_in import Run

SETS = 2
WIDTH = 32
"""Numbers of a code, a layer or a sketch: fewer than in a trained model, as no figure shows them one by one."""
SILENCED = 200
"""Genes that are silenced where the config does not say which."""
VARIANTS = [SUBJECT, "redrawn_0", "redrawn_1"]


def measurement(probe: str, run: "Run", model: str) -> xr.Dataset:
    """Return what a probe measured of one model."""
    return MADE[probe](run, run.random("measurement", probe, model))


def profiles(name: str, axis: str, width: int = WIDTH) -> Callable[["Run", np.random.Generator], xr.Dataset]:
    """Return what makes a measurement of one variable [perturbation, axis] that programs have a part in."""

    def made(run: "Run", rng: np.random.Generator) -> xr.Dataset:
        """Draw profiles of which members of a program share a direction."""
        values = rng.normal(size=(run.perturbations, width)).astype(np.float32)
        for members in [*run.program_sets.values()][:20]:
            values[np.isin(run.names, members)] += rng.normal(size=width)
        labels = {axis: run.gene_names[:width]} if axis == "gene" else {}
        return labelled({name: (("perturbation", axis), values)}, perturbation=run.names, **labels)

    return made


def of_panels(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return derivatives of each panel's pairs under every perturbation."""
    pairs = [f"{a}>{b}" for each in run.panel_sets.values() for a in each["regulators"] for b in each["targets"]]
    pairs = list(dict.fromkeys(pairs))
    targets = sorted({pair.split(">")[1] for pair in pairs})
    controls = {name: {"regulators": [], "targets": []} for name in run.panel_sets}
    axes, ones = ("set", "perturbation", "gene"), np.ones((1, run.perturbations, len(targets)), np.float32)
    jacobian = rng.normal(size=(1, run.perturbations, len(pairs))).astype(np.float32)
    found = {"jacobian": (("set", "perturbation", "feature"), jacobian), "open": (axes, ones), "gain": (axes, ones)}
    made = labelled(found, perturbation=run.names, feature=pairs, gene=targets)
    return made.assign_attrs(batch="k562_3", control_pairs=json.dumps(controls))


def within_cells(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return the same within one cell, with the share that crosses cells."""
    axes = "set", "perturbation", "panel"
    parts = {name: (axes, rng.random((1, run.perturbations, run.panels))) for name in ("within", "across")}
    parts |= {
        name: (("perturbation",), np.full(run.perturbations, size)) for name, size in (("error", 0.05), ("draws", 8))
    }
    return of_panels(run, rng).assign(parts).assign_coords(panel=list(run.panel_sets))


def influences(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return how every gene moves each target of a panel."""
    targets = sorted({gene for each in run.panel_sets.values() for gene in each["targets"]})
    values = rng.normal(size=(1, len(targets), run.genes)).astype(np.float32)
    found = {"influence": (("set", "perturbation", "input_gene"), values)}
    found["open"] = ("set", "perturbation"), np.ones((1, len(targets)))
    return labelled(found, perturbation=targets, input_gene=run.gene_names)


def silenced(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return shifts to silenced genes, what the derivative foretells, and what cells lose."""
    genes, axes = run.gene_names[:SILENCED], ("set", "perturbation", "gene")
    outputs = run.gene_names[: 2 * WIDTH]
    shape = (SETS, len(genes), len(outputs))
    shift = rng.normal(size=shape).astype(np.float32)
    found = {"shift": (axes, shift), "predicted": (axes, shift + rng.normal(0, 0.5, shape).astype(np.float32))}
    found |= {"half": (axes, shift / 2), "lost": (("set", "perturbation"), rng.lognormal(0, 1, shape[:2]))}
    made = labelled(found, perturbation=genes, gene=outputs)
    copies = made[["shift", "predicted"]]
    variants = [copies, *(copies + rng.normal(size=shape) for _ in VARIANTS[1:])]
    return xr.concat(variants, xr.Variable("variant", VARIANTS)).merge(made[["half", "lost"]])


def sensitivities(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return gains, gradients by layer and the linear range, of the model and of untrained copies."""
    noise, layers = [0.1, 1.0, 10.0], 9
    axes = {"feature": run.genes, "gene": run.genes, "layer": layers, "noise": len(noise), "draw": 4}
    of = {"input_gradient": ["feature"], "input_response": ["feature"], "output_response": ["gene"], "closed": ["gene"]}
    of |= {"activation": ["layer"], "gradient": ["layer"], "spectral_norm": [], "converged": [], "shift_norm": []}
    of |= {name: ["noise", "draw"] for name in ("noise_response", "noise_error")}
    known = {
        name: (("variant", "set", *dims), rng.random((len(VARIANTS), SETS, *(axes[dim] for dim in dims))))
        for name, dims in of.items()
    }
    known["set_difference"] = ("variant",), rng.random(len(VARIANTS))
    return labelled(known, variant=VARIANTS, noise=noise, feature=run.gene_names, gene=run.gene_names)


def splits(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return what each response comes from, and the spectrum of one frozen map."""
    n, ranks = run.perturbations, 8
    shares = rng.dirichlet(np.ones(len(SOURCES)), (n, SETS)) * rng.normal(1, 0.3, (n, SETS, 1))
    maps, sides = ["frozen", "ordinary"], ["input", "output"]
    found = {
        "shares": (("perturbation", "set", "source"), shares),
        "agreement": (("perturbation",), rng.random(n)), "error": (("perturbation",), 1e-6 * rng.random(n)),
        "values": (("at", "rank"), np.sort(rng.lognormal(0, 1, (1, ranks)))[:, ::-1]),
        "input_vectors": (("at", "rank", "feature"), rng.normal(size=(1, ranks, run.genes))),
        "output_vectors": (("at", "rank", "gene"), rng.normal(size=(1, ranks, run.genes))),
        "effective_rank": (("at", "map"), rng.uniform(1, 40, (1, 2))),
        "layer_rank": (("at", "map", "layer"), rng.uniform(1, 40, (1, 2, 9))),
        "cosine": (("at",), rng.random(1)), "lanczos_error": (("at",), 1e-6 * rng.random(1)),
        "overlap": (("at", "side"), rng.random((1, 2))),
    }  # fmt: skip
    labels = {"source": list(SOURCES), "at": ["non-targeting"], "map": maps, "side": sides}
    return labelled(found, perturbation=run.names, feature=run.gene_names, gene=run.gene_names, **labels)


def hidden_states(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return hidden states, features and components."""
    parts = {"hidden": "dimension", "activation": "feature", "component": "direction"}
    return xr.merge([profiles(name, axis)(run, rng) for name, axis in parts.items()])


def routes(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return sketches of derivatives by the code, and what the same cells answer."""
    return xr.merge([profiles("routing", "feature")(run, rng), profiles("delta_y", "gene")(run, rng)])


def responses(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return responses in as many sets as have a noise ceiling."""
    return xr.concat([profiles("delta_y", "gene")(run, rng) for _ in range(SETS)], xr.Variable("set", range(SETS)))


def aligned(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return how outputs read each program's direction, and refitted ones."""
    names, draws = list(run.program_sets), 20
    axes, shape = ("layer", "program", "draw"), (1, len(names), draws)
    read = ("alignment", "alignment_first", "cav_accuracy", "outcome_agreement", "mlp_alignment", "mlp_first")
    return labelled({name: (axes, rng.random(shape)) for name in read}, program=names)


def patched(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return the share that each patch recovers, of a few programs: no figure shows them one by one."""
    programs = list(run.program_sets)[:8]
    namers = {name: list(run.program_sets[name][:2]) for name in programs}
    values = rng.normal(0.3, 0.2, (1, run.perturbations, len(programs))).astype(np.float32)
    axes = "set", "perturbation", "program"
    both = {name: (axes, values) for name in ("recovered", "induced")}
    made = labelled(both, perturbation=run.names, program=programs)
    return made.assign_attrs(named=json.dumps({"namers": namers, "panels": {}, "layer": 4}))


def silenced_and_seen(run: "Run", rng: np.random.Generator) -> xr.Dataset:
    """Return shifts to silenced genes beside responses to the knock-downs of the same."""
    axes, shape = ("set", "perturbation", "gene"), (SETS, min(SILENCED, run.perturbations), WIDTH)
    made = {name: (axes, rng.normal(size=shape).astype(np.float32)) for name in ("shift", "response")}
    return labelled(made, perturbation=run.names[: shape[1]], gene=run.gene_names[:WIDTH])


MADE = {
    "activation_patching": patched,
    "cell_diagonal": within_cells,
    "concept_alignment": aligned,
    "conserved_features": hidden_states,
    "detached_jacobian": splits,
    "input_sensitivity": sensitivities,
    "intervention_fidelity": silenced_and_seen,
    "jacobian_divergence": profiles("causal", "feature"),
    "knockout": silenced,
    "knockout_linearity": silenced,
    "output_clustering": responses,
    "pert_embedding": profiles("embedding", "feature"),
    "regime_agreement": responses,
    "regulator_influence": influences,
    "regulon_recovery": silenced,
    "routing_coherence": routes,
    "sae_features": hidden_states,
    "targeted_jacobian": of_panels,
}
"""Probe -> what makes its measurement."""
