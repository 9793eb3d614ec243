"""Several nodes are asked beside each other: what is shown, and what becomes of one that says nothing."""

import json
from pathlib import Path

import click
from click.testing import CliRunner, Result

from ramsterd.cli.gather import show_answers, table_of
from ramsterd.cli.output import OUTPUT_OPTION, Output
from ramsterd.cli.tables import format_pools
from ramsterd.cli.target import Target, at_nodes
from tests.fakes.answering_cluster import AnsweringCluster

TARGET = Target(Path("socket"))
POOL = {
    "user": 1000,
    "name": "cache",
    "kind": "ephemeral",
    "codec": "lz4",
    "pages": 7,
    "objects": 1,
    "connections": 1,
}


def run(cluster: AnsweringCluster, *arguments: str) -> Result:
    @click.command()
    @at_nodes
    @OUTPUT_OPTION
    @click.pass_obj
    def pools(target: Target, output: Output) -> None:
        show_answers(
            cluster.ask, cluster.ask_each, target, output, "pools", table_of(format_pools, output)
        )

    return CliRunner().invoke(pools, arguments, obj=TARGET)


def test_without_options_the_node_at_hand_is_asked() -> None:
    cluster = AnsweringCluster(alpha=[POOL], beta=[])
    assert run(cluster).output.splitlines() == [
        "USER  NAME   KIND       CODEC  PAGES  OBJECTS  CLIENTS",
        "1000  cache  ephemeral  lz4        7        1        1",
    ]
    assert cluster.asked == [""]


def test_another_node_is_asked_by_name() -> None:
    cluster = AnsweringCluster(alpha=[], beta=[POOL])
    assert json.loads(run(cluster, "--node", "beta", "-o", "json").output) == [POOL]
    assert cluster.asked == ["beta"]


def test_rows_of_all_members_stand_in_one_table() -> None:
    result = run(AnsweringCluster(alpha=[POOL], beta=[POOL]), "--cluster")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "NODE   USER  NAME   KIND       CODEC  PAGES  OBJECTS  CLIENTS",
        "alpha  1000  cache  ephemeral  lz4        7        1        1",
        "beta   1000  cache  ephemeral  lz4        7        1        1",
    ]


def test_a_member_that_says_nothing_is_a_line_and_status_1() -> None:
    result = run(
        AnsweringCluster(alpha=[POOL], beta="node beta has no link to node alpha"), "--cluster"
    )
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:] == [
        "alpha  1000  cache  ephemeral  lz4        7        1        1"
    ]
    assert result.stderr == "ramsterctl: beta: node beta has no link to node alpha\n"


def test_the_json_of_all_members_is_an_object_by_name() -> None:
    result = run(AnsweringCluster(alpha=[POOL], beta="no link"), "--cluster", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"alpha": [POOL], "beta": {"error": "no link"}}


def test_one_node_and_all_of_them_contradict_each_other() -> None:
    result = run(AnsweringCluster(alpha=[]), "--cluster", "--node", "beta")
    assert result.exit_code == 2
    assert "--node is one node, and --cluster every member" in result.output


def test_what_a_node_of_another_version_says_does_not_hide_the_others() -> None:
    result = run(AnsweringCluster(alpha=[POOL], beta=[{"user": 7}], gamma=7), "--cluster")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NODE", "alpha"]
    why = "this program can't show what it says: compare `ramsterctl version`, or use -o json"
    assert result.stderr.splitlines() == [
        f"ramsterctl: {each}: {why}" for each in ("beta", "gamma")
    ]
