"""
What is installed, and what is left when it is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.compiling import COMPILES
from tests.support.live import PATIENCE, ROOT

PLUGIN = "twisted/plugins/echotwist_plugin.py"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """
    Run a command that works, and give what it prints.
    """
    run = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A copy of the project, so that building leaves nothing in it.
    """
    copy = tmp_path_factory.mktemp("source") / "echotwist"
    ignored = shutil.ignore_patterns("build", "*.egg-info", "venv", ".*", "_trial_temp*", "*.so")
    return Path(shutil.copytree(ROOT, copy, ignore=ignored))


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """
    Where the source distribution is, and the wheel made of it, built as anybody would.
    """
    run(sys.executable, "-m", "build", cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """
    The wheel.
    """
    [found] = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The commands of a new environment, which each test leaves as it was.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    return folder / "bin"


def commandsOf(twistd: Path, cwd: Path) -> str:
    """
    Return the help of twistd, as seen from a folder that has nothing to do with us.
    """
    return run(twistd, "--help", cwd=cwd)


@pytest.mark.slow
def test_wheel(wheel: Path) -> None:
    """
    The wheel holds the plugin, the package with its types and its schemas, and no tests;
    and what was compiled, for this version of Python and all later ones.
    """
    names = set(ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "echotwist").rglob("*.py")}
    schemas = {str(path.relative_to(ROOT)) for path in (ROOT / "echotwist").rglob("schema.json")}
    data = {"echotwist/py.typed", "echotwist/fast/speedups.pyi", *schemas}
    assert {PLUGIN} | data | modules <= names
    assert not [name for name in names if name.startswith("tests") or "dropin" in name]
    if COMPILES:
        assert "echotwist/fast/speedups.abi3.so" in names
        assert "-cp310-abi3-linux_" in wheel.name
    assert "twisted/__init__.py" not in names
    assert "twisted/plugins/__init__.py" not in names


@pytest.mark.slow
def test_indexed(wheel: Path, tmp_path: Path) -> None:
    """
    A package index can show README: twine finds no fault, and no link leads to a file.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, cwd=tmp_path)
    files = ZipFile(wheel)
    [name] = [one for one in files.namelist() if one.endswith("/METADATA")]
    _, _, text = files.read(name).decode().partition("\n\n")
    from docutils.core import publish_doctree
    from docutils.nodes import image, reference

    shown = publish_doctree(text, settings_overrides={"report_level": 2, "halt_level": 2})
    links = [node["refuri"] for node in shown.findall(reference)]
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
    assert not list(shown.findall(image))


@pytest.mark.slow
def test_install(wheel: Path, environment: Path, tmp_path: Path) -> None:
    """
    Installed, ``twistd`` knows ``echo``, and there is ``echoprobe``; removed, it forgets
    without a word.
    """
    run(environment / "pip", "install", wheel, cwd=tmp_path)
    said = commandsOf(environment / "twistd", tmp_path).splitlines()
    [line] = [line for line in said if line.split()[:1] == ["echo"]]
    assert "RFC 862" in line
    assert "echotwist" in run(environment / "echoprobe", "--version", cwd=tmp_path)
    run(environment / "pip", "uninstall", "-y", "echotwist", cwd=tmp_path)
    said = commandsOf(environment / "twistd", tmp_path).splitlines()
    assert not [line for line in said if "echo" in line or "Error" in line or "Traceback" in line]
    assert not list((environment.parent / "lib").rglob("*echotwist*"))


@pytest.mark.slow
def test_editable(source: Path, environment: Path, tmp_path: Path) -> None:
    """
    So it does with an editable install.
    """
    run(environment / "pip", "install", "-e", source, cwd=tmp_path)
    assert "RFC 862" in commandsOf(environment / "twistd", tmp_path)
    run(environment / "pip", "uninstall", "-y", "echotwist", cwd=tmp_path)


@pytest.mark.slow
def test_noCompiler(built: Path, environment: Path, tmp_path: Path) -> None:
    """
    Without a compiler it is installed all the same, from its source, without a word, and
    says which way it runs.
    """
    [made] = built.glob("*.tar.gz")
    said = run(
        environment / "pip", "install", made, cwd=tmp_path, CC="/nowhere/cc", PATH="/nowhere"
    )
    assert "error" not in said.lower()
    assert not list((environment.parent / "lib").rglob("speedups*.so"))
    run(environment / "twistd", "--help", cwd=tmp_path)
    said = run(environment / "twistd", "echo", "--version", cwd=tmp_path)
    assert said.strip().endswith("fast: python" if sys.platform == "linux" else "portable")
    run(environment / "pip", "uninstall", "-y", "echotwist", cwd=tmp_path)


@pytest.mark.slow
def test_source(built: Path, tmp_path: Path) -> None:
    """
    The source distribution holds all that the repository does.
    """
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    [made] = built.glob("*.tar.gz")
    listed = run("tar", "-tzf", made, cwd=tmp_path).splitlines()
    held = {name.partition("/")[2] for name in listed}
    tracked = run("git", "ls-files", cwd=ROOT).splitlines()
    assert {name for name in tracked if not name.startswith(".")} <= held


@pytest.mark.slow
def test_plugin(environment: Path, tmp_path: Path) -> None:
    """
    The plugin of the lesson can be installed as any package: its tests pass under trial,
    ``twistd`` knows the command, and it answers.
    """
    built = shutil.copytree(ROOT / "docs" / "lesson" / "programs" / "yousaid", tmp_path / "built")
    run(environment / "pip", "install", built, cwd=tmp_path)
    assert "PASSED (successes=3)" in run(
        environment / "trial", "yousaid.test.test_protocol", cwd=tmp_path
    )
    assert "Answers each line" in commandsOf(environment / "twistd", tmp_path)
    words = ["-n", "--pidfile=", "yousaid", "--listen=tcp:0:interface=127.0.0.1", "--prefix=> "]
    command: list[str | Path] = [environment / "twistd", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = (re.search(r"starting on (\d+)", line) for line in process.stdout)
        port = int(next(filter(None, found))[1])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"coucou\n")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"> coucou\n"
        process.terminate()
    run(environment / "pip", "uninstall", "-y", "yousaid", cwd=tmp_path)
    assert "yousaid" not in commandsOf(environment / "twistd", tmp_path)
