"""Makes the helpers beside this file importable from every folder of tests."""

import signal

# Under `nohup` SIGHUP is ignored, also by what the tests start; some of them send it.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
