"""
What is in ``deploy/`` for a watch, and a Prometheus that uses it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from echotwist.probe.options import WatchOptions
from echotwist.probe.watch.file import entriesIn
from echotwist.probe.watch.settings import WatchSettings
from tests.support.live import BIN, PATIENCE, ROOT, freePort, ours, waitUntil
from tests.support.watching import NOBODY, fileOf, watching

pytestmark = pytest.mark.oneWay

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "echoprobe-rules.yaml"

#: The most that ``systemd-analyze security`` may say, in tenths.
EXPOSURE = 15


def tool(name: str) -> str:
    """
    Find a program, of this environment or of the system; without it, skip.
    """
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def quietly(*command: str | Path) -> str:
    """
    Run a program that has nothing to complain about.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told() -> set[str]:
    """
    Return the metrics that a watch has.
    """
    source = (ROOT / "echotwist" / "probe" / "watch" / "metrics.py").read_text()
    names = set(re.findall(r'"(echoprobe_\w+)"', source))
    counters = re.findall(r'^ +\(?\n? *"(\w+)", *\n? *"[A-Z]', source, re.MULTILINE)
    return names | {f"echoprobe_{name}_total" for name in counters}


def asked(text: str) -> set[str]:
    """
    Return the metrics that a text asks for.
    """
    return {re.sub("_bucket$", "", name) for name in re.findall(r"\becho\w+_\w+", text)}


def test_unit() -> None:
    """
    systemd finds no fault with the unit, and leaves it few privileges; its command is one.
    """
    unit = DEPLOY / "echoprobe.service"
    analyze = tool("systemd-analyze")
    assert quietly(analyze, "verify", "--recursive-errors=no", unit) == ""
    words = ["security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE}"]
    quietly(analyze, *words, unit)
    [command] = re.findall("^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    env, program, watch, *rest = shlex.split(command)
    assert (env, program, watch) == ("/usr/bin/env", "echoprobe", "watch")
    options = WatchOptions()
    options.parseOptions(rest)
    assert options.settings.metrics == "tcp:9465:interface=127.0.0.1"


def test_kubernetes(tmp_path: Path) -> None:
    """
    The manifests are what Kubernetes asks for; their file and their command are right.
    """
    said = quietly(tool("kubernetes-validate"), "--strict", DEPLOY / "echoprobe.yaml")
    assert said.count(" passed for resource ") == 2
    text = (DEPLOY / "echoprobe.yaml").read_text()
    config, deployment = yaml.safe_load_all(text)
    path = tmp_path / "targets.toml"
    path.write_text(config["data"]["targets.toml"])
    assert [one.name for one in entriesIn(str(path), WatchSettings())] == ["udp", "tcp"]
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["command"] == ["/opt/echotwist/bin/echoprobe", "watch"]
    options = WatchOptions()
    options.parseOptions(container["args"])
    assert (options.path, options.settings.metrics) == ("/etc/echoprobe/targets.toml", "tcp:9465")
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "9465"
    assert f"image: {container['image']}" in (DEPLOY / "kubernetes.yaml").read_text()


def test_board() -> None:
    """
    The board of Grafana asks for metrics that there are.
    """
    text = (DEPLOY / "echoprobe-grafana.json").read_text()
    assert len(json.loads(text)["panels"]) == 10
    assert len(asked(text)) > 8
    assert asked(text) <= told()


def boardQueries() -> list[str]:
    """
    Give what the board asks for, with all variables as Grafana has them at first.
    """
    board = json.loads((DEPLOY / "echoprobe-grafana.json").read_text())
    names = [one["name"] for one in board["templating"]["list"] if one["type"] == "query"]
    found = [one["expr"] for panel in board["panels"] for one in panel.get("targets", [])]
    assert len(found) > 10
    for name in names:
        found = [one.replace(f"${name}", ".*") for one in found]
    found = [one.replace("$__rate_interval", "4s") for one in found]
    assert not any("$" in one for one in found)
    return found


#: Which alerts fire.
FIRING = 'sum by (alertname, name, alertstate) (ALERTS{alertstate="firing"})'

#: How a target behaves for half an hour, one number a minute, and the alerts about it.
STORIES: dict[str, tuple[dict[str, str], set[str]]] = {
    "good": ({"sent": "0+60x30", "received": "0+60x30", "lost": "0x30"}, set()),
    "silent": (
        {"sent": "0+60x30", "received": "0x30", "lost": "0+60x30"},
        {"EchoSilent", "EchoLoss"},
    ),
    "lossy": ({"sent": "0+60x30", "received": "0+58x30", "lost": "0+2x30"}, {"EchoLoss"}),
    "damaged": (
        {"sent": "0+60x30", "received": "0+60x30", "lost": "0x30", "damaged": "0+1x30"},
        {"EchoDamaged"},
    ),
}


def test_rules(tmp_path: Path) -> None:
    """
    Prometheus finds no fault with the rules; each alert fires when it should, and of no
    target of which it should not.
    """
    promtool = tool("promtool")
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert asked(RULES.read_text()) <= told()
    series = [
        {"series": f'echoprobe_{key}_total{{name="{name}",target="t"}}', "values": values}
        for name, (story, _) in STORIES.items()
        for key, values in story.items()
    ]
    series += [
        {"series": 'echoprobe_rtt_seconds_bucket{name="slow",le="0.2"}', "values": "0+50x30"},
        {"series": 'echoprobe_rtt_seconds_bucket{name="slow",le="1"}', "values": "0+60x30"},
        {"series": 'echoprobe_rtt_seconds_bucket{name="slow",le="+Inf"}', "values": "0+60x30"},
        {"series": 'echoprobe_lateness_seconds_bucket{le="0.1"}', "values": "0+50x30"},
        {"series": 'echoprobe_lateness_seconds_bucket{le="1"}', "values": "0+60x30"},
        {"series": 'echoprobe_lateness_seconds_bucket{le="+Inf"}', "values": "0+60x30"},
        {"series": "echoprobe_last_reload_successful", "values": "0x30"},
    ]
    firing: dict[str, list[str]] = {rule["alert"]: [] for rule in rules}
    for name, (_, alerts) in STORIES.items():
        for alert in alerts:
            firing[alert].append(name)
    firing["EchoSlow"].append("slow")
    samples = [
        f'ALERTS{{alertname="{alert}",name="{name}",alertstate="firing"}}'
        for alert, names in firing.items()
        for name in names
    ]
    samples += [
        'ALERTS{alertname="EchoprobeLate",alertstate="firing"}',
        'ALERTS{alertname="EchoprobeFile",alertstate="firing"}',
    ]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": FIRING,
                        "eval_time": "25m",
                        "exp_samples": [
                            {"labels": one.removeprefix("ALERTS"), "value": 1} for one in samples
                        ],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    quietly(promtool, "check", "rules", RULES)
    quietly(promtool, "test", "rules", path)


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[int]:
    """
    Have a Prometheus scrape a watch each half second, with the rules, but in seconds
    instead of minutes.

    :return: its port.
    """
    program, port = tool("prometheus"), freePort()
    rules = re.sub(r"\[\d+m\]", "[4s]", RULES.read_text())
    (folder / "rules.yaml").write_text(re.sub(r"for: \d+m", "for: 1s", rules))
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "echoprobe", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    words = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=native-histograms",
    ]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, *words], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def queried(port: int, what: str) -> Any:
    """
    Ask Prometheus something.
    """
    url = f"http://127.0.0.1:{port}/api/v1/{what}"
    with suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE) as reply:
        return json.load(reply)["data"]
    return {}


@pytest.mark.slow
def test_prometheus(tmp_path: Path) -> None:
    """
    A real Prometheus scrapes a watch, and has an alert of the target that is silent, and
    none of the other; it has an answer to each query of the board for Grafana.
    """
    with ours(tmp_path) as service:
        path = fileOf(tmp_path, f"good=udp:127.0.0.1:{service.port}", f"bad={NOBODY}")
        with (
            watching(path, "--interval=0.05") as running,
            prometheus(tmp_path, running.port) as port,
        ):

            def alerts() -> set[tuple[str, str]]:
                found = queried(port, "alerts").get("alerts", [])
                return {
                    (one["labels"]["alertname"], one["labels"].get("name", ""))
                    for one in found
                    if one["state"] == "firing"
                }

            wanted = {("EchoSilent", "bad"), ("EchoLoss", "bad")}
            waitUntil(lambda: wanted <= alerts(), "the alerts fire")
            assert not [alert for alert in alerts() if alert[1] == "good"]
            found = queried(port, "query?query=echoprobe_received_total")["result"]
            native = "query?query=histogram_count(echoprobe_rtt_seconds)"
            waitUntil(lambda: bool(queried(port, native).get("result")), "a native histogram comes")
            values = {one["metric"]["name"]: float(one["value"][1]) for one in found}
            assert values["good"] > 0
            assert values["bad"] == 0

            def isAnswered(expression: str) -> bool:
                found = queried(port, f"query?query={quote(expression)}").get("result", [])
                return any(one["value"][1] != "NaN" for one in found)

            quantiles = re.findall(r"histogram_quantile\(.*\)", RULES.read_text())
            assert len(quantiles) == 4
            either = [" or ".join(pair) for pair in (quantiles[:2], quantiles[2:])]
            for expression in (*boardQueries(), *(one.replace("5m", "4s") for one in either)):
                waitUntil(partial(isAnswered, expression), f"there is {expression}")
