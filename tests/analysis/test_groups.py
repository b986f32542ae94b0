"""What the groups of a fleet did: tables and figures."""

import numpy as np
import pytest
from fake_runs import fake_run
from figure_checks import grouped
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import FIGURES
from afl_sim.analysis.by_group import group_table
from afl_sim.analysis.figures.fleet import present
from afl_sim.analysis.report.clients import client_table
from afl_sim.analysis.series import staleness_rows, update_share
from afl_sim.analysis.usable import CannotDraw
from afl_sim.scenario.sections.group_members import members
from afl_sim.scenario.sections.groups import ClientGroup
from afl_sim.streams import Streams


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return grouped(fake_run(tmp_path_factory.mktemp("groups") / "a", updates=120, seed=3))


def phones_in(run):
    groups = [ClientGroup.model_validate(each) for each in run.scenario["clients"]["groups"]]
    return np.flatnonzero(members(groups, 40, Streams(3)) == 0).tolist()


def test_a_run_knows_the_group_of_each_client(run):
    found = run.client_groups
    assert found.index[found == "phones"].tolist() == phones_in(run)
    assert found.cat.categories.tolist() == ["phones", "desktops of a university"]
    assert len(found) == 40


def test_the_table_sums_over_the_clients_of_a_group(run):
    table, phones = group_table(run), phones_in(run)
    assert table["clients"].tolist() == [20, 20]
    assert table["share"].tolist() == [50, 50]
    assert table.loc["phones", "updates"] == pytest.approx(100 * update_share(run)[phones].sum())
    assert table["updates"].sum() == pytest.approx(100)
    rows = staleness_rows(run)
    own = rows.loc[rows["client"].isin(phones), "staleness"]
    assert table.loc["phones", "staleness"] == pytest.approx(own.mean())


def test_a_run_without_groups_has_an_empty_table(tmp_path):
    plain = fake_run(tmp_path / "plain", updates=20)
    assert len(plain.client_groups) == len(group_table(plain)) == 0
    assert "group" not in client_table(plain)
    with pytest.raises(CannotDraw, match=r"no groups of clients \(clients\.groups\)"):
        FIGURES["groups"].function([plain])


def test_the_table_of_clients_names_their_groups(run):
    table = client_table(run)
    assert table.index[table["group"] == "phones"].tolist() == phones_in(run)


def test_presence_is_the_share_of_each_groups_clients_that_are_there(run):
    seconds, shares = present(run)
    assert shares["desktops of a university"].tolist() == [1.0] * len(seconds)
    assert shares["phones"].mean() == pytest.approx(0.4, abs=0.05)
    assert set(np.round(20 * shares["phones"])) == set(20 * shares["phones"]), "of 20 clients"


def test_fleets_that_are_alike_share_a_panel(run, tmp_path):
    other = grouped(fake_run(tmp_path / "b", strategy="fedavg", updates=30, seed=3))
    assert len(FIGURES["presence"].function([run, other]).axes) == 1
    third = grouped(fake_run(tmp_path / "c", label=r"$\foo$", updates=30, clients=30))
    panels = FIGURES["presence"].function([run, other, third]).axes
    assert [axes.get_title() for axes in panels] == [f"{run.label}, {other.label}", r"\$\foo\$"]


def test_clients_that_are_always_there_have_no_figure_of_presence(tmp_path):
    with pytest.raises(CannotDraw, match="always available"):
        FIGURES["presence"].function([fake_run(tmp_path / "plain", updates=20)])


def test_clients_whose_batteries_are_charged_are_away(tmp_path):
    settings = [
        "stop={virtual_seconds: 300}",
        "clients.power={download: 0, compute: 2, upload: 0, idle: 0}",
        "clients.groups=[{name: phones, share: 0.5, battery: {capacity: 20, charging: 4}}, "
        "{name: desktops, share: 0.5}]",
    ]
    run, other = (
        simulate(
            load_scenario(
                SMALLEST, [*settings, f"strategy={{kind: fedasync, concurrency: {many}}}"]
            ),
            tmp_path / str(many),
            timing_only=True,
        )
        for many in (10, 2)
    )
    seconds, shares = present(run)
    assert shares["desktops"].tolist() == [1.0] * len(seconds)
    mine, away = run.client_groups, 0.0
    for client in mine.index[mine == "phones"]:
        rows = run.events[run.events["client"] == client]
        rows = rows[rows["kind"].isin(["available", "unavailable"])]
        assert rows["kind"].tolist()[:2] == ["unavailable", "available"]
        times = [*rows["time_us"] / 1e6, *([300.0] if len(rows) % 2 else [])]
        away += sum(b - a for a, b in zip(times[::2], times[1::2], strict=True))
    assert 1 - shares["phones"].mean() == pytest.approx(away / 5 / 300, abs=0.01)
    # Who is charged when depends on what the strategy asks of the clients.
    assert len(FIGURES["presence"].function([run, other]).axes) == 2
