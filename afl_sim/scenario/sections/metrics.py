"""What ``evaluation.metrics`` may say: metrics by name, or of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.section import Number
from afl_sim.scenario.wording import exact, meant_share

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class MetricInfo:
    """What is known of a built-in metric.

    Attributes:
        fits: the forms of labels that it suits (`afl_sim.learning.data.form.Target`).
        better: which of two values is better.
        is_share: whether it is from 0 to 1, and written in percent.
        meaning: what it is, in a sentence for the reference.
    """

    fits: tuple[str, ...]
    better: Better
    is_share: bool
    meaning: str


METRICS: Final[dict[str, MetricInfo]] = {
    "accuracy": MetricInfo(
        ("class", "several", "tokens"),
        "higher",
        True,
        "share of right answers: of samples, of positions of tokens that have a label, or of "
        "decisions whether a sample has a label",
    ),
    "top5": MetricInfo(
        ("class", "tokens"), "higher", True, "share of labels that are among the five likeliest"
    ),
    "f1_macro": MetricInfo(
        ("class", "several", "tokens"),
        "higher",
        True,
        "mean F1 score of the classes that occur among the labels",
    ),
    "balanced_accuracy": MetricInfo(
        ("class", "tokens"),
        "higher",
        True,
        "mean accuracy of the classes that occur among the labels",
    ),
    "auc": MetricInfo(
        ("class", "several"),
        "higher",
        True,
        "mean area under the ROC curve of each class against the rest, over the classes that some "
        "samples have and others do not",
    ),
    "ece": MetricInfo(
        ("class", "tokens"),
        "lower",
        True,
        "expected calibration error, in 15 bins of equal width",
    ),
    "perplexity": MetricInfo(
        ("class", "tokens"), "lower", False, "exp of the mean negative log-likelihood of the labels"
    ),
    "rmse": MetricInfo(("number",), "lower", False, "root of the mean squared error"),
    "mae": MetricInfo(("number",), "lower", False, "mean absolute error"),
    "r2": MetricInfo(
        ("number",), "higher", False, "coefficient of determination, a mean over the outputs"
    ),
}
"""The built-in metrics by name."""

BY_FORM: Final[dict[str, tuple[str, ...]]] = {
    "class": ("accuracy",),
    "number": ("rmse", "mae", "r2"),
    "several": ("f1_macro", "auc", "accuracy"),
    "tokens": ("accuracy", "perplexity"),
}
"""The metrics of an evaluation that names none, by the form of the labels."""

PERSONAL: Final = "personal_"
"""How the name of a metric of the clients' personalised models begins."""

LOSS: Final = "loss"

TAKEN: Final = frozenset(
    {
        "time_us", "version", "updates", "samples", "accuracy", "loss", "class_accuracy",
        "squared_gradient_norm", "status", "client",
    }
)  # fmt: skip
"""Names that a metric of the user's own cannot have, as evaluations have columns of these names."""


class Metric(Rule):
    """The base class of a user's own metric.

    It is a pure function of NumPy arrays, which nobody may write to.

    Example:
        >>> import numpy as np
        >>> from afl_sim import Metric
        >>> class Within(Metric):
        ...     limit: float = 1.0
        ...
        ...     def __call__(self, outputs, labels):
        ...         return (abs(outputs - labels) <= self.limit).mean()
        >>> float(Within(limit=2.0)(np.array([[1.0], [5.0]]), np.array([[3.0], [0.0]])))
        0.5
    """

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_]\w*$",
        description="The metric's column in the results; null: the name of the function or class.",
    )
    better: Better = Field(
        default="higher", description="Which of two values is better: the higher or the lower."
    )

    def __call__(self, outputs: Any, labels: Any) -> float:
        """The metric of all samples of an evaluation.

        Args:
            outputs: float32 (n, outputs): what the model gives. Of labels for positions, each
                position that has a label is a sample.
            labels: int64 (n,) for classes, else float32 (n, outputs).

        Returns:
            A number. One that is not finite is recorded as missing.
        """
        raise NotImplementedError


METRIC_RULES: Final = RuleKind(
    "metric", "afl_sim.metrics", Metric, "__call__", ("outputs", "labels")
)


def _name(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1 and "kind" in value:
        return value["kind"]
    return value


if TYPE_CHECKING:
    AnyMetric = str | Metric
else:
    AnyMetric = Annotated[
        Annotated[
            Literal[
                "accuracy", "top5", "f1_macro", "balanced_accuracy", "auc", "ece", "perplexity",
                "rmse", "mae", "r2",
            ],
            BeforeValidator(_name),
        ],
        OpenTo(METRIC_RULES, tuple(METRICS)),
    ]  # fmt: skip
"""A built-in metric, or one of the user's own."""


def metric_name(metric: str | Metric) -> str:
    """The name of a metric: its column, and its word in targets and stop rules."""
    if isinstance(metric, str):
        return metric
    return metric.name or metric.kind.rpartition(":")[2].rpartition(".")[2]


def better_of(metric: str | Metric) -> Better:
    """Which of two values of a metric is better; of an unknown one the higher."""
    if not isinstance(metric, str):
        return metric.better
    if metric == LOSS:
        return "lower"
    return METRICS[metric].better if metric in METRICS else "higher"


def personal_metrics(metrics: Mapping[str, Better]) -> dict[str, Better]:
    """The metrics of the clients' personalised models, where these are measured of all models."""
    return {f"{PERSONAL}{name}": better for name, better in (*metrics.items(), (LOSS, "lower"))}


def is_reached(value: float | None, target: float, better: Better) -> bool:
    """Whether a value is at least as good as a target; no value never is."""
    if value is None:
        return False
    return value >= target if better == "higher" else value <= target


def check_names(metrics: Sequence[str | Metric] | None) -> None:
    """Refuse metrics whose columns would have the same name.

    Raises:
        PydanticCustomError: two have the same name, or one has the name of another column.
    """
    if metrics is not None and not metrics:
        raise PydanticCustomError(
            "scenario", "metrics: got an empty list; expected null, or one metric or more"
        )
    names: set[str] = set()
    for metric in metrics or ():
        name = metric_name(metric)
        if name in names:
            raise PydanticCustomError(
                "scenario", f"metrics: two are called {name}; expected a `name` for one of them"
            )
        own = not isinstance(metric, str)
        if own and (name in TAKEN or name in METRICS or name.startswith("client_")):
            raise PydanticCustomError(
                "scenario",
                f"metrics: one of your own cannot be called {name}; expected another `name`",
            )
        names.add(name)


def targets_by_metric(targets: Any) -> Mapping[str, tuple[float, ...]]:
    """The targets by the metric that is to reach them; a list is of accuracies."""
    return targets if isinstance(targets, Mapping) else {"accuracy": targets}


def _listed(value: Any) -> Any:
    """A target alone as a list of one."""
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def accuracies_are_shares(targets: dict[str, Any]) -> dict[str, Any]:
    """Refuse targets of accuracy that are no shares.

    Raises:
        ValidationError: one is not above 0 and at most 1.
    """
    wrong = [
        InitErrorDetails(
            type=PydanticCustomError(
                "scenario",
                f"got {exact(target)}; expected a share above 0 and at most 1{meant_share(target)}",
            ),
            loc=(name,),
            input=target,
        )
        for name in ("accuracy", f"{PERSONAL}accuracy")
        for target in _listed(targets.get(name, ()))
        if not 0 < target <= 1
    ]
    if wrong:
        raise ValidationError.from_exception_data("targets", wrong)
    return targets


Listed = Annotated[
    tuple[Number, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"type": ["array", "number"], "items": {"type": "number"}}),
]
