"""A finished run as it is read in a notebook: its score card and tables, measurements and spaces, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr

from pertprobe import evidence, made
from pertprobe.errors import PertprobeError, listed, meant, unknown_name
from pertprobe.files import AS_TEXT
from pertprobe.identity import KnownFiles
from pertprobe.roles import SUBJECT
from pertprobe.showing import Shown, paragraph
from pertprobe.stages.answer import read_answers
from pertprobe.stages.measuring import read_measurement
from pertprobe.stages.scorecard import read_scorecard, shown
from pertprobe.stages.verdict import read_verdicts

if TYPE_CHECKING:
    from anndata import AnnData

SHARES = (
    "Shares of what the data allow, with 95 % intervals: 0 as a lookup, 1 as the observed responses. "
    "Why one is not known stands in the column reason of table."
)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreCard:
    """What each model holds at each level, beside models whose kind is known."""

    table: pd.DataFrame
    """All rows and columns, as scorecard.tsv has them."""

    @property
    def shares(self) -> pd.DataFrame:
        """A row for each model, a column for each level: its share in words, and the answer."""
        parts = [self._of(rows) for _, rows in shown(self.table)]
        levels = list(dict.fromkeys(self.table.level))
        found = pd.concat(parts) if parts else pd.DataFrame(columns=["context", "model", "role", *levels])
        return found.reindex(columns=["context", "model", "role", *levels, "answer"]).fillna("").reset_index(drop=True)

    def _of(self, rows: pd.DataFrame) -> pd.DataFrame:
        who = ["context", "model", "role"]
        told = rows.assign(share=[_share(row) for row in rows.itertuples()])
        order = list(dict.fromkeys(told[who].itertuples(index=False, name=None)))
        wide = told.pivot(index=who, columns="level", values="share").reindex(order)
        answered = told[told.answer != ""].drop_duplicates(who).set_index(who).answer
        wide = wide.join(answered).reset_index()
        return wide.assign(model=wide.model.where(wide.role == SUBJECT, ""))

    def __repr__(self) -> str:
        """Return shares as text."""
        return f"ScoreCard. {SHARES}\n{self.shares.to_string(index=False)}"

    def _repr_html_(self) -> str:
        """Return shares as a table, names escaped."""
        return f"<div><b>ScoreCard</b>{paragraph(SHARES)}{self.shares.to_html(index=False, border=0)}</div>"


def _share(row: tuple) -> str:
    """Say a share and its interval, where there is one."""
    if pd.isna(row.estimate):
        return "not known"
    interval = "" if pd.isna(row.ci_low) else f" ({row.ci_low:.2f} to {row.ci_high:.2f})"
    return f"{row.estimate:.2f}{interval}"


@dataclass(frozen=True, eq=False, repr=False)
class Run(Shown):
    """What a run has written; nothing is read before it is asked for, and what is not there yet is said."""

    folder: Path

    @property
    def models(self) -> tuple[str, ...]:
        """Models of the run."""
        return _names(self.folder / "models", "*/names.json", parent=True)

    @property
    def probes(self) -> tuple[str, ...]:
        """Probes whose evidence is written."""
        return _names(self.folder / "evidence", "*.tsv")

    @property
    def spaces(self) -> tuple[str, ...]:
        """Spaces that are exported."""
        return _names(self.folder / "spaces", "*/*.h5ad", parent=True)

    @property
    def scorecard(self) -> ScoreCard:
        """What each model holds at each level."""
        return ScoreCard(read_scorecard(self._file("scorecard.tsv")))

    @property
    def answers(self) -> pd.DataFrame:
        """The answer of each program, and of all genes (no program), of each model."""
        return read_answers(self._file("answers.tsv"))

    @property
    def verdicts(self) -> pd.DataFrame:
        """The verdict of each probe, model and program."""
        return read_verdicts(self._file("verdicts.tsv"))

    @property
    def readings(self) -> pd.DataFrame:
        """Verdicts joined into levels, and levels into readings."""
        return pd.read_csv(self._file("readings.tsv"), sep="\t", keep_default_na=False, dtype=AS_TEXT)

    def evidence(self, probe: str) -> pd.DataFrame:
        """Return all evidence rows of a probe; raises PertprobeError for one that is not there."""
        self._known("probe", probe, self.probes)
        return evidence.read(self._file(f"evidence/{probe}.tsv"))

    def measurement(self, probe: str, model: str) -> xr.Dataset:
        """Return what a probe measured of a model, read as it is asked for; raises PertprobeError."""
        self._known("measurement", probe, _names(self.folder / "measurements", "*/*.nc", parent=True))
        self._known("model", model, self.models)
        return read_measurement(self._file(f"measurements/{probe}/{model}.nc"))

    def space(self, space: str, model: str) -> "AnnData":
        """Return a space of a model for scanpy; raises PertprobeError for one that is not there."""
        import anndata as ad  # here: it takes longer to import than all else together

        self._known("space", space, self.spaces)
        self._known("model", model, self.models)
        return ad.read_h5ad(self._file(f"spaces/{space}/{model}.h5ad"))

    def facts(self) -> tuple[str, dict[str, object]]:
        """Return what the run has."""
        written = {"verdicts.tsv": "verdicts", "answers.tsv": "answers", "scorecard.tsv": "scorecard"}
        return f"Run {self.folder.name}", {
            "folder": self.folder,
            "models": listed(self.models),
            "probes": listed(self.probes, 20),
            "spaces": listed(self.spaces),
            "tables": listed(name for file, name in written.items() if (self.folder / file).is_file()),
        }

    def _known(self, what: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            raise unknown_name(what, name, known)

    def _file(self, name: str) -> Path:
        if not (path := self.folder / name).is_file():
            raise PertprobeError(f"{path} is not there: the run has not made it. See what it has: {self.folder}")
        made.check([path], self.folder, KnownFiles(kept=None))
        return path


def read_run(folder: str | Path) -> Run:
    """Open the results of a run, such as results/demo; raises PertprobeError where there are none."""
    folder = Path(folder)
    if not (folder / "models").is_dir():
        near = [path.name for path in folder.parent.glob("*") if path.is_dir()] if folder.parent.is_dir() else []
        raise PertprobeError(f"{folder} holds no results of a run.{meant(folder.name, near)}")
    return Run(folder)


def _names(folder: Path, pattern: str, *, parent: bool = False) -> tuple[str, ...]:
    found = folder.glob(pattern)
    return tuple(sorted({path.parent.name if parent else path.stem for path in found}))
