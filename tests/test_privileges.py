"""How to let this process capture, said so that no other program may; and that it gives every capability up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from receiver import privileges

ROOT = Path(__file__).resolve().parent.parent

# As somebody who may not, outside a container.
ASK = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from receiver import privileges
os.geteuid = lambda: 1000
privileges.may_capture = lambda: False
privileges._status = lambda path: {{"NoNewPrivs": sys.argv[1]}}
print(privileges.explain_denied())
"""


def advice(python: Path, no_new_privileges: int = 0) -> str:
    command = [str(python), "-c", ASK, str(no_new_privileges)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(folder: Path, *options: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *options, str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.mark.parametrize("no_new_privileges", [0, 1])
@pytest.mark.parametrize("link", ["--symlinks", "outside", "hard link"])
def test_an_interpreter_that_others_share_is_not_given_the_capability(link: str, no_new_privileges: int, tmp_path: Path) -> None:
    """What `python3 -m venv` makes is a link to everybody's; some tools make a second name of the file."""
    if link == "hard link":
        python = environment(tmp_path, "--copies")
        os.link(python.resolve(), tmp_path / "elsewhere")
    elif link == "outside":
        python = Path(sys._base_executable)  # type: ignore[attr-defined]  # in no virtual environment
    else:
        python = environment(tmp_path, link)
    line = advice(python, no_new_privileges)
    assert "python3 -m venv --copies" in line
    assert str(python) not in line
    assert str(python.resolve()) not in line
    assert "AmbientCapabilities=CAP_NET_RAW" in line or no_new_privileges


@pytest.mark.parametrize("no_new_privileges", [0, 1])
def test_an_interpreter_of_its_own_is_named(no_new_privileges: int, tmp_path: Path) -> None:
    python = environment(tmp_path, "--copies")
    line = advice(python, no_new_privileges)
    assert str(python.resolve()) in line
    assert (f"setcap cap_net_raw+ep {python.resolve()}, or run as root" in line) != bool(no_new_privileges)


def test_the_reason_why_capturing_is_denied_is_one_line() -> None:
    assert "\n" not in privileges.explain_denied()


# In a process of its own: what is dropped does not come back.
DROP_PROGRAM = """
import os, sys
from pathlib import Path
from receiver import privileges
print(privileges.may_capture(), privileges.drop_capabilities(), privileges.may_capture())
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith(("Cap", "NoNew")):
        print(line.split()[1], end=" ")
print()
print(privileges.explain_denied())
"""


def test_every_capability_is_dropped() -> None:
    shown = subprocess.run([sys.executable, "-c", DROP_PROGRAM], capture_output=True, text=True, check=True)
    first, sets, denied = shown.stdout.splitlines()
    assert first.split()[1:] == ["True", "False"]
    inherited, permitted, effective, bounding, ambient, no_new = sets.split()
    assert {int(s, 16) for s in (inherited, permitted, effective, ambient)} == {0}
    if os.geteuid() == 0 and first.startswith("True"):
        assert int(bounding, 16) == 0
    assert no_new == "1"
    assert "CAP_NET_RAW is missing" in denied
