"""XML elements from plain calls."""

from __future__ import annotations

from lxml import etree

__all__ = ["node", "root"]


def node(namespace: str, name: str, /, *content: etree._Element | str, **attributes: str) -> etree._Element:
    """An element with children, or with text."""
    element = etree.Element(f"{{{namespace}}}{name}", attributes)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def root(namespace: str, name: str, /, **prefixes: str) -> etree._Element:
    """An element whose namespace is the default one of everything in it, with the prefixes of others."""
    nsmap: dict[str | None, str] = {None: namespace}
    nsmap.update((prefix, address) for prefix, address in prefixes.items())
    return etree.Element(f"{{{namespace}}}{name}", nsmap=nsmap)  # type: ignore[arg-type]  # the stubs don't know the default
