#!/bin/sh
# Guess: `IidPartitioner` of Flower Datasets gives each client a random sample of the data set that it was
# given, as its name and its docstring ("sampled randomly") say, whatever the order of the rows.
# What happens: client i gets the i-th slice of the rows. Of data that are sorted by label, as many
# files are, each of ten clients gets one class: the most heterogeneous partition there is, under the
# name of the homogeneous one. `DirichletPartitioner(alpha=1000)` mixes the same rows. FederatedDataset
# shuffles before, so that it is seen only where a partitioner is given a data set of one's own.
# Remedy: `partitioner.dataset = dataset.shuffle(seed=...)`.
# Upstream: flwrlabs/flower 7327, open.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check \
    flwr-datasets==0.6.1 datasets==4.8.5 pyarrow==26.0.1
cat > "$place/classes.py" <<'PYTHON'
import sys
from importlib.metadata import version

from datasets import Dataset
from flwr_datasets.partitioner import DirichletPartitioner, IidPartitioner

data = Dataset.from_dict({"label": [label for label in range(10) for _ in range(100)]})


def classes(partitioner, rows):
    partitioner.dataset = rows
    return [len(set(partitioner.load_partition(client)["label"])) for client in range(10)]


print("flwr-datasets", version("flwr-datasets"), "classes of each of ten clients")
sorted_rows = classes(IidPartitioner(10), data)
shuffled = classes(IidPartitioner(10), data.shuffle(seed=1))
dirichlet = classes(DirichletPartitioner(10, partition_by="label", alpha=1000.0), data)
print("  IidPartitioner, rows sorted by label:       ", sorted_rows)
print("  IidPartitioner, rows shuffled:              ", shuffled)
print("  DirichletPartitioner(alpha=1000), sorted:   ", dirichlet)
sys.exit(0 if sorted_rows == [1] * 10 and min(shuffled + dirichlet) >= 9 else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" classes.py 2> err || { cat err; exit 1; }
