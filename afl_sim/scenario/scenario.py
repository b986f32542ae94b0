"""`Scenario`: everything that determines the result of a run."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny

from afl_sim.scenario.catalogue import model_block, strategy_block
from afl_sim.scenario.section import Count, LaterSection, Whole
from afl_sim.scenario.sections.carbon import CarbonIntensity
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.design import Design
from afl_sim.scenario.sections.evaluation import Evaluation
from afl_sim.scenario.sections.figure import FigureBlock, figure_blocks
from afl_sim.scenario.sections.settings import (
    Execution,
    Numerics,
    Recording,
    Server,
    Stop,
)
from afl_sim.scenario.sections.training import Training
from afl_sim.scenario.yaml.writing import as_text

NAME_LENGTH = 200
DEFAULT_MODEL: dict[str, Any] = {"kind": "lenet"}


class Scenario(LaterSection):
    """One run, fully described. Frozen; its sections are attributes.

    A scenario that is made in Python is checked as a file is. `replace` gives one with other
    settings.

    Example:
        >>> from afl_sim import Scenario
        >>> scenario = Scenario(
        ...     clients={"count": 10}, strategy={"kind": "fedbuff", "concurrency": 5},
        ...     stop={"updates": 100},
        ... )
        >>> scenario.replace(seed=3).seed
        3

    Raises:
        ScenarioError: it has mistakes; one line for each, as in
            ``strategy.concurency: unknown key; ...; did you mean 'concurrency'?``
    """

    _later = ("carbon_intensity",)

    name: str = Field(
        default="scenario",
        pattern=r"^[A-Za-z0-9._-]+$",
        max_length=NAME_LENGTH,
        description="Names the run folder: letters, digits, dot, underscore, hyphen. By default "
        "the name of the file.",
    )
    description: str = Field(default="", description="The purpose of the scenario, in words.")
    seed: Whole = Field(
        default=0, ge=0, lt=2**63, description="Determines all random draws of the run."
    )
    replications: Count = Field(
        default=1,
        le=10_000,
        description="Runs with independent seeds derived from `seed`; more than one is a study.",
    )
    data: DataSpec = Field(
        default=DataSpec(), description="The samples, and their distribution over the clients."
    )
    model: Annotated[SerializeAsAny[BaseModel], BeforeValidator(model_block)] = Field(
        default=DEFAULT_MODEL,
        validate_default=True,
        description="The network that is trained.",
    )
    training: Training = Field(
        default_factory=dict,
        validate_default=True,
        description="Local training at the clients.",
    )
    clients: Clients = Field(description="The fleet: number, speed, network, availability.")
    server: Server = Field(
        default=Server(), description="Durations, client selection and links of the server."
    )
    strategy: Annotated[SerializeAsAny[BaseModel], BeforeValidator(strategy_block)] = Field(
        description="The algorithm: which clients receive the model, and when and how updates are "
        "aggregated. A list of strategies is a study, with a run for each; in it a block may have "
        "a `label`."
    )
    carbon_intensity: CarbonIntensity | None = Field(
        default=None,
        description="The carbon intensity of the electricity of clients and server, a number or a "
        "trace (grams of carbon dioxide per kilowatt-hour); null: carbon is not counted, except "
        "where clients, groups or server have one of their own.",
    )
    stop: Stop = Field(description="When the run ends: at the first rule that is fulfilled.")
    evaluation: Evaluation = Field(
        default=Evaluation(),
        description="When the global model is evaluated, and on which samples.",
    )
    recording: Recording = Field(
        default=Recording(), description="Which optional files are written."
    )
    numerics: Numerics = Field(default=Numerics(), description="The arithmetic of training.")
    execution: Execution = Field(default=Execution(), description="Where tasks run.")
    figure: Annotated[tuple[FigureBlock, ...], BeforeValidator(figure_blocks)] = Field(
        default=(),
        description="How the scenario's figures are drawn by `afl-sim plot`: a block, a list of "
        "blocks, or the name of a figure. It changes no result.",
    )
    design: Design | None = Field(
        default=None,
        exclude=True,  # it belongs to the file, and to no run
        description="What `afl-sim design` searches for the best setting. It changes no result.",
    )
    sweep: dict[str, Any] | None = Field(
        default=None,
        description="Makes the file a study: lists of settings, of which every combination is run, "
        "or `cases`, a list of {label, set}.",
    )

    def _repr_html_(self) -> str:
        """What was set, as YAML; all settings are behind a click."""
        given, whole = (
            escape(as_text(self.model_dump(mode="json", by_alias=True, exclude_unset=unset)))
            for unset in (True, False)
        )
        return (
            f"<pre>{given}</pre>"
            f"<details><summary>with every default</summary><pre>{whole}</pre></details>"
        )
