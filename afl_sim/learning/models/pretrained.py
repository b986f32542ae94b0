"""``model.pretrained``: a file of weights that a run starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError
from safetensors import SafetensorError

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor, nn, torch
from afl_sim.learning.models.names import matching
from afl_sim.scenario.section import Section
from afl_sim.scenario.wording import hint
from afl_sim.scenario.yaml.text import near_file
from afl_sim.stamps import stamp_of

_KEY = "model.pretrained"


class WeightsFile(Section):
    """Weights in a file of safetensors, under the names of the model's state dict."""

    file: str = Field(description="The file; a relative path goes out from the scenario file.")
    sha256: str | None = Field(
        default=None,
        description="The sha256 of the file. A run writes it down, and refuses another content.",
    )
    skip: tuple[str, ...] = Field(
        default=(),
        description="Patterns of names that are not taken from the file, such as head.*: these "
        "start from random weights, whatever the file holds.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: Any, info: ValidationInfo) -> Self:
        made: Self = handler({"file": raw} if isinstance(raw, str) else raw)
        base = getattr(info.context, "base", None)
        if base is None and made.sha256 is not None:
            return made  # a worker's; the file was looked at before
        path = ((base or Path()) / made.file).absolute()
        try:
            digest = _digest_of(path, made.sha256)
        except ScenarioError as error:
            raise PydanticCustomError("scenario", "{why}", {"why": str(error)}) from None
        return made.model_copy(update={"file": str(path), "sha256": digest})

    def load_into(self, model: nn.Module) -> None:
        """Give a model the weights of the file.

        Raises:
            ScenarioError: the file is missing, damaged or has changed, or it does not fit.
        """
        from safetensors.torch import load  # which imports PyTorch

        content = _content(Path(self.file))
        try:
            _check_digest(Path(self.file), content, self.sha256)
            held = load(content)
        except SafetensorError as error:
            raise ScenarioError(
                f"{_KEY}: {self.file} is no file of safetensors, or is damaged ({error})"
            ) from None
        except ScenarioError as error:
            raise ScenarioError(f"{_KEY}: {error}") from None
        given = {
            n: t for n, t in model.state_dict(keep_vars=True).items() if isinstance(t, torch.Tensor)
        }
        left = matching(self.skip, given.keys() | held.keys(), f"{_KEY}.skip")
        wanted = {name: tensor for name, tensor in given.items() if name not in left}
        held = {name: tensor for name, tensor in held.items() if name not in left}
        _check_names(self.file, wanted, held)
        for name, tensor in held.items():
            _check_tensor(self.file, name, tensor, wanted[name])
        model.load_state_dict(held, strict=False)


def _check_names(file: str, wanted: Mapping[str, Tensor], held: Mapping[str, Tensor]) -> None:
    # A tied weight may be there under any of its names.
    there = {id(tensor) for name, tensor in wanted.items() if name in held}
    for name, tensor in wanted.items():
        if id(tensor) not in there:
            raise ScenarioError(
                f"{_KEY}: {file} has no {name!r}, which the model has; expected it, or a pattern "
                f"for it in skip{hint(name, held.keys() - wanted.keys())}"
            )
    for name in held:
        if name not in wanted:
            raise ScenarioError(
                f"{_KEY}: {file} has {name!r}, which the model has not; expected the names of its "
                f"state dict, or a pattern for it in skip{hint(name, wanted)}"
            )


def _check_tensor(file: str, name: str, found: Tensor, wanted: Tensor) -> None:
    if found.shape != wanted.shape:
        raise ScenarioError(
            f"{_KEY}: {name!r} in {file} has shape {tuple(found.shape)}; the model needs "
            f"{tuple(wanted.shape)}"
        )
    floats = wanted.is_floating_point()
    if found.is_floating_point() != floats or found.is_complex() != wanted.is_complex():
        raise ScenarioError(
            f"{_KEY}: {name!r} in {file} is {_words(found)}; the model needs {_words(wanted)}"
        )
    if floats and not torch.isfinite(found.float()).all():
        raise ScenarioError(f"{_KEY}: {name!r} in {file} has numbers that are not finite")


def _words(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise ScenarioError(f"{_KEY}: {path} {what}; expected a file{near_file(path)}")
        return path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"{_KEY}: cannot read {path}: {error.strerror}") from None


def _check_digest(path: Path, content: bytes, expected: str | None) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if expected not in (None, digest):
        raise ScenarioError(f"{path} has changed: its sha256 is now {digest}")
    return digest


def _digest_of(path: Path, expected: str | None) -> str:
    try:
        found = path.stat()
        key = stamp_of(found)
    except OSError:
        key = ()
    return _known_digest(path, expected, key)


@lru_cache(maxsize=64)
def _known_digest(path: Path, expected: str | None, key: tuple[int, ...]) -> str:
    """Read once for all runs of a study, as long as the file's stamp stays."""
    try:
        return _check_digest(path, _content(path), expected)
    except ScenarioError as error:
        raise ScenarioError(str(error).removeprefix(f"{_KEY}: ")) from None
