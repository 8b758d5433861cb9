"""
How the documentation is built: ``sphinx-build -W docs docs/_build``.
"""

import re
from collections.abc import Iterator
from importlib.metadata import version as versionOf
from pathlib import Path
from typing import Any

from docutils import nodes
from prometheus_client.metrics_core import Metric
from sphinx.locale import _
from sphinx.util import docname_join
from sphinx.util.docutils import SphinxDirective
from twisted.python import usage
from twisted.python.reflect import namedAny

from echotwist.impair.grammar import Impairments
from echotwist.monitoring.metrics import EchoCollector
from echotwist.telemetry.counters import Counters
from echotwist.telemetry.refusals import REMEDIES

project = "echotwist"
author = "the echotwist authors"
release = version = versionOf("echotwist")

#: Of the manual page, which would else be another one each day.
today = "2026-11-25"

#: Letters of a word in a line of a telephone.
_FITTING = 30

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
#: One catalogue for the lesson; no other page is translated.
locale_dirs = ["locale"]
gettext_compact = True
html_theme = "furo"
html_title = "echotwist"
html_static_path = ["_static"]
html_css_files = ["echotwist.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_favicon = "_static/favicon.svg"
#: Options are written with two hyphens, and are to be copied so.
smartquotes = False
#: A literal block that names no language is what a program prints.
highlight_language = "text"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
man_pages = [
    ("echotwist.8", "echotwist", "the echo service (RFC 862) over TCP and UDP", "", 8),
    ("echoprobe.1", "echoprobe", "measure a path through an echo service (RFC 862)", "", 1),
]


def fromHere(app: object, path: object, name: object, source: list[str]) -> None:
    """
    Have what the files of the root point to found from here.
    """
    source[0] = re.sub(r"<docs/([\w/.]+)\.rst>", r"<\1.html>", source[0])


def onlyTheLesson(app: Any, config: Any) -> None:
    """
    Make only the lesson, where the language is not English.

    All else is in English alone: links lead there, to the site one folder up.
    """
    if config.language != "en":
        config.root_doc = "lesson/index"
        config.include_patterns = ["lesson/**"]
        config.intersphinx_mapping = {"english": ("..", f"{app.outdir.parent}/objects.inv")}
        # It leaves pages out otherwise.
        config.intersphinx_disabled_reftypes = []


def toEnglish(app: object, env: object, link: nodes.Element, text: object) -> None:
    """
    Have a link to a page that is not there looked for by its name from the root.
    """
    if link["reftype"] == "doc":
        link["reftarget"] = docname_join(link["refdoc"], link["reftarget"])


class TwistedOptions(SphinxDirective):
    """
    List the options of a ``usage.Options``, as ``--help`` does.

    Its argument is the full name of the class.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """
        Make the list.
        """
        # The options may be others when the page is the same.
        self.env.note_reread()
        options: usage.Options = namedAny(self.arguments[0])()
        return [
            nodes.option_list("", *(itemFor(options, name) for name in sorted(options.longOpt)))
        ]


class EchoMetrics(SphinxDirective):
    """
    List the metrics of the service.
    """

    def run(self) -> list[nodes.Node]:
        """
        Make the list.
        """
        self.env.note_reread()
        return [nodes.definition_list("", *map(itemOfMetric, metrics()))]


class Capture(SphinxDirective):
    """
    Show the drawing of a capture, with the packets for download.

    Its argument is a name in ``docs/lesson/captures``; its content is the caption.
    A drawing is a part of the page, so that its letters have the colour of the text.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """
        Make the figure.
        """
        place = f"/lesson/captures/{self.arguments[0]}"
        _, path = self.env.relfn2path(f"{place}.svg")
        self.env.note_dependency(path)
        drawing = nodes.raw("", inLanguage(Path(path).read_text("utf-8")), format="html")
        [told] = self.parse_content_to_nodes()
        caption = nodes.caption(told.rawsource, "", *told.children)
        # By its source Sphinx knows what can be translated.
        caption.source, caption.line = told.source, told.line
        packets, _ = self.parse_inline(f":download:`{self.arguments[0]}.pcap <{place}.pcap>`")
        legend = nodes.legend("", nodes.paragraph("", "", *packets))
        return [nodes.figure("", drawing, caption, legend, classes=["capture"])]


def inLanguage(drawing: str) -> str:
    """
    Translate the words of a drawing that are not names, such as SYN and window, into the
    language of the site; what packets carry, in quotation marks, stays as it is.
    """
    words = "bytes?|lost on the way|sent again|probe|later|to"
    rest = "<(style|title)>.*?</|<[^>]*>|“[^”]*”"
    return re.sub(
        rf"{rest}|\b({words})\b",
        lambda found: _(found[0]) if found[2] else found[0],
        drawing,
        flags=re.DOTALL,
    )


def metrics() -> list[Metric]:
    """
    Give all metrics: those of a service with listeners of each kind, and with
    something wrong on purpose of each unit.
    """
    wrong = Impairments.of(["loss=1%,corrupt=1%,delay=1ms,chunk=1,close=early"])
    counters = [Counters(transport) for transport in REMEDIES]
    return sorted(EchoCollector(counters, wrong).collect(), key=lambda one: one.name)


def itemOfMetric(metric: Metric) -> nodes.definition_list_item:
    """
    Make the item of one metric: its name with the labels, its type and its text.
    """
    name = metric.name + "_total" * (metric.type == "counter")
    written = f"{name}{{{', '.join(metric.samples[0].labels)}}}"
    term = nodes.term("", "", nodes.literal("", written), nodes.Text(f" ({metric.type})"))
    text = nodes.paragraph("", metric.documentation)
    return nodes.definition_list_item("", term, nodes.definition("", text))


def itemFor(options: usage.Options, name: str) -> nodes.option_list_item:
    """
    Make the item of one option.

    :param name: the long one, without dashes; with ``=`` if it takes a value.
    """
    bare = name.removesuffix("=")
    text = " ".join(options.docs[bare].split())
    if bare != name and (default := options.defaults.get(bare)) is not None:
        text += f" [default: {default}]"
    group = nodes.option_group("", *spellings(options, name))
    return nodes.option_list_item("", group, nodes.description("", nodes.paragraph("", text)))


def spellings(options: usage.Options, name: str) -> Iterator[nodes.option]:
    """
    Make the ways in which one option is written: the short one first.
    """
    bare = name.removesuffix("=")
    short = [key for key, long in options.synonyms.items() if long == bare and len(key) == 1]
    for written, delimiter in [*((f"-{key}", " ") for key in short), (f"--{bare}", "=")]:
        option = nodes.option("", nodes.option_string("", written))
        if bare != name:
            option += nodes.option_argument("", valueOf(options, bare), delimiter=delimiter)
        yield option


def valueOf(options: usage.Options, name: str) -> str:
    """
    Say in a word what an option takes, as shells do that complete it.

    The last word of the text has to do: the manual page has no room for a blank there.
    """
    described = options.compData.optActions.get(name)
    return str(getattr(described, "_descr", None) or "value").split()[-1]


def finish(app: object, page: nodes.document, name: str) -> None:
    """
    Mark options, and commands of words that fit into a line of a telephone, so that no
    line breaks in them; and have a dash between a parameter and its text, which Sphinx
    writes with two hyphens.
    """
    for dash in [text for text in page.findall(nodes.Text) if text == " -- "]:
        dash.parent.replace(dash, nodes.Text(" – "))
    for node in page.findall(nodes.literal):
        if re.fullmatch(r"--?[\w=-]+", node.astext()):
            node["classes"].append("option")
        elif all(len(word) <= _FITTING for word in node.astext().split()):
            node["classes"].append("short")


def setup(app: Any) -> None:
    """
    Register what the site does beside Sphinx: its events, and its directives.
    """
    app.connect("config-inited", onlyTheLesson)
    # Before intersphinx looks for it.
    app.connect("missing-reference", toEnglish, priority=400)
    app.connect("include-read", fromHere)
    app.connect("doctree-resolved", finish)
    app.add_directive("twisted-options", TwistedOptions)
    app.add_directive("echo-metrics", EchoMetrics)
    app.add_directive("capture", Capture)
