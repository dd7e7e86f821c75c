"""Panels of a web page of which a reader sees one at a time: tabs, accordions, details.

In: the elements of a page. Out: the same elements with every panel under its label, as in "**macOS**", and which of
them a reader can choose to see. It knows the roles of ARIA, and the classes of Sphinx, MkDocs and VitePress.
"""

from collections.abc import Iterable, Sequence
from typing import Any

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_SITE = ("nav", "header", "footer")
_MOST_LABEL_CHARS = 300
# Sets of tabs without roles: the class of the set, that around its labels, that around its panels.
_SETS = {
    "tabbed-set": ("tabbed-labels", "tabbed-content"),
    "vp-code-group": ("tabs", "blocks"),
}
_LABELS = frozenset({"sd-tab-label"})
_NAMED = _LABELS | _SETS.keys()


def label_panels(page: Any, elements: Sequence[Any]) -> set[int]:
    """Put the label of each panel before its text, and take the tabs away.

    Returns `id()` of the panels, hidden or not.
    """
    by_id: dict[str, Any] = {}
    panels: list[Any] = []
    controls: list[Any] = []
    for element in elements:
        attributes = element.attrs
        if element.name == "summary":
            _embolden(page, element)
        if not attributes:
            continue
        if "id" in attributes:
            by_id.setdefault(attributes["id"], element)
        role = attributes.get("role")
        if role == "tabpanel":
            panels.append(element)
        if role == "tab" or "aria-controls" in attributes:
            controls.append(element)
        if "class" in attributes:
            for name in _NAMED.intersection(attributes["class"]):
                if name in _SETS:
                    _label_set(page, element, *_SETS[name])
                else:
                    _embolden(page, element)
    labels: dict[int, Any] = {}
    shown = {id(panel) for panel in panels}
    for control in controls:
        for panel in filter(None, map(by_id.get, _targets(control))):
            if _is_panel(panel, control):
                labels[id(panel)] = control
                if id(panel) not in shown:
                    shown.add(id(panel))
                    panels.append(panel)
    tabs: dict[int, Any] = {}
    by_order = _TabsByOrder()
    for panel in panels:
        label = labels.get(id(panel)) or by_id.get(panel.attrs.get("aria-labelledby")) or by_order.tab_of(panel)
        if label is not None and label is not panel and not any(parent is panel for parent in label.parents):
            heading = label.find_parent(_HEADINGS)
            if heading is None and label.name not in _HEADINGS:
                _insert_label(page, panel, _words(label))
                tabs[id(label)] = label
            elif label.name == "button":
                label.name = "span"  # or it would be removed, and the heading be empty
    _remove(tabs.values())
    return shown


def _remove(tabs: Iterable[Any]) -> None:
    """Remove tabs, and the lists that hold nothing else."""
    lists = {}
    for tab in tabs:
        lists[id(tab.parent)] = tab.parent
        tab.decompose()
    for around in lists.values():
        while around is not None and around.name in ("li", "ul", "ol") and not around.get_text(strip=True):
            empty, around = around, around.parent
            empty.decompose()


def _targets(control: Any) -> list[str]:
    attributes = control.attrs
    target = attributes.get("aria-controls") or attributes.get("data-bs-target") or attributes.get("href") or ""
    return str(target).replace("#", " ").split() if "/" not in str(target) else []


def _is_panel(panel: Any, control: Any) -> bool:
    """A tab's, or what a button in the text unfolds; neither a menu nor the site's own."""
    if control.attrs.get("role") == "tab":
        return True
    is_button = control.name in ("button", "a") or control.attrs.get("role") == "button"
    return is_button and "aria-haspopup" not in control.attrs and not control.find_parent(_SITE) and panel.name != "nav"


class _TabsByOrder:
    """The tabs of panels that name none: where an element holds as many tabs as panels, the one at a panel's place."""

    def __init__(self) -> None:
        self._found: dict[int, dict[int, Any] | None] = {}  # a page may have thousands of panels

    def tab_of(self, panel: Any) -> Any:
        """The tab of a panel; None where that cannot be told."""
        around = _panel_around(panel)
        for container in panel.parents:
            if container is around:
                return None
            if id(container) not in self._found:
                self._found[id(container)] = self._pairs(container, around)
            pairs = self._found[id(container)]
            if pairs is not None:
                return pairs.get(id(panel))
        return None

    def _pairs(self, container: Any, around: Any) -> dict[int, Any] | None:
        """Tabs by `id()` of their panels, those of panels inside panels left out; None where there are no tabs."""
        tabs = [tab for tab in container.find_all(attrs={"role": "tab"}) if _panel_around(tab) is around]
        panels = [each for each in container.find_all(attrs={"role": "tabpanel"}) if _panel_around(each) is around]
        if not tabs:
            return None
        return dict(zip(map(id, panels), tabs, strict=True)) if len(tabs) == len(panels) else {}


def _panel_around(element: Any) -> Any:
    return element.find_parent(attrs={"role": "tabpanel"})


def _label_set(page: Any, tab_set: Any, of_labels: str, of_panels: str) -> None:
    around = tab_set.find(class_=of_labels, recursive=False)
    content = tab_set.find(class_=of_panels, recursive=False)
    if around is None or content is None:  # an older form: each label stands before its panel
        for label in tab_set.find_all("label", recursive=False):
            _embolden(page, label)
        return
    labels, panels = around.find_all("label"), content.find_all(True, recursive=False)
    if len(labels) == len(panels):
        for label, panel in zip(labels, panels, strict=True):
            _insert_label(page, panel, _words(label))
        around.clear()


def _insert_label(page: Any, panel: Any, words: str) -> None:
    if not words or len(words) > _MOST_LABEL_CHARS:
        return
    label = page.new_tag("p")
    strong = page.new_tag("strong")
    strong.string = words
    label.append(strong)
    panel.insert(0, label)


def _embolden(page: Any, label: Any) -> None:
    """Make a label a bold paragraph, or it would run into the text after it."""
    words = _words(label)
    if words and label.find(_HEADINGS) is None:
        label.clear()
        strong = page.new_tag("strong")
        strong.string = words
        label.append(strong)
        label.name = "p"
    else:
        label.name = "div"


def _words(element: Any) -> str:
    return " ".join(element.get_text(" ").split()) or str(element.attrs.get("aria-label", "")).strip()
