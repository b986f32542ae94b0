#!/bin/sh
# Guess: items of equal priority leave SimPy's `PriorityStore` in the order in which they were put, as equal
# requests leave its `PriorityResource`, and as items leave its plain `Store`.
# What happens: the store is a bare heap, and `PriorityItem` compares the priority alone. Of eight equal
# items the second leaves as the seventh. Where items come and go, later ones pass an item again and again:
# here one waits for ever in a store that never holds more than three. `PriorityResource` breaks ties by
# the time of the request.
# Remedy: a counter in the priority: `PriorityItem((priority, next(counter)), item)`.
# Upstream: simpy/resources/store.py; the documentation speaks of "sorted order". No issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check simpy==4.1.2
cd "$place"
cat > ties.py <<'PYTHON'
import itertools
import sys
from importlib.metadata import version

import simpy


def drained(kind, wrap):
    """The order in which eight items of one priority leave a store."""
    env = simpy.Environment()
    store = kind(env)
    left = []

    def take():
        for name in "abcdefgh":
            yield store.put(wrap(name))
        for _ in range(8):
            item = yield store.get()
            left.append(item.item)

    env.process(take())
    env.run()
    return "".join(left)


def served():
    """The order in which a PriorityResource serves eight requests of one priority."""
    env = simpy.Environment()
    resource = simpy.PriorityResource(env)
    order = []

    def user(name):
        with resource.request(priority=1) as request:
            yield request
            order.append(name)
            yield env.timeout(1)

    for name in "abcdefgh":
        env.process(user(name))
    env.run()
    return "".join(order)


def longest_wait(wrap):
    """A server of 1 item per second, 1 arrival per second, and never more than three items in the store."""
    env = simpy.Environment()
    store = simpy.PriorityStore(env)
    waits, longest_queue = [], []

    def source():
        for _ in range(3):
            store.put(wrap(env.now))
        while True:
            yield env.timeout(1)
            longest_queue.append(len(store.items))
            store.put(wrap(env.now))

    def server():
        while True:
            yield env.timeout(1)
            item = yield store.get()
            waits.append(env.now - item.item)

    env.process(source())
    env.process(server())
    env.run(until=1000.5)
    stored = [env.now - item.item for item in store.items]
    return max(longest_queue), max(waits + stored)


number = itertools.count()


def plain(item):
    return simpy.PriorityItem(1, item)


def counted(item):
    return simpy.PriorityItem((1, next(number)), item)


heap = drained(simpy.PriorityStore, plain)
fifo = drained(simpy.Store, plain)
mended = drained(simpy.PriorityStore, counted)
requests = served()
print("simpy", version("simpy"), "- items a to h, all of priority 1, leave in the order")
print("  Store            ", fifo)
print("  PriorityResource ", requests)
print("  PriorityStore    ", heap)
print("  PriorityStore with a counter", mended)
queue, wait = longest_wait(plain)
counted_queue, counted_wait = longest_wait(counted)
print(f"1000 s, at most {queue} items in the store: longest wait {wait:g} s, with a counter {counted_wait:g} s")
ok = heap == "acgfhebd" and fifo == requests == mended == "abcdefgh"
sys.exit(0 if ok and queue == counted_queue <= 4 and wait > 900 and counted_wait < 5 else 1)
PYTHON
"$place/venv/bin/python" ties.py
