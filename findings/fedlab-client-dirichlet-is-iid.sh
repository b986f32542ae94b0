#!/bin/sh
# Guess: FedLab's `client_inner_dirichlet_partition` (`partition="dirichlet"` of its CIFAR10Partitioner) gives each
# client a mixture of classes drawn from a Dirichlet law, as FedDyn does (Acar et al., ICLR 2021): with
# alpha = 0.05 most of a client's samples are of one class.
# What happens: the function shuffles its own copy of the labels, looks for each class in the shuffled copy, and
# returns the places there. In the data that the caller has, these places are random rows. Whatever alpha,
# clients get samples as good as independent and identically distributed, under the name of the heterogeneous
# partition; `hetero_dir_partition` of the same file is right. The array of the clients' sizes that was given
# is all zeros afterwards.
# Remedy: `hetero_dir_partition`, or the same permutation of the data: seed NumPy's global generator before, and
# index with `permutation[places]`, as this script does to compare.
# Upstream: fedlab/utils/dataset/functional.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1
"$place/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps fedlab==1.3.0
cat > "$place/mixtures.py" <<'PYTHON'
import sys
from importlib.metadata import distribution, version
from importlib.util import module_from_spec, spec_from_file_location
from statistics import mean

import numpy as np

# The module by itself: it needs NumPy and pandas alone, the package PyTorch.
path = distribution("fedlab").locate_file("fedlab/utils/dataset/functional.py")
spec = spec_from_file_location("functional", path)
functional = module_from_spec(spec)
spec.loader.exec_module(functional)
client_inner_dirichlet_partition = functional.client_inner_dirichlet_partition
hetero_dir_partition = functional.hetero_dir_partition
CLASSES, CLIENTS, EACH = 10, 20, 100
# 2000 samples of every class in a random order, and 2000 wanted in all: no class can run out.
rng = np.random.default_rng(1)
labels = rng.permutation(np.repeat(np.arange(CLASSES), CLIENTS * EACH))


def largest(parts):
    """The mean over the clients of the share of a client's most frequent class."""
    return mean(np.bincount(labels[rows]).max() / len(rows) for rows in parts.values())


def partition(alpha):
    np.random.seed(1)
    sizes = np.full(CLIENTS, EACH)
    parts = client_inner_dirichlet_partition(labels, CLIENTS, CLASSES, alpha, sizes, verbose=False)
    assert not sizes.any()
    np.random.seed(1)
    order = np.random.permutation(len(labels))  # the function's first draw
    return largest(parts), largest({client: order[rows] for client, rows in parts.items()})


independent = largest({client: rng.integers(0, len(labels), EACH) for client in range(CLIENTS)})
np.random.seed(1)
across = largest(hetero_dir_partition(labels, CLIENTS, CLASSES, 0.05))
print("fedlab", version("fedlab"), "- share of a client's most frequent class, mean over the clients")
print(f"  independent samples                         {independent:.2f}")
print(f"  hetero_dir_partition, alpha = 0.05          {across:.2f}")
seen = {}
for alpha in (0.05, 1.0, 1000.0):
    given, meant = seen[alpha] = partition(alpha)
    print(f"  client_inner_dirichlet, alpha = {alpha:<8g}    {given:.2f}, and {meant:.2f} with its permutation")
skewed = seen[0.05][1] > 0.7 and across > 0.5 and seen[1000.0][1] < 0.25
sys.exit(0 if skewed and max(given for given, _ in seen.values()) < 0.25 and independent < 0.25 else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/mixtures.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
