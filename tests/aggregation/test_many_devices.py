"""Runs on_many_devices.py where there are eight devices."""

from pathlib import Path

from many_devices import pass_on_eight


def test_on_many_devices():
    pass_on_eight(Path(__file__).with_name("on_many_devices.py"))
