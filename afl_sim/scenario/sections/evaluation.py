"""When and how the global model is evaluated: the section ``evaluation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import ServerDuration
from afl_sim.scenario.section import Count, Flag, LaterSection, Number, Seconds
from afl_sim.scenario.sections.metrics import (
    PERSONAL,
    AnyMetric,
    Better,
    Listed,
    Metric,
    accuracies_are_shares,
    better_of,
    check_names,
    metric_name,
    targets_by_metric,
)
from afl_sim.scenario.sections.personalization import FineTuning

Share = Annotated[Number, Field(gt=0, le=1)]
Targets = Annotated[
    Annotated[tuple[Share, ...], Tag("list")]
    | Annotated[dict[str, Listed], AfterValidator(accuracies_are_shares), Tag("by metric")],
    Discriminator(lambda value: "by metric" if isinstance(value, Mapping) else "list"),
]
DEFAULT_TARGETS = (0.9, 0.95)


class Evaluation(LaterSection):
    """When and on which samples the global model is evaluated, besides at the start and the end."""

    _later = ("metrics", "per_client", "fine_tuning")

    every_versions: Count | None = Field(
        default=None, description="Versions between evaluations (versions)."
    )
    every_seconds: Seconds | None = Field(
        default=None, description="Virtual time between evaluations (seconds)."
    )
    seconds: ServerDuration = Field(
        default=Distribution(0.0),
        description="How long an evaluation of every_versions occupies the server, drawn for each "
        "(seconds). Other evaluations take no time.",
    )
    on: Literal["test", "validation", "client_test", "client_train"] = Field(
        default="test",
        description="test: the test set; validation: the share that data.validation holds out; "
        "client_test: the samples that all clients together keep for tests "
        "(data.client_test); client_train: the samples on which they train, each counted once.",
    )
    samples: Count | None = Field(
        default=None, description="Size of a fixed random subset (samples); null: all samples."
    )
    squared_gradient_norm: Flag = Field(
        default=False,
        description="Whether an evaluation also computes the squared L2 norm of the gradient of "
        "the mean loss over all samples of the clients. Each sample counts once for each client "
        "that holds it. The cost is about that of one training epoch on this data.",
    )
    targets: Targets = Field(
        default=DEFAULT_TARGETS,
        description="Accuracies for which the virtual time to reach them is reported (shares); or "
        "targets by metric, as in {rmse: [3.0]}.",
    )
    metrics: tuple[AnyMetric, ...] | None = Field(
        default=None,
        description="What an evaluation measures, besides the loss: names of metrics, or "
        "`package.module:name` for your own. The first one is drawn. null: by the form of the "
        "labels: accuracy of classes; rmse, mae and r2 of numbers; f1_macro, auc and accuracy of "
        "several labels; accuracy and perplexity of tokens. The accuracy of classes is always "
        "measured.",
    )
    per_client: Flag = Field(
        default=False,
        description="Whether an evaluation also measures the metrics of each client, on the "
        "samples that the client keeps for tests (data.client_test).",
    )

    fine_tuning: FineTuning | None = Field(
        default=None,
        description="Fine-tuning of each client's model on the samples that it trains on, before "
        "the model is tested on those that it keeps for tests (data.client_test). The metrics are "
        "personal_accuracy, personal_loss and so on. It takes no virtual time, and the run goes on "
        "from the models as they were. null: none.",
    )

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        check_names(self.metrics)
        return self

    @property
    def targets_by_metric(self) -> Mapping[str, tuple[float, ...]]:
        """The targets by the metric that is to reach them."""
        return targets_by_metric(self.targets)

    @property
    def has_own_targets(self) -> bool:
        """Whether the targets are others than the default ones, which are of accuracy."""
        return self.targets != DEFAULT_TARGETS

    def better(self, name: str) -> Better:
        """Which of two values of a metric is better."""
        own = {metric_name(each): each for each in self.metrics or ()}
        if name not in own:
            name = name.removeprefix(PERSONAL)
        return better_of(own.get(name, name))

    def metrics_of(self, by_default: tuple[str, ...]) -> tuple[str | Metric, ...]:
        """The metrics, or those of the labels' form if none is named."""
        return by_default if self.metrics is None else self.metrics

    @property
    def goes_on(self) -> bool:
        """Whether the model is tested between the start and the end too."""
        return self.every_versions is not None or self.every_seconds is not None
