"""Sets of arrays in the cache folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from afl_sim.learning.data.arrays import open_arrays, store_arrays


def test_what_a_killed_process_left_goes_and_what_is_being_stored_stays(tmp_path: Path) -> None:
    for name, age in ((".storing-old", 7200.0), (".storing-new", 5.0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "images.npy").write_bytes(b"half")
        then = time.time() - age
        os.utime(folder, (then, then))
    store_arrays(tmp_path / "set", {"images": np.arange(6.0)})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".storing-new", "set"]
    found = open_arrays(tmp_path / "set")
    assert found is not None
    np.testing.assert_array_equal(found["images"], np.arange(6.0))
