"""What holds for all tests. Their helpers are in `support`."""

import gc
import signal

import pytest

# Under `nohup` SIGHUP is ignored, also by what the tests start; some of them send it.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The search for garbage would take a tenth of the time: modules and collected tests are
# many objects, and they stay.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
