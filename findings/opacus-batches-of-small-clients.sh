#!/bin/sh
# Guess: a DataLoader with batches of 32 over a client's 33 samples becomes, under Opacus's Poisson
# sampling, one whose batches have 32 samples on average: each sample is drawn with 32/33.
# What happens: the rate is 1 / (number of batches), and the last batch, of one sample, counts as a whole
# one: 1/2. The mean batch has 16 samples, the noise is divided by 16 in place of 32, and the accountant
# computes with 1/2. On a large data set one batch more makes no difference; a client of federated learning
# with 33 samples trains with half of the batch, and so twice the noise, that one with 32 samples has.
# Remedy: a batch size that divides the client's number of samples, or `drop_last=True`, with which the
# rate is 1 / (number of whole batches): 1/1 for 33 to 63 samples.
# Upstream: PrivacyEngine.make_private in opacus/privacy_engine.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check opacus==1.6.0 torch==2.14.1
cat > "$place/rate.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import torch
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


def private(samples):
    model = torch.nn.Linear(2, 2)
    data = TensorDataset(torch.zeros(samples, 2), torch.zeros(samples, dtype=torch.int64))
    _, optimizer, loader = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=32),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    return loader.sample_rate, optimizer.expected_batch_size


print("opacus", version("opacus"), "batch size 32")
found = {}
for samples in (32, 33, 40, 64, 65, 3200, 3201):
    found[samples] = private(samples)
    rate, batch = found[samples]
    print(f"  {samples:4} samples: rate {rate:.4f}, mean batch {batch}; 32 / {samples} is {32 / samples:.4f}")
sys.exit(0 if found[32] == (1.0, 32) and found[33] == (0.5, 16) and found[65][1] == 21 else 1)
PYTHON
"$place/venv/bin/python" "$place/rate.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
