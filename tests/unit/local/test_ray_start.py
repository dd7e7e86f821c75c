"""`ray start` as the local head runs it: Ray's own options, without Ray Serve's memory and Ray's client server."""

import subprocess
import sys

_SCRIPT = """
import sys
sys.argv = ["ray", "start", "--help"]
from plait.local.ray_start import main
try:
    main()
finally:
    print("imported:", *sorted({"fastapi", "pandas"} & set(sys.modules)))
"""
_WITHOUT_A_CLIENT_SERVER = """
import sys
sys.argv = ["ray", "start", "--head", "--port=7"]
import ray._private.parameter as parameter
class Params:
    def __init__(self, **given):
        sys.exit(f"client server: {given['ray_client_server_port']}")
parameter.RayParams = Params
from plait.local.ray_start import main
main()
"""


def test_the_head_starts_by_rays_own_command_without_ray_serve() -> None:
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert "--min-worker-port" in found.stdout
    assert found.stdout.splitlines()[-1] == "imported:"


def test_no_client_server_is_started() -> None:
    found = subprocess.run([sys.executable, "-c", _WITHOUT_A_CLIENT_SERVER], capture_output=True, text=True)
    assert found.stderr.splitlines()[-1] == "client server: None"
