"""Every page of the console, as axe-core judges it, in both sets of colours and at two widths."""

import os

import pytest

PAGES = {
    "/": "Detectors",
    "/detectors/squares": "squares",
    "/detectors/squares/lineage": "squares",
    "/detectors/squares/drift": "squares",
    "/detectors/squares/try": "squares",
    "/detectors/squares/inbox": "squares",
    "/data": "Data",
}
"""With the heading that is there once the page is."""
WIDTHS = (1280, 390)
OVERFLOWING = """() => [...document.querySelectorAll("*")].filter((each) => {
  const style = getComputedStyle(each);
  const bar = (how, more) => ["auto", "scroll"].includes(how) && more > 0;
  return bar(style.overflowX, each.scrollWidth - each.clientWidth)
    || bar(style.overflowY, each.scrollHeight - each.clientHeight);
}).map((each) => `${each.tagName}.${each.className}`)"""
each_page = pytest.mark.parametrize("path", PAGES)


@pytest.fixture(scope="module")
def axe():
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        if os.environ.get("UNSEEN_BROWSER") == "required":
            raise
        pytest.skip("axe-playwright-python is not installed: make test installs it")
    return Axe()


@pytest.fixture
def shown(visit):
    """Function that opens a page and waits until all of it is there."""

    def open_page(path):
        page = visit(path)
        page.get_by_role("heading", name=PAGES[path], level=1).wait_for()
        page.locator(".loading").wait_for(state="detached")
        return page

    return open_page


@pytest.fixture(autouse=True)
def as_it_was(window):
    yield
    window.set_viewport_size({"width": 1200, "height": 800})
    window.emulate_media(color_scheme="light", reduced_motion="no-preference")


@each_page
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_fault(shown, axe, path, colours):
    page = shown(path)
    page.emulate_media(color_scheme=colours, reduced_motion="reduce")  # no colour in between
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    told = [
        (each["impact"], each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found
    ]
    assert told == []


@each_page
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_has_a_stray_scroll_bar(shown, path, width):
    page = shown(path)
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function("width => window.innerWidth === width", arg=width)
    # charts are drawn anew a frame or two after the window's size has changed
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
    assert page.evaluate(OVERFLOWING) == []


def test_axe_would_find_a_fault(shown, axe):
    page = shown("/")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    found = axe.run(page).response["violations"]
    assert "button-name" in {each["id"] for each in found}


def test_every_detector_has_a_sparkline_of_its_score(shown):
    page = shown("/")
    assert page.locator("tbody tr").count() == page.locator("tbody tr .spark circle").count() == 1
    assert page.locator(".spark path").get_attribute("d").count("L") == 1  # two versions
