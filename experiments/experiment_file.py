"""An experiment: the rows of a paper's table, how each is made, and what the paper says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from experiments.names import FOLDER, experiment_names
from featx.errors import FeatxError, unknown
from featx.heads import Task
from featx.training.config.yaml_errors import refuse_own_fields, tell_errors
from featx.training.config.yaml_lines import read_yaml
from featx.training.config.yaml_part import Part
from featx.views import View
from regress.grouping import parse_groups

Measure = Literal[
    "mae",
    "mae_mean_of_folds",
    "mae_median_of_folds",
    "mae_upper_quartile_of_folds",
    "mae_lower_quartile_of_folds",
    "r2",
    "r2_mean_of_folds",
    "accuracy",
    "accuracy_mean_of_folds",
    "accuracy_sd_of_folds",
    "one_off",
    "one_off_mean_of_folds",
    "one_off_sd_of_folds",
    "expected_exact",
    "expected_one_off",
    "aabd",
    "mae_expected_value",
    "images",
    "seconds",
]


class Regression(Part):
    """Features of a network's layer and a regressor on them; `options` as of `featx regress`."""

    table: str
    layer: str
    regressor: str
    options: dict[str, Any] = Field(default_factory=dict)


class TestedOn(Part):
    """An image table that a network trained on others is tested on, every image of it.

    Attributes
    ----------
    table : str
        The prepared folder.
    groups : tuple of str
        The age groups of its labels, youngest first, also where the network tells other classes;
        without them those that the network tells, or ages.
    """

    table: str
    groups: tuple[str, ...] = ()

    @field_validator("groups")
    @classmethod
    def _in_order(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        if groups:
            try:
                parse_groups(",".join(groups))
            except FeatxError as error:
                raise ValueError(str(error).removeprefix("--groups ")) from None
        return groups


class Row(Part):
    """A row of a table: a network, or a regressor on its features, under a protocol.

    Attributes
    ----------
    name : str
        As in the paper.
    cascade : str or None
        A cascade file. Without `regression` its last stage is trained once a fold.
    changes : tuple of str
        What the row changes in the cascade file, as for ``featx finetune --set``.
    after : str or None
        The stage after which the cascade ends; needed with `regression`.
    task, view
        What is looked at of a network's own predictions: ``age`` or ``gender``, and the crops that
        are averaged over, one of its target stage's `views`.
    ensemble : tuple of str or None
        In place of a cascade: the rows of this table whose probabilities are averaged.
    part_of, dataset : str or None
        In place of a cascade: of the predictions of another row of this table, a cascade's under a
        protocol, those of one data set, by the name that its rows have.
    tested_on : TestedOn or None
        In place of a protocol: the cascade's last network, trained once on all of its own data, is
        tested on another table.
    backbone, weights : str or None
        With `regression`, and in place of a cascade: a network as it is.
    folds : tuple of str or None
        Only these folds of the protocol, as the paper has it.
    paper : mapping
        What the paper reports, by measure; shares (accuracies) from 0 to 1.
    note : str
        What a reader has to know about the row.
    """

    name: str
    cascade: str | None = None
    changes: tuple[str, ...] = ()
    after: str | None = None
    task: Task = "age"
    view: View = "centre"
    ensemble: tuple[str, ...] | None = None
    part_of: str | None = None
    dataset: str | None = None
    tested_on: TestedOn | None = None
    backbone: str | None = None
    weights: str | None = None
    regression: Regression | None = None
    protocol: str = "lopo"
    folds: tuple[str, ...] | None = None
    paper: dict[Measure, float] = Field(default_factory=dict)
    note: str = ""

    @model_validator(mode="after")
    def _one_network(self) -> Row:
        own = self.backbone is not None and self.weights is not None
        ways = (self.cascade, self.ensemble, self.part_of)
        if [own, *(way is not None for way in ways)].count(True) != 1:
            raise ValueError(
                "give a cascade, or both backbone and weights, or an ensemble, or part_of"
            )
        if (self.part_of is None) != (self.dataset is None):
            raise ValueError("part_of and dataset go together")
        if own and self.regression is None:
            raise ValueError("a network as it is needs a regression")
        if self.cascade and self.regression and self.after is None:
            raise ValueError("after: says which stage's network a regression takes of a cascade")
        if self.after is not None and self.cascade is None:
            raise ValueError("after: says where a cascade ends, and there is none")
        if self.tested_on is not None:
            if self.cascade is None or self.regression is not None:
                raise ValueError("tested_on: only a cascade's network is tested on another table")
            if {"protocol", "folds"} & self.model_fields_set:
                raise ValueError("tested_on: such a row has no protocol and no folds")
        return self

    @property
    def of_rows(self) -> tuple[str, ...]:
        """The rows that this one is made of: an ensemble's members, or the one it is a part of."""
        return self.ensemble or ((self.part_of,) if self.part_of is not None else ())

    @property
    def network_a_fold(self) -> bool:
        """Whether each fold of the protocol trains a network of its own."""
        return self.cascade is not None and self.regression is None and self.tested_on is None


class Experiment(Part):
    """A table of a paper.

    Attributes
    ----------
    title, source : str
        What it shows, and where the paper has it.
    needs : mapping
        How to come by each file and folder that the rows name.
    columns : tuple of str
        The measures shown.
    """

    title: str
    source: str
    needs: dict[str, str] = Field(default_factory=dict)
    columns: Annotated[tuple[Measure, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    notes: tuple[str, ...] = ()
    file: Path = Field(default=Path("experiment.yaml"), exclude=True)

    @field_validator("rows")
    @classmethod
    def _named_once(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        names = [row.name for row in rows]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rows are named {name!r}")
        for number, row in enumerate(rows):
            for member in row.of_rows:
                if member not in names[:number]:
                    raise ValueError(f"{row.name}: there is no row {member!r} before it")
                whole = rows[names.index(member)]
                if row.part_of and (whole.cascade is None or whole.regression or whole.tested_on):
                    raise ValueError(
                        f"{row.name}: part_of: {member!r} is no cascade under a protocol"
                    )
        return rows

    @property
    def name(self) -> str:
        """As `read_experiment` takes it."""
        own = self.file.parent.parent == FOLDER
        return f"{self.file.parent.name}/{self.file.stem}" if own else str(self.file)

    def row(self, name: str) -> Row:
        """Return the row of a name."""
        return next(row for row in self.rows if row.name == name)


def read_experiment(name: str) -> Experiment:
    """Read an experiment.

    Parameters
    ----------
    name : str
        One of `experiment_names`, or the path of a YAML file.

    Raises
    ------
    FeatxError
        If there is none of that name, or the file is malformed, naming line and key.
    """
    names = experiment_names()
    if name in names:
        path = FOLDER / f"{name}.yaml"
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        raise unknown("experiment", name, names)
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise FeatxError(f"{path}, line 1: give a mapping with title, source, columns and rows")
    refuse_own_fields(path, data, lines, Experiment)
    try:
        return Experiment.model_validate({**data, "file": path})
    except ValidationError as error:
        raise tell_errors(path, error, lines, Experiment) from None
