#!/bin/sh
# Guess: FlopCounterMode counts a model's matrix products, whatever kernel computes them, so that an
# LSTM or a transformer has about the same number in training and in evaluation.
# What happens: on a processor, nn.LSTM counts 0 as long as oneDNN computes it, and an encoder layer
# counts 0 in evaluation, where the fused path computes it. With these and the fused kernel of
# attention switched off, the numbers are those of the textbook. Nothing warns.
# Remedy: count with torch.backends.mkldnn.flags(enabled=False), the math kernel of attention and
# torch.backends.mha.set_fastpath_enabled(False), and look for layers that count 0.
# Upstream: no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q torch==2.14.1 numpy
cat > "$place/count.py" <<'PYTHON'
import warnings

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

warnings.simplefilter("ignore")


def count(model, inputs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    return counter.get_total_flops()


lstm, words = nn.LSTM(8, 16, 2, batch_first=True), torch.zeros(4, 5, 8)
layer, tokens = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), torch.zeros(4, 5, 16)
usual = count(lstm, words), count(layer.train(), tokens), count(layer.eval(), tokens)
torch.backends.mha.set_fastpath_enabled(False)
with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
    plain = count(lstm, words), count(layer.train(), tokens), count(layer.eval(), tokens)
print("torch", torch.__version__.split("+")[0], "LSTM, encoder layer in training, in evaluation")
print("  as it is:", *usual)
print("  without fused kernels:", *plain)
assert usual[0] == 0 and usual[1] > 0 and usual[2] == 0
assert plain[0] == 2 * 4 * 5 * 64 * (8 + 16 + 16 + 16)
encoder = 2 * 4 * 5 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 4 * 5 * 5 * 16
assert plain[1] == plain[2] == encoder
PYTHON
"$place/venv/bin/python" "$place/count.py"
