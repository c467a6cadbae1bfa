"""The page of a report in headless Chromium: no error, no request, each control by mouse and by keyboard."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import STREAM_TEXT, run
from selenium import webdriver
from selenium.webdriver.support.ui import Select

from rnn_cli.inspect.page import embedded, page_of

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SIZE = ["--hidden-size", "8", "--random-seed", "1"]
HOSTILE = "</script><script>document.title='owned'</script><!-- \x00\u202e\u2066&amp; <b>"
FLAGS = """--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --force-device-scale-factor=1"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a browser that logs its console and its requests."""
    if not CHROMIUM or not DRIVER:
        pytest.skip("there is no Chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return pages of an LSTM, a tanh RNN, hostile text, and a model of each task that answers."""
    place = tmp_path_factory.mktemp("pages")
    (place / "text").write_text(STREAM_TEXT, "utf-8")
    (place / "evil").write_text(f"the {HOSTILE} cat\n" * 40, "utf-8")
    (place / "labelled").write_text("A</script>\tabcab\nB\txyzzy\n" * 6, "utf-8")
    (place / "tagged").write_text("the\tDET\ncat\tNOUN\nsat\tVERB\n\n" * 20, "utf-8")
    (place / "pairs").write_text("ab</script>\u202e\tb\u2066a\nba\tab\n" * 6, "utf-8")
    (place / "numbers").write_text("time,a,b\n" + "".join(f"{k},{k % 4},{k % 3}\n" for k in range(60)), "utf-8")
    made = {}
    for name, text, options in (
        ("lstm", "text", ["--stream", "--layers", "2"]),
        ("rnn", "text", ["--stream", "--cell", "rnn"]),
        ("hostile", "evil", ["--stream"]),
        ("classify", "labelled", ["--task", "classify"]),
        ("tag", "tagged", ["--task", "tag"]),
        ("translate", "pairs", ["--task", "translate"]),
        ("forecast", "numbers", ["--task", "forecast", "--quantiles", "0.1,0.5,0.9", "--horizon", "4"]),
    ):
        done = run("train", text, *SIZE, "--steps", 60, "-m", name, *options, "-q", cwd=place)
        assert done.code == 0, done.stderr
        done = run("report", name, text, "-o", f"{name}.html", "--random-seed", 1, cwd=place)
        assert done.code == 0, done.stderr
        made[name] = place / f"{name}.html"
    return made


def opened(browser: Any, page: Path, width: int = 1280) -> Any:
    """Open a page; return the browser."""
    browser.set_window_size(width, 900)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())
    return browser


def value(browser: Any, expression: str) -> Any:
    """Return what an expression of JavaScript comes to."""
    return browser.execute_script(f"return {expression}")


def press(browser: Any, selector: str, *keys: str) -> None:
    """Focus an element and press keys."""
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].focus()", element)
    browser.switch_to.active_element.send_keys(*keys)


KEYS = {"right": "\ue014", "left": "\ue012", "down": "\ue015", "end": "\ue010", "home": "\ue011", "tab": "\ue004"}


@pytest.mark.parametrize("name", ["lstm", "rnn", "hostile", "classify", "tag", "translate", "forecast"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_opens_without_error_or_request(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    driver = opened(browser, pages[name], width)
    assert driver.title == f"rnn report: {name}"
    assert driver.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert sent <= {pages[name].as_uri()}
    assert value(driver, "document.documentElement.scrollWidth <= innerWidth")
    assert pages[name].stat().st_size < 2_000_000


def test_policy_stops_what_the_page_does_not_hold(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    driver.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i)"
    )
    assert value(driver, "window.ran") is None
    assert any("Content Security Policy" in entry["message"] for entry in driver.get_log("browser"))


def test_arrow_keys_move_through_the_text(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    here = "document.getElementById('here').textContent"
    press(driver, "#text", KEYS["home"])
    first = value(driver, here)
    press(driver, "#text", KEYS["right"])
    assert value(driver, here).startswith("character 2:")
    press(driver, "#text", KEYS["end"])
    assert f"character {value(driver, 'data.read.length')}:" in value(driver, here)
    press(driver, "#text", KEYS["home"])
    assert value(driver, here) == first
    assert value(driver, "document.querySelectorAll('#here li').length") == 5


def test_pointing_at_a_symbol_shows_what_was_expected(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    target = driver.find_element("css selector", "#s7")
    webdriver.ActionChains(driver).move_to_element(target).perform()
    assert value(driver, "document.getElementById('here').textContent").startswith("character 8:")
    assert value(driver, "document.querySelector('#text .on').id") == "s7"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_text_is_coloured_in_three_ways(browser: Any, pages: dict[str, Path], by: str) -> None:
    driver = opened(browser, pages["lstm"])
    looks = []
    for mode in ("rank", "unit", "influence"):
        if by == "mouse":
            driver.find_element("css selector", f"input[value={mode}]").click()
        elif mode != "rank":
            press(driver, "input[name=mode]:checked", KEYS["right"])
        press(driver, "#text", KEYS["right"])
        looks.append(
            value(driver, "[...document.querySelectorAll('#text span')].map(s => s.className + s.style.cssText)")
        )
        assert value(driver, "document.getElementById('legend').textContent")
    assert len({json.dumps(look) for look in looks}) == 3


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_any_unit_can_be_chosen(browser: Any, pages: dict[str, Path], by: str) -> None:
    driver = opened(browser, pages["lstm"])
    before = value(driver, "document.querySelector('#activity polyline').getAttribute('points')")
    unit = int(value(driver, "document.getElementById('unit').value"))
    if by == "mouse":
        canvas = driver.find_element("id", "map")
        rows = value(driver, "document.getElementById('map').height")
        wanted = (unit + 3) % rows + 1
        height = canvas.size["height"]
        webdriver.ActionChains(driver).scroll_to_element(canvas).move_to_element_with_offset(
            canvas, 20, int((wanted - 0.5) / rows * height - height / 2)
        ).click().perform()
    else:
        wanted = unit + 1 if unit < 8 else unit - 1
        press(driver, "#map", KEYS["down"] if wanted > unit else "\ue013")
    assert int(value(driver, "document.getElementById('unit').value")) == wanted
    assert value(driver, "document.querySelector('#activity polyline').getAttribute('points')") != before
    assert value(driver, "document.querySelectorAll('#gates polyline').length") == 5  # i, f, g, o, c


def test_layer_is_chosen_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    press(driver, "#layer", KEYS["down"])
    assert "layer 2 " in value(driver, "document.getElementById('map').getAttribute('aria-label')")


def test_each_control_is_reached_with_tab(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    seen = []
    for _ in range(30):
        driver.switch_to.active_element.send_keys(KEYS["tab"])
        seen.append(value(driver, "document.activeElement.id || document.activeElement.name"))
    assert {"mode", "text", "layer", "unit", "gated", "map", "confusion"} <= set(seen)


@pytest.mark.parametrize("name", ["hostile", "translate"])
def test_hostile_text_is_only_shown(browser: Any, pages: dict[str, Path], name: str) -> None:
    driver = opened(browser, pages[name])
    assert driver.title == f"rnn report: {name}"
    shown = value(driver, "document.body.innerText")
    assert not re.search("[\x00\u202e\u2066]", shown)
    assert value(driver, "document.querySelectorAll('script').length") == 2


@pytest.mark.parametrize("name", ["classify", "tag"])
def test_answers_build_up_over_the_chosen_text(browser: Any, pages: dict[str, Path], name: str) -> None:
    driver = opened(browser, pages[name])
    table = "document.getElementById('built').textContent"
    assert value(driver, "document.querySelectorAll('#matrix td').length") > 4
    before = value(driver, table)
    press(driver, "#which", KEYS["down"])
    assert value(driver, "document.getElementById('which').value") == "1"
    assert (value(driver, table) != before) == (name == "classify")  # all sentences are the same one


def choose(driver: Any, by: str, selector: str, index: int) -> None:
    """Choose an item of a list below the first one."""
    if by == "mouse":
        Select(driver.find_element("css selector", selector)).select_by_index(index)
    else:
        press(driver, selector, *[KEYS["down"]] * index)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_attention_of_the_chosen_source_is_a_table(browser: Any, pages: dict[str, Path], by: str) -> None:
    driver = opened(browser, pages["translate"])
    shown = "[...document.querySelectorAll('#attention th[scope=col]')].map(e => e.textContent)"
    assert value(driver, shown) == [*"ab</script>", "\\u202e", "end"]
    choose(driver, by, "#whichpair", 1)
    assert value(driver, shown) == ["b", "a", "end"]
    item = value(driver, "data.pairs[1]")
    assert [len(row) for row in item["attention"]] == [3] * len(item["written"])
    assert all(sum(row) == pytest.approx(1, abs=0.01) for row in item["attention"])
    assert value(driver, "document.querySelectorAll('#guesses tr').length") == len(item["written"]) + 1
    assert [row[0] for row in item["built"]] == ["b", "ba"]
    assert value(driver, "document.querySelectorAll('#beginnings tr').length") == 3
    assert value(driver, "document.querySelectorAll('#matrix th[scope=row]').length") == 4


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_forecast_of_the_chosen_series_is_drawn(browser: Any, pages: dict[str, Path], by: str) -> None:
    driver = opened(browser, pages["forecast"])
    curves = "[...document.querySelectorAll('#series polyline')].map(e => e.getAttribute('points'))"
    before = value(driver, curves)
    assert len(before) == 4
    assert value(driver, "document.querySelectorAll('#series polygon').length") == 1
    choose(driver, by, "#whichseries", 1)
    assert value(driver, curves) != before
    item = value(driver, "data.series[1]")
    assert item["actual"] == [k % 3 for k in range(56, 60)]
    assert all(a <= b <= c for a, b, c in zip(item["low"], item["forecast"], item["high"]))
    assert "MASE" in value(driver, "document.getElementById('seriesnote').textContent")


def test_curves_can_be_read_as_a_table(browser: Any, pages: dict[str, Path]) -> None:
    driver = opened(browser, pages["lstm"])
    driver.find_element("css selector", "#curves summary").click()
    driver.implicitly_wait(2)
    assert driver.find_elements("css selector", "#curves td")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Any, pages: dict[str, Path], scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    driver = opened(browser, pages["lstm"])
    for name in ("--ink", "--soft"):
        for ground in ("--paper", "--panel", *(["--r2", "--r3", "--r4"] if name == "--ink" else [])):
            assert contrast(colour_of(driver, name), colour_of(driver, ground)) >= 4.5, (scheme, name, ground)
    for name in ("--a", "--b", "--c", "--d", "--e"):
        assert contrast(colour_of(driver, name), colour_of(driver, "--paper")) >= 3


def colour_of(driver: Any, name: str) -> list[float]:
    """Return the red, green and blue of a colour of the style sheet, 0 to 1."""
    text = value(driver, f"getComputedStyle(document.documentElement).getPropertyValue('{name}')").strip().lstrip("#")
    text = "".join(2 * digit for digit in text) if len(text) == 3 else text
    return [int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)]


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast ratio of WCAG 2."""
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in each] for each in (one, other)]
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (high + 0.05) / (low + 0.05)


def test_data_cannot_end_its_element() -> None:
    text = embedded({"text": HOSTILE})
    assert not set(text) & set("<>&\x00\u202e")
    assert json.loads(text) == {"text": HOSTILE}
    page = page_of({"text": HOSTILE}).decode()
    assert page.count("</script>") == 2
    assert "default-src 'none'" in page
    assert "unsafe" not in page
