"""Write the reference pages and the JSON Schema from the code, and the papers' pages from results.

python docs/generate.py           write docs/scenario.md, docs/strategies.md, docs/scenarios.md,
                                  docs/papers.md, docs/commands.md, docs/api/methods.md, the
                                  results in papers' READMEs, the schema, the grid
python docs/generate.py --check   exit with 1 if one of them is out of date
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import cli_page
import formulas
import papers
import schedule_words
import zoo

import scenarios
from afl_sim.learning.training.fedopt import FedAdagrad, FedAdam, FedOpt, FedYogi
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import json_schema
from afl_sim.strategies import GradientStrategy, Strategy, strategies

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = (
    ("", None),
    ("data", "DataSpec"),
    (
        "data.dataset",
        ("FilesDataset", "LeafDataset", "ImageFolderDataset", "FactoryDataset"),
    ),
    (
        "data.partition",
        ("Iid", "Dirichlet", "Shards", "Classes", "Quantity", "Sizes", "Shared", "Natural"),
    ),
    ("data.speed_correlation", "SpeedCorrelation"),
    ("data.skew", "FeatureSkew"),
    ("data.concept_shift", "ConceptShift"),
    (
        "model",
        (
            "Logistic",
            "Linear",
            "Mlp",
            "LeNet",
            "Cnn",
            "Vgg9",
            "ResNet",
            "Lstm",
            "Transformer",
            "TorchvisionModel",
        ),
    ),
    ("training", "Training"),
    ("training.lr_schedule", ("ConstantRate", "StepRate", "InverseSqrtRate")),
    ("training.augment", ("RandomCrop", "HorizontalFlip", "VerticalFlip")),
    ("training.personalization", ("FedRep", "Ditto")),
    ("training.compression", "Compression"),
    (
        "training.compression.upload and download",
        ("NoCompression", "BFloat16", "TopK", "RandK", "Qsgd"),
    ),
    ("clients", "Clients"),
    ("clients.compute", "Compute"),
    ("clients.compute.slowdowns", "Slowdowns"),
    ("clients.compute.hours", "Hours"),
    ("clients.memory", "Memory"),
    ("clients.devices", "DeviceTrace"),
    ("clients.network", "Network"),
    ("clients.network.download and upload", "Link"),
    ("clients.network.download.bandwidth_trace", "BandwidthTrace"),
    (
        "clients.availability",
        ("AlwaysAvailable", "OnOff", "Diurnal", "Bernoulli", "TracedAvailability"),
    ),
    ("clients.faults", "Faults"),
    ("clients.power", "Power"),
    ("clients.energy_per_byte", "BytesEnergy"),
    ("clients.price", "ClientPrice"),
    ("clients.battery", "Battery"),
    ("clients.groups", "ClientGroup"),
    ("clients.groups.data", "GroupData"),
    ("clients.faults.upload_loss", "UploadLoss"),
    ("clients.faults.corruption", "Corruption"),
    ("clients.faults.duplication", "Duplication"),
    ("clients.attack", ("SignFlip", "Scale", "Noise", "LabelFlip")),
    ("server", "Server"),
    (
        "server.selection",
        (
            "UniformSelection",
            "WeightedSelection",
            "RoundRobin",
            "WithoutReplacement",
            "PowerOfChoice",
            "Oort",
        ),
    ),
    ("server.adaptive", ("StalenessTarget", "Utilisation", "VersionInterval")),
    ("server.pauses", "Pauses"),
    ("server.guard", "Guard"),
    ("server.download and upload", ("UncontendedLink", "FifoLink", "SharedLink")),
    ("server.price", "ServerPrice"),
    ("carbon_intensity", "TracedIntensity"),
    ("stop", "Stop"),
    ("evaluation", "Evaluation"),
    ("evaluation.fine_tuning", "FineTuning"),
    ("recording", "Recording"),
    ("numerics", "Numerics"),
    ("execution", "Execution"),
    ("figure", "FigureBlock"),
    ("design", "Design"),
    ("design.budget", "Budget"),
)
SHARED_MODEL_KEYS = ("pretrained", "trainable", "lora", "personal")  # of models of every kind
WEIGHTS = ("Constant", "Polynomial", "Hinge")
FEDOPT = (FedAdagrad, FedAdam, FedYogi)
SCENARIO_HEAD = """\
# Scenario reference

Every key of a scenario file, with its default. `afl-sim validate FILE` checks a file.
`afl-sim schema` prints the JSON Schema for editors. This page is generated from the code by
`python docs/generate.py`.

Commands accept a scenario file or the name of a built-in scenario (`quickstart`,
`papers/safa/rounds-safa`). If a file has that name, the file is used, with a notice; a folder of that
name is ignored.

## Units

Numbers are in seconds, bytes per second, watts and joules. Every key in one of these units, also of a
strategy, takes text with a unit as well:

| | units | |
|---|---|---|
| durations and times | `ns`, `us` (or `µs`), `ms`, `s`, `min`, `h`, `d`; or a word, such as `3 days` | `latency: 20 ms`, `virtual_seconds: 8 h` |
| rates in bytes | `B/s`, `kB/s`, `MB/s`, `GB/s`, `TB/s` (steps of 1000); `KiB/s`, `MiB/s`, `GiB/s`, `TiB/s` (steps of 1024) | `bandwidth: 20 kB/s` |
| rates in bits | `bit/s`, `kbit/s`, `Mbit/s`, `Gbit/s`, `Tbit/s`, `Kibit/s` and so on; or `kbps`, `Mbps`, `Gbps` | `bandwidth: 10 Mbit/s` is 1.25 MB/s |
| power | `W`, `mW`, `uW`, `kW`, `MW` | `power: {idle: 50 mW}` |
| energy | `J`, `mJ`, `uJ`, `nJ`, `pJ`, `kJ`, `MJ`; `Wh`, `mWh`, `kWh` | `energy_per_byte: 50 nJ` |

Upper and lower case count. Text that could be misread is refused, and the message names the valid units: `Mb/s`
(bits or bytes?), `KB/s` (1000 or 1024?), `10 m`, `1,5 s`, `3 min 20 s`, `12:30`. In a distribution, the
numbers, `loc` and `scale` have the unit, and the ends `a` and `b` of `loguniform`; shapes have none:
`{dist: lognorm, s: 0.5, scale: 20 ms}`. Text gives exactly the number in the base unit: `10 ms` is 0.01 to the
last bit. The resolved scenario in a run folder has numbers only, so that digests, and a resumed run, do not
depend on how a number was written.

## Distributions

A **distribution** can be used for every duration, rate or factor. It has one of these forms:

| form | meaning |
|---|---|
| `3.0` | always this number |
| `{dist: lognorm, s: 0.8, scale: 12}` | a distribution of `scipy.stats`, with its name and parameters (`afl-sim list distributions` lists the available ones); a parameter may be `{values: [...]}` or a trace `by: client`, with one value per client |
| `{sequence: [3, 1, 4]}` | the values in order, by the client's task number; the last value is repeated; not allowed for quantities that are drawn once for each client |
| `{values: [...]}` | one entry per client: numbers, or distributions of any form; `shuffle: true` assigns the entries to the clients in a random order that the seed determines |
| `{trace: phones.csv, column: seconds}` | draws from a column of a CSV or Parquet file; with `by: client` client i has row i, or the row with i in the column `client`, and `shuffle: true` assigns the rows in a random order that the seed determines; a name such as `latency_ms` says the unit, or `factor: 0.001` converts milliseconds to seconds; see [traces.md](traces.md) |
| `{mixture: [{weight: 0.9, dist: ...}, {weight: 0.1, dist: ...}]}` | one of several distributions, with these weights |

Durations must be finite and not negative. A distribution with an infinite mean needs
`allow_heavy_tail: true`, and is refused if a strategy or a selection uses mean times. The median of a
distribution may be at most 9e12 seconds, the end of the clock. A constant 0 takes no time; every other
duration is rounded to whole microseconds, and is at least one.

## Sweeps

A `sweep:` turns the file into a study. `sweep: {strategy: [...], training.batch_size: [16, 32]}` runs
every combination; an entry replaces the whole block that it names. A block among the entries may have a
`label`, which names it. `strategy: [...]` is short for a sweep over strategies.
`sweep: {cases: [{label: a, set: {training.optimizer.lr: 0.03}}]}` runs the listed cases.
"""
NIGHTS = """
Half of a fleet with nights, in one line; the other half is always there:

```yaml
clients:
  count: 50
  availability: {kind: diurnal, share: 0.4, clients_share: 0.5}
```

If the two halves differ in more than that, use [groups](#clientsgroups).
"""
FLEET_BY_GROUPS = """
Half of this fleet are phones, which are slower, have a thin uplink and are there at night only. The other
half is as the fleet's own blocks say:

```yaml
clients:
  count: 50
  compute: {seconds_per_sample: 0.01, jitter: {dist: lognorm, s: 0.3}}
  network: {upload: {bandwidth: 1e6}}
  groups:
    - name: phones
      share: 0.5
      compute: {seconds_per_sample: 0.05}
      network: {upload: {bandwidth: 2e4}}
      availability: {kind: diurnal, share: 0.4}
    - {name: desktops, share: 0.5}
```

A key that a group leaves out is the fleet's: the phones have the fleet's jitter. A speed replaces the fleet's
speed, also if its unit is another one. Which client is in which group is drawn with the seed. All other
random numbers belong to the client, so that they stay the same if groups change. Lists and traces
with an entry for each client are of the group's clients, in the order of their indices. In `--set` and in
sweeps a group goes by its name: `clients.groups.phones.share`. `afl-sim plot RUN --figure groups` compares the
groups, and in Python `run.client_groups` names each client's group.
"""
MODELS_OF_OTHERS = """
Every other key of `torchvision` is a keyword argument of torchvision's function, as in
`{kind: torchvision, name: mobilenet_v2, width_mult: 0.5}`. The images must have three channels. The layers
that depend on the number of classes have random draws of their own. So two runs of one seed whose data have
different numbers of classes start from the same backbone. Nothing is downloaded: `model.pretrained` takes a
file of weights. As a model of your own, it is tried before the run. Many of these models are made for larger
images, and some of them refuse a batch of one image: `training.drop_last: true` helps there.

`lstm` and `transformer` take sequences of tokens. If each position has a label, such as the next character,
they give outputs of shape (batch, length, outputs), and otherwise (batch, outputs). No position sees a later
one. The defaults of `lstm` are the character model of Reddi et al. (ICLR 2021), which follows McMahan et al.
(AISTATS 2017); `{kind: lstm, embedding: 96, hidden: 670, layers: 1, projection: 96}` is their word model.
Both follow the authors' code ([google-research/federated](https://github.com/google-research/federated),
`utils/models`). PyTorch's LSTM has two biases where Keras has one, that is 4 x `hidden` numbers more for each
layer: with the vocabularies of that code, 90 and 10,004, the two models have 822,570 and 4,053,428 parameters
in place of 820,522 and 4,050,748.

In native arithmetic the bits of an LSTM depend on the size of the batch, and on whether gradients are
computed. Neither depends on how the work is distributed: a task has the batches of its client, and an
evaluation takes 1,000 samples at a time without gradients. So a run is repeatable with every executor.
"""
MODEL_START = """
### First weights and fixed parts

Models of every kind take these keys. (If your own factory has a parameter with one of these names, it gets
the value itself, and the key has no other meaning.)

{shared}
`pretrained: model.safetensors` gives all parameters and buffers of the model. As a block it has the keys

{file}
The names are those of the model's state dict, as in the `model.safetensors` of a run. Names, shapes and types
must fit, and the message tells the first that does not. Half-precision numbers become float32. The content of
the file is part of the run's identity; where it lies is not. Workers read the file, too: on a cluster it must
have the same path on every machine.

```yaml
model: {{kind: resnet, pretrained: {{file: cifar100.safetensors, skip: ["head.*"]}}, trainable: ["head.*"]}}
```

`trainable: [head.*]` trains the parameters whose names match one of the patterns, and fixes all others at
their first values. `*` stands for any characters, also for dots. What is fixed is known to every client before
the run starts. It is never sent, not even with a client's first download, so the bytes on the network, and
with them the schedule, follow. Strategies, compression and proximal terms see only what is trained. Buffers
are fixed like parameters. A normalization layer whose running statistics are fixed also uses them in training;
`trainable: [head.*, "*.running_*", "*.num_batches_tracked"]` keeps them moving. `model.safetensors` holds the
whole model, with its fixed parts.

A parameter that the model itself has frozen (`requires_grad` is false) does not change either, but it is sent,
unless `trainable` is given, which then decides alone.

`lora: {{rank: 4}}` (Hu et al., "LoRA", ICLR 2022; `pip install 'afl-sim[lora]'`) adds matrices of low rank to
layers, through the package peft. Only they are trained and sent, and what `trainable` names besides.

{lora}
`model.safetensors` has the matrices merged into the weights, under the usual names. So it can be loaded without
peft, and another run can start from it. The merged weights are rounded once more; the model's digest is that
of the matrices before.

### Personal parts

With `personal: [classifier.*]` each client keeps the parameters and buffers whose names match for itself
(FedPer: Arivazhagan et al., arXiv 1912.00818, Algorithm 1). A task trains the whole model: it begins at the
shared part that the client has downloaded and at the personal part that the client has kept. Only the shared
part is sent. The server, strategies, compression, the guard, corrections and proximal terms see nothing else, and
the bytes on the network follow. Before a client's first update has arrived, its personal part has the first
values of the model. Patterns for the normalization layers (`["*norm*"]` with `resnet`) give FedBN (Li et al., ICLR
2021), and patterns for the first layers give the split of LG-FedAvg. `training.personalization` has two other ways
to train: FedRep and Ditto.

```yaml
data: {{client_test: 0.2}}
model: {{kind: mlp, hidden: [32], personal: ["3.*"]}}   # the last layer
evaluation: {{"on": client_test, per_client: true}}
```

- A client's personal part changes when its update arrives. A task that fails or is cancelled changes nothing.
  If the server's guard rejects an update, the client goes on from the personal part that it had before.
- Each client has a model of its own: the global shared part with the client's personal part. So
  `evaluation.on` must be `client_test` or `client_train`. Accuracy, loss and all other metrics are over the
  samples of all clients, each predicted by the model of its client. `evaluation.per_client` gives the metrics
  of each client. Between two versions the models change when updates arrive.
- `model.safetensors` has the last shared part with the first values of the personal part.
  `personal.safetensors` has what each client keeps, `run.personal(client)` returns it, and `personal_digest` in
  `summary.json` covers it. The `model_digest` is that of the shared part.
- These settings are refused with a message: gradient methods, clients that queue tasks,
  `numerics.mode: batched` and `evaluation.squared_gradient_norm`.
"""
PERSONALIZATION = """
FedRep is from Collins et al., "Exploiting Shared Representations for Personalized Federated Learning" (ICML 2021),
Algorithm 1; Ditto from Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization" (ICML 2021),
Algorithm 1: after its update a task makes steps `v <- v - lr (g(v) + lambda (v - w))`, where w is the global model
that the client downloaded.

Both make further steps in each task, on mini-batches of their own, with a new optimizer like that of the task. The
steps take virtual time as others do. With `seconds_per_task` a task takes the time that is given, whatever it
does. In the records, `steps` are those of the update, and `samples` counts the samples of all steps. A task that is
cut short (by a poll, a deadline with `partial: keep`, or a client that leaves) has done what comes first: with FedRep
the steps of the personal parts, with Ditto those of the update.

With FedRep, parts that are fixed keep their buffers, too. The loss of a task is that of the steps of the update.

With Ditto, the first own model is the initial global model. It is not affected by `training.proximal` or by what
a strategy adds to gradients. The evaluation of the global model is as without Ditto, and so are its numbers.
Metrics of the clients' own models are measured beside: `personal_accuracy`, `personal_loss` and so on. They are
over the samples that the clients keep for tests, each predicted by the model of its client, and can be
used in `evaluation.targets` and `stop.metrics`. Ditto goes with every strategy, gradient methods included, but not
with clients that queue tasks or with `numerics.mode: batched`.
"""
FINE_TUNING = """
Each client's model is the global model, with the client's personal part if it has one, and after these steps. All
settings of `training` apply, except for proximal terms and the learning-rate schedule. The steps have random draws of
their own, by client and version. So they are the same with every executor, and after a resume. The metrics are named
`personal_accuracy`, `personal_loss` and so on, and stand beside those of the models without fine-tuning. The cost is
that of training all clients for so many steps in each evaluation.
"""
OWN_MODEL = """
### A model of your own

`kind: module:factory` names a function (or class) that returns a `torch.nn.Module`. Every other key of the
block is passed to it as a keyword argument. If it has parameters with these names, the form of the data is
passed, too: `input_shape` (such as channels, height, width), `classes` (the number of outputs), `vocabulary`
(the number of different tokens, or None), and `form`, the
`SampleForm` with all of these. The module is searched for in the working folder and among
the installed packages.

```python
# file: narrow.py
from torch import nn


def build(input_shape, classes, width=32):
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes)
    )
```

```yaml
model: {kind: "narrow:build", width: 64}
```

The model is tried before a run, and by `afl-sim validate`, which also imports the module and calls the
factory. A model that cannot work is refused in one line, with the line of the file. A model must

- map inputs of shape (batch, channels, height, width), (batch, features) or, for tokens, (batch, length) to a
  tensor of shape (batch, classes), in training and in evaluation mode. If each position has a label, the
  tensor has shape (batch, length, classes);
- accept every batch size of the run, including the last batch of a client and of an evaluation, which may be
  a single image. `training.drop_last: true` leaves out the last batches of clients;
- return equal outputs for equal calls. One model object serves all tasks that a process receives. If the model
  stored something in a Python attribute (the state of an LSTM, a step counter that changes the outputs),
  results would depend on which process did which task before. The message names the attribute. State that
  must be kept belongs in a buffer;
- draw random numbers only from PyTorch's global generator, which is seeded for each task;
- have all its parameters and buffers when the factory returns it. The factory is called several times, and
  must return a new, equal model each time.

An attribute may change if no output depends on it, as with a counter or a cache. It has its first value again
at the beginning of each task and of each evaluation.

Parameters must be dense float32 tensors that share no memory with each other, and have finite first values.
Tied weights are fine if both places hold the same parameter, and so are weights that `weight_norm` or
`spectral_norm` computes. Parameters of other types (half, double, complex or whole numbers), sparse ones, and
layers without a size yet (`LazyLinear` and its like) are refused.

The parameters and the persistent floating-point buffers (the running statistics of BatchNorm) are sent,
averaged and counted as bytes. Whole, boolean and complex buffers, and buffers registered with `persistent=False`, are
not sent. They have their first values again at the beginning of each task and each evaluation.

The buffers of the global model become the mean of those of the aggregated updates, with equal weights, under
every strategy. Under FedAsync they are thus those of the last client. Implementations that mix whole state
dictionaries weigh them like parameters. `server.buffers: rule` does this under strategies whose rule is a mean
(FedAvg, FedProx, FedAsync, FedBuff, QuAFL, TiFL). We compared both under FedAsync with five seeds: a perceptron with
one BatchNorm layer, 20 clients with 100 samples of two classes each, 240 updates. The test accuracy was 66.9 % and
67.2 % with alpha 0.6, and 57.2 % and 57.9 % with alpha 0.1 (`mean` first). The differences by seed have a standard
deviation of 1.0 and 1.5 points, so that five seeds show no difference.

`model.safetensors` in the run folder is the model's state dict, with the first values of the buffers that are
not sent. It can be loaded in strict mode:

```python
from narrow import build
from safetensors.torch import load_file

module = build(input_shape=(1, 28, 28), classes=10, width=64)
module.load_state_dict(load_file("model.safetensors"))
```

A result of `get_extra_state` is saved only if it is a tensor.
"""
AFTERWARDS = {
    "training.compression.upload and download": "[A compressor of your own](how-to/own-compressor.md) is "
    "a class `module:Class`.",
    "clients.availability": NIGHTS,
    "clients.groups": FLEET_BY_GROUPS,
    "clients.attack": "[An attack of your own](how-to/own-attack.md) is a function or a class "
    "`module:name`.",
    "server.selection": "[A selection of your own](how-to/own-selection.md) is a function or a class "
    "`module:name`.",
    "server.adaptive": "[The page on adaptive servers](how-to/adaptive-server.md) explains when a "
    "controller decides. One of your own is a function or a class `module:name`.",
    "training.personalization": PERSONALIZATION,
    "evaluation.fine_tuning": FINE_TUNING,
}
STRATEGIES_HEAD = """\
# Strategies

Each strategy is one file in `afl_sim/strategies/methods/`, which can be read side by side with the paper.
This page is generated from the code by `python docs/generate.py`. [schedules.md](schedules.md) explains how
to write your own.

The last column says what a rule was checked against. *Confirmed*: the paper's text. *Authors' code*: the code
of the authors or their group. *Re-implementations*: code by others, where nothing of the authors was found.
*Unconfirmed*: none of these. [What each rule was checked against](#what-the-rules-were-checked-against) names the
sources, and what is open in a rule that is checked otherwise. `afl-sim list strategies` prints the same.
[runs.md](runs.md) defines staleness.
"""
STANDINGS_HEAD = """\
## What the rules were checked against

A source is a part of the paper, or a repository on GitHub and its file. No code was taken from it. Each rule has
tests that were worked out by hand.

| strategy | checked | source | open |
|---|---|---|---|
"""
STALENESS_HEAD = """
## Staleness weights

The key `staleness` of a strategy is the weight s(tau) of an update with staleness tau. There are three
forms, from Xie, Koyejo, Gupta (arXiv 1903.03934), section 5.2. Example:
`staleness: {kind: hinge, a: 10, b: 4}`. `kind: module:name` is
[a weight of your own](how-to/own-staleness-weight.md).
"""
SERVER_OPTIMIZERS = """
## Server optimizers

With `server_optimizer: {kind: FedAdam, lr: 0.03}` an optimizer makes the server's step. Its gradient is the
pseudo-gradient that the table of the strategy names. The step is that of torch on the model: the optimizer
sees each parameter as a tensor with its shape, and frozen parameters (`requires_grad` is false) do not change.
Strategies without this key do not accept an optimizer, because their rules need a step of their own. Besides
the classes of `torch.optim`, with their own arguments, there are the three of Reddi et al., "Adaptive
Federated Optimization" (ICLR 2021, arXiv 2003.00295), Algorithm 2, known from secondary sources:
`m <- beta1 m + (1 - beta1) g`, `w <- w - lr m / (sqrt(v) + tau)`, where v starts at `tau^2`.

| kind | v | keys with their defaults |
|---|---|---|
"""


def scenario_page(schema: dict[str, Any]) -> str:
    """The reference of scenario files, as Markdown."""
    parts = [SCENARIO_HEAD]
    for title, names in SECTIONS:
        parts.append(f"\n## {f'`{title}`' if title else 'Top level'}\n")
        if names is None:
            parts.append(_table(schema, schema["$defs"], skip=("sweep",)))
        elif isinstance(names, str):
            definition = schema["$defs"][names]
            parts += [f"{_first_paragraph(definition)}\n\n", _table(definition, schema["$defs"])]
        else:
            parts += [_kind(schema["$defs"][name], schema["$defs"]) for name in names]
        if title in AFTERWARDS:
            parts.append(f"\n{AFTERWARDS[title].strip()}\n")
        if title == "model":
            shared = _table(
                schema["$defs"]["Logistic"], schema["$defs"], only=tuple(SHARED_MODEL_KEYS)
            )
            weights = _table(schema["$defs"]["WeightsFile"], schema["$defs"])
            lora = _table(schema["$defs"]["Lora"], schema["$defs"])
            parts += [
                MODELS_OF_OTHERS,
                MODEL_START.format(shared=shared, file=weights, lora=lora),
                OWN_MODEL,
            ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _kind(definition: dict[str, Any], definitions: dict[str, Any]) -> str:
    """One of the kinds of a block."""
    kind = definition["properties"]["kind"]
    shown = kind.get("const") or kind.get("default") or "package.module:factory"
    table = _table(definition, definitions, skip=("kind", *SHARED_MODEL_KEYS))
    return f"\n### `{shown}`\n\n{_first_paragraph(definition)}\n\n{table}"


def strategies_page(schema: dict[str, Any]) -> str:
    """The strategies with their sources and hyperparameters, as Markdown."""
    parts = [STRATEGIES_HEAD]
    rows = []
    of_gradients = "It is a [gradient method](#gradient-methods).\n\n"
    for name, cls in sorted(strategies().items()):
        definition = schema["$defs"][cls.__name__]
        doc = inspect.getdoc(cls) or ""
        rows.append(f"| [`{name}`](#{name}) | {_cell(doc.partition(chr(10))[0])} | {_about(cls)} |")
        file = Path(inspect.getfile(cls)).relative_to(ROOT)
        parts.append(
            f"## {name}\n\n{doc}\n\n{of_gradients if cls.gradient else ''}Source: [`{file}`](../{file})\n\n"
            + _table(
                definition,
                schema["$defs"],
                skip=("kind", "server_optimizer") if cls.optimizer_gets == "nothing" else ("kind",),
            )
        )
    parts.insert(
        1,
        "| strategy | what it does | timing | state besides the model | paper | checked |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows),
    )
    parts.insert(2, zoo.table())
    parts.insert(3, _standings())
    parts.append(f"\n## Gradient methods\n\n{inspect.getdoc(GradientStrategy)}\n")
    parts += [STALENESS_HEAD, *(_kind(schema["$defs"][name], schema["$defs"]) for name in WEIGHTS)]
    parts.append(SERVER_OPTIMIZERS + "\n".join(map(_optimizer, FEDOPT)))
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _optimizer(cls: type[FedOpt]) -> str:
    """The row of an adaptive server optimizer."""
    keys = list(inspect.signature(cls).parameters.values())[1:]
    shown = ", ".join(f"`{key.name}: {json.dumps(key.default)}`" for key in keys)
    v = str(inspect.getdoc(cls)).partition("\n")[0].rstrip(".")
    return f"| `{cls.__name__}` | {_cell(v)} | {shown} |"


def _standings() -> str:
    """What each rule was checked against, and what is open."""
    rows = []
    for name, cls in sorted(strategies().items()):
        about = vars(cls)["about"]
        cells = (about.standing, about.source, about.unconfirmed)
        rows.append(f"| [`{name}`](#{name}) | " + " | ".join(map(_cell, cells)) + " |")
    return STANDINGS_HEAD + "\n".join(rows)


def _about(cls: type[Strategy]) -> str:
    """The cells of a strategy's row that come from its `About`."""
    about = vars(cls).get("about")
    if about is None:
        return " | ".join([""] * 4)
    cells = (about.timing, about.keeps, about.citation, about.standing)
    return " | ".join(map(_cell, cells))


def _table(
    definition: dict[str, Any],
    definitions: dict[str, Any],
    skip: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> str:
    required = definition.get("required") or definition.get("anyOf", [{}])[0].get("required", [])
    rows = []
    for key, field in definition["properties"].items():
        if key in skip or (only and key not in only):
            continue
        default = "required" if key in required else f"`{json.dumps(field.get('default'))}`"
        if "default" not in field and key not in required:
            default = ""
        if len(default) > 60:
            default = "see below"
        section = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        text = field.get("description") or section.get("description", "")
        allowed = _values(field)
        if any(value not in text for value in allowed[1:]):
            shown = ", ".join(f"`{value}`" for value in allowed)
            text += f"{'' if text.endswith('.') else '.'} One of {shown}."
        rows.append(f"| `{key}` | {default} | {_cell(text)} |")
    if not rows:
        return "No keys.\n"
    return "| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _values(field: dict[str, Any]) -> list[str]:
    """The allowed words, if a key accepts nothing else."""
    forms = [form for form in field.get("anyOf", [field]) if form.get("type") != "null"]
    return forms[0].get("enum", []) if len(forms) == 1 else []


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("\n", " ")


def _first_paragraph(definition: dict[str, Any]) -> str:
    return str(definition.get("description", "")).partition("\n\n")[0].replace("``", "`")


def pages() -> dict[Path, str]:
    """Every generated file, with its content."""
    schema = json_schema(catalogue())
    return {
        ROOT / "docs" / "scenario.md": scenario_page(schema),
        ROOT / "docs" / "strategies.md": strategies_page(schema),
        ROOT / "scenarios" / "scenario.schema.json": json.dumps(schema, indent=2) + "\n",
        zoo.GRID: zoo.grid(),
        scenarios.PAGE: scenarios.page(),
        schedule_words.PAGE: schedule_words.page(),
        cli_page.PAGE: cli_page.page(),
        formulas.PAGE: formulas.page(),
        **papers.pages(),
    }


def main() -> int:
    """Write the pages, or with ``--check`` compare them."""
    stale = {path: text for path, text in pages().items() if not _same(path, text)}
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python docs/generate.py")
        return bool(stale)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
