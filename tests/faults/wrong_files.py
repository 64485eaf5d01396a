"""Wrong gene sets, regulons, splits, model directories and autoencoders: well-formed files that say what is not so."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from fault import Fault, Make, both, content, edited, remove, setting
from safetensors.torch import load_file, save_file

CKPT, MAP = "models/a/checkpoints/final.ckpt", "models/a/pert_onehot_map.pt"
GMT, REGULONS, SPLIT = "programs.gmt", "regulons.tsv", "models/a/split.toml"


def _genes(change: Callable[[str], str]) -> Make:
    """Return what rewrites every gene of the programs."""

    def rewrite(text: str) -> str:
        rows = [line.split("\t") for line in text.splitlines()]
        return "".join("\t".join([*row[:2], *map(change, row[2:])]) + "\n" for row in rows)

    return edited(GMT, rewrite)


SPELLINGS = {
    "in capitals": str.upper,
    "as Ensembl": lambda name: f"ENSG{name[1:]:0>11}",
    "of the mouse": str.capitalize,
    "with weights": lambda name: f"{name},1.0",
    "with +ctrl": lambda name: f"{name}+ctrl",
    "as guides": lambda name: f"{name}_sg1",
    "as UniProt": lambda name: f"P{name[1:]:0>5}",
    "as Entrez": lambda name: str(int(name[1:]) + 1000),
    "quoted": lambda name: f'"{name}"',
    "with slashes": lambda name: f"{name} /// other",
    "with versions": lambda name: f"{name}.2",
    "with a species": lambda name: f"{name}_HUMAN",
    "of another set": lambda name: f"TP{name[1:]}",
}
"""How programs may spell genes that models call otherwise."""
RECOGNISED = ("with +ctrl", "as guides")
"""Spellings that are read as the gene they name."""
GMTS = {
    "semicolons": lambda text: text.replace("\t", ";"),
    "commas": lambda text: text.replace("\t", ","),
    "spaces": lambda text: text.replace("\t", " "),
    "genes by semicolons": lambda text: "".join(
        "\t".join([*row[:2], ";".join(row[2:])]) + "\n" for row in (line.split("\t") for line in text.splitlines())
    ),
    "no description": lambda text: "".join(
        "\t".join([row[0], *row[2:]]) + "\n" for row in (line.split("\t") for line in text.splitlines())
    ),
    "no names": lambda text: "".join("\t" + line.partition("\t")[2] + "\n" for line in text.splitlines()),
    "a name twice": lambda text: text + text.splitlines()[0].replace("g0", "g1") + "\n",
    "an empty set": lambda text: text + "another\tnone\n",
    "one gene": lambda text: text + "another\tnone\tg001\n",
    "a mark at its head": lambda text: "\ufeff" + text,
    "a NUL in a name": lambda text: text.replace("program_1", "program\x00_1"),
    "a control character in a name": lambda text: text.replace("program_2", "program\x07_2"),
    "markup in a name": lambda text: text.replace("program_2", "<script>alert(1)</script>"),
    "a slash in a name": lambda text: text.replace("program_2", "../program_2"),
    "a name of 10,000 letters": lambda text: text.replace("program_2", "p" * 10000),
    "all on one line": lambda text: text.replace("\n", "\t"),
    "one gene a line": lambda text: "\n".join(text.split("\t")),
    "a header": lambda text: "name\tdescription\tgenes\n" + text,
    "a header of comments": lambda text: "# made by hand\n" + text,
    "all genes in every set": lambda text: "".join(
        f"{line.split(chr(9))[0]}\tall\t" + "\t".join(f"g{i:03d}" for i in range(66)) + "\n"
        for line in text.splitlines()
    ),
}
"""What is done to the text of a GMT."""
READ = ("a name twice", "an empty set", "a header of comments")
"""Of which a note is enough."""


def of_programs() -> Iterator[Fault]:
    """Programs whose genes or lines are not what a model calls so."""
    for name, change in SPELLINGS.items():
        expected = "read" if name in RECOGNISED else "noted"
        yield Fault(f"programs/{name}", _genes(change), expected, (GMT, "program"))
    for name, change in GMTS.items():
        if name == "a mark at its head":
            yield Fault(f"programs/{name}", edited(GMT, change), "read")
            continue
        noted = "noted" if name in READ or name in ("a header", "no description") else "refused"
        if name.startswith(("markup", "a slash in", "a name of", "all genes", "one gene")):
            noted = "any"
        yield Fault(f"programs/{name}", edited(GMT, change), noted, (GMT, "program", "line"))


TABLES = {
    "no header": lambda text: text.partition("\n")[2],
    "other columns": lambda text: text.replace("source", "tf_id", 1).replace("target", "gene_id", 1),
    "no sign": lambda text: "\n".join("\t".join(line.split("\t")[:2]) for line in text.splitlines()) + "\n",
    "signs of words": lambda text: _column(text, 2, lambda _: "maybe"),
    "signs of zero": lambda text: _column(text, 2, lambda _: "0"),
    "signs that are empty": lambda text: _column(text, 2, lambda _: ""),
    "signs with commas": lambda text: _column(text, 2, lambda value: f"{value},5"),
    "unknown genes": lambda text: text.replace("\tg", "\tTP").replace("\ng", "\nTP"),
    "UniProt": lambda text: text.replace("\tg", "\tP00").replace("\ng", "\nP00"),
    "in capitals": lambda text: text.replace("\tg", "\tG").replace("\ng", "\nG"),
    "the header alone": lambda text: text.splitlines()[0] + "\n",
    "one edge": lambda text: "\n".join(text.splitlines()[:2]) + "\n",
    "rows of unequal length": lambda text: text + "g001\n",
    "rows too long": lambda text: text + "g001\tg002\t1\t5\t6\t7\n",
    "an open quote": lambda text: text + '"g001\tg002\t1\n',
    "edges onto themselves": lambda text: _column(text, 1, None),
}


def _column(text: str, column: int, change: Callable[[str], str] | None) -> str:
    rows = [line.split("\t") for line in text.splitlines()]
    for row in rows[1:]:
        row[column] = row[0] if change is None else change(row[column])
    return "".join("\t".join(row) + "\n" for row in rows)


def of_regulons() -> Iterator[Fault]:
    """Regulons without columns, signs or known genes."""
    few = ("unknown genes", "UniProt", "in capitals", "one edge", "signs of zero", "signs that are empty", "no header")
    for name, change in TABLES.items():
        expected = "noted" if name in few else "refused"
        yield Fault(
            f"regulons/{name}", edited(REGULONS, change), expected, (REGULONS, "regulon", "sign", "network", "genes")
        )


SPLITS = {
    "of another data set": lambda text: text.replace("cells", "replogle").replace("line_a", "k562"),
    "of another line": lambda text: text.replace("line_a", "line_c"),
    "of the line in capitals": lambda text: text.replace("line_a", "LINE_A"),
    "zero-shot in the line": lambda text: _section(text, "zeroshot", '"cells.line_a" = "test"', drop="fewshot"),
    "held out names that nobody has": lambda text: text.replace('"g0', '"TP'),
    "held out in capitals": lambda text: text.replace('"g0', '"G0'),
    "nothing held out": lambda text: text.partition("[fewshot")[0] + "[fewshot]\n",
    "held out twice": lambda text: text.replace("val = []", 'val = ["g007"]'),
    "training of val": lambda text: text.replace('= "train"', '= "val"'),
    "a list for a table": lambda text: text.partition("[fewshot")[0] + "fewshot = []\n",
    "no section": lambda text: "title = 1\n",
    "a section twice": lambda text: text + '\n[training]\n"cells" = "train"\n',
    "a number held out": lambda text: text.replace("val = []", "val = [7]"),
    "a word for a list": lambda text: text.replace("val = []", 'val = "g001"'),
    "an unknown part": lambda text: text.replace("val = []", "valid = []"),
    "no data set in the key": lambda text: text.replace("cells.line_a", "line_a"),
    "everything held out": lambda text: text.replace(
        "val = []", f"val = {json.dumps([f'g{i:03d}' for i in range(18)])}"
    ),
}


def _section(text: str, name: str, line: str, drop: str) -> str:
    head = text.partition(f"[{drop}")[0]
    return head.replace(f"[{name}]", f"[{name}]\n{line}") + f"[{drop}]\n"


def of_splits() -> Iterator[Fault]:
    """Splits of other data, other lines, other names; tables that are none."""
    noted = ("held out names that nobody has", "held out in capitals", "nothing held out")
    for name, change in SPLITS.items():
        expected = "noted" if name.startswith(("of ", *noted, "zero-shot")) else "refused"
        expected = "any" if name in ("held out twice", "everything held out") else expected
        yield Fault(f"split/{name}", edited(SPLIT, change), expected, (SPLIT, "split", "line", "held"))
    make = setting("models", "a", "regime", value="zeroshot")
    yield Fault("split/the regime is another", make, "noted", ("regime", "zero", "split"))
    other = setting("models", "a", "split", value="models/b/split.toml")
    yield Fault("split/of the other model", other, "noted", ("split", "line"))
    rows = "perturbation\tcontext\ttrained\n"
    for name, text in {
        "unknown names": rows + "TP53\tline_a\ttrue\n",
        "unknown line": rows + "g001\tline_q\ttrue\n",
        "a word for truth": rows + "g001\tline_a\tperhaps\n",
        "both": rows + "g001\tline_a\ttrue\ng001\tline_a\tfalse\n",
        "other columns": "gene\tline\tseen\ng001\tline_a\ttrue\n",
        "no row": rows,
        "nothing": "",
    }.items():
        make = both(content("split.tsv", text), setting("models", "a", "split", value="split.tsv"))
        expected = "noted" if name.startswith(("unknown", "no row")) else "refused"
        yield Fault(f"split/a table of {name}", make, expected, ("split", "line"))


def torch_file(name: str, change: Callable[[Any], Any]) -> Make:
    """Return what changes a file of torch; what is returned, if anything, takes the place of what was there."""

    def make(folder: Path) -> None:
        found = torch.load(folder / name, weights_only=False)
        after = change(found)
        torch.save(found if after is None else after, folder / name)

    return make


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Make:
    """Return what changes the weights of the first model."""
    return torch_file(CKPT, lambda found: change(found["state_dict"]))


def hyper(**options: Any) -> Make:
    """Return what changes hyper-parameters of the first model, and takes them out where they are None."""

    def change(found: dict[str, Any]) -> None:
        found["hyper_parameters"] |= {key: value for key, value in options.items() if value is not ...}
        for key in [key for key, value in options.items() if value is ...]:
            found["hyper_parameters"].pop(key, None)

    return torch_file(CKPT, change)


def _cast(dtype: torch.dtype) -> Make:
    return weights(lambda found: found.update({key: each.to(dtype) for key, each in found.items()}))


def _one(change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    return weights(lambda found: found.update({"pert_encoder.0.weight": change(found["pert_encoder.0.weight"])}))


def _yaml(change: Callable[[dict], None]) -> Make:
    def rewrite(text: str) -> str:
        found = yaml.safe_load(text)
        change(found)
        return yaml.safe_dump(found)

    return edited("models/a/config.yaml", rewrite)


def _dims(change: Callable[[dict], None]) -> Make:
    def make(folder: Path) -> None:
        path = folder / "models/a/var_dims.pkl"
        found = pickle.loads(path.read_bytes())
        change(found)
        path.write_bytes(pickle.dumps(found))

    return make


def _poke(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def poke(weight: torch.Tensor) -> torch.Tensor:
        weight = weight.clone()
        weight.view(-1)[3] = value
        return weight

    return poke


DIRECTORIES: dict[str, Make] = {
    "int8 weights": _cast(torch.int8),
    "int64 weights": _cast(torch.int64),
    "bool weights": _cast(torch.bool),
    "complex weights": _cast(torch.complex64),
    "NaN in a weight": _one(_poke(float("nan"))),
    "infinity in a weight": _one(_poke(float("inf"))),
    "a weight turned": _one(lambda w: w.T.contiguous()),
    "a weight too short": _one(lambda w: w[:-1].clone()),
    "a weight of one number": _one(lambda w: w[0, 0].clone()),
    "a weight of stride 0": _one(lambda w: torch.zeros(1, 1).expand(10**6, 10**6)),
    "a sparse weight": _one(lambda w: w.to_sparse()),
    "a weight missing": weights(lambda found: found.pop("pert_encoder.0.weight") is None),
    "a weight too many": weights(lambda found: found.update({"surprise": torch.zeros(3)})),
    "a weight that is a list": torch_file(CKPT, lambda found: found["state_dict"].update({"x": [1, 2]})),
    "no weights": torch_file(CKPT, lambda found: {"hyper_parameters": found["hyper_parameters"]}),
    "weights of None": torch_file(CKPT, lambda found: {**found, "state_dict": None}),
    "weights alone": torch_file(CKPT, lambda found: found["state_dict"]),
    "a list for a checkpoint": torch_file(CKPT, lambda found: [1, 2]),
    "a tensor for a checkpoint": torch_file(CKPT, lambda found: torch.zeros(3)),
    "no hyper-parameters": torch_file(CKPT, lambda found: {**found, "hyper_parameters": {}}),
    "hyper-parameters of a list": torch_file(CKPT, lambda found: {**found, "hyper_parameters": [1]}),
    "another width": hyper(hidden_dim=32),
    "a width of nothing": hyper(hidden_dim=0),
    "a width of a word": hyper(hidden_dim="wide"),
    "a width of a billion": hyper(hidden_dim=10**9),
    "a width of a list": hyper(hidden_dim=[64]),
    "layers a billion": hyper(n_encoder_layers=10**9),
    "layers of minus one": hyper(n_encoder_layers=-1),
    "layers of a fraction": hyper(n_encoder_layers=1.5),
    "no input": hyper(input_dim=0),
    "another input": hyper(input_dim=7),
    "another control": hyper(control_pert="nobody"),
    "control of a number": hyper(control_pert=3),
    "an unknown activation": hyper(activation="swish"),
    "an unknown backbone": hyper(transformer_backbone_key="mamba"),
    "a backbone of nothing": hyper(transformer_backbone_kwargs={}),
    "a backbone of a word": hyper(transformer_backbone_kwargs="llama"),
    "a backbone of a billion layers": hyper(transformer_backbone_kwargs={"num_hidden_layers": 10**9}),
    "an unknown option": hyper(gating="soft"),
    "an unknown space": hyper(output_space="nowhere"),
    "sets of another size": hyper(cell_set_len=5),
    "gene names too few": hyper(gene_names=["g000"]),
    "gene names of numbers": hyper(gene_names=list(range(44))),
    "gene names doubled": _dims(lambda d: d.update(gene_names=[d["gene_names"][0]] * len(d["gene_names"]))),
    "gene names permuted": _dims(lambda d: d.update(gene_names=d["gene_names"][::-1])),
    "gene names in capitals": _dims(lambda d: d.update(gene_names=[each.upper() for each in d["gene_names"]])),
    "gene names of None": _dims(lambda d: d.update(gene_names=None)),
    "gene names a word": _dims(lambda d: d.update(gene_names="g000")),
    "dims of another model": _dims(lambda d: d.update(input_dim=3, pert_dim=3)),
    "a map without the control": torch_file(MAP, lambda found: found.pop("non-targeting") is None),
    "a map of one vector": torch_file(MAP, lambda f: f.update({key: f[next(iter(f))].clone() for key in f})),
    "a map of zeros": torch_file(MAP, lambda f: f.update({key: torch.zeros_like(f[key]) for key in f})),
    "a map of NaN": torch_file(MAP, lambda f: f.update({key: f[key] * float("nan") for key in f})),
    "a map of wide vectors": torch_file(MAP, lambda f: f.update({key: torch.zeros(99) for key in f})),
    "a map of numbers": torch_file(MAP, lambda f: f.update({key: 1.0 for key in f})),
    "a map of complex numbers": torch_file(MAP, lambda f: f.update({key: f[key] + 0j for key in f})),
    "a map of matrices": torch_file(MAP, lambda f: f.update({key: f[key][None] for key in f})),
    "a map of nothing": torch_file(MAP, lambda f: {}),
    "a map of a list": torch_file(MAP, lambda f: list(f.values())),
    "a map with numbers as names": torch_file(MAP, lambda f: {i: each for i, each in enumerate(f.values())}),
    "a map with other names": torch_file(MAP, lambda f: {f"TP{key}": each for key, each in f.items()}),
    "batches too few": torch_file("models/a/batch_onehot_map.torch", lambda f: dict([*f.items()][:1])),
    "batches of zeros": torch_file("models/a/batch_onehot_map.torch", lambda f: {k: v * 0 for k, v in f.items()}),
    "a config of another model": _yaml(lambda c: c["model"].update(name="scgpt")),
    "a config of a list": content("models/a/config.yaml", "- 1\n"),
    "a config of nothing": content("models/a/config.yaml", ""),
    "a config whose model is a word": _yaml(lambda c: c.update(model="state")),
    "a config whose data is a list": _yaml(lambda c: c.update(data=[1])),
}
NOTED = ("a map of one vector", "a map of zeros", "sets of another size", "a map with other names", "another control",
         "an unknown option", "gene names doubled")  # fmt: skip
"""Of these a note is enough."""
UNUSED = ("gene names permuted", "gene names in capitals", "gene names of None", "gene names a word",
          "dims of another model", "a config of nothing", "no hyper-parameters")  # fmt: skip
"""The checkpoint and config.yaml say these too: whoever reads them there reads what is right."""


def of_models() -> Iterator[Fault]:
    """State directories whose files contradict each other or the cells."""
    words = ("model", "checkpoint", "weight", "map", "gene", "option", "hyper", "config.yaml", "var_dims", "batch")
    for name, make in DIRECTORIES.items():
        expected = "noted" if name in NOTED else "either" if name in UNUSED else "refused"
        yield Fault(f"model/{name}", make, expected, words)
    for name in (
        "config.yaml",
        "var_dims.pkl",
        "pert_onehot_map.pt",
        "checkpoints/final.ckpt",
        "batch_onehot_map.torch",
    ):
        make = lambda folder, name=name: remove(folder / "models/a" / name)  # noqa: E731
        yield Fault(f"model/without {name}", make, mentions=(name, Path(name).stem))


def sae(change: Callable[[dict[str, torch.Tensor]], None], **config: Any) -> Make:
    """Return what changes tensors and config of the autoencoder."""

    def make(folder: Path) -> None:
        tensors = load_file(folder / "sae/sae_weights.safetensors")
        change(tensors)
        save_file({key: each.contiguous() for key, each in tensors.items()}, folder / "sae/sae_weights.safetensors")
        found = json.loads((folder / "sae/cfg.json").read_text()) | config
        (folder / "sae/cfg.json").write_text(json.dumps(found))

    return make


def _nothing(tensors: dict[str, torch.Tensor]) -> None:
    """Leave the tensors as they are."""


def _put(name: str, tensor: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda tensors: tensors.update({name: tensor(tensors.get(name, torch.zeros(96)))})


AUTOENCODERS: dict[str, Make] = {
    "NaN": sae(_put("W_enc", lambda w: w * float("nan"))),
    "infinity": sae(_put("b_enc", lambda w: w + float("inf"))),
    "thresholds that nobody reads": sae(_put("threshold", lambda w: w + 0.5)),
    "gates that nobody reads": sae(_put("r_mag", lambda w: w + 0.5), architecture="standard"),
    "a tensor that nobody reads": sae(_put("scaling_factor", lambda w: w + 0.5)),
    "int8": sae(lambda t: t.update({key: (10 * each).to(torch.int8) for key, each in t.items()})),
    "bool": sae(lambda t: t.update({key: each > 0 for key, each in t.items()})),
    "no decoder": sae(lambda t: t.pop("W_dec") is None),
    "a decoder turned": sae(lambda t: t.update(W_dec=t["W_dec"].T)),
    "a decoder of zeros": sae(lambda t: t.update(W_dec=t["W_dec"] * 0)),
    "an encoder of zeros": sae(lambda t: t.update(W_enc=t["W_enc"] * 0)),
    "another width": sae(
        lambda t: t.update(W_enc=t["W_enc"][:9], W_dec=t["W_dec"][:, :9], b_dec=t["b_dec"][:9]), d_in=9
    ),
    "k above its features": sae(_nothing, k=1000),
    "k of nothing": sae(_nothing, k=0),
    "k of a fraction": sae(_nothing, k=1.5),
    "k of a word": sae(_nothing, k="four"),
    "k of null": sae(_nothing, k=None),
    "k of truth": sae(_nothing, k=True),
    "a width of a word": sae(_nothing, d_in="64"),
    "a width of a billion": sae(_nothing, d_in=10**9),
    "an unknown architecture": sae(_nothing, architecture="matryoshka"),
    "no architecture": sae(_nothing, architecture=None),
    "an architecture of a list": sae(_nothing, architecture=["topk"]),
    "an unknown normalisation": sae(_nothing, normalize_activations="layer_norm"),
    "another activation": sae(_nothing, architecture="standard", activation_fn="tanh-relu"),
    "of another layer": sae(_nothing, metadata={"layer": 2, "models": ["a"]}),
    "of another model": sae(_nothing, metadata={"layer": 1, "models": ["z"]}),
    "a config of a list": content("sae/cfg.json", "[1]"),
    "a config of a number": content("sae/cfg.json", "3"),
    "a config of NaN": content("sae/cfg.json", "NaN"),
    "a config of nothing": content("sae/cfg.json", ""),
    "no config": lambda folder: remove(folder / "sae/cfg.json"),
    "no weights": lambda folder: remove(folder / "sae/sae_weights.safetensors"),
}


def of_autoencoders() -> Iterator[Fault]:
    """Autoencoders whose tensors are no numbers, dropped, or not those of their config."""
    few = ("a decoder of zeros", "an encoder of zeros", "of another layer", "of another model")
    for name, make in AUTOENCODERS.items():
        yield Fault(f"sae/{name}", make, "noted" if name in few else "refused", ("sae", "autoencoder"))


def faults() -> Iterator[Fault]:
    """All of them."""
    yield from of_programs()
    yield from of_regulons()
    yield from of_splits()
    yield from of_models()
    yield from of_autoencoders()
