"""Write the golden schedules anew, and say which changed.

python tests/golden/update.py
"""

from __future__ import annotations

import json

from golden_schedules import FILE, STRATEGIES, facts, golden, scenario

from afl_sim.simulation import simulate


def main() -> None:
    before = golden() if FILE.exists() else {}
    now = {kind: facts(simulate(scenario(kind), timing_only=True)) for kind in STRATEGIES}
    FILE.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    for kind, found in now.items():
        print(f"{kind:12s}{'the same' if before.get(kind) == found else 'changed'}")


if __name__ == "__main__":
    main()
