"""The lines that the documents tell an operator to type, in an order in which one may type them at one cluster.

Between them stands what makes a line mean there what the page says: files, pages, a node that is down, a long drain.
"""

import shutil
from functools import partial
from typing import Final

from tests.docs.typed import Elsewhere, Stage, Typed
from tests.system.daemons import wait_until
from tests.system.rack import ALPHA, BETA, GAMMA, Rack

# Lines that can't be run beside others on the machine of a test, or cost too much: each with the test that runs it.
_GUEST: Final = Elsewhere(
    "tests/guest/test_nbd_attach.py::test_a_kernel_swaps_on_through_cut_connections_and_every_page_is_right",
    "tests/guest/init-nbd",
)
RUN_ELSEWHERE: Final = {
    # Devices of the kernel that runs.
    "ramsterctl nbd attach swap0 /dev/nbd0": _GUEST,
    "ramsterctl nbd attach vm1 /dev/nbd0 --server 10.0.2.2:10809": _GUEST,
    "ramsterctl nbd list": _GUEST,
    "ramsterctl nbd detach /dev/nbd0": _GUEST,
    "ramsterctl nbd detach nbd0": _GUEST,
    "ramsterctl nbd attach swap0 /dev/nbd0 --force": Elsewhere(
        "tests/unit/cli/test_nbd_swap.py::test_force_attaches_and_says_what_is_missing"
    ),
    # Limits of the machine.
    "ramsterctl doctor --swap --own-host --local --apply": Elsewhere(
        "tests/guest/test_own_swap.py::test_a_machine_that_swaps_to_itself_goes_on_and_has_every_page",
        "tests/guest/init-own",
    ),
    # Three more daemons.
    "ramsterctl demo": Elsewhere("tests/system/test_demo.py::test_all_that_it_claims_holds"),
    # A restart is two programs from their beginning, and one of them is in the story.
    "ramsterctl --socket alpha.sock restart": Elsewhere(
        "tests/docs/test_guide.py::test_a_restart_keeps_the_disk_and_a_stop_loses_it_as_getting_started_says"
    ),
    "ramsterctl restart --node beta": Elsewhere(
        "tests/system/test_other_nodes.py::test_over_tls_an_operator_at_one_node_changes_another"
    ),
}

_CONFIG: Final = "--config rack7/alpha/ramsterd.toml"
_CONFIG_OF_GAMMA: Final = "--config rack7/gamma/ramsterd.toml"
_SHORT: Final = "--seconds 0.1 --bytes 256KiB"
# What health and doctor say of a machine that runs tests: it may be short of processor time, or locked memory.
_OK_OR_WARNING: Final = (0, 1)
_ANY_VERDICT: Final = (0, 1, 2)


def _made(folder: str, *names: str) -> Stage:
    """See that a folder has what was to be made there, and nothing else."""

    def check(rack: Rack) -> None:
        assert {path.name for path in (rack.folder / folder).iterdir()} == set(names)

    return check


def _delete(folder: str) -> Stage:
    """As the documents say of what was copied to the nodes."""
    return lambda rack: shutil.rmtree(rack.folder / folder)


def _press_ctrl_c(_: Rack) -> None:
    raise KeyboardInterrupt


def _happens_at(name: str) -> Stage:
    """Let something happen that is an event."""
    return lambda rack: rack[name].ask("log-level-set", subsystem="net", level="info", seconds=None)


def _lower_watermark(rack: Rack) -> None:
    """Edit ramsterd.toml."""
    config = rack[ALPHA].config
    config.write_text(config.read_text().replace("[memory]\n", "[memory]\nhigh_watermark = 0.9\n"))


def _damage_state(rack: Rack) -> None:
    (rack[GAMMA].config.parent / "state" / "state.json").write_text("damaged")


def _wait_ended(name: str) -> Stage:
    """The command has seen that the process ended; see that it did so in order."""

    def wait(rack: Rack) -> None:
        assert rack[name].wait_end() == 0

    return wait


def _wait_node_down(rack: Rack) -> None:
    def is_said() -> bool:
        return any(each["code"] == "NODE_DOWN" for each in rack[ALPHA].ask("health")["codes"])

    wait_until(is_said, "alpha says NODE_DOWN")


def _others_take_pages(rack: Rack) -> None:
    for name in (BETA, GAMMA):
        rack[ALPHA].ask("node-uncordon", name=name)


def _fill(holder: str) -> Stage:
    """Have pages of alpha at one node, and no room at the other, until `_others_take_pages`."""

    def fill(rack: Rack) -> None:
        (other,) = {BETA, GAMMA} - {holder}
        rack[ALPHA].ask("node-cordon", name=other)
        rack.fill(holder)

    return fill


def _begin_drain(rack: Rack) -> None:
    done = rack.type("ramsterctl node drain gamma --detach")
    assert done.status == 0, done.said


def _add(name: str, number: int) -> Stage:
    """Have a member that nobody ever heard of, as one whose machine is gone for good."""
    node = {"name": name, "number": number, "address": "127.0.0.6", "port": 7700, "zone": ""}
    return lambda rack: rack[ALPHA].ask("node-add", node=node)


_Chapter = tuple[Stage, ...]

FILES: Final[_Chapter] = (
    Typed(
        "ramsterctl cluster init --name rack7 --nodes alpha=192.0.2.1,beta=192.0.2.2"
        " --budget 4GiB --export swap0=16GiB --out rack7",
        "rack7/alpha: copy to /etc/ramster on 192.0.2.1",
        folder="guide",
    ),
    _made("guide/rack7", "alpha", "beta", "ca"),
    Typed(
        "ramsterctl cluster init --name rack7 --nodes a=192.0.2.1,b=192.0.2.2,c=192.0.2.3"
        " --budget 4GiB --export swap0=16GiB --out rack7",
        "rack7/c: copy to /etc/ramster on 192.0.2.3",
        folder="operations",
    ),
    Typed(
        "ramsterctl cluster renew --from rack7 --out renewed",
        "renewed/c: copy node.pem and node.key",
        folder="operations",
    ),
    _made("operations/renewed", "a", "b", "c"),
    _delete("operations/renewed"),
    Typed(
        "ramsterctl cluster renew --from rack7 --out renewed --new-ca",
        "first copy ca.pem alone to all nodes",
        folder="operations",
    ),
    _made("operations/renewed", "a", "b", "c", "ca"),
    _delete("operations/renewed"),
    Typed(
        "ramsterctl cluster renew a --from rack7 --out renewed",
        "renewed/a: copy node.pem and node.key",
        folder="operations",
    ),
    _made("operations/renewed", "a"),
    Typed(
        "ramsterctl cluster add-node delta=10.0.0.4 --from rack7 --zone rack2 --budget 4GiB --export swap0=16GiB",
        "ramsterctl node add --number 4 --name delta --address 10.0.0.4 --port 7700 --zone rack2",
        folder="operations",
    ),
    _made("operations/rack7", "a", "b", "c", "ca", "delta"),
    Typed(
        "ramsterctl cluster init --name rack7 --out rack7"
        " --nodes worker-1=192.0.2.11,worker-2=192.0.2.12,worker-3=192.0.2.13",
        "rack7/worker-3: copy to /etc/ramster on 192.0.2.13",
        folder="packages",
    ),
    Typed(
        "ramsterctl cluster init --name rack7 --nodes alpha=10.0.0.1,beta=10.0.0.2 --out rack7",
        "rack7/beta: copy to /etc/ramster on 10.0.0.2",
        folder="help",
    ),
    Typed(
        "ramsterctl cluster add-node delta=10.0.0.4 --from rack7",
        "ramsterctl node add --number 3 --name delta --address 10.0.0.4",
        folder="help",
    ),
    Typed(
        "ramsterctl cluster renew alpha --from rack7 --out renewed",
        "renewed/alpha: copy node.pem and node.key",
        folder="help",
    ),
    # The cluster itself.
    Typed(
        "ramsterctl cluster renew gamma --from rack7 --out renewed",
        "renewed/gamma: copy node.pem and node.key",
    ),
    _made("renewed", GAMMA),
    _delete("renewed"),
    Typed("ramsterctl cluster renew --from DIR --out renewed", "renewed/alpha: copy node.pem"),
    Typed("ramsterctl completion bash", "_ramsterctl_completion"),
)

START: Final[_Chapter] = (
    Typed("ramsterd check-config", "cluster rack7 of 3 nodes", more=_CONFIG),
    Typed(
        "ramsterd check-config --config ramsterd.toml",
        "ramsterd.toml: node gamma (3) at 127.0.0.1",
        folder="rack7/gamma",
    ),
    Typed("ramsterd run --config alpha.toml", "starts as node alpha (1) of cluster rack7"),
    Typed("ramsterd run --config beta.toml", "starts as node beta (2)", at=BETA),
    Typed(
        "ramsterd run --config ramsterd.toml",
        "starts as node gamma (3)",
        at=GAMMA,
        folder="rack7/gamma",
    ),
    Rack.wait_linked,
)

LOOK: Final[_Chapter] = (
    Typed("ramsterctl version", "node gamma"),
    Typed("ramsterctl status", "node alpha (number 1) of cluster rack7"),
    Typed("ramsterctl --socket alpha.sock status", "node alpha (number 1)"),
    Typed("ramsterctl --socket PATH status", "node alpha (number 1)", at=BETA),
    Typed("ramsterctl --socket /run/alpha/control.sock status", "node alpha (number 1)", at=BETA),
    Typed("ramsterctl --socket /run/ramster-b/control.sock status", "node beta (number 2)"),
    Typed("ramsterctl status --node beta", "node beta (number 2)"),
    Typed("ramsterctl status -o json", '"cluster": "rack7"'),
    Typed("ramsterctl nodes", "gamma"),
    Typed("ramsterctl --socket alpha.sock nodes", "gamma"),
    Typed("ramsterctl nodes -o wide", "INCARNATION"),
    Typed("ramsterctl nodes --cluster", "NODE"),
    Typed("ramsterctl exports", "swap0"),
    Typed("ramsterctl --socket alpha.sock exports", "disk0"),
    Typed("ramsterctl exports --cluster -o wide", "EXACT SIZE"),
    Typed("ramsterctl pools", "OBJECTS"),
    Typed("ramsterctl --socket control.sock pools", "OBJECTS", at=BETA),
    Typed("ramsterctl pools --cluster", "OBJECTS"),
    Typed("ramsterctl memory show", "the budget is 4 MiB"),
    Typed("ramsterctl memory show --cluster", "the budget is 16 MiB"),
    Typed("ramsterctl jobs", "node alpha has no jobs"),
    Typed("ramsterctl jobs --node beta", "node beta has no jobs"),
    Typed("ramsterctl jobs --cluster", "node gamma has no jobs"),
    Typed("ramsterctl events", "daemon_started"),
    Typed("ramsterctl events --since 10m", "link_up"),
    Typed("ramsterctl events --since 1h", "link_up"),
    Typed(
        "ramsterctl events --since 1h --kind node_down --kind pages_lost",
        "TIME (UTC)",
        says_not="link_up",
    ),
    Typed("ramsterctl events --kind health_changed", "TIME (UTC)", says_not="link_up"),
    Typed("ramsterctl events --kind writes_refused", "TIME (UTC)", says_not="link_up"),
    Typed("ramsterctl events --cluster --since 1h", "node gamma is ready"),
    Typed("ramsterctl events -o json", '"kind": "daemon_started"'),
    # What the first answer can't have is followed.
    Typed(
        "ramsterctl events --follow",
        "info      log_level_changed",
        seen={"daemon_started": _happens_at(ALPHA), "log_level_changed": _press_ctrl_c},
    ),
    Typed(
        "ramsterctl events --cluster --since 1h --follow",
        "gamma  info      log_level_changed",
        seen={
            "node gamma is ready": _happens_at(GAMMA),
            "gamma  info      log_level_changed": _press_ctrl_c,
        },
    ),
    Typed("ramsterctl top", "rack7 / alpha"),
    Typed("ramsterctl top --cluster", "3 members, asked through alpha"),
    Typed("ramsterctl health", "failure tolerance: ", _OK_OR_WARNING),
    Typed("ramsterctl health --cluster", "3 nodes: ", _OK_OR_WARNING),
    Typed("ramsterctl doctor", " checks: ", _ANY_VERDICT, more=_CONFIG),
    Typed("ramsterctl doctor --swap", " checks: ", _ANY_VERDICT, more=_CONFIG),
    Typed("ramsterctl doctor --swap --own-host", " checks: ", _ANY_VERDICT, more=_CONFIG),
    Typed("ramsterctl doctor --swap -o json", '"checks": [', _ANY_VERDICT, more=_CONFIG),
    Typed("ramsterctl bench", "no verdict: name a folder", more=_SHORT),
    Typed("ramsterctl bench --path /var/lib", " at reads of one page: ", more=_SHORT),
)

CHANGE: Final[_Chapter] = (
    Typed("ramsterctl log-level net debug --for 10m", "for 10m more"),
    Typed("ramsterctl log-level", "for 10m more"),
    Typed("ramsterctl log-level all warning", "until a restart"),
    Typed("ramsterctl log-level --reset", "info", says_not="until a restart"),
    _lower_watermark,
    Typed("ramsterctl config reload", "applied: memory.high_watermark: 0.9, was 0.92"),
    Typed("ramsterctl config reload --node beta", "no key of ramsterd.toml has changed"),
    Typed("ramsterctl export add scratch --size 16GiB", "export scratch is there: 16 GiB, blank"),
    Typed(
        "ramsterctl export resize scratch --size 32GiB", "export scratch is resized: 32 GiB, blank"
    ),
    Typed("ramsterctl export remove scratch", "export scratch is removed"),
    Typed(
        'ramsterctl export add scratch --size 16GiB --description "build trees"',
        "export scratch is there: 16 GiB, blank",
    ),
    Typed("ramsterctl export remove scratch --force", "export scratch is removed"),
)

NODE_DOWN: Final[_Chapter] = (
    Typed("ramsterctl stop", "the daemon has stopped", at=GAMMA),
    _wait_ended(GAMMA),
    _damage_state,
    Typed(
        "ramsterd reset-state --config /etc/ramster/ramsterd.toml", "the damaged file is kept as"
    ),
    Typed("ramsterd reset-state", "lost: swap0; start ramsterd", more=_CONFIG_OF_GAMMA),
    _wait_node_down,
    Typed("ramsterctl health", "WARN   NODE_DOWN", 1),
    Typed("ramsterctl health --cluster", "ERR    NODE_DOWN", 2),
    Typed("ramsterctl health mute NODE_DOWN --for 1h", "NODE_DOWN is muted for 1h"),
    Typed("ramsterctl health", "MUTED  NODE_DOWN", _OK_OR_WARNING),
    Typed("ramsterctl health unmute NODE_DOWN", "NODE_DOWN counts again"),
    Typed("ramsterd run", "starts as node gamma (3)", at=GAMMA, more=_CONFIG_OF_GAMMA),
    Rack.wait_linked,
    Typed("ramsterctl exports", "lost", at=GAMMA),
    Typed("ramsterctl export reset swap0", "export swap0 is blank", at=GAMMA),
)

PAGES: Final[_Chapter] = (
    _fill(BETA),
    _others_take_pages,
    Typed("ramsterctl verify", "pages checked, 0 damaged"),
    Typed("ramsterctl verify --invariants", "verify-3 of "),
    Typed("ramsterctl memory set --budget 12MiB", "the budget is 12 MiB", at=BETA),
    Typed("ramsterctl memory set --budget 8GiB --node beta", "the budget is 24 MiB"),
    Typed("ramsterctl memory set --budget 12GiB", "the budget is 20 MiB", at=GAMMA),
    Typed("ramsterctl memory set --budget SIZE", "the budget is 16 MiB", at=GAMMA),
    Typed("ramsterctl restart", "the daemon serves again"),
    Rack.wait_linked,
)

MEMBERS: Final[_Chapter] = (
    Typed("ramsterctl node cordon gamma", "is cordoned\n"),
    Typed("ramsterctl node uncordon gamma", "is uncordoned\n"),
    Typed("ramsterctl node cordon NAME", "is cordoned\n", names={"NAME": GAMMA}),
    Typed("ramsterctl node uncordon NAME", "is uncordoned\n", names={"NAME": GAMMA}),
    Typed(
        "ramsterctl node add --number 4 --name delta --address 10.0.0.4 --zone rack2",
        "node delta (4) at 127.0.0.4:7700 is added\n",
    ),
    Typed(
        "ramsterctl node set NAME --address ADDRESS",
        "node delta (4) at 127.0.0.5:7700 is moved\n",
        names={"NAME": "delta"},
    ),
    Typed("ramsterctl node remove NAME", "is removed\n", names={"NAME": "delta"}),
    Typed("ramsterctl node set gamma --address 10.0.1.3", "is moved\n"),
    Rack.wait_linked,
)

DRAIN: Final[_Chapter] = (
    # There is no room elsewhere: a drain goes on until it is cancelled.
    _fill(GAMMA),
    _begin_drain,
    Typed("ramsterctl jobs", "drain-"),
    Typed("ramsterctl job cancel drain-4", " of node gamma: cancelled: "),
    _begin_drain,
    Typed("ramsterctl job cancel drain-1", " of node gamma: cancelled: "),
    _begin_drain,
    Typed("ramsterctl job cancel JOB", " of node gamma: cancelled: "),
    _others_take_pages,
    Typed("ramsterctl node drain gamma --dry-run", "there is room; nothing has changed"),
    _begin_drain,
    Typed("ramsterctl job watch drain-4", " of node gamma: done, "),
    Typed("ramsterctl job watch drain-1", " of node gamma: done, "),
    Typed("ramsterctl job watch JOB", " of node gamma: done, "),
    Typed("ramsterctl node uncordon gamma", "is uncordoned\n"),
    _fill(GAMMA),
    _others_take_pages,
    Typed(
        "ramsterctl node remove gamma",
        "node gamma was not removed, only cordoned: gamma has the last copy of ",
        1,
    ),
    Typed("ramsterctl node drain gamma", " of node gamma: done, "),
    Typed('ramsterctl node drain gamma --deadline 2h -m "a new kernel"', " of node gamma: done, "),
    Typed("ramsterctl node drain NAME", " of node gamma: done, ", names={"NAME": GAMMA}),
    Typed(
        "ramsterctl node drain NAME --deadline 2h", " of node gamma: done, ", names={"NAME": GAMMA}
    ),
    Typed("ramsterctl node remove gamma", "is removed\n"),
    Typed("ramsterctl stop", "the daemon has stopped", at=GAMMA),
    _wait_ended(GAMMA),
    _add(GAMMA, 5),
    Typed("ramsterctl node remove gamma --force", "is removed\n"),
    _add("epsilon", 6),
    Typed("ramsterctl node remove NAME --force", "is removed\n", names={"NAME": "epsilon"}),
)

END: Final[_Chapter] = (
    Typed("ramsterctl stop", "the daemon has stopped", at=BETA),
    _wait_ended(BETA),
    Typed(
        "ramsterd run --discard-memory",
        "an operator has discarded them",
        at=BETA,
        more="--config rack7/beta/ramsterd.toml",
    ),
    Rack.wait_linked,
    partial(Rack.write_a_page, export="disk0"),
    partial(Rack.write_a_page, export="disk1"),
    lambda rack: rack.write_to_pools("spill", "cache", "index"),
    Typed("ramsterctl stop", "nothing was stopped: node alpha still owns ", 1),
    Typed("ramsterctl stop --forget", "the daemon has stopped"),
    _wait_ended(ALPHA),
    Typed("ramsterd run --config FILE", "starts as node alpha (1)"),
    Typed("ramsterctl exports", "lost"),
    Typed("ramsterctl export reset swap0", "export swap0 is blank"),
    Typed("ramsterctl --socket alpha.sock export reset disk0", "export disk0 is blank"),
    Typed("ramsterctl export reset NAME", "export disk1 is blank", names={"NAME": "disk1"}),
    Typed("ramsterctl pool reset 1000 spill", "pool 'spill' of user "),
    Typed("ramsterctl pool reset 1000 cache", "pool 'cache' of user "),
    Typed("ramsterctl pool reset USER NAME", "pool 'index' of user ", names={"NAME": "index"}),
)

STORY: Final = (*FILES, *START, *LOOK, *CHANGE, *NODE_DOWN, *PAGES, *MEMBERS, *DRAIN, *END)
