"""MNIST from the package, unpacked once into the user's cache.

The four gzipped IDX files ship with the package, beside ``SHA256SUMS`` of their contents. They are
unpacked into ``CACHE/MNIST/raw``, where torchvision's reader looks for them. Each file is written
under a temporary name and renamed when its digest is right. A lock lets several processes start at
the same time, and none sees a file that is only partly written. Every start checks the digests of
the unpacked files (about 30 ms for 55 MB) and unpacks damaged ones again.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path

from filelock import lock_descriptor

from afl_sim.errors import DataError

CACHE_VARIABLE = "AFL_SIM_CACHE"
_BLOCK = 1 << 20
_TEMPORARY = ".unpacking-"


def cache_folder() -> Path:
    """Where unpacked and downloaded data sets are kept.

    ``$AFL_SIM_CACHE``, else ``$XDG_CACHE_HOME/afl_sim``, else ``~/.cache/afl_sim``.

    Raises:
        DataError: none of the three is known.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # the XDG specification says to ignore a relative one
        return xdg / "afl_sim"
    try:
        return Path.home() / ".cache" / "afl_sim"
    except RuntimeError:
        raise DataError(
            f"there is no home folder to keep unpacked data in; set {CACHE_VARIABLE} to a folder"
        ) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, one process at a time; it ends with the process, even a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "ab") as lock:
        lock_descriptor(lock.fileno())
        yield


def unpack_mnist(cache: Path | None = None, source: Traversable | None = None) -> Path:
    """Check that all of MNIST is in the cache, and unpack missing or damaged files.

    Args:
        cache: the cache folder; `cache_folder()` if None.
        source: folder of the gzipped files and SHA256SUMS; the package's own if None.

    Returns:
        The ``root`` to hand to ``torchvision.datasets.MNIST``.

    Raises:
        DataError: the packaged files are damaged, or the cache cannot be written.
    """
    root = cache_folder() if cache is None else cache
    packed = importlib.resources.files(__package__) / "mnist" if source is None else source
    raw = root / "MNIST" / "raw"
    digests = _read_digests(packed)
    try:
        if not _damaged(raw, digests):  # no lock: a complete cache may be read-only
            return root
        with locked(raw):
            for left_over in raw.glob(f"{_TEMPORARY}*"):  # by a process that was killed
                left_over.unlink(missing_ok=True)
            for name in _damaged(raw, digests):
                _unpack(packed, name, digests[name], raw)
    except OSError as error:
        raise DataError(
            f"cannot unpack MNIST into {root}: {error.strerror or error}; set {CACHE_VARIABLE} to "
            "a folder that can be written, with 60 MB to spare"
        ) from error
    return root


def _read_digests(packed: Traversable) -> dict[str, str]:
    """File name to hex SHA-256 of its unpacked contents."""
    try:
        lines = (packed / "SHA256SUMS").read_text("ascii").splitlines()
        digests = {name: digest for digest, name in (line.split() for line in lines if line)}
    except (OSError, ValueError) as error:
        raise _package_damaged("SHA256SUMS", error) from error
    expected = {
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    }
    if set(digests) != expected:
        raise _package_damaged("SHA256SUMS", "it does not list the four files")
    return digests


def _damaged(raw: Path, digests: dict[str, str]) -> list[str]:
    return [name for name, digest in digests.items() if _digest(raw / name) != digest]


def _digest(path: Path) -> str | None:
    """Hex SHA-256 of a file, or None if there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _unpack(packed: Traversable, name: str, digest: str, raw: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=raw)
    try:
        with open(descriptor, "wb") as target:
            found = hashlib.sha256()
            for block in _decompressed(packed, f"{name}.gz"):
                found.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        if found.hexdigest() != digest:
            raise _package_damaged(f"{name}.gz", "its contents do not match SHA256SUMS")
        os.chmod(temporary, 0o644)
        os.replace(temporary, raw / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _decompressed(packed: Traversable, name: str) -> Iterator[bytes]:
    try:
        with (packed / name).open("rb") as file, gzip.open(file) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise _package_damaged(name, error) from error


def _package_damaged(name: str, why: object) -> DataError:
    return DataError(f"the package's MNIST file {name} is damaged ({why}); reinstall afl-sim")
