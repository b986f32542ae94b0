#!/bin/sh
# Guess: whether a client of FedScale's simulation is there at a time is a property of its trace: active
# between active[i] and inactive[i], and the trace begins again after finish_time.
# What happens: `ClientMetadata.is_active` keeps the number of an interval and moves it on by one at most
# for each question. After a longer pause it looks at an interval that is over, and says no; after the
# trace's end it looks at the last interval until a question falls behind that. How often a client
# is there depends on how often it was asked: a client that is always there at the times asked is said to be
# there 9 % of them.
# Remedy: look for the interval anew with each question.
# Upstream: fedscale/cloud/internal/client_metadata.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps fedscale==1.0 numpy==1.26.4
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from fedscale.cloud.internal.client_metadata import ClientMetadata

HOUR = 3600
starts = [4 * HOUR * i for i in range(12)]  # 48 hours: two hours there, two hours away
trace = {"finish_time": 48 * HOUR, "active": starts, "inactive": [s + 2 * HOUR for s in starts]}


def share(times):
    client = ClientMetadata(0, 0, {"computation": 1, "communication": 1}, trace)
    said = [client.is_active(time) for time in times]
    true = [time % (48 * HOUR) % (4 * HOUR) <= 2 * HOUR for time in times]
    return sum(said) / len(times), sum(true) / len(times)


print("fedscale", version("fedscale"), "share of the questions at which the client is there")
found = {}
for minutes in (1, 10, 120, 360):
    times = [60 * minutes * i for i in range(2000)]
    found[minutes] = share(times)
    print(f"  asked every {minutes:3} minutes: said {found[minutes][0]:.3f}, true {found[minutes][1]:.3f}")
client = ClientMetadata(0, 0, {"computation": 1, "communication": 1}, trace)
again = [client.is_active(17 * HOUR) for _ in range(5)]
print("  asked five times for hour 17, when it is there:", again)
ok = found[1][0] == found[1][1] and found[120] == (0.094, 1.0)
ok = ok and again == [False, False, False, True, True]
sys.exit(0 if ok else 1)
PYTHON
