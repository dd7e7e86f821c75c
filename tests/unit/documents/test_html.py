"""What a reader of a web page can see is in its text, and what stands around it on every page is not."""

import time

import pytest

from plait.documents.failure import Unreadable
from plait.documents.html import html_to_markdown
from plait.documents.parse import parse

PROSE = "This page explains at some length how the program is set up, and what to do when that fails. "


def text_of(body: str, head: str = "") -> str:
    return html_to_markdown(f"<html><head>{head}</head><body>{body}</body></html>").text


# ------------------------------------------------------------ panels of which one is shown at a time

MAC, LINUX = "brew install plait", "apt install plait"
TABS = {
    "ARIA with ids, the tabs in a nav": (
        '<nav><button role="tab" id="t1" aria-controls="p1">macOS</button>'
        '<button role="tab" id="t2" aria-controls="p2">Linux</button></nav>'
        f'<div role="tabpanel" id="p1" hidden><pre>{MAC}</pre></div>'
        f'<div role="tabpanel" id="p2" aria-hidden="true"><pre>{LINUX}</pre></div>'
    ),
    "Sphinx tabs": (
        '<div role="tablist"><button id="t1" role="tab">macOS</button><button id="t2" role="tab">Linux</button></div>'
        f'<div aria-labelledby="t1" role="tabpanel" hidden="true"><pre>{MAC}</pre></div>'
        f'<div aria-labelledby="t2" role="tabpanel"><pre>{LINUX}</pre></div>'
    ),
    "Docusaurus": (
        '<div class="tabs-container"><ul role="tablist"><li role="tab">macOS</li><li role="tab">Linux</li></ul><div>'
        f'<div role="tabpanel" hidden><pre>{MAC}</pre></div><div role="tabpanel"><pre>{LINUX}</pre></div></div></div>'
    ),
    "Bootstrap": (
        '<ul role="tablist"><li><a role="tab" href="#p1">macOS</a></li><li><a role="tab" href="#p2">Linux</a></li></ul>'
        f'<div id="p1" role="tabpanel" hidden><pre>{MAC}</pre></div>'
        f'<div id="p2" role="tabpanel"><pre>{LINUX}</pre></div>'
    ),
    "MkDocs Material": (
        '<div class="tabbed-set tabbed-alternate"><input type="radio" id="a"><input type="radio" id="b">'
        '<div class="tabbed-labels"><label for="a">macOS</label><label for="b">Linux</label></div>'
        f'<div class="tabbed-content"><div class="tabbed-block"><pre>{MAC}</pre></div>'
        f'<div class="tabbed-block"><pre>{LINUX}</pre></div></div></div>'
    ),
    "Sphinx design": (
        '<div class="sd-tab-set"><input type="radio"><label class="sd-tab-label">macOS</label>'
        f'<div class="sd-tab-content"><pre>{MAC}</pre></div><label class="sd-tab-label">Linux</label>'
        f'<div class="sd-tab-content"><pre>{LINUX}</pre></div></div>'
    ),
    "VitePress": (
        '<div class="vp-code-group"><div class="tabs"><input type="radio"><label>macOS</label>'
        f'<input type="radio"><label>Linux</label></div><div class="blocks"><div><pre>{MAC}</pre></div>'
        f"<div><pre>{LINUX}</pre></div></div></div>"
    ),
    "details": (
        f"<details><summary>macOS</summary><pre>{MAC}</pre></details>"
        f"<details><summary>Linux</summary><pre>{LINUX}</pre></details>"
    ),
}


@pytest.mark.parametrize("tabs", TABS.values(), ids=TABS.keys())
def test_each_panel_is_kept_under_its_label(tabs: str) -> None:
    text = text_of(f"<main><h1>Install</h1>{tabs}<p>Done.</p></main>")
    assert text == f"# Install\n\n**macOS**\n\n```\n{MAC}\n```\n\n**Linux**\n\n```\n{LINUX}\n```\n\nDone."


def test_tabs_within_tabs_have_their_own_labels() -> None:
    inner = '<div><ul role="tablist"><li role="tab">x86</li></ul><div role="tabpanel" hidden>64 bits</div></div>'
    outer = f'<div><ul role="tablist"><li role="tab">Linux</li></ul><div role="tabpanel">{inner}</div></div>'
    assert text_of(outer).split() == ["**Linux**", "**x86**", "64", "bits"]


def test_thousands_of_panels_take_no_longer_for_each() -> None:
    tabs = "".join(f'<li role="tab">{n}</li>' for n in range(700))
    panels = "".join(f'<div role="tabpanel" hidden>text {n}</div>' for n in range(700))
    started = time.process_time()
    text = text_of(f"<div><ul>{tabs}</ul><div>{panels}</div></div>")
    assert time.process_time() - started < 5  # 0.3 s; 15 where each panel looks for all tabs
    assert text.endswith("**699**\n\ntext 699")


def test_what_a_button_unfolds_is_kept_with_the_question_on_it() -> None:
    asked = '<button aria-expanded="false" aria-controls="a1">May I?</button><div id="a1" hidden>You may.</div>'
    headed = '<h3><button aria-expanded="false" aria-controls="a2">Must I?</button></h3><div id="a2" hidden>No.</div>'
    assert text_of(f"<main>{asked}{headed}</main>") == "**May I?**\n\nYou may.\n\n### Must I?\n\nNo."


def test_what_is_hidden_until_it_is_found_is_kept_and_other_hidden_text_is_not() -> None:
    menu = '<header><button aria-controls="m">Menu</button></header><div id="m" hidden>Site map</div>'
    pop_up = '<button aria-haspopup="menu" aria-controls="s">Share</button><ul id="s" hidden><li>Mail</li></ul>'
    page = f'{menu}{pop_up}<p hidden="until-found">Found</p><p hidden>Gone</p><dialog open>Cookies?</dialog>'
    assert text_of(page) == "Found"


# ------------------------------------------------------------ the main part


def test_every_main_part_is_kept() -> None:
    page = "<main><p>One</p></main><nav>Menu</nav><main><p>Two</p></main><footer>Imprint</footer>"
    assert text_of(page) == "One\n\nTwo"
    assert text_of('<main><div role="main"><p>One</p></div></main>') == "One"


def test_text_beside_a_single_article_is_kept_but_not_lists_of_links() -> None:
    page = (
        '<div class="sidebar"><a href="/a">A page</a> <a href="/b">Another page</a></div><div><p>Before</p>'
        "<article><header><h1>Title</h1></header><p>Inside</p><aside>Note</aside></article><p>After</p>"
        '<ul><li><a href="/c">Next</a></li></ul></div><footer>Imprint</footer>'
    )
    assert text_of(page) == "Before\n\n# Title\n\nInside\n\nNote\n\nAfter"


@pytest.mark.parametrize(
    "page",
    [
        "<h1>Install it</h1><main><p>Text</p></main>",
        "<header><a>Site</a><h1>Install it</h1></header><main><h2>Part</h2><p>Text</p></main>",
        "<header><h1>Install it</h1></header><p>Text</p>",
        "<header role=banner><h1>Install it</h1></header><main><p>Text</p></main>",
        "<div role=banner><h1>Install it</h1></div><p>Text</p>",
    ],
)
def test_the_heading_of_the_page_is_kept_where_it_stands_outside(page: str) -> None:
    assert text_of(page, "<title>Install it | Site</title>").startswith("# Install it\n\n")


@pytest.mark.parametrize(
    "page",
    [
        "<header><h1>Site</h1></header><main><h1>Install it</h1><p>Text</p></main>",
        "<header><h1>Site</h1></header><main><h2>Install it</h2><p>Text</p></main>",
        "<main><h1>Install it</h1><p>Text</p></main><aside><h1>More</h1></aside>",
    ],
)
def test_the_name_of_the_site_is_no_heading(page: str) -> None:
    text = text_of(page, "<title>Install it | Site</title>")
    assert text.lstrip("#").startswith(" Install it\n\nText")
    assert text.count("# ") == 1


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (f"<aside><p>{PROSE}</p></aside>", PROSE),
        (f"<header><p>{PROSE}</p></header><p>Next</p><footer>Imprint</footer>", f"{PROSE}Next"),
        ("<footer><p>Imprint</p></footer>", "Imprint"),
        ("<header>A site</header><p>Text</p><footer>Imprint, rights, address</footer>", "Text"),
        (f"<header role=banner>A site</header><p>{PROSE}</p>", PROSE),
    ],
)
def test_headers_and_asides_that_hold_nearly_all_of_the_text_are_content(page: str, text: str) -> None:
    assert text_of(page).split() == text.split()


def test_a_main_part_that_holds_little_of_the_text_is_not_all() -> None:
    search, article = "<main><p>Search here</p></main>", f"<div><h1>Guide</h1><p>{PROSE * 3}</p></div>"
    assert text_of(f"{search}{article}<footer>Imprint</footer>") == f"Search here\n\n# Guide\n\n{PROSE.strip()} " + (
        f"{PROSE * 2}".strip()
    )


def test_a_main_part_is_all_beside_much_navigation() -> None:
    links = "".join(f'<li><a href="/{n}">Another page of this site, number {n}</a></li>' for n in range(99))
    assert text_of(f"<ul>{links}</ul><main><p>{PROSE}</p></main>") == PROSE.strip()


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>Site: install</title><h2>Step 1</h2><p>Text", "Site: install"),
        ("<title>Site: install</title><p>Text", "Site: install"),
        ("<title>Site: install</title><h1>Install</h1><p>Text", "Install"),
        ("<h2>Step 1</h2><p>Text", "Step 1"),
        ("<title> </title><p>Text", "page"),
    ],
)
def test_the_title_is_that_of_the_page_where_it_has_no_first_heading(page: str, title: str) -> None:
    assert parse(page.encode(), "page.html").title == title


# ------------------------------------------------------------ signs


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("10<sup>6</sup> rows", "10^6 rows"),
        ("10<sup>-3</sup> m<sup>2</sup>", "10^-3 m^2"),
        ("<i>x</i><sup>n+1</sup>", "*x*^(n+1)"),
        ("2<sup>10<sup>3</sup></sup>", "2^(10^3)"),
        ("the 1<sup>st</sup> of May, le 2<sup>e</sup>, Plait<sup>™</sup>", "the 1st of May, le 2e, Plait™"),
        ("c = x<sup>e</sup>", "c = x^e"),
        ('as shown<sup><a href="#n1">1</a></sup>', "as shown[1]"),
        ('as shown<sup class="reference"><a href="#n1">[1]</a></sup>', "as shown[1]"),
        ("<sup>1</sup> A note", "1 A note"),
        ("H<sub>2</sub>O and CO<sub>2</sub>", "H2O and CO2"),
        ("x<sub>i</sub> + 101<sub>2</sub>", "x_i + 101_2"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup></math> rows", "10^6 rows"),
        ("<math><mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac></math>", "a/(b+1)"),
        (
            '<math><semantics><mi>x</mi><annotation encoding="application/x-tex">x^{2}</annotation></semantics></math>',
            "x^{2}",
        ),
    ],
)
def test_what_stands_high_or_low_is_not_run_into_its_base(markup: str, expected: str) -> None:
    assert text_of(f"<p>{markup}</p>") == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ('<p>Press <img src="x.png" alt="Save as"> now</p>', "Press Save as now"),
        ('<p>Press<img src="x.png" alt="Save"/>now</p>', "Press Save now"),
        ('<p><a href="/"><img alt="Diagram of the queue"></a></p>', "Diagram of the queue"),
        ('<p>A<img alt=""><img><img alt="../img/screen-1.PNG">B</p>', "AB"),
        ('<figure><img alt="The queue"><figcaption>The queue</figcaption></figure>', "The queue"),
        ('<table><tr><th>a</th><th>b</th></tr><tr><td><img alt="yes"></td><td>2</td></tr></table>', "yes"),
    ],
)
def test_the_description_of_a_picture_is_text(markup: str, expected: str) -> None:
    text = text_of(markup)
    assert expected in text if "<table>" in markup else text == expected


def test_descriptions_side_by_side_do_not_run_together() -> None:
    assert text_of('<p><img alt="one"><img alt="two">three<img alt="four"></p>') == "one two three four"


# ------------------------------------------------------------ hostile pages


@pytest.mark.parametrize(
    "page",
    [
        "<div><b role=tab>a</b><div role=tabpanel>" * 1_000,
        "<summary>" * 5_000,
        "<table><tr><td>" * 2_000,
        "<details><summary>a</summary>" * 2_000,
    ],
)
def test_a_page_that_is_nested_too_deeply_is_refused_at_once(page: str) -> None:
    started = time.process_time()
    with pytest.raises(Unreadable, match=r"^it is nested too deeply$"):
        parse(page.encode(), "page.html")
    assert time.process_time() - started < 2  # 0.1 s; 20 and more where each level looks at all others


@pytest.mark.parametrize(
    ("page", "length"),
    [
        ("<figure>" + "<img alt=x>" * 6_000 + "<figcaption>y</figcaption>", 12_002),
        ("<p>" + "x<sup>2</sup>" * 6_000, 18_000),
        ("<p>x" + "<sup></sup>" * 15_000 + "<sup>2</sup>", 3),
    ],
)
def test_thousands_of_signs_take_no_longer_for_each(page: str, length: int) -> None:
    started = time.process_time()
    assert len(text_of(page)) == length
    assert time.process_time() - started < 8  # 0.6 s; 18 and more where each looks at all others
