"""The themes of docs/scenarios.md: what is measured, and the answer in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """A scenario file, and the answer to its question.

    Attributes:
        name: the name of the file.
        title: the heading.
        columns: the measures of its runs (keys of `scenarios.MEASURES`).
        answer: the answer; the mean of a measure is ``{case[measure]:format}``.
        picture: the figure that ``afl-sim plot`` draws of its runs, or None.
        options: options of the command that was run; with ``--timing-only`` nothing is trained.
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
With a short tail, a server that waits for its cohort of ten needs {short-fedavg[to_80]:.0f} s to
reach 80 %; a server that never waits needs {short-fedbuff[to_80]:.0f} s. With a long tail and the
same median, the first needs {long-fedavg[to_80]:.0f} s, and its clients are idle for
{long-fedavg[idle]:.0%} of their time; the second needs {long-fedbuff[to_80]:.0f} s. Most of this
gain is possible without asynchrony: a server that sends tasks to 13 clients and ignores the three
slowest needs {long-over-selection[to_80]:.0f} s. After the same 300 updates all five have the same
accuracy, within the spread of the seeds.
""",
    ),
    Theme(
        "bimodal-devices",
        "Bimodal devices",
        ("to_80", "accuracy", "seconds", "idle", "slow"),
        """
The server that waits receives {wait[slow]:.0%} of its updates from the slow fifth of the devices,
as it should, but it needs {wait[to_80]:.0f} s to reach 80 %. The buffer needs {buffer[to_80]:.0f}
s and still receives {buffer[slow]:.0%} of its updates from them. A deadline is as fast
({deadline[to_80]:.0f} s), but receives none from them. Tiers with separate cohorts are the worst
choice here. FedAT gives a larger weight to the tier that reports rarely, which supplies
{tiers[slow]:.0%} of the updates. It ends at {tiers[accuracy]:.1%}, while the others are at 90%.
""",
    ),
    Theme(
        "thin-uplink",
        "Bandwidth-limited uplink",
        ("to_80", "accuracy", "seconds", "uploaded"),
        """
In float32 an upload takes four times as long as the training. bf16 halves the bytes and reduces
the time to 80 % from {float32[to_80]:.0f} s to {bf16[to_80]:.0f} s; four bits per entry (QSGD)
reduce it to {qsgd[to_80]:.0f} s. The final accuracy is the same within the spread of the seeds.
Stronger compression costs accuracy. Sending only the largest 1 % of each update takes a fiftieth
of the bytes of float32. It reaches 80 % no sooner than QSGD ({top-1[to_80]:.0f} s) and ends at
{top-1[accuracy]:.1%} instead of {float32[accuracy]:.1%}.
""",
    ),
    Theme(
        "server-link",
        "Contended server link",
        ("per_second", "upload", "present", "busy", "staleness", "to_80", "accuracy"),
        """
About as many as are needed to fill the link, and no more. The link carries one update per second,
and a task alone takes about eleven seconds. With 10 clients the link is in use
{concurrency-10[busy]:.0%} of the time, and with 20 clients {concurrency-20[busy]:.0%}. With still
more clients the server receives no additional updates: the clients share the link, and an upload
that took {concurrency-10[upload]:.1f} s takes {concurrency-80[upload]:.0f} s. But the staleness
grows, from {concurrency-10[staleness]:.1f} to {concurrency-80[staleness]:.1f} versions. After the
same 400 updates the accuracy is {concurrency-80[accuracy]:.1%} instead of
{concurrency-10[accuracy]:.1%}. In each row, the number of uploads in progress is the number
started per second times the duration of an upload. This is Little's law, against which every run
is tested.
""",
        picture="sweep",
    ),
    Theme(
        "adaptive-server",
        "Adaptive server",
        ("updates", "busy", "staleness", "to_80", "accuracy"),
        """
About fifteen, and a controller finds that. The link carries one update per second. With 5 phones it
is in use {fixed-5[busy]:.0%} of the time, and with 50 phones the updates wait for it until they are
{fixed-50[staleness]:.1f} versions old. Who knows that 15 is right needs {fixed-15[to_80]:.0f} s to
reach 80 %. The controller of the utilisation begins with 5 phones and needs
{utilisation[to_80]:.0f} s; FedBuff with 5 phones needs {fixed-5[to_80]:.0f} s. The controller of
the staleness begins with 50 phones and needs {staleness-target[to_80]:.0f} s. It uses as many
updates as 50 phones do, of a staleness of {staleness-target[staleness]:.1f} instead of
{fixed-50[staleness]:.1f}, and ends at {staleness-target[accuracy]:.1%} instead of
{fixed-50[accuracy]:.1%}. PORT bounds the staleness ({port[staleness]:.1f}), but it gives stale
updates their full weight and does not learn well at this learning rate. FedCompass gives every
phone a share of 1/100, and an update that arrives with few others makes a small step. The learning
rates of the two were not tuned, and neither knows that the link is the bottleneck.
""",
        picture="adaptation",
    ),
    Theme(
        "diurnal",
        "Diurnal availability",
        ("updates", "idle", "staleness", "to_80", "accuracy"),
        """
If the fleet is spread over the globe, a third of the hundred phones is available at any hour,
which is more than the ten that train. The server receives {globe[updates]:.0f} updates in two
days and reaches {globe[accuracy]:.1%}, as if all phones were always available
({always[updates]:.0f}, {always[accuracy]:.1%}). In one time zone no phone is available for two
thirds of the day. During that time the model does not change. The server receives
{one-zone[updates]:.0f} updates and reaches 80 % after {one-zone[to_80]:,.0f} s, most of which is
the wait for the first evening; the spread fleet needs {globe[to_80]:,.0f} s.
""",
        picture="accuracy",
    ),
    Theme(
        "phones-and-desktops",
        "Phones and desktops",
        ("updates", "phones", "idle", "staleness", "to_80", "accuracy"),
        """
The phones hold half of the data and do {fedbuff_K-5[phones]:.0%} of the updates, whatever the
buffer: they are slow, and there at night only. In rounds of ten, over-selected to 13, it is
{fedavg[phones]:.0%}, since the slowest of each round are not waited for. The rounds use
{fedavg[updates]:.0f} updates where a buffer uses {fedbuff_K-5[updates]:,.0f}, and reach 80 % and
the final accuracy of a buffer of twenty in the same time, within the spread of the seeds. A buffer
of one changes the model with every update, and its updates are
{fedbuff_K-1[staleness]:.0f} versions behind on average. It needs {fedbuff_K-1[to_80]:,.0f} s to
reach 80 %; a buffer of five needs {fedbuff_K-5[to_80]:,.0f} s and ends with the best accuracy,
{fedbuff_K-5[accuracy]:.1%}.
""",
        picture="groups",
    ),
    Theme(
        "churn",
        "Churn",
        ("updates", "failed", "staleness", "to_80", "accuracy"),
        """
Tasks take about 20 s, and clients stay for 30 s. If the work of a client that leaves is lost,
nearly half of all tasks fail ({lost[failed]:.0f} fail, {lost[updates]:.0f} are used). But a
failed task is replaced at once, and the server reaches 80 % in {lost[to_80]:.0f} s. Sending the
partial work gives more and smaller updates ({partial[updates]:.0f}) and the best accuracy,
{partial[accuracy]:.1%}. Resuming loses nothing, but is the worst choice: a client that is away
with a task keeps one of the ten places, so the server receives only {paused[updates]:.0f} updates
and needs {paused[to_80]:.0f} s to reach 80 %. Even clients that stay until their task is finished
({finish[updates]:.0f} updates) give no better result than lost work, within the spread of the
seeds.
""",
    ),
    Theme(
        "crash-faults",
        "Crash faults",
        ("updates", "failed", "corrupted", "rejected", "to_80", "accuracy", "worst"),
        """
Crashes and lost uploads cost time, but not accuracy. If three tasks in ten fail,
{crashes[updates]:.0f} updates are used in 300 s instead of {sound[updates]:.0f}. If as many
uploads are lost and repeated, {lost-uploads[updates]:.0f} are used. Both end within the seeds'
spread of the run without faults. Corrupted updates cost more: {corrupted[corrupted]:.1f} updates
with the wrong sign and length among {corrupted[updates]:.0f} reduce the final accuracy from
{sound[accuracy]:.1%} to {corrupted[accuracy]:.1%}, and that of the worst class to
{corrupted[worst]:.0%}. A limit on the norm is not a sufficient guard. It stops
{guarded[rejected]:.1f} of {guarded[corrupted]:.1f}, because ten times a short update is still
within the limit, and the run ends at {guarded[accuracy]:.1%}.
""",
    ),
    Theme(
        "device-trace",
        "Device trace",
        ("seconds", "staleness", "to_80", "accuracy"),
        """
It does, and in an unexpected direction. If a slow processor comes with a slow uplink, a few
devices are slow in both and the others in neither. The server then reaches 80 % in
{together[to_80]:.0f} s. If the two are drawn independently, more devices are slow in one of them,
and the server needs {apart[to_80]:.0f} s. Staleness ({together[staleness]:.1f} versions) and
final accuracy ({together[accuracy]:.1%} and {apart[accuracy]:.1%}) are the same. To draw the
columns of a trace independently is therefore not a neutral choice.
""",
    ),
    Theme(
        "varying-uplink",
        "Varying uplink",
        ("seconds", "staleness", "stalest", "to_80", "accuracy"),
        """
It is not. An upload that meets a weak time or a gap takes long, and a strong time does not make up
for it: 300 updates take {varying[seconds]:.0f} s instead of {means[seconds]:.0f} s. The mean
staleness is the same ({varying[staleness]:.1f} and {means[staleness]:.1f} versions), because it
follows from the concurrency and the buffer. The tail is not: the largest staleness is
{varying[stalest]:.0f} versions instead of {means[stalest]:.0f}. The time to 80 % of accuracy is
{varying[to_80]:.0f} and {means[to_80]:.0f} s, and the final accuracy {varying[accuracy]:.1%} and
{means[accuracy]:.1%}: three replications show no difference in either.
""",
    ),
    Theme(
        "million-clients",
        "Million clients",
        ("seconds", "updates", "staleness", "stalest", "idle"),
        """
A server with a buffer of 1,000 and 10,000 updates in flight has a mean staleness of (10,000 - 1)
/ 1,000 versions, whatever the size of the population. In the first 100,000 updates, which begin
without staleness, it is {million-clients[staleness]:.1f}. The tail is long: the largest staleness
among them is {million-clients[stalest]:,.0f} versions. A population of that size costs one
integer for each client that was ever sent a task. The table in
[`tests/benchmarks/results/scale.md`](../tests/benchmarks/results/scale.md) of an
earlier build shows a peak of 743 MB for a million updates of a million clients, of which the
imported libraries take 646 MB.
""",
        options="--timing-only --set stop.updates=100_000",
    ),
    Theme(
        "fast-clients-few-labels",
        "Fast clients that hold few labels",
        ("to_80", "accuracy", "worst", "seconds", "staleness"),
        """
It depends on which client receives the next task. Servers that draw the next client among the
idle ones receive updates from fast and slow clients about equally often. Over five seeds the
correlation costs them nothing measurable: {drawn-any[accuracy]:.1%} without and
{drawn-few[accuracy]:.1%} with it, and synchronous rounds {rounds-any[accuracy]:.1%} and
{rounds-few[accuracy]:.1%}. A server that keeps every client busy is by far the fastest, but
receives many more updates from the fast clients. There the accuracy falls from
{busy-any[accuracy]:.1%} to {busy-few[accuracy]:.1%}. The accuracy of the worst class, which slow
clients mostly hold, falls from {busy-any[worst]:.0%} to {busy-few[worst]:.0%}.
""",
    ),
    Theme(
        "writers",
        "Clients that see the digits differently",
        ("to_80", "accuracy", "worst", "seconds", "staleness"),
        """
Hardly. MNIST's files do not say who wrote a digit, so these writers are made up: each turns the
digits by an angle of up to 30 degrees and multiplies the normalised pixels by a factor between 0.5
and 1.5. The test images are as they are. This costs every server accuracy: rounds
{difference[rounds-same - rounds-own][accuracy]:.1%}, a server that draws the next client among the
idle ones {difference[drawn-same - drawn-own][accuracy]:.1%}, and one that keeps every client busy
{difference[busy-same - busy-own][accuracy]:.1%}. The cost of the drawn server is larger than
that of rounds, by
{difference[drawn-same - drawn-own beyond rounds-same - rounds-own][accuracy]:.1%},
and that of the busy server by
{difference[busy-same - busy-own beyond rounds-same - rounds-own][accuracy]:.1%}, which includes 0.
The busy server ends below rounds in both cases, with writers by
{difference[rounds-own - busy-own][accuracy]:.1%}. It hears mostly the fast clients. For
[QMNIST's real writers](../scenarios/your-files/qmnist-writers.yaml) there is a scenario that reads
your copy of the files.
""",
    ),
    Theme(
        "addresses",
        "Next-character prediction, by president",
        ("to_perplexity_9", "perplexity", "oldest", "latest", "seconds", "staleness"),
        """
The data are [excerpts of addresses](../scenarios/data/README.md) of 43 presidents. Washington's
device needs 72 s for a task, and Biden's 0.7 s. The model is an LSTM with one layer. A server that
draws the next client among the idle ones reaches perplexity 9 sooner than rounds do, by
{difference[rounds - drawn][to_perplexity_9]:.0f} s. It does not neglect the old presidents: after
the same 160 updates its perplexity on the test texts of the ten oldest is lower by
{difference[rounds - drawn][oldest]:.2f}, and on those of the ten latest by
{difference[rounds - drawn][latest]:.2f}. A server that keeps every client busy reaches perplexity 9
after {busy[to_perplexity_9]:.0f} s, and uses its 160 updates within {busy[seconds]:.0f} s. In this
time the slowest devices finish no task. Here the older English does suffer more. Compared with
rounds, the perplexity of the ten oldest is higher by {difference[busy - rounds][oldest]:.2f}, and
that of the ten latest by {difference[busy - rounds][latest]:.2f}.
""",
        picture="time-to-accuracy",
    ),
    Theme(
        "diabetes",
        "Regression on a table",
        ("to_rmse_56", "updates_to_rmse_56", "rmse", "seconds", "idle", "staleness"),
        """
The data are [442 patients](../scenarios/data/README.md) whom scikit-learn's diabetes set describes;
the clinics are made up. A clinic holds mostly patients with similar outcomes: ten bins of the
target are shared out by Dirichlet 0.3. All three servers need about as many updates to an RMSE of
56: {fedavg[updates_to_rmse_56]:.0f}, {fedbuff[updates_to_rmse_56]:.0f} and
{fedasync[updates_to_rmse_56]:.0f} on average, without a clear difference. They differ in time.
FedBuff is there sooner than FedAvg by {difference[fedavg - fedbuff][to_rmse_56]:.0f} s, and
FedAsync by {difference[fedavg - fedasync][to_rmse_56]:.0f} s. Between FedBuff and
FedAsync the difference in time is {difference[fedasync - fedbuff][to_rmse_56]:.0f} s, so three
seeds do not tell them apart. After 400 updates all three are close to an RMSE of 53, within the
spread of the seeds.
""",
        picture="time-to-accuracy",
    ),
    Theme(
        "own-heads",
        "A head of one's own",
        ("accuracy", "own", "fast_half", "slow_half", "seconds", "staleness"),
        """
It helps those who train. The fleet has 40 clients, and the accuracy is that on each client's own 50
test samples. *Own models* are: with `heads` and `fedrep` the shared layers with the client's own
last layer, with `ditto` the client's second model, and with `one` the global model after five steps
on the client's samples. With rounds, in which every client takes its turn, own heads raise the
accuracy by {difference[rounds-heads - rounds-one][accuracy]:.1%} over one model for all. With a
server that never waits, the fast half of the clients ends at {busy-heads[fast_half]:.1%}, close to
the {rounds-heads[fast_half]:.1%} of rounds. But the slow half ends at {busy-heads[slow_half]:.1%}.
In the {busy-heads[seconds]:.0f} s of the run, 2, 12 and 5 clients of the three seeds have not
finished a task, so that their heads are as they were at the start, and a head that knows nothing is
worse than one that fits the average. FedRep and Ditto, whose tasks take twice as long, do not help
the slow half: it ends at {busy-fedrep[slow_half]:.1%} and {busy-ditto[slow_half]:.1%}, and three
seeds do not tell them apart. Five steps of fine-tuning need no earlier task of the client. After
them the global model of the server that never waits reaches {busy-one[slow_half]:.1%} for the slow
half and {busy-one[fast_half]:.1%} for the fast one. That is
{difference[busy-one - busy-heads][slow_half]:.1%} above own heads for the slow half, an interval
that three seeds leave wide.
""",
    ),
    Theme(
        "energy",
        "Energy of phones and small computers",
        ("to_85", "kilojoules_to_85", "price_to_85", "accuracy", "kilojoules", "wasted"),
        """
A server that never waits, in both. FedBuff reaches 85 % after {fedbuff[to_85]:.0f} s, when
devices and server have used {fedbuff[kilojoules_to_85]:.1f} kJ; rounds of ten need
{fedavg[to_85]:.0f} s and {fedavg[kilojoules_to_85]:.1f} kJ. Rounds need more of both in each
replication, but three of them leave the differences wide:
{difference[fedavg - fedbuff][to_85]:.0f} s and
{difference[fedavg - fedbuff][kilojoules_to_85]:.1f} kJ. What the 200 updates of a whole run take is
clearer: in rounds {difference[fedavg - fedbuff][kilojoules]:.1f} kJ more, because idle devices and
the server need power while they wait for the slowest of ten. Sending tasks to five devices more
saves {difference[fedavg - over-selection][kilojoules]:.1f} kJ of that, but then
{over-selection[wasted]:.0%} of the energy goes into updates that are thrown away. They are paid
for, too: to 85 % over-selection costs {over-selection[price_to_85]:.2f}, rounds
{fedavg[price_to_85]:.2f} and FedBuff {fedbuff[price_to_85]:.2f}, all within the spread of the
replications.
""",
        picture="pareto",
    ),
    Theme(
        "model-by-device",
        "The model decides the time",
        ("to_80", "to_90", "accuracy", "seconds", "heard"),
        """
LeNet, after {lenet[to_90]:.0f} s. The perceptron is the first at 80 %; at 90 % it comes
{difference[perceptron - lenet][to_90]:.0f} s later, which three replications do not tell apart.
Their 300 updates take about as long: LeNet has more operations for each sample, and the perceptron
more than twice the bytes to send. The larger CNN takes {difference[cnn - lenet][to_90]:.0f} s
longer than LeNet to 90 %, and only {cnn[heard]:.0f} of the sixty devices can hold a batch of it.
With smaller batches all {cnn-smaller-batch[heard]:.0f} take part. The same 300 updates then take
{difference[cnn-smaller-batch - cnn][seconds]:.0f} s longer, since the devices with little memory
are the slow ones. Whether this pays in accuracy three replications do not tell: the difference is
{difference[cnn-smaller-batch - cnn][accuracy]:.1%}.
""",
        picture="time-to-accuracy",
    ),
)
