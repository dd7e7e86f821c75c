"""The page that says where things are names only what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_path_on_the_page_exists() -> None:
    paths = re.findall(r"`((?:platform|jobs|serve|tests|docs|examples|benchmarks|k8s)/[\w./-]*)`", PAGE)
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_floor_that_the_linter_holds_is_on_the_page() -> None:
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (floors,) = [contract for contract in contracts if contract.get("containers") == ["plait"]]
    above_ground = [name.strip() for floor in floors["layers"][:-1] for name in re.split(r"[|:]", floor)]
    assert len(above_ground) >= 10
    assert [name for name in above_ground if not re.search(rf"\b{name}\b", PAGE)] == []
