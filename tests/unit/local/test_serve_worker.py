"""A worker of Ray Serve's: Ray Serve is there, pandas only for whoever imports it."""

import subprocess
import sys

from ray._common.utils import load_class

from plait.local.serve_worker import SETUP_HOOK, import_serve

_SCRIPT = """
import sys
from plait.local.serve_worker import import_serve
import_serve()
print("ray.serve" in sys.modules, "pandas" in sys.modules)
import pandas
import_serve()
print(pandas.Series([1, 2]).sum())
"""


def test_ray_serve_is_imported_without_pandas_which_can_be_imported_later() -> None:
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False", "3"]


def test_ray_finds_what_the_setup_hook_names() -> None:
    assert load_class(SETUP_HOOK) is import_serve
