"""`ray start` as the local head runs it: Ray's own options, without the memory of Ray Serve."""

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


def test_the_head_starts_by_rays_own_command_without_ray_serve() -> None:
    found = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert "--min-worker-port" in found.stdout
    assert found.stdout.splitlines()[-1] == "imported:"
