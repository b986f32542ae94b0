"""Models: parameter counts, shapes, seeded initialisation, and factories of the user's own."""

from __future__ import annotations

import copy
import math
import random
import sys
from pathlib import Path

import pytest
import torch
from places import SMALLEST
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model, count_parameters
from afl_sim.learning.models.factories import resolve_model
from afl_sim.run.api import load_scenario
from afl_sim.run.preparation import prepare

MNIST = SampleForm((1, 28, 28), 10)
CIFAR = SampleForm((3, 32, 32), 10)
OF_TOKENS = {"lstm", "transformer"}
NAMED = {"torchvision"}  # needs a name


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("logistic", {}, 784 * 10 + 10),
        ("mlp", {}, 199_210),
        ("mlp", {"hidden": [128]}, 101_770),
        ("mlp", {"hidden": []}, 7_850),
        ("lenet", {}, 21_840),
        ("cnn", {}, 1_663_370),
        ("cnn", {"dropout": 0.5}, 1_663_370),
        # 20 * 26 + 50 * 501 + 500 * 801 + 10 * 501
        ("cnn", {"channels": [20, 50], "hidden": 500, "padding": 0}, 431_080),
    ],
)
def test_parameter_counts_on_mnist(kind: str, settings: dict, expected: int) -> None:
    assert parameters(MODELS[kind](**settings).build(MNIST)) == expected


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_weights_are_counted_without_a_draw_which_would_load_the_compiler(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr("torch._refs.normal", never)
    spec, form = MODELS[kind](), SampleForm((9,), 7, "tokens", vocabulary=11)
    expected = sum(weights.numel() for weights in build_model(spec, form, 0).parameters())
    assert count_parameters(spec, form) == expected


@pytest.mark.parametrize("kind", ["logistic", "linear", "mlp", "lenet", "cnn", "vgg9", "resnet"])
@pytest.mark.parametrize("form", [MNIST, CIFAR, SampleForm((1, 28, 28), 47)])
def test_every_model_maps_a_batch_to_one_logit_per_class(kind: str, form: SampleForm) -> None:
    model = MODELS[kind]().build(form)
    logits = model(torch.zeros(3, *form.input_shape))
    assert logits.shape == (3, form.outputs)


@pytest.mark.parametrize("kind", ["logistic", "linear", "mlp"])
def test_a_model_without_convolutions_takes_vectors(kind: str) -> None:
    model = MODELS[kind]().build(SampleForm((5,), 3))
    assert model(torch.zeros(2, 5)).shape == (2, 3)


@pytest.mark.parametrize("kind", ["lenet", "cnn", "vgg9", "resnet"])
def test_a_model_of_images_refuses_vectors(kind: str) -> None:
    with pytest.raises(ScenarioError, match="takes images, but the inputs are 5 numbers"):
        MODELS[kind]().build(SampleForm((5,), 3))


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind not in OF_TOKENS | NAMED])
def test_no_model_of_numbers_takes_tokens(kind: str) -> None:
    with pytest.raises(ScenarioError, match="but the inputs are 80 tokens of 90"):
        MODELS[kind]().build(SampleForm((80,), 90, vocabulary=90))


def test_lenet_layers_are_in_the_published_order() -> None:
    names = [type(layer).__name__ for layer in MODELS["lenet"]().build(MNIST)]
    assert names == (["Conv2d", "MaxPool2d", "ReLU"] * 2 + ["Flatten", "Linear", "ReLU", "Linear"])


def test_dropout_is_a_layer_only_where_asked_for() -> None:
    def count(model: nn.Module) -> int:
        return sum(isinstance(m, nn.Dropout) for m in model.modules())

    assert count(MODELS["mlp"]().build(MNIST)) == 0
    assert count(MODELS["mlp"](dropout=0.2).build(MNIST)) == 2
    assert count(MODELS["cnn"](dropout=0.2).build(MNIST)) == 1


def test_initial_weights_depend_on_the_seed_alone_and_leave_the_global_generator_as_it_was() -> (
    None
):
    spec = MODELS["lenet"]()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_model(spec, MNIST, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = build_model(spec, MNIST, seed=7)
    other = build_model(spec, MNIST, seed=8)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize(
    ("kind", "settings", "least"),
    [
        ("lenet", {}, 16),
        ("cnn", {}, 4),
        ("cnn", {"padding": 1}, 10),
        ("cnn", {"padding": 0}, 16),
        ("vgg9", {}, 8),
        ("resnet", {}, 5),
    ],
)
def test_images_too_small_for_the_convolutions_are_refused(
    kind: str, settings: dict, least: int
) -> None:
    spec = MODELS[kind](**settings)
    spec.build(SampleForm((1, least, least), 10))(torch.zeros(1, 1, least, least))
    with pytest.raises(ScenarioError, match=f"at least {least}x{least}"):
        spec.build(SampleForm((1, least - 1, least), 10))


def test_xavier_bounds_the_weights_of_convolutions_and_leaves_the_others() -> None:
    plain = build_model(MODELS["cnn"](), MNIST, seed=7)
    xavier = build_model(MODELS["cnn"](convolutions="xavier"), MNIST, seed=7)
    # sqrt(6 / (fan in + fan out)) with 25 * channels each; the default is 1 / sqrt(fan in).
    for place, (before, after) in {0: (1, 32), 3: (32, 64)}.items():
        bound = math.sqrt(6 / (25 * (before + after)))
        largest = float(xavier[place].weight.detach().abs().max())
        assert 0.98 * bound < largest <= bound
    assert torch.equal(plain[9].weight, xavier[9].weight)


def test_the_cnn_is_that_of_the_paper_to_the_bit() -> None:
    """McMahan et al. take ReLU and then pool; the model pools first, which is cheaper."""
    ours = build_model(MODELS["cnn"](), MNIST, seed=7)
    theirs = nn.Sequential(*copy.deepcopy(list(ours)))
    for pool in (1, 4):
        theirs[pool], theirs[pool + 1] = theirs[pool + 1], theirs[pool]
        assert isinstance(theirs[pool], nn.ReLU)
    generator = torch.Generator().manual_seed(1)
    for model in (ours, theirs):
        model.to(memory_format=torch.channels_last)
    for _ in range(3):
        images = torch.rand(
            8, *MNIST.input_shape, generator=generator
        ).round()  # with ties in every window
        labels = torch.randint(10, (8,), generator=generator)
        for model in (ours, theirs):
            loss = nn.functional.cross_entropy(model(images), labels)
            grads = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for weight, grad in zip(model.parameters(), grads, strict=True):
                    weight.sub_(grad, alpha=0.1)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_xavier_bounds_all_weights_of_a_perceptron_and_clears_its_biases() -> None:
    plain = build_model(MODELS["mlp"](), MNIST, seed=7)
    xavier = build_model(MODELS["mlp"](weights="xavier"), MNIST, seed=7)
    for place, (before, after) in {1: (784, 200), 3: (200, 200), 5: (200, 10)}.items():
        bound = math.sqrt(6 / (before + after))
        largest = float(xavier[place].weight.detach().abs().max())
        assert 0.98 * bound < largest <= bound
        assert not xavier[place].bias.any()
        assert plain[place].bias.all()


@pytest.mark.parametrize(
    ("kind", "biases", "largest"),
    [
        ("mlp", {1: 0.1, 3: 0.1, 5: 0.1}, 1),
        ("cnn", {0: 0.0, 3: 0.1, 7: 0.1, 9: 0.1}, 7),  # zeros in the first layer of the example
    ],
)
def test_truncated_weights_are_normal_without_tails(
    kind: str, biases: dict[int, float], largest: int
) -> None:
    model = build_model(MODELS[kind](weights="truncated"), MNIST, seed=7)
    for place, value in biases.items():
        assert torch.equal(model[place].bias, torch.full_like(model[place].bias, value))
        assert 0.1 < float(model[place].weight.detach().abs().max()) <= 0.2
    weights = model[largest].weight.detach().double().flatten() / 0.1
    assert len(weights) == {1: 156_800, 7: 1_605_632}[largest]
    assert 1.99 < float(weights.abs().max()) <= 2
    # A standard normal cut off at 2 has a variance of 1 - 4 phi(2) / (2 Phi(2) - 1), .7737.
    phi, inside = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(2 / math.sqrt(2))
    assert float(weights.var()) == pytest.approx(1 - 4 * phi / inside, abs=0.01)
    assert float(weights.mean()) == pytest.approx(0, abs=0.01)
    # 2 Phi(1) - 1 = .6827 of the normal distribution is within one standard deviation.
    share = float((weights.abs() <= 1).double().mean())
    assert share == pytest.approx(math.erf(1 / math.sqrt(2)) / inside, abs=0.005)


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("mlp", {"hidden": [200, 0]}, r"hidden\[1\] is 0"),
        ("mlp", {"dropout": 1.0}, "dropout"),
        ("mlp", {"dropout": math.nan}, "dropout"),
        ("lenet", {"hiden": 3}, "hiden"),
        (
            "cnn",
            {"weights": "truncated", "convolutions": "xavier"},
            "weights is truncated and convolutions is xavier; expected one of them",
        ),
        ("resnet", {"depth": 21}, r"expected 6n \+ 2, such as 8, 14 or 20; the nearest is 20"),
        ("resnet", {"depth": 2}, "the nearest is 8"),
        ("resnet", {"groups": 3}, "expected a number that divides the width, 16"),
        ("vgg9", {"channels": [4, 4, 4]}, "expected an even number"),
        ("transformer", {"heads": 3}, "expected a number that divides the width, 128"),
    ],
)
def test_wrong_settings_are_refused(kind: str, settings: dict, named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        MODELS[kind](**settings)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{kind: mlp, hidden: [1000000000]}", "it has 795,000,000,010 parameters; training needs"),
        ("{kind: mlp, hidden: [5, 1000000000000000000]}", "more weights than can be numbered"),
        ("{kind: cnn, hidden: 1000000000}", "it has 3,147,000,052,106 parameters"),
    ],
)
def test_a_model_that_no_memory_could_hold_is_refused_before_any_is_taken(
    block: str, message: str
) -> None:
    with pytest.raises(ScenarioError, match=f"^model: .*{message}") as caught:
        prepare(load_scenario(SMALLEST, [f"model={block}"]), timing_only=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_a_lack_of_memory_for_a_model_is_one_clear_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> nn.Module:
        raise error

    monkeypatch.setattr("afl_sim.run.initial_model.build_model", out_of_memory)
    with pytest.raises(ScenarioError, match=r"^model: there is not enough memory for it$"):
        prepare(load_scenario(SMALLEST))


FACTORIES = """
import random

import numpy as np
from torch import nn

def tiny(width=3, input_shape=None, classes=None):
    channels, height, image_width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * image_width, width),
                         nn.Linear(width, classes))

def plain(width):
    return nn.Linear(width, 2)

def anything(**keywords):
    return nn.Linear(keywords["inputs"], 2)

def drawn():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data[0, 0], model.weight.data[0, 1] = np.random.rand(), random.random()
    return model

class Tuples(nn.Linear):
    def forward(self, images):
        return super().forward(images.flatten(1)), None

class Fails(nn.Linear):
    def forward(self, images):
        return images @ self.weight

def tuples():
    return Tuples(784, 10)

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))

def maps():
    return nn.Conv2d(1, 10, 5)

def fails():
    return Fails(784, 10)

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

def nothing_to_train():
    return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10))

def frozen():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)

def wrong():
    return [1, 2]

def broken():
    raise ZeroDivisionError("of its own")

NUMBER = 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_models.py").write_text(FACTORIES)
    (tmp_path / "my_broken_models.py").write_text("raise RuntimeError('at import')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return "my_models"


def test_a_factory_gets_the_blocks_keys_and_the_shapes_it_has_parameters_for(
    factories: str,
) -> None:
    spec = resolve_model(f"{factories}:tiny")(width=5)
    model = spec.build(MNIST)
    assert parameters(model) == 784 * 5 + 5 + 5 * 10 + 10
    assert spec.kind == "my_models:tiny"
    assert spec.model_dump() == {"kind": "my_models:tiny", "width": 5}
    assert resolve_model(f"{factories}:plain")(width=4).build(MNIST).in_features == 4
    assert resolve_model(f"{factories}:anything")(inputs=6).build(MNIST).in_features == 6


def test_arguments_a_factory_does_not_take_are_refused_before_it_is_called(
    factories: str,
) -> None:
    with pytest.raises(ScenarioError, match="widht"):
        resolve_model(f"{factories}:tiny")(widht=5)
    with pytest.raises(ScenarioError, match="missing a required argument: 'width'"):
        resolve_model(f"{factories}:plain")()


@pytest.mark.parametrize(
    ("attribute", "message"),
    [("wrong", "returned list"), ("broken", "ZeroDivisionError: of its own")],
)
def test_a_factory_that_makes_no_module_is_a_scenario_error(
    factories: str, attribute: str, message: str
) -> None:
    spec = resolve_model(f"{factories}:{attribute}")()
    with pytest.raises(ScenarioError, match=message):
        spec.build(MNIST)


def test_a_factory_that_draws_of_any_generator_makes_the_model_of_its_seed(factories: str) -> None:
    spec = resolve_model(f"{factories}:drawn")()
    before = random.getstate()
    first, again = (build_model(spec, MNIST, 3).weight.tolist() for _ in range(2))
    assert first == again != build_model(spec, MNIST, 4).weight.tolist()
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("tuples", r"returns a tuple for two inputs; expected a tensor of \(2, 10\)"),
        ("few", r"returns a tensor of \(2, 9\) for two inputs; expected"),
        ("maps", r"returns a tensor of \(2, 10, 24, 24\)"),
        ("fails", r"fails on inputs of \(2, 1, 28, 28\): RuntimeError: .*my_models.py:"),
        ("lazy", "parameter '1.weight' has no shape before the model is first used"),
        ("nothing_to_train", "no parameters to train"),
        ("frozen", "no parameters to train"),
    ],
)
def test_a_model_that_cannot_be_trained_is_found_before_a_run(
    factories: str, factory: str, message: str
) -> None:
    settings = ["model={kind: 'my_models:" + factory + "'}"]
    with pytest.raises(ScenarioError, match=f"model: .*{message}"):
        prepare(load_scenario(SMALLEST, settings), timing_only=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet5", "cannot import model 'lenet5': expected the form package.module:name"),
        (":tiny", "cannot import model ':tiny': expected the form package.module:name"),
        ("no_such_package_here:f", "cannot import model 'no_such_package_here:f': ModuleNotFound"),
        ("my_broken_models:f", r"RuntimeError: at import \(.*my_broken_models.py:1\)"),
        ("my_models:nothing", "has no 'nothing'"),
        ("my_models:tinny", "has no 'tinny'; did you mean 'tiny'"),
        ("my_models:NUMBER", "cannot be called"),
    ],
)
def test_names_that_lead_nowhere_are_one_clear_line(
    factories: str, name: str, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        resolve_model(name)
    assert "\n" not in str(caught.value)
