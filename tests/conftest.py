"""What holds for all tests. Their helpers are in `support`."""

import signal

# Under `nohup` SIGHUP is ignored, also by what the tests start; some of them send it.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
