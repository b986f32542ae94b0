"""The themes of docs/scenarios.md: what is measured of each, and the answer in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """A scenario file with the question it asks, and what came out.

    Attributes:
        name: the file's.
        title: the heading.
        columns: what is measured of its runs (`scenarios.MEASURES`).
        answer: the answer; the mean of a measure is ``{case[measure]:format}``.
        picture: the figure that ``afl-sim plot`` draws of it; None for none.
        options: of the command that was run; with ``--timing-only`` nothing is trained.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    answer: str
    picture: str | None = None
    options: str = ""


THEMES = (
    Theme(
        "stragglers",
        "Stragglers",
        ("to_80", "accuracy", "seconds", "idle", "staleness"),
        """
With a short tail a server that waits for its cohort of ten needs {short-fedavg[to_80]:.0f} s to
80 %, one that never waits {short-fedbuff[to_80]:.0f} s. With a long tail around the same median
the first needs {long-fedavg[to_80]:.0f} s, and its clients idle {long-fedavg[idle]:.0%} of
their time; the second {long-fedbuff[to_80]:.0f} s. Most of that can be had without asynchrony:
sending 13 clients a task and leaving out the three slowest takes
{long-over-selection[to_80]:.0f} s. After the same 300 updates all five are as accurate, to
within the spread of the seeds.
""",
    ),
    Theme(
        "bimodal-devices",
        "Bimodal devices",
        ("to_80", "accuracy", "seconds", "idle", "slow"),
        """
The server that waits hears the slow fifth as often as it should ({wait[slow]:.0%} of its
updates) and pays for it with {wait[to_80]:.0f} s to 80 %. The buffer gets there in
{buffer[to_80]:.0f} s and still takes {buffer[slow]:.0%} of its updates from them; a deadline is
as fast ({deadline[to_80]:.0f} s) and hears none of them. Tiers with separate cohorts are the
worst choice here: FedAT gives the tier that reports rarely the larger weight, which is that of
{tiers[slow]:.0%} of the updates, and ends at {tiers[accuracy]:.1%} where the others are at 90%.
""",
    ),
    Theme(
        "thin-uplink",
        "Bandwidth-limited uplink",
        ("to_80", "accuracy", "seconds", "uploaded"),
        """
Where an upload in float32 takes four times as long as the training, bf16 halves the bytes and
brings the time to 80 % from {float32[to_80]:.0f} s to {bf16[to_80]:.0f} s; four bits an entry
(QSGD) bring it to {qsgd[to_80]:.0f} s. The accuracy at the end is the same within the seeds'
spread. Beyond that the model notices: the largest 1 % of each update are a fiftieth of the
bytes of float32, are no sooner at 80 % than QSGD ({top-1[to_80]:.0f} s), and end at
{top-1[accuracy]:.1%} for {float32[accuracy]:.1%}.
""",
    ),
    Theme(
        "server-link",
        "Contended server link",
        ("per_second", "upload", "present", "busy", "staleness", "to_80", "accuracy"),
        """
About as many as it takes to fill the link, and no more. It carries one update a second, and a
task takes about eleven seconds alone: with 10 clients the link is in use
{concurrency-10[busy]:.0%} of the time, with 20 {concurrency-20[busy]:.0%}, and from there on
more clients get no more updates through: they share the link, and an upload that took
{concurrency-10[upload]:.1f} s takes {concurrency-80[upload]:.0f} s. What does grow is the
staleness, from {concurrency-10[staleness]:.1f} to {concurrency-80[staleness]:.1f} versions, and
it costs {concurrency-10[accuracy]:.1%} against {concurrency-80[accuracy]:.1%} after the same
400 updates. In each row uploads at a time are uploads per second times what one takes: Little's
law, which every run is held to.
""",
        picture="sweep",
    ),
    Theme(
        "diurnal",
        "Diurnal availability",
        ("updates", "idle", "staleness", "to_80", "accuracy"),
        """
Spread over the globe, a third of a hundred phones is there at any hour, which is more than the
ten that train: {globe[updates]:.0f} updates in two days and {globe[accuracy]:.1%}, as if all
were always there ({always[updates]:.0f}, {always[accuracy]:.1%}). In one time zone nobody is
there two thirds of the day. The model stands still then, makes {one-zone[updates]:.0f} updates
of it, and is at 80 % after {one-zone[to_80]:,.0f} s, most of them the wait for the first
evening, where the others take {globe[to_80]:,.0f} s.
""",
        picture="accuracy",
    ),
    Theme(
        "churn",
        "Churn",
        ("updates", "failed", "staleness", "to_80", "accuracy"),
        """
With tasks of about 20 s and stays of 30 s, losing the work of who leaves costs nearly half of
all tasks ({lost[failed]:.0f} fail, {lost[updates]:.0f} are used), but a failed task is replaced
at once, and the server is at 80 % in {lost[to_80]:.0f} s. Sending what has been done gives more
and smaller updates ({partial[updates]:.0f}) and the best accuracy, {partial[accuracy]:.1%}.
Resuming, which loses nothing, is worst: whoever is away with a task keeps one of the ten
places, so that only {paused[updates]:.0f} updates come and 80 % takes {paused[to_80]:.0f} s.
Even clients that stay until their task is done ({finish[updates]:.0f} updates) are no better
off, within the spread of the seeds, than with losses.
""",
    ),
    Theme(
        "crash-faults",
        "Crash faults",
        ("updates", "failed", "corrupted", "rejected", "to_80", "accuracy", "worst"),
        """
Crashes and lost uploads cost time, not quality: with three tasks in ten failing
{crashes[updates]:.0f} updates are used in 300 s where {sound[updates]:.0f} would be, with as
many uploads lost and repeated {lost-uploads[updates]:.0f}, and both end within the seeds'
spread of the sound run. {corrupted[corrupted]:.1f} updates with the wrong sign and length among
{corrupted[updates]:.0f} cost more than all of that: {corrupted[accuracy]:.1%} for
{sound[accuracy]:.1%}, and {corrupted[worst]:.0%} on the worst class. A limit on the norm is not
enough of a guard: it stops {guarded[rejected]:.1f} of {guarded[corrupted]:.1f}, since ten times
a short update is no longer than the limit, and ends at {guarded[accuracy]:.1%}.
""",
    ),
    Theme(
        "device-trace",
        "Device trace",
        ("seconds", "staleness", "to_80", "accuracy"),
        """
It does, in a direction that one may not expect. Where a slow processor comes with a thin uplink
a few devices are slow in both and the others in neither, and the server is at 80 % in
{together[to_80]:.0f} s; drawn apart, more devices are slow in one of them, and it takes
{apart[to_80]:.0f} s. Staleness ({together[staleness]:.1f} versions) and accuracy at the end
({together[accuracy]:.1%} and {apart[accuracy]:.1%}) are the same. Independent columns of a
trace are not a neutral choice.
""",
    ),
    Theme(
        "million-clients",
        "Million clients",
        ("seconds", "updates", "staleness", "stalest", "idle"),
        """
A server that buffers 1,000 of 10,000 updates under way comes to a mean staleness of (10,000 -
1) / 1,000 versions, whatever the population; in the first 100,000 updates, which begin with
none, it is {million-clients[staleness]:.1f}. The tail is long: the most stale of them is
{million-clients[stalest]:,.0f} versions old. What a population of that size costs is an integer
for each client ever sent a task: the table in
[`tests/benchmarks/results/scale.md`](../tests/benchmarks/results/scale.md) has 743 MB at the
peak for a million updates of a million clients, of which 646 MB are the imported libraries.
""",
        options="--timing-only --set stop.updates=100_000",
    ),
    Theme(
        "fast-clients-few-labels",
        "Fast clients that hold few labels",
        ("to_80", "accuracy", "worst", "seconds", "staleness"),
        """
It depends on who is asked next. Servers that draw the next client among the idle ones hear fast
and slow clients about equally often, and lose nothing to the correlation that five seeds could
show: {drawn-any[accuracy]:.1%} without and {drawn-few[accuracy]:.1%} with it, synchronous
rounds {rounds-any[accuracy]:.1%} and {rounds-few[accuracy]:.1%}. A server that keeps every
client busy is by far the fastest, and hears the fast ones many times over: there it costs
{busy-any[accuracy]:.1%} against {busy-few[accuracy]:.1%}, and the worst class, held mostly by
the slow, falls from {busy-any[worst]:.0%} to {busy-few[worst]:.0%}.
""",
    ),
)
