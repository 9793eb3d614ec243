"""Which user is at the other end, and which users the config allows."""

import os
import pwd
import socket

import pytest

from ramsterd.frontends.tmem.users import allowed_users, peer_user


def test_nobody_named_means_root_and_ourselves() -> None:
    assert allowed_users(()) == {0, os.geteuid()}


def test_names_and_ids_may_be_mixed() -> None:
    root = pwd.getpwuid(0).pw_name
    assert allowed_users((root, 1234)) == {0, 1234}
    with pytest.raises(KeyError):
        allowed_users(("no such user here",))


def test_the_kernel_says_who_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_user(ours) == os.geteuid()
